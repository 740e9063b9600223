"""Whole short sessions a second for so long that as many are forgotten as begin.

A session that has ended is remembered until its ports may be used again, by conntrack two minutes
unless told otherwise: its entry, and its flows or marks. So the first seconds of a load say little
of what it is later. Here wrk goes on for two and a half times that time, in slices, each to another
address of the server's, so that no tuple comes again too soon. What counts is the last of it.

A machine's conntrack table limits what can be remembered (net.netfilter.nf_conntrack_max, not one
lab's to change), and with it how fast a gateway may be for how long: so all are compared with a
shorter time, and `flows`, for which remembering costs most, is measured with two minutes as well.

A load that never pauses may leave an agent without a core for longer than it may be silent; then
the primary serves what begins meanwhile. So it is told how many sessions were handed over.
"""

import statistics
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from tests.bench.benchmark import Benchmark, Figures, Rows, progress
from tests.bench.short_sessions import (
    PORTS,
    PROMISED,
    SERVER,
    Contender,
    cluster_options,
    handed_over,
)
from tests.bench.syn_flood import DEVICE
from topologies.lab import Lab

SLICE = 5  # seconds: fewer sessions than a client has ports
ADDRESSES = tuple(str(IPv4Address(SERVER) + number) for number in range(16))
SHORT, USUAL = 40, 120  # seconds that conntrack remembers: here, and unless told otherwise


class Case(NamedTuple):
    """What is loaded, and how long what has ended is remembered (seconds)."""

    name: str
    table: str  # "": a plain gateway
    remembered: int


CASES = (
    Case("a plain gateway", "", SHORT),
    Case("the auxiliary of two, conntrack", "conntrack", SHORT),
    Case("the auxiliary of two, flows", "flows", SHORT),
    Case("the same, two minutes", "flows", USUAL),
)


def measure() -> Figures:
    """One after the other: a load that pauses for another lab's turn isn't sustained."""
    found = {case.name: _sustained(case) for case in CASES}
    gateway = found[CASES[0].name]["last"]
    ratios = {
        case.name: round(found[case.name]["last"] / gateway, 3) for case in CASES if case.table
    }
    return {"slice_seconds": SLICE, "cases": found, "ratios": ratios}


def _sustained(case: Case) -> Figures:
    options: dict[str, Any] = cluster_options(case.table) if case.table else {}
    with Lab(2 if case.table else 1, **options) as lab:
        _prepare(lab, case.remembered)
        contender = Contender(lab)
        slices = round(2.5 * case.remembered / SLICE)
        for number in range(slices):
            if not number % 4:
                progress(f"{case.name}: {number * SLICE} of {slices * SLICE} s")
            address = ADDRESSES[number // len(PORTS) % len(ADDRESSES)]
            contender.turn(SLICE, counts=True, address=address)
        handed, own = handed_over(lab) if case.table else (0, 1)
        count = lab.run("u1", ["conntrack", "-C"]).stdout
    # The first slice warms up; in the last fifth as many are forgotten as begin.
    last = len(contender.rates) // 5
    return contender.figures() | {
        "first": round(statistics.median(contender.rates[1 : 1 + last])),
        "last": round(statistics.median(contender.rates[-last:])),
        "remembered_seconds": case.remembered,
        "entries": int(count),
        "handed_over": round(handed / (handed + own), 3),
    }


def _prepare(lab: Lab, remembered: int) -> None:
    for address in ADDRESSES[1:]:
        lab.run("server", ["ip", "address", "add", f"{address}/24", "dev", DEVICE])
    for unit in lab.units:
        for state in ("time_wait", "close", "last_ack", "fin_wait"):
            setting = f"net.netfilter.nf_conntrack_tcp_timeout_{state}={remembered}"
            lab.run(f"u{unit}", ["sysctl", "-q", "-w", setting])


def _rows(figures: Figures) -> Rows:
    rows: Rows = [
        ("", "first", "last", "of the gateway", "handed over", "remembered s", "entries", "failed")
    ]
    for name, found in figures["cases"].items():
        ratio = figures["ratios"].get(name)
        rows.append((
            name, f"{found['first']:,}", f"{found['last']:,}", f"{ratio:.2f}" if ratio else "",
            f"{found['handed_over']:.1%}",
            str(found["remembered_seconds"]), f"{found['entries']:,}", str(found["failed"]),
        ))  # fmt: skip
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    kept = {}
    for case in CASES[1:]:
        ratio, least = figures["ratios"][case.name], PROMISED[case.table]
        kept[f"{case.name}: at least {least} of the gateway: {ratio}"] = ratio >= least
    return kept | {"none failed": not any(each["failed"] for each in figures["cases"].values())}


BENCHMARK = Benchmark(
    "Short sessions for longer than one is remembered",
    measure,
    _rows,
    _promises,
    by_name=True,
    about="Whole short sessions a second for minutes, until as many are forgotten as begin, with"
    " either session table, against a plain gateway.",
    minutes=11,
)
