"""Floods of each kind, beside real sessions: is anybody harmed, and does anything grow?

A stranger on the clients' network sends SYNs from forged addresses, ARP, ICMP, UDP, or garbage
(`strangers`), one kind after the other, each for as long as is asked for. Beside it run transfers
that were begun before, and 100 new sessions a second. All the while it is looked at how much memory
each program of the cluster has: what a flood fills is bounded, so that the second half of a flood
adds nothing to what the first has filled. That is promised of floods of some minutes: sessions that
nobody goes on with are remembered for two.
"""

import json
import statistics
import time

from tests.bench.benchmark import Benchmark, Figures, Rows, progress
from tests.bench.flood import calls_of, flooding, lead_back, mac_of_client, virtual_mac
from tests.bench.footprint import whole
from tests.bench.short_sessions import primary
from tests.bench.strangers import KINDS
from topologies.cluster import NETWORKS
from topologies.lab import Lab
from topologies.paced import Paced
from topologies.paced_client import WHOLE
from topologies.paced_server import PACE

RATES = {"syn": 2000, "arp": 5000, "icmp": 5000, "udp": 5000, "garbage": 5000}  # a second
SECONDS = 10.0  # of each, unless asked otherwise
LONG = 300.0  # seconds: from then on memory is to be flat
TRANSFERS, CALLS = 50, 100  # at a time; a second
FLAT = 8 << 20  # bytes, and a tenth, that the second half of a flood may add: noise of allocators
PROGRAMS = ("app", "agent", "vswitchd", "conntrackd")
_COUNTED = 5.0  # seconds after which the app has read what bridges have dropped (`bridges.POLL`)
_LOOKS = 40  # at memory in a flood, but not more than one in two seconds
_CLIENT, _SERVER = NETWORKS[0], NETWORKS[1]


def measure(seconds: float = SECONDS) -> Figures:
    """All kinds, in one lab."""
    with Lab(3) as lab:
        lead_back(lab)
        with Paced(lab) as paced:
            return {
                "seconds": seconds,
                "rates": RATES,
                **{kind: _flooded(lab, paced, kind, seconds) for kind in KINDS},
            }


def _flooded(lab: Lab, paced: Paced, kind: str, seconds: float) -> Figures:
    progress(f"{kind}: {seconds:.0f} s")
    paced.open(TRANSFERS)
    paced.call(CALLS)
    dropped, memory = _drops(lab), {name: [taken] for name, taken in _taken(lab).items()}
    argv = [kind, str(RATES[kind]), mac_of_client(lab), virtual_mac(lab)]
    argv += [_SERVER.address, _CLIENT.gateway, "1"]
    with flooding(lab, "strangers", *argv) as flood:
        began = paced.mark()
        _watch(lab, memory, began + seconds)
        said = json.loads(flood.communicate("\n")[0])
    over = time.monotonic()
    stall = max(each.gap for each in paced.look()) - PACE
    outcome = paced.finish()
    lab.wait_whole()
    lab.wait(lambda _: time.monotonic() > over + _COUNTED)
    drops = _drops(lab)
    return {
        "sent_per_second": round(said["sent"] / said["seconds"]),
        "calls": calls_of([each for each in outcome.calls if began <= each.started < over]),
        "transfers_lost": sum(each.state != WHOLE for each in outcome.transfers),
        "stall_ms": round(max(0.0, stall) * 1000, 1),
        "memory": memory,
        "grown": {name: grown(values) for name, values in memory.items()},
        "drops": {name: drops[name] - dropped.get(name, 0) for name in drops},
    }


def _taken(lab: Lab) -> dict[str, int]:
    """PSS of each program."""
    return {
        name: round(taken["pss_bytes"])
        for name, taken in whole(lab).items()
        if name.partition(".")[2] in PROGRAMS
    }


def _watch(lab: Lab, memory: dict[str, list[int]], end: float) -> None:
    """Adds what programs take, until then."""
    pause = max(2.0, (end - time.monotonic()) / _LOOKS)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))  # the passing of time is what is measured
        for name, taken in _taken(lab).items():
            memory.setdefault(name, []).append(taken)


def grown(values: list[int]) -> dict[str, int]:
    """Bytes: from the start to the end, and from the middle to the end (medians of what is around
    it, as an allocator comes and goes).
    """
    around = max(1, len(values) // 8)
    middle = len(values) // 2
    end = statistics.median(values[-around:])
    half = statistics.median(values[middle : middle + around])
    return {"whole": round(end - values[0]), "second_half": round(end - half), "had": round(half)}


def is_flat(of: dict[str, int]) -> bool:
    """Whether the second half has added nothing to speak of."""
    return of["second_half"] <= FLAT + of["had"] // 10


def _drops(lab: Lab) -> dict[str, int]:
    """What the primary's bridge has dropped, by name."""
    return dict(primary(lab)["drops"])


def _rows(figures: Figures) -> Rows:
    heading = ("sent a second", "new", "failed", "median ms", "slowest", "stall ms", "lost")
    rows: Rows = [("", *heading, "grew most, MiB", "of it in the second half")]
    for kind in KINDS:
        found = figures[kind]
        most = max(found["grown"].values(), key=lambda each: each["whole"])
        calls = found["calls"]
        numbers = (found["sent_per_second"], calls["calls"], calls["failed"], calls["median_ms"])
        more = (calls["slowest_ms"], found["stall_ms"], found["transfers_lost"])
        grew = (f"{most[key] / 2**20:.1f}" for key in ("whole", "second_half"))
        rows.append((kind, *(f"{each:,}" for each in (*numbers, *more)), *grew))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for kind in KINDS:
        calls, lost = figures[kind]["calls"], figures[kind]["transfers_lost"]
        text = f"{kind}: none of {calls['calls']} real sessions failed, no transfer lost"
        found[f"{text}: {calls['failed']}, {lost}"] = not calls["failed"] and not lost
    if figures["seconds"] >= LONG:
        for kind in KINDS:
            grew = [n for n, each in figures[kind]["grown"].items() if not is_flat(each)]
            found[
                f"{kind}: the second half adds nothing to memory: {', '.join(grew) or 'so'}"
            ] = not grew
    return found


def _notes(figures: Figures) -> list[str]:
    notes = []
    for kind in KINDS:
        drops = {name: each for name, each in figures[kind]["drops"].items() if each > 0}
        text = ", ".join(f"{name} {each:,}" for name, each in sorted(drops.items()))
        notes.append(f"{kind}: the primary's bridge dropped {text or 'nothing'}")
    if figures["seconds"] < LONG:
        notes.append(
            f"{figures['seconds']:.0f} s of each are too few to say whether memory stays as it is:"
            f" script/bench floods --minutes {LONG / 60:.0f}, or more"
        )
    return notes


def _timed(minutes: float) -> Figures:
    return measure(minutes * 60)


BENCHMARK = Benchmark(
    "Floods of each kind beside real sessions",
    measure,
    _rows,
    _promises,
    timed=_timed,
    notes=_notes,
    by_name=True,
    about="New sessions, running transfers and the memory of all programs while a stranger sends"
    " SYNs, ARP, ICMP, UDP and garbage, one after the other; --minutes of each.",
    minutes=2,
)
