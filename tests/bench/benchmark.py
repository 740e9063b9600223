"""What a benchmark is: how to measure, how a person reads it, and what its figures promise.

Each is a module of its own that ends with its `BENCHMARK`; `__main__` gives it a name. Figures are
plain JSON, with what each round gave, so that whoever has the file can read them otherwise. A
figure means something beside its peer of the same run only: machines differ, and so do hours.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]
Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How to measure, how to show it (heading first), and what must be so."""

    title: str
    measure: Callable[[], Figures]
    rows: Callable[[Figures], Rows]
    promises: Callable[[Figures], dict[str, bool]]
    quick: Callable[[], Figures] | None = None  # the same with fewer repetitions
    timed: Callable[[float], Figures] | None = None  # for so many minutes of each thing
    notes: Callable[[Figures], list[str]] = lambda _figures: []
    by_name: bool = False  # only when asked for by name: it takes long
    about: str = ""  # what is measured against what, in a sentence: script/bench --list
    minutes: float = 0  # that it takes on two cores, about


def progress(text: str) -> None:
    """A word to whoever waits for it, on standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def spread(values: list[float], digits: int | None = None) -> Figures:
    """Median, lowest, highest and each, with so many decimals; None: as whole numbers."""
    return {
        "median": round(statistics.median(values), digits),
        "lowest": round(min(values), digits),
        "highest": round(max(values), digits),
        "each": [round(value, digits) for value in values],
    }


def rates(figures: Figures, names: dict[str, str], key: str) -> Rows:
    """A row for each of these names: the median, under that key, and the spread."""
    rows: Rows = [("", "median a second", "lowest", "highest")]
    for name, text in names.items():
        found = figures[name]
        rows.append((text, *(f"{found[each]:,}" for each in (key, "lowest", "highest"))))
    return rows
