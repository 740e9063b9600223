"""A SYN flood of ten times what the app can decide, beside real sessions.

The app decides faster than one small machine can make SYNs: what would be measured is the machine.
So it is made slow (`slow_app`: each decision takes 3 ms more, and it decides 300 a second), and the
flood is ten times that. Its SYNs come from spoofed addresses to a web server, whose answers go back
through the cluster and to nobody who goes on (`syn_flood`). Beside it are transfers that were begun
before, and 100 new sessions a second (`topologies.paced`). Each round has some seconds without and
some with the flood.

The same with the app as it is tells what is the slow app's doing, and what the flood's alone: it
decides all of it, and two cores have that much more to do.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from agents.core_primary import MAX_PENDING
from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.short_sessions import primary, primary_agent, served
from topologies.cluster import NETWORKS
from topologies.lab import Lab
from topologies.paced import Call, Paced
from topologies.paced_client import WHOLE
from topologies.paced_server import PACE
from topologies.recipe import OPENFLOW_PORT, app_argv

SLOWNESS = 0.003  # seconds
FLOOD = 10 * round(1 / SLOWNESS)  # a second
TRANSFERS, CALLS = 50, 100  # at a time; a second
QUIET, FLOODED = 3.0, 6.0  # seconds
LONGEST_STALL = 200  # ms; less than after what TCP sends again, at the earliest (TCP_RTO_MIN)
MOST_UNREAD = 1 << 20  # bytes: as much as the offers are that an agent lets wait
APPS = {"slow": "an app that decides 300 a second", "usual": "the app as it is"}
_SERVER = NETWORKS[1].address
_CLIENT = NETWORKS[0].address
_SPOOFED = "198.18.0.0/15"
_POLL = 0.5  # seconds
_FEW_OFFERS, _FEW_BYTES = 10, 4096  # at any time


@dataclass(slots=True)
class Backlog:
    """What waits for the app at most: offers of the primary's agent that are not answered, as it
    announces, and bytes of its switches that the app hasn't read.
    """

    offers: int = 0
    unread_bytes: int = 0

    def look(self, lab: Lab) -> bool:
        """Once; whether nothing waits to speak of."""
        offers = primary(lab)["waiting"]
        asked = ["ss", "-tnH", f"sport = :{OPENFLOW_PORT}"]
        lines = lab.run("controller", asked).stdout.splitlines()
        unread = sum(int(line.split()[1]) for line in lines)
        self.offers = max(self.offers, offers)
        self.unread_bytes = max(self.unread_bytes, unread)
        return offers <= _FEW_OFFERS and unread <= _FEW_BYTES


def measure(rounds: int = 5) -> dict[str, Any]:
    """So many rounds with either app, each in a lab of its own."""
    return {
        "flood_per_second": FLOOD,
        "calls_per_second": CALLS,
        "transfers": TRANSFERS,
        "most_offers": MAX_PENDING,
        "most_unread_bytes": MOST_UNREAD,
        **{name: _summary(_with(name, rounds)) for name in APPS},
    }


def _with(name: str, rounds: int) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(3))
        lead_back(lab)
        if name == "slow":
            stack.enter_context(slowed(lab))
        paced = stack.enter_context(Paced(lab))
        return [_round(lab, paced, 2000 + each) for each in range(rounds)]


@contextmanager
def slowed(lab: Lab) -> Iterator[None]:
    """The lab's app ends, and a slow one runs in its place. It goes with the lab."""
    lab.stop_app()
    *argv, _module = app_argv(lab.config)
    where = {"SYNOD_SLOWNESS": str(SLOWNESS), "PYTHONPATH": os.getcwd()}
    with (lab.log_dir / "slow_app.log").open("wb") as log:
        app = lab.popen(
            "controller",
            [*argv, "tests.bench.slow_app"],
            where,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        lab.wait_whole()
        yield
    finally:
        app.terminate()
        app.wait()


def _round(lab: Lab, paced: Paced, sport: int) -> dict[str, Any]:
    """Without the flood, with it, and until the app has caught up; times in ms and seconds. The
    flood's source port is another in each round, so that all its sessions are new.
    """
    paced.open(TRANSFERS)
    paced.call(CALLS)
    began = paced.mark()
    time.sleep(QUIET)  # the passing of time is what is measured, here and below
    quiet, at, backlog = paced.look(), paced.mark(), Backlog()
    agent, decided, memory = primary_agent(lab), served(lab), _resident(lab)
    argv = [_SERVER, "80", str(FLOOD), str(sport), mac_of_client(lab), virtual_mac(lab)]
    with flooding(lab, "syn_flood", *argv) as flood:
        while time.monotonic() < at + FLOODED:
            time.sleep(_POLL)
            backlog.look(lab)
        said = json.loads(flood.communicate("\n")[0])
    flooded, over = paced.look(), time.monotonic()
    decided = served(lab) - decided
    lab.wait(lambda _: backlog.look(lab))
    caught_up, grown = time.monotonic(), primary_agent(lab) - agent
    outcome = paced.finish()
    return {
        "sent_per_second": round(said["sent"] / said["seconds"]),
        "decided_per_second": round(decided / (over - at)),
        "offers_waiting": backlog.offers,
        "unread_bytes": backlog.unread_bytes,
        "app_grew_mib": round((_resident(lab) - memory) / 1024, 1),
        "caught_up_after_seconds": round(caught_up - over, 1),
        "quiet_stall_ms": _ms(max(each.gap for each in quiet) - PACE),
        "flooded_stall_ms": _ms(max(each.gap for each in flooded) - PACE),
        "transfers_lost": sum(each.state != WHOLE for each in outcome.transfers),
        "quiet": calls_of([each for each in outcome.calls if began <= each.started < at]),
        "flooded": calls_of([each for each in outcome.calls if at <= each.started < over]),
        "agent": dict(grown),
    }


def lead_back(lab: Lab) -> None:
    """What is answered to forged addresses goes to the client, from every unit."""
    for unit in lab.units:
        lab.run(f"u{unit}", ["ip", "route", "add", _SPOOFED, "via", _CLIENT])


@contextmanager
def flooding(lab: Lab, module: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A program of this folder's sends from the lab's client: it has begun."""
    program = lab.popen(
        "client",
        ["python3", "-m", f"tests.bench.{module}", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        yield program
    finally:
        program.terminate()
        program.wait()


def _resident(lab: Lab) -> int:
    """KiB of the app."""
    return int(lab.run("controller", ["ps", "-C", "ryu-manager", "-o", "rss="]).stdout)


def mac_of_client(lab: Lab) -> str:
    """Of its own NIC."""
    (link,) = json.loads(lab.run("client", ["ip", "-j", "link", "show", "eth0"]).stdout)
    return str(link["address"])


def virtual_mac(lab: Lab) -> str:
    """As the client, which has sessions, knows it."""
    asked = ["ip", "-j", "neigh", "show", NETWORKS[0].gateway]
    (found,) = json.loads(lab.run("client", asked).stdout)
    return str(found["lladdr"])


def calls_of(calls: list[Call]) -> dict[str, Any]:
    """How many, how many of them failed, and how long they took."""
    took = [each.took for each in calls]
    return {
        "calls": len(calls),
        "failed": sum(bool(each.error) for each in calls),
        "median_ms": _ms(statistics.median(took)),
        "percentile_99_ms": _ms(statistics.quantiles(took, n=100)[98]),
        "slowest_ms": _ms(max(took)),
    }


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 1)


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, and what must be so in each: the worst of all; and all of it."""
    middle = ("sent_per_second", "decided_per_second", "quiet_stall_ms", "flooded_stall_ms")
    worst = ("offers_waiting", "unread_bytes", "app_grew_mib", "caught_up_after_seconds")
    found: dict[str, Any] = {
        **{key: statistics.median(each[key] for each in rounds) for key in middle},
        **{key: max(each[key] for each in rounds) for key in worst},
        "longest_stall_ms": max(each["flooded_stall_ms"] for each in rounds),
        "longest_quiet_stall_ms": max(each["quiet_stall_ms"] for each in rounds),
        "transfers_lost": sum(each["transfers_lost"] for each in rounds),
    }
    for when in ("quiet", "flooded"):
        of_it = [each[when] for each in rounds]
        found[when] = {
            **{key: sum(each[key] for each in of_it) for key in ("calls", "failed")},
            "median_ms": round(statistics.median(each["median_ms"] for each in of_it), 1),
            "percentile_99_ms": max(each["percentile_99_ms"] for each in of_it),
            "slowest_ms": max(each["slowest_ms"] for each in of_it),
        }
    return {**found, "rounds": rounds}


def _rows(figures: Figures) -> Rows:
    heading = ("new", "failed", "median ms", "99 of 100", "slowest", "longest stall ms")
    rows: Rows = [("", *heading)]
    for name, text in APPS.items():
        for when, stall in (("quiet", "longest_quiet_stall_ms"), ("flooded", "longest_stall_ms")):
            found = figures[name][when]
            keys = ("calls", "failed", "median_ms", "percentile_99_ms", "slowest_ms")
            numbers = (f"{found[key]:,}" for key in keys)
            rows.append((f"{text}, {when}", *numbers, f"{figures[name][stall]:,}"))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    slow = figures["slow"]
    times = slow["sent_per_second"] / max(1, slow["decided_per_second"])
    calls, failed = slow["flooded"]["calls"], slow["flooded"]["failed"]
    offers, unread = slow["offers_waiting"], slow["unread_bytes"]
    return {
        f"ten times and more of what the app decided: {times:.1f}": times >= 10,
        f"none of {calls} real sessions failed: {failed}": not failed,
        f"no transfer lost: {slow['transfers_lost']}": not slow["transfers_lost"],
        f"no stall longer than {LONGEST_STALL} ms: {slow['longest_stall_ms']}": (
            slow["longest_stall_ms"] <= LONGEST_STALL
        ),
        f"at most {figures['most_offers']} offers waited: {offers}": (
            offers <= figures["most_offers"]
        ),
        f"at most {figures['most_unread_bytes']} bytes unread: {unread}": (
            unread <= figures["most_unread_bytes"]
        ),
    }


def _notes(figures: Figures) -> list[str]:
    return [
        f"{text}: {figures[name]['sent_per_second']:,} SYNs a second came,"
        f" {figures[name]['decided_per_second']:,} were decided;"
        f" the app grew by {figures[name]['app_grew_mib']} MiB at most,"
        f" and had caught up {figures[name]['caught_up_after_seconds']} s after the flood"
        for name, text in APPS.items()
    ]


BENCHMARK = Benchmark(
    "A SYN flood, ten times what the app decides",
    measure,
    _rows,
    _promises,
    notes=_notes,
    by_name=True,
    about="New sessions and running transfers during a SYN flood of ten times what the app, made"
    " slow, decides; against the same without a flood.",
    minutes=3,
)
