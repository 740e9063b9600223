"""What a failure costs sessions: Synod, and two routers by keepalived and conntrackd beside it.

The same load through each, by the same programs (`topologies.paced`): 200 transfers, each with a
few bytes due every 40 ms and compared by SHA-256 at its end, and 100 new sessions a second with a
short answer each. When it is steady, one thing is struck. The *stall* of a transfer is the longest
time from then on in which bytes that were due didn't come: the longest gap between two bytes, less
the 40 ms. A strike's is that of the transfer that had it worst. Then all end, what was struck is
brought back, and new ones begin.

Nothing is tried twice, nothing left out: every gap and every answer's time is kept in a file below
artifacts/. New sessions may wait (a SYN that is lost is sent again after a second); any other end
than the answer counts as refused.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import calm
from tests.bench.benchmark import progress
from tests.bench.cluster import Cluster
from tests.bench.machine import describe, new_file, write
from tests.bench.routers import FASTEST, USUAL, Pair, Routers
from topologies.app_log import until_deaths_count
from topologies.lab import Lab
from topologies.paced import Outcome, Paced
from topologies.paced_client import CORRUPT, WHOLE
from topologies.paced_server import PACE

TRANSFERS, CALLS = 200, 100  # at a time; a second
KILLS, QUICK_KILLS = 20, 3  # of each kind
MINUTES, QUICK_MINUTES = 10, 1  # with both cores busy
_GOES_ON = 2.0  # seconds after a strike in which, or after which, each transfer must have bytes
_PATIENCE = 20.0  # seconds that they have for it
_POLL = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Strike:
    """Something that is done to those who carry the load, and what undoes it."""

    name: str
    do: Callable[[], int]
    undo: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Series:
    """Strikes of one kind."""

    name: str
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """What there is to say of them; times in ms."""
        stalls = [_late(max(each["gaps_ms"])) for each in self.rounds]
        waits = [max(each["calls_ms"]) for each in self.rounds]
        return {
            "strikes": len(self.rounds),
            "stall_ms": _spread(stalls),
            "median_transfer_ms": _spread([_late(median(each["gaps_ms"])) for each in self.rounds]),
            "undisturbed_ms": _spread([_late(each["undisturbed_ms"]) for each in self.rounds]),
            "transfers": sum(len(each["gaps_ms"]) for each in self.rounds),
            "lost": sum(each["lost"] for each in self.rounds),
            "corrupt": sum(each["corrupt"] for each in self.rounds),
            "calls": sum(len(each["calls_ms"]) for each in self.rounds),
            "refused": sum(len(each["refused"]) for each in self.rounds),
            "slowest_call_ms": _spread(waits),
        }


def measure(quick: bool = False) -> dict[str, Any]:
    """All of it; the figures, and the file that has what they were made of."""
    kills = QUICK_KILLS if quick else KILLS
    minutes = QUICK_MINUTES if quick else MINUTES

    def strike(series: dict[str, Series], raw: dict[str, Any]) -> None:
        _cluster(series, kills, [_failures, _moves])
        for name, interval in (("usual", USUAL), ("fastest", FASTEST)):
            _routers(series, kills, name, interval)
        progress(f"nothing is struck, all cores are busy: {minutes} minutes")
        raw["alarms"] = calm.measure(minutes)

    return _measured(strike)


def measure_moves(quick: bool = False) -> dict[str, Any]:
    """Only what is planned: drains and promotions."""
    kills = QUICK_KILLS if quick else KILLS
    return _measured(lambda series, _: _cluster(series, kills, [_moves]))


def _measured(strike: Callable[[dict[str, Series], dict[str, Any]], None]) -> dict[str, Any]:
    machine = describe()  # before, for how busy it is with other things
    series: dict[str, Series] = {}
    raw: dict[str, Any] = {"machine": machine, "rounds": {}, "alarms": {}}
    try:
        strike(series, raw)
    finally:  # what was measured before something went wrong is kept, too
        raw["rounds"] = {name: each.rounds for name, each in series.items()}
        file = new_file(Path("artifacts"), "failover")
        write(raw, file)
    return {
        "machine": machine,
        "raw": str(file),
        "load": {"transfers": TRANSFERS, "calls_per_second": CALLS},
        "series": {name: each.figures() for name, each in series.items()},
        "alarms": raw["alarms"],
    }


def _cluster(
    series: dict[str, Series], kills: int, kinds: Sequence[Callable[[Cluster], list[Strike]]]
) -> None:
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(3))
        cluster, paced = Cluster(lab), stack.enter_context(Paced(lab))
        until_deaths_count(lab.log_dir / "app.log")
        for strike in (strike for kind in kinds for strike in kind(cluster)):
            _strike(series, paced, strike, kills)


def _failures(cluster: Cluster) -> list[Strike]:
    return [
        Strike(f"synod_{role}_{how}", partial(do, primary=role == "primary"), cluster.restart)
        for how, do in (("killed", cluster.kill), ("dark", cluster.power_off))
        for role in ("auxiliary", "primary")
    ]


def _moves(cluster: Cluster) -> list[Strike]:
    return [
        Strike("synod_drained", cluster.drain, cluster.undrain),
        Strike("synod_promoted", cluster.promote, cluster.settle),
    ]


def _routers(series: dict[str, Series], kills: int, name: str, interval: float) -> None:
    with Routers(interval) as lab, Paced(lab) as paced:
        pair = Pair(lab)
        for role in ("active", "backup"):
            do_it = partial(pair.power_off, active=role == "active")
            strike = Strike(f"keepalived_{name}_{role}_dark", do_it, pair.restart)
            _strike(series, paced, strike, kills)


def _strike(series: dict[str, Series], paced: Paced, strike: Strike, times: int) -> None:
    found = series.setdefault(strike.name, Series(strike.name))
    for number in range(times):
        progress(f"{strike.name}: {number + 1} of {times}")
        found.rounds.append(_round(paced, strike))
        strike.undo()


def _round(paced: Paced, strike: Strike) -> dict[str, Any]:
    """Load, a strike, the end of the load."""
    paced.open(TRANSFERS)
    paced.call(CALLS)
    _until(lambda: paced.answered() >= CALLS)
    paced.mark()
    _until(lambda: paced.answered() >= 2 * CALLS)
    undisturbed = max(each.gap for each in paced.look())
    at = paced.mark()
    victim = strike.do()
    done = time.monotonic()
    _until(lambda: all(each.lost or each.last > done + _GOES_ON for each in paced.look()))
    return {
        "victim": victim,
        "took_ms": _ms(done - at),
        "undisturbed_ms": _ms(undisturbed),
        **_of(paced.finish(), at),
    }


def _of(outcome: Outcome, at: float) -> dict[str, Any]:
    """A round's end as plain data. Calls: those that were made, or not yet answered, at the strike
    or later.
    """
    calls = [each for each in outcome.calls if each.started + each.took > at]
    states = [each.state for each in outcome.transfers]
    return {
        "gaps_ms": [_ms(each.gap) for each in outcome.transfers],
        "corrupt": states.count(CORRUPT),
        "lost": sum(state not in (WHOLE, CORRUPT) for state in states),
        "calls_ms": [_ms(each.took) for each in calls],
        "refused": [each.error for each in calls if each.error],
    }


def _until(condition: Callable[[], bool]) -> None:
    """Polls; what doesn't come shows in the figures."""
    deadline = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL)


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "median": round(median(values), 1),
        "least": round(min(values), 1),
        "worst": round(max(values), 1),
        "each": [round(value, 1) for value in values],
    }


def _late(gap_ms: float) -> float:
    return max(0.0, gap_ms - PACE * 1000)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
