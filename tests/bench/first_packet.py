"""What a cluster adds to the time of a session's first packet, beside a plain gateway.

From when the SYN leaves the client's device until it comes to the server's: two switches and their
cables are in it, the same for all, and what the server makes of it isn't, nor is the way back. So
what a cluster adds is the difference to the gateway's. Each kind of cluster has its turns with a
gateway, both nearly idle, and both at half the highest rate that the cluster carried just before
(wrk's).
"""

import statistics
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.short_sessions import TABLES, Contender, check_handed_over, cluster_options
from tests.bench.steady_load import steady
from tests.bench.syn_tap import Crossing
from topologies.lab import Lab

WHEN = ("idle", "half")
WHO = ("gateway", "cluster")
IDLE = 100.0  # sessions a second: mostly one at a time
MEDIAN, TAIL = 1000.0, 5000.0  # microseconds that may be added


@dataclass(slots=True)
class Times:
    """Of one lab at one rate: nanoseconds of each SYN, by round."""

    rate: float
    rounds: list[list[int]] = field(default_factory=list)
    sessions: int = 0
    failed: int = 0

    def figures(self) -> Figures:
        """Microseconds: of all, of each round, and the whole distribution in percents."""
        together = percents([each for times in self.rounds for each in times])
        each = [percents(times) for times in self.rounds]
        return {
            "sessions_per_second": round(self.rate),
            "sessions": self.sessions,
            "failed": self.failed,
            "lost_on_the_way": self.sessions - sum(len(times) for times in self.rounds),
            "median_us": together[49],
            "p99_us": together[98],
            "rounds_median_us": [cuts[49] for cuts in each],
            "rounds_p99_us": [cuts[98] for cuts in each],
            "percents_us": together,
        }


def percents(nanoseconds: list[int]) -> list[float]:
    """Microseconds that 1, 2, ... 99 of a hundred don't exceed."""
    cuts = statistics.quantiles(nanoseconds, n=100, method="inclusive")
    return [round(cut / 1000, 1) for cut in cuts]


class Measured:
    """A lab with its taps."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._crossing = Crossing(lab)

    def round(self, times: Times, seconds: float) -> None:
        """One more."""
        self._crossing.read()
        found = steady(self.lab, times.rate, seconds)
        times.rounds.append(self._crossing.read())
        times.sessions += int(found["sessions"])
        times.failed += int(found["failed"])

    def close(self) -> None:
        """The taps are gone."""
        self._crossing.close()


def measure(rounds: int = 5, seconds: float = 3) -> Figures:
    """So many rounds, one session table after the other."""
    tables = {table: _beside_gateway(table, rounds, seconds) for table in TABLES}
    return {"rounds": rounds, "seconds": seconds, **tables}


def _beside_gateway(table: str, rounds: int, seconds: float) -> Figures:
    with ExitStack() as stack:
        labs = dict(zip(WHO, (Lab(1), Lab(2, **cluster_options(table))), strict=True))
        for lab in labs.values():
            stack.enter_context(lab)
        highest = _highest(labs["cluster"])
        measured = {who: stack.enter_context(closing(Measured(lab))) for who, lab in labs.items()}
        rates = dict(zip(WHEN, (IDLE, highest / 2), strict=True))
        times = {when: {who: Times(rate) for who in WHO} for when, rate in rates.items()}
        for _ in range(rounds):
            for found in times.values():
                for who, each in found.items():
                    measured[who].round(each, seconds)
        check_handed_over(labs["cluster"], 1)
    figures: Figures = {"highest_sessions_per_second": highest}
    for when, found in times.items():
        figures[when] = {who: each.figures() for who, each in found.items()}
        figures[when] |= _added(figures[when])
    return figures


def _highest(lab: Lab) -> int:
    contender = Contender(lab)
    for turn in range(2):  # the first warms up
        contender.turn(3, counts=turn > 0)
    return int(contender.figures()["sessions_per_second"])


def _added(found: Figures) -> dict[str, float]:
    """Microseconds more than the gateway: of the medians, and of the 99th percentiles."""
    ours, peer = found["cluster"], found["gateway"]
    return {f"added_{name}": round(ours[name] - peer[name], 1) for name in ("median_us", "p99_us")}


def _rows(figures: Figures) -> Rows:
    rows: Rows = [("us to the server's device", "sessions/s", "median", "99 %", "failed")]
    for table in TABLES:
        for when in WHEN:
            for who in WHO:
                found = figures[table][when][who]
                text = "a plain gateway" if who == "gateway" else table
                text += ", nearly idle" if when == "idle" else ", at half the rate"
                numbers = [found[key] for key in ("sessions_per_second", "median_us", "p99_us")]
                rows.append((text, *(f"{each:,.0f}" for each in numbers), str(found["failed"])))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    kept = {}
    for table in TABLES:
        for when, text in (("idle", "nearly idle"), ("half", "at half the rate")):
            median = figures[table][when]["added_median_us"]
            kept[f"{table}, {text}: at most 1 ms more in the median: {median:,.0f} us"] = (
                median <= MEDIAN
            )
        tail = figures[table]["half"]["added_p99_us"]
        kept[f"{table}, at half the rate: at most 5 ms more at 99 %: {tail:,.0f} us"] = tail <= TAIL
    kept["none failed"] = not any(
        figures[table][when][who]["failed"] for table in TABLES for when in WHEN for who in WHO
    )
    return kept


BENCHMARK = Benchmark(
    "The first packet's time through the cluster",
    measure,
    _rows,
    _promises,
    by_name=True,
    about="Microseconds from a SYN's leaving the client to its coming to the server, nearly idle"
    " and at half the highest rate, with either session table, against a plain gateway.",
    minutes=3.5,
)
