"""`script/bench [NAME...] [--json]`: what Synod costs, beside what it is compared with, in one run.

Each benchmark measures, in a module of its own; here it gets a name, a table for a person, and the
promises that its figures must keep. The exit code is 1 if one doesn't.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import (
    decisions,
    expectations,
    failover,
    failover_report,
    python_path,
    short_sessions,
)

Figures = dict[str, Any]
Rows = list[tuple[str, ...]]

WIDTH = 132  # where no terminal says how wide it is

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How to measure, how to show it (heading first), and what must be so."""

    title: str
    measure: Callable[[], Figures]
    rows: Callable[[Figures], Rows]
    promises: Callable[[Figures], dict[str, bool]]
    quick: Callable[[], Figures] | None = None  # the same with fewer repetitions
    notes: Callable[[Figures], list[str]] = lambda _figures: []
    by_name: bool = False  # only when asked for by name: it takes long


def _rates(figures: Figures, names: dict[str, str], key: str) -> Rows:
    rows: Rows = [("", "median a second", "lowest", "highest")]
    for name, text in names.items():
        found = figures[name]
        rows.append((text, *(f"{found[each]:,}" for each in (key, "lowest", "highest"))))
    return rows


def _decisions(figures: Figures) -> Rows:
    names = {
        "textbook": "a textbook Ryu app",
        "single": "this app, an offer a packet-in",
        "batched": f"this app, {figures['offers_a_batch']} offers a packet-in",
    }
    return _rates(figures, names, "per_cpu_second")


def _sessions(figures: Figures) -> Rows:
    names = {"gateway": "a plain gateway", "cluster": "the auxiliary of two"}
    rows = _rates(figures, names, "per_second")
    more = [("sessions", "failed")]
    more += [(f"{figures[name]['sessions']:,}", str(figures[name]["failed"])) for name in names]
    return [(*row, *extra) for row, extra in zip(rows, more, strict=True)]


def _packets(figures: Figures) -> Rows:
    keys = ("sessions", "packets", "syns_at_agents", "others_at_agents", "packet_ins")
    names = {"download": "100 MB at once", "short": "short sessions"}
    rows: Rows = [("", "sessions", "packets", "SYNs at agents", "others there", "packet-ins")]
    for name, text in names.items():
        rows.append((text, *(f"{figures[name][key]:,}" for key in keys)))
    return rows


def _python_promises(figures: Figures) -> dict[str, bool]:
    """A SYN crosses an agent's port four times: in and out of the primary's, the auxiliary's."""
    every = figures.values()
    per_session = [each["packet_ins"] / each["sessions"] for each in every]
    return {
        "agents saw each SYN, in and out of two of them, and no other packet": all(
            each["syns_at_agents"] == 4 * each["sessions"] and not each["others_at_agents"]
            for each in every
        ),
        f"{per_session[-1]:.2f} packet-ins a short session, announcements included": (
            per_session[-1] < 2
        ),
    }


def _expectations(figures: Figures) -> Rows:
    ways = {
        "told": "told",
        "conntrackd": "by conntrackd",
        "mirrored": "mirrored",
        "diverted": "told first",
        "held": "held",
    }
    rows: Rows = [("us: p1/median/p99", "transfers", "refused", "expected", "SYN", "held")]
    for name, text in ways.items():
        for kind, found in figures[name].items():
            counts = [f"{found[each]:,}" for each in ("transfers", "refused")]
            times = [_microseconds(found, each) for each in ("expected_us", "syn_us", "held_us")]
            rows.append((f"{text}, {kind}", *counts, *times))
    return rows


def _microseconds(figures: Figures, name: str) -> str:
    found = figures.get(name)
    return "/".join(f"{found[each]:.0f}" for each in ("p1", "median", "p99")) if found else ""


def _expectations_promises(figures: Figures) -> dict[str, bool]:
    held, clash = figures["held"].values(), figures["clash"]
    announced, expected = (clash[each] for each in ("announced", "primary_expects"))
    refusal = figures["refusals"]["refused_us"]["median"]
    wait = max(each["late_us"]["p99.9"] for each in figures["told"].values())
    return {
        "held: none refused, and less than 1 ms in the median": not any(
            each["refused"] or each["held_us"]["median"] >= 1000 for each in held
        ),
        f"mirrored: two units announced {announced}, the primary expects {expected}, and the data"
        " of one client went to the other": (
            announced != expected and clash["data_at_the_wrong_client"]
        ),
        f"SYNs held instead: each that is refused would wait {wait:.0f} us (999 of 1,000"
        f" expectations come by then), and not {refusal:.0f} us": wait > refusal,
    }


BENCHMARKS = {
    "decisions": Benchmark(
        "Decisions of the app, on one core",
        decisions.measure,
        _decisions,
        lambda figures: {
            f"at least 25 times the textbook app: {figures['ratio']}": figures["ratio"] >= 25,
            f"at most 300 bytes a live session: {figures['bytes_a_session']}": (
                figures["bytes_a_session"] <= 300
            ),
        },
    ),
    "sessions": Benchmark(
        "Whole short sessions",
        short_sessions.measure,
        _sessions,
        lambda figures: {
            f"at least 0.2 of the gateway: {figures['ratio']}": figures["ratio"] >= 0.2,
            "none failed, of 10,000 and more in each": not any(
                figures[name]["failed"] or figures[name]["sessions"] < short_sessions.AT_LEAST
                for name in ("gateway", "cluster")
            ),
        },
    ),
    "packets": Benchmark(
        "Packets that any program of ours sees",
        python_path.measure,
        _packets,
        _python_promises,
    ),
    "expectations": Benchmark(
        "After an FTP announcement: when the primary expects data, and when the SYN comes",
        expectations.measure,
        _expectations,
        _expectations_promises,
    ),
    "failover": Benchmark(
        "200 transfers and 100 new sessions a second, and something fails: ms",
        failover.measure,
        failover_report.rows,
        failover_report.promises,
        notes=failover_report.notes,
        quick=lambda: failover.measure(quick=True),
        by_name=True,
    ),
}


def show(benchmark: Benchmark, figures: Figures, promises: dict[str, bool]) -> None:
    """A table, and the promises below it."""
    heading, *rows = benchmark.rows(figures)
    table = Table(title=benchmark.title, title_justify="left", box=None, header_style="dim")
    for number, text in enumerate(heading):
        table.add_column(text, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*row)
    out.print(table)
    for text, kept in promises.items():
        out.print(f"  [{'green' if kept else 'red'}]{'kept' if kept else 'BROKEN'}[/]  {text}")
    for note in benchmark.notes(figures):
        out.print(f"  {note}")
    out.print()


def main() -> int:
    """Measures what was asked for; by default all but what takes long."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="failover: fewer kills, a minute")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    report: dict[str, Figures] = {}
    usual = [name for name, each in BENCHMARKS.items() if not each.by_name]
    for name in options.names or usual:
        benchmark = BENCHMARKS[name]
        if not options.json:
            print(f"{name} ...", file=sys.stderr, flush=True)
        quick = options.quick and benchmark.quick
        figures = quick() if quick else benchmark.measure()
        promises = benchmark.promises(figures)
        report[name] = {"figures": figures, "promises": promises}
        if not options.json:
            show(benchmark, figures, promises)
    if options.json:
        print(json.dumps(report, indent=2))
    return 0 if all(all(each["promises"].values()) for each in report.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
