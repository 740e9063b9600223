"""`script/bench [NAME...] [--json]`: what Synod costs, beside what it is compared with, in one run.

Each benchmark measures, in a module of its own; here it gets a name. One that fails keeps none of
the others from being measured, and what was measured is in a file as soon as it is there
(`tests.bench.results`). Plots and flame graphs are made elsewhere: `tests.bench.drawing`, `flames`.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    agent_path,
    decisions_report,
    expectations_report,
    failover_report,
    first_packet,
    flood,
    floods,
    live_sessions,
    memory,
    python_path,
    scaling,
    short_sessions,
    sustained,
    throughput,
)
from tests.bench.benchmark import Benchmark, Figures
from tests.bench.machine import sentences
from tests.bench.results import Results

WIDTH = 132  # where no terminal says how wide it is
ARTIFACTS = Path("artifacts")

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


BENCHMARKS = {
    "decisions": decisions_report.BENCHMARK,
    "agent": agent_path.BENCHMARK,
    "sessions": short_sessions.BENCHMARK,
    "sustained": sustained.BENCHMARK,
    "first-packet": first_packet.BENCHMARK,
    "live": live_sessions.BENCHMARK,
    "memory": memory.BENCHMARK,
    "throughput": throughput.BENCHMARK,
    "packets": python_path.BENCHMARK,
    "expectations": expectations_report.BENCHMARK,
    "scaling": scaling.BENCHMARK,
    "flood": flood.BENCHMARK,
    "floods": floods.BENCHMARK,
    "failover": failover_report.BENCHMARK,
    "moves": failover_report.MOVES,
}
_MORE = """\
also:
  script/bench --plots FILE.json...         draw what was measured, into docs/performance
  script/bench --profile [FOLDER]           flame graphs of app, agent and ovs-vswitchd

The exit code is 1 if figures break a promise, 2 if something could not be measured.
"""


def show(benchmark: Benchmark, figures: Figures, promises: dict[str, bool]) -> None:
    """A table, and the promises below it."""
    heading, *rows = benchmark.rows(figures)
    table = _table(heading, title=benchmark.title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    out.print(table)
    for text, kept in promises.items():
        out.print(f"  [{'green' if kept else 'red'}]{'kept' if kept else 'BROKEN'}[/]  {text}")
    for note in benchmark.notes(figures):
        out.print(f"  {note}")
    out.print()


def show_list() -> None:
    """What there is to measure, and how long that takes."""
    table = _table(("", "takes about", "what is measured"))
    table.columns[2].justify, table.columns[2].no_wrap = "left", False
    for name, each in BENCHMARKS.items():
        asked = " Only when asked for by name." if each.by_name else ""
        table.add_row(name, _long(each.minutes), f"{each.about or each.title}{asked}")
    Console(highlight=False, width=out.width).print(table)


def run(
    names: list[str],
    quick: bool,
    results: Results,
    show: Callable[..., None],
    minutes: float | None = None,
) -> None:
    """Measures each of these; the results have what it gave, or why it gave nothing."""
    for number, name in enumerate(names, 1):
        benchmark = BENCHMARKS[name]
        _tell(f"[{number}/{len(names)}] {name}: {_duration(benchmark, quick)}")
        results.begin(name)
        try:
            figures = _measurement(benchmark, quick, minutes)()
            took = results.measured(name, figures)
            promises = benchmark.promises(figures)
            results.judged(name, promises)
            show(benchmark, figures, promises)
            _tell(f"[{number}/{len(names)}] {name}: measured in {took:.0f} s")
        except Exception as error:  # whatever it is, the others are still measured
            results.failed(name, traceback.format_exc())
            _tell(f"{name} could not be measured: {type(error).__name__}: {error}")
            _tell(f"  How it came to that: {results.file}. Alone: script/bench {name}")


def chosen(asked: list[str], benchmarks: Mapping[str, Benchmark]) -> list[str]:
    """The names to measure: those that were asked for, or all but those that take long. ValueError
    for names that nothing has.
    """
    if unknown := sorted(set(asked) - set(benchmarks)):
        raise ValueError(
            f"no such benchmark: {', '.join(unknown)}. There are {', '.join(benchmarks)};"
            " script/bench --list says what each measures"
        )
    return asked or [name for name, each in benchmarks.items() if not each.by_name]


def main() -> int:
    """Measures what was asked for; by default all but what takes long."""
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description=__doc__.splitlines()[0],
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="failover: fewer kills, a minute")
    parser.add_argument("--minutes", type=float, metavar="N", help="floods: so many of each kind")
    parser.add_argument("--list", action="store_true", help="what each measures, and how long")
    options = parser.parse_args()
    if options.list:
        show_list()
        return 0
    try:
        names = chosen(options.names, BENCHMARKS)
    except ValueError as error:
        parser.error(str(error))
    results = Results(ARTIFACTS)
    for line in sentences(results.machine):
        (_tell if options.json else out.print)(line)
    try:
        shown = (lambda *_: None) if options.json else show
        run(names, options.quick, results, shown, options.minutes)
    except KeyboardInterrupt:
        _tell(f"stopped; what had been measured by then is in {results.file}")
        return 130
    if options.json:
        print(json.dumps(results.document(), indent=2))
    _tell(f"what each round gave: {results.file}")
    return results.exit_code


def _measurement(benchmark: Benchmark, quick: bool, minutes: float | None) -> Callable[[], Figures]:
    if minutes and (timed := benchmark.timed):
        return lambda: timed(minutes)
    return (quick and benchmark.quick) or benchmark.measure


def _duration(benchmark: Benchmark, quick: bool) -> str:
    if quick and benchmark.quick:
        return "with fewer repetitions"
    return f"takes about {_long(benchmark.minutes)}" if benchmark.minutes else "measuring"


def _long(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:g} min"


def _table(heading: tuple[str, ...], **options: str) -> Table:
    table = Table(box=None, header_style="dim", **options)  # type: ignore[arg-type]
    for number, text in enumerate(heading):
        table.add_column(text, justify="right" if number else "left", no_wrap=not number)
    return table


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
