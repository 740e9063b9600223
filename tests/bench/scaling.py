"""Does another unit help? Clusters of one to four units, each of which has three tenths of a core.

A unit's programs and its kernel's work on packets share that (`capped` says what is capped).
On each, the user's rules compare the first bytes of every packet that has any with thousands of
values, one rule each: a list of signatures, and the work that a cluster is there to share. How much
it pays to share goes by how much there is of it, beside what the primary does to send on the
packets of the others: so there are two such lists, one twice as long, and none. Without, there is
hardly anything to share.

In turns, wrk opens sessions for a file of 32 kB, one each, and has some sessions download without
an end: so many of either at a time for each unit, so that more units don't just have less to do.
The primary is chosen less often, the more others there are, for it has their packets to send on.
The session table is `conntrack`.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from tests.bench.benchmark import Benchmark, Figures, Rows, progress, spread
from tests.bench.capped import capped, cpu_seconds
from tests.bench.short_sessions import parse_wrk
from topologies.cluster import NETWORKS
from topologies.lab import Lab
from topologies.recipe import DEFAULT_RULES

SHARE = 0.3  # of a core
UNITS = (1, 2, 3, 4)
# Weights. The primary's bridge hands over what all others serve, and has the less to spare for its
# own the more there are.
PRIMARY, OTHERS = {1: 10, 2: 9, 3: 8, 4: 6}, 10
TOGETHER, DOWNLOADS = 24, 8  # sessions at a time, a unit
# Signatures, and seconds of a turn: with some a session takes about one, and what isn't over at the
# end doesn't count.
SECONDS = {10_000: 8, 5_000: 8, 0: 2}
SHARED = 10_000  # with so many the work is in the units, and what is promised is promised
SIZE = 32 << 10  # bytes
LEAST = 0.8  # of what one unit does, for each that is added
_KINDS = {
    "sessions_per_second": "sessions a second",
    "megabits_per_second": "downloads together, Mbit/s",
}
_SERVER = NETWORKS[1].address
_READ = re.compile(r", ([\d.]+)(KB|MB|GB) read")
_SIZES = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}  # format_binary() in wrk's units.c


def signatures(number: int) -> str:
    """The user's rules: all packets longer than headers are compared with so many values."""
    # Behind 20 bytes of header and 12 of timestamps come the first data: bit 256.
    rules = "\n".join(
        f"        @th,256,64 0x{0xFEED000000000000 + each:016x} counter drop"
        for each in range(number)
    )
    return f"""\
table ip signatures {{
    chain inspect {{
{rules}
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ip protocol tcp ip length > 80 jump inspect
    }}
}}
"""


def measure(rounds: int = 5, units: Sequence[int] = UNITS) -> dict[str, Any]:
    """Medians of so many rounds, for each number of units and either set of rules."""
    found: dict[str, Any] = {kind: {str(many): {} for many in SECONDS} for kind in _KINDS}
    failed, used = 0, {}
    for many in SECONDS:
        for number in units:
            progress(f"{many:,} rules, {number} of {max(units)} units")
            each, more, spent = _measured(number, many, rounds)
            failed, used[f"{many}, {number}"] = failed + more, spent
            for kind, values in each.items():
                found[kind][str(many)][str(number)] = spread(values, 1)
    for kind in _KINDS:
        for many in SECONDS:
            compare(found[kind][str(many)])
    return {
        "rounds": rounds,
        "seconds": SECONDS,
        "weights": {"primary": PRIMARY, "others": OTHERS},
        "share_of_a_core": SHARE,
        "cores_used": used,
        "failed": failed,
        **found,
    }


def _measured(
    units: int, many: int, rounds: int
) -> tuple[dict[str, list[float]], int, list[float]]:
    """What a cluster of so many does, in each round; failures; what each unit has used of a core
    while sessions were short, the median.
    """
    text = DEFAULT_RULES + (signatures(many) if many else "")
    values: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    failed, seconds = 0, SECONDS[many]
    used: list[list[float]] = [[] for _ in range(units)]
    how = {"method": "weighted-round-robin", "session_table": "conntrack", "rules": text}
    weights = (PRIMARY[units], *[OTHERS] * (units - 1))
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(units, weights=weights, **how))  # type: ignore[arg-type]
        pages = lab.directory / "web" / "server" / "pages"
        (pages / "32k").write_bytes(bytes(SIZE))
        # A capped unit's queue is to hold some of a download, and not seconds of it.
        lab.run("client", ["sysctl", "-q", "-w", "net.ipv4.tcp_rmem=4096 32768 32768"])
        groups = [stack.enter_context(capped(lab, f"u{number}", SHARE)) for number in lab.units]
        lab.wait_whole()
        for turn in range(rounds + 1):
            before = [cpu_seconds(group) for group in groups]
            short = _wrk(lab, seconds, TOGETHER * units, "32k", "-H", "Connection: close")
            for of, group, was in zip(used, groups, before, strict=True):
                of.append((cpu_seconds(group) - was) / seconds)
            long = _wrk(lab, seconds, DOWNLOADS * units, "1M")
            failed += short[2] + long[2]
            if turn:  # the first warms up
                values["sessions_per_second"].append(short[0])
                values["megabits_per_second"].append(long[1])
    return values, failed, [round(median(each[1:]), 3) for each in used]


def _wrk(lab: Lab, seconds: int, together: int, page: str, *more: str) -> tuple[float, float, int]:
    """Requests a second, Mbit/s, failures."""
    load = ["wrk", "-t1", f"-c{together}", f"-d{seconds}s", "--timeout", "10s", *more]
    text = lab.run("client", [*load, f"http://{_SERVER}/{page}"]).stdout
    requests, took, failed = parse_wrk(text)
    size = _READ.search(text)
    assert size, text
    return requests / took, float(size[1]) * _SIZES[size[2]] * 8 / 1e6 / took, failed


def compare(found: dict[str, Any]) -> None:
    """How much of one unit's figure each added unit adds."""
    one = found["1"]["median"]
    for number, figures in found.items():
        if number != "1":
            added = (figures["median"] / one - 1) / (int(number) - 1)
            figures["per_added_unit"] = round(added, 3)


def _rows(figures: Figures) -> Rows:
    rows: Rows = [("", "median", "lowest", "highest", "each added unit adds")]
    for kind, text in _KINDS.items():
        for many, found in figures[kind].items():
            for number, each in found.items():
                numbers = (f"{each[name]:,}" for name in ("median", "lowest", "highest"))
                added = str(each.get("per_added_unit", ""))
                rows.append((f"{text}, {int(many):,} rules: {number}", *numbers, added))
    return rows


def _notes(figures: Figures) -> list[str]:
    """What there is to share: what a unit alone used for a session."""
    alone = {many: found["1"]["median"] for many, found in figures["sessions_per_second"].items()}
    return [
        f"one unit with {int(many):,} rules uses {1e3 * used / rate:.1f} ms a session"
        for many, rate in alone.items()
        for used in figures["cores_used"][f"{many}, 1"]
    ]


def _promises(figures: Figures) -> dict[str, bool]:
    promises = {"no session failed": not figures["failed"]}
    for kind, text in _KINDS.items():
        added = [each.get("per_added_unit", 1) for each in figures[kind][str(SHARED)].values()]
        said = f"{text}, {SHARED:,} rules: each added unit adds at least {LEAST}: {min(added)}"
        promises[said] = min(added) >= LEAST
    return promises


BENCHMARK = Benchmark(
    "What more units add",
    measure,
    _rows,
    _promises,
    by_name=True,
    about="Sessions a second and Mbit/s of one to four units that have three tenths of a core each,"
    " with rules that cost much, half as much, and nothing, against one such unit.",
    minutes=16,
    notes=_notes,
)
