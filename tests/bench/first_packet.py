"""What a cluster adds to the time of a session's first packet, beside a plain gateway.

From when the SYN leaves the client's device until it comes to the server's: two switches and their
cables are in it, the same for all, and what the server makes of it isn't, nor is the way back. So
what a cluster adds is the difference to the gateway's. Each kind of cluster is measured when nearly
idle, and at half the highest rate that it carried in the same run (wrk's); the gateway at the same
rate each time.
"""

import statistics
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.short_sessions import Contender, check_handed_over, cluster_options
from tests.bench.steady_load import steady
from tests.bench.syn_tap import Crossing
from topologies.lab import Lab

TABLES = ("conntrack", "flows")
IDLE = 100.0  # sessions a second: one at a time
WHEN = ("idle", *(f"half_{table}" for table in TABLES))
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
    """So many rounds, all taking turns."""
    with ExitStack() as stack:
        plain = stack.enter_context(Lab(1))
        clusters = {
            table: stack.enter_context(Lab(2, **cluster_options(table))) for table in TABLES
        }
        highest = {table: _highest(lab) for table, lab in clusters.items()}
        gateway = stack.enter_context(closing(Measured(plain)))
        planned: list[tuple[str, str, Measured, Times]] = [
            ("idle", "gateway", gateway, Times(IDLE))
        ]
        for table, lab in clusters.items():
            measured = stack.enter_context(closing(Measured(lab)))
            half = highest[table] / 2
            planned += [
                ("idle", table, measured, Times(IDLE)),
                (f"half_{table}", "gateway", gateway, Times(half)),
                (f"half_{table}", table, measured, Times(half)),
            ]
        for _ in range(rounds):
            for _, _, measured, times in planned:
                measured.round(times, seconds)
        for lab in clusters.values():
            check_handed_over(lab, 1)
    figures: Figures = {
        "rounds": rounds,
        "seconds": seconds,
        "highest_sessions_per_second": highest,
    }
    for when, who, _, times in planned:
        figures.setdefault(when, {})[who] = times.figures()
    return figures


def _highest(lab: Lab) -> int:
    contender = Contender(lab)
    for turn in range(4):  # the first warms up
        contender.turn(2, counts=turn > 0)
    return int(contender.figures()["sessions_per_second"])


def added(figures: Figures, when: str, table: str) -> tuple[float, float]:
    """Microseconds more than the gateway: median, and 99th percentile."""
    ours, peer = figures[when][table], figures[when]["gateway"]
    return ours["median_us"] - peer["median_us"], ours["p99_us"] - peer["p99_us"]


def _rows(figures: Figures) -> Rows:
    rows: Rows = [
        ("us from the client's device to the server's", "a second", "median", "99%", "failed")
    ]
    names = {"gateway": "a plain gateway", "conntrack": "conntrack", "flows": "flows"}
    for when in WHEN:
        text = "nearly idle" if when == "idle" else "at half the rate"
        for who, found in figures[when].items():
            numbers = [f"{found[name]:,.0f}" for name in ("sessions_per_second", "median_us")]
            tail = [f"{found['p99_us']:,.0f}", str(found["failed"])]
            rows.append((f"{names[who]}, {text}", *numbers, *tail))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    kept = {}
    for table in TABLES:
        median, _ = added(figures, "idle", table)
        text = f"{table}, nearly idle: at most 1 ms more in the median: {median:,.0f} us"
        kept[text] = median <= MEDIAN
        median, tail = added(figures, f"half_{table}", table)
        text = f"{table}, at half the rate: at most 1 ms more in the median: {median:,.0f} us"
        kept[text] = median <= MEDIAN
        text = f"{table}, at half the rate: at most 5 ms more at 99 %: {tail:,.0f} us"
        kept[text] = tail <= TAIL
    times = [each for when in WHEN for each in figures[when].values()]
    kept["none failed"] = not any(each["failed"] for each in times)
    return kept


BENCHMARK = Benchmark("The first packet's time through the cluster", measure, _rows, _promises)
