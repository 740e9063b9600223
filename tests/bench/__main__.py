"""`script/bench [NAME...] [--json]`: what Synod costs, beside what it is compared with, in one run.

Each benchmark measures, in a module of its own; here it gets a name, a table for a person, and the
promises that its figures must keep. The exit code is 1 if one doesn't.
"""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from tests.bench import (
    decisions_report,
    expectations_report,
    failover_report,
    python_path,
    short_sessions,
)
from tests.bench.benchmark import Benchmark, Figures

WIDTH = 132  # where no terminal says how wide it is

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


BENCHMARKS = {
    "decisions": decisions_report.BENCHMARK,
    "sessions": short_sessions.BENCHMARK,
    "packets": python_path.BENCHMARK,
    "expectations": expectations_report.BENCHMARK,
    "failover": failover_report.BENCHMARK,
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
