"""What is drawn of each benchmark's figures: a table of functions, and what they have in common.

It knows figures and a pair of axes that it is handed, and nothing of files, pages or the library
that draws (`tests.bench.drawing`). A benchmark that isn't in the table has no plot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.benchmark import Figures
from tests.bench.failover_report import AT_MOST, NAMES

# Told apart by light and dark too, whatever colours a reader sees.
OURS, PEER, TARGET = "#0969da", "#59636e", "#cf222e"


@dataclass(frozen=True, slots=True)
class Row:
    """One contender: what each round gave, and what it was asked for (0: nothing)."""

    text: str
    values: Sequence[float]
    ours: bool
    target: float = 0


@dataclass(frozen=True, slots=True)
class Plot:
    """`draw` gets the figures and as many axes as there are panels."""

    title: str
    draw: Callable[[Figures, Sequence[Any]], None]
    panels: int = 1
    legend: str = "a dot for each round; bar and number: the median"


def compare(axes: Any, unit: str, rows: Sequence[Row], log: bool = False) -> None:
    """A line for each contender: a dot for each round, a bar at the median, and its number."""
    for place, row in enumerate(rows):
        colour, middle = OURS if row.ours else PEER, median(row.values)
        dots = {"marker": "o", "linestyle": "", "markersize": 4.5, "alpha": 0.45}
        axes.plot(row.values, [place] * len(row.values), color=colour, markeredgewidth=0, **dots)
        axes.plot([middle], [place], color=colour, marker="|", markersize=17, markeredgewidth=2.5)
        if row.target:
            axes.plot([row.target], [place], color=TARGET, marker="<", markersize=7)
        beyond = max([*row.values, row.target])
        axes.annotate(
            f"{middle:,.0f}",
            (beyond, place),
            textcoords="offset points",
            xytext=(9, 0),
            va="center",
            color=colour,
            fontweight="bold",
        )
    axes.set_yticks(range(len(rows)), [row.text for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{unit}, logarithmic" if log else unit)
    axes.margins(x=0.14)
    if log:
        axes.set_xscale("log")
        axes.minorticks_off()
    else:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _decisions(figures: Figures, axes: Sequence[Any]) -> None:
    rows = [
        Row("a textbook Ryu app", figures["textbook"]["each"], ours=False),
        Row("Synod's, an offer a packet-in", figures["single"]["each"], ours=True),
        Row(
            f"Synod's, {figures['offers_a_batch']} a packet-in",
            figures["batched"]["each"],
            ours=True,
        ),
    ]
    compare(axes[0], "decisions a second", rows, log=True)


def _sessions(figures: Figures, axes: Sequence[Any]) -> None:
    names = {
        "gateway": "a plain gateway",
        "cluster": "the auxiliary of two",
        "flows": "the auxiliary of two, flows",
        "conntrack": "the auxiliary of two, conntrack",
    }
    there = [name for name in names if name in figures]
    rows = [Row(names[name], figures[name]["each"], name != "gateway") for name in there]
    compare(axes[0], "sessions a second", rows)


def _failover(figures: Figures, axes: Sequence[Any]) -> None:
    series = figures["series"]
    rows = [
        Row(text, [max(1.0, each) for each in series[name]["stall_ms"]["each"]], *_of(name))
        for name, text in NAMES.items()
    ]
    compare(axes[0], "ms", rows, log=True)


def _of(name: str) -> tuple[bool, float]:
    return name.startswith("synod"), AT_MOST.get(name, 0)


PLOTS: dict[str, Plot] = {
    "decisions": Plot("Decisions of the app on one core", _decisions),
    "sessions": Plot("Whole short sessions", _sessions),
    "failover": Plot(
        "The longest that any session waits for bytes that are due",
        _failover,
        legend="a dot for each failure; bar and number: the median; red: at most",
    ),
}
