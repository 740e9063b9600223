"""What is drawn of each benchmark's figures: a table of functions, and what they have in common.

It knows figures and a pair of axes that it is handed, and nothing of files, pages or the library
that draws (`tests.bench.drawing`). A benchmark that isn't in the table has no plot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

from tests.bench.benchmark import Figures
from tests.bench.failover_report import AT_MOST, NAMES

# Told apart by light and dark too, whatever colours a reader sees.
OURS, PEER, TARGET = "#0969da", "#59636e", "#cf222e"

_DOTS: dict[str, Any] = {
    "marker": "o",
    "linestyle": "",
    "markersize": 4.5,
    "alpha": 0.45,
    "markeredgewidth": 0,
}


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
        axes.plot(row.values, [place] * len(row.values), color=colour, **_DOTS)
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
    batched = f"Synod's, {figures['offers_a_batch']} a packet-in"
    rows = [
        Row("a textbook Ryu app", figures["textbook"]["each"], ours=False),
        Row("Synod's, an offer a packet-in", figures["single"]["each"], ours=True),
        Row(batched, figures["batched"]["each"], ours=True),
    ]
    compare(axes[0], "decisions a second", rows, log=True)


def _sessions(figures: Figures, axes: Sequence[Any]) -> None:
    compare(
        axes[0],
        "sessions a second",
        [
            Row("a plain gateway", _rates(figures["gateway"]), ours=False),
            Row("the auxiliary of two, conntrack", _rates(figures["conntrack"]), ours=True),
            Row("the auxiliary of two, flows", _rates(figures["flows"]), ours=True),
        ],
    )


def _live(figures: Figures, axes: Sequence[Any]) -> None:
    rows = []
    for table in ("conntrack", "flows"):
        for live in (figures["few"], figures["many"]):
            rates = _rates(figures[table][f"beside_{live}"])
            rows.append(Row(f"{table}, beside {live:,}", rates, ours=live > figures["few"]))
    compare(axes[0], "sessions a second", rows)


def _first_packet(figures: Figures, axes: Sequence[Any]) -> None:
    percents = range(1, 100)
    for on, (table, when) in zip(axes, product(("conntrack", "flows"), _LOADS), strict=True):
        found = figures[table][when]
        for who, colour in (("gateway", PEER), ("cluster", OURS)):
            on.plot(found[who]["percents_us"], percents, color=colour, label=who)
        rate = f"{found['cluster']['sessions_per_second']:,} sessions a second"
        on.set_xscale("log")
        on.set_title(f"{table}, {_LOADS[when]}: {rate}", loc="left", fontsize=10)
        on.set_ylabel("% of SYNs")
        on.xaxis.set_major_formatter("{x:,.0f}")
        on.legend(loc="lower right", frameon=False)
    axes[-1].set_xlabel("us from the client's device to the server's at most, logarithmic")


def _throughput(figures: Figures, axes: Sequence[Any]) -> None:
    units = {"megabits_per_second": "Mbit/s of one session", "packets_per_second": "packets/s"}
    names = {
        "primary": "the primary serves",
        "conntrack": "an auxiliary, conntrack",
        "flows": "an auxiliary, flows",
    }
    for on, (kind, unit) in zip(axes, units.items(), strict=True):
        rows = [
            Row(text, figures[kind][name]["each"], ours=name != "primary")
            for name, text in names.items()
        ]
        compare(on, unit, rows)


def _scaling(figures: Figures, axes: Sequence[Any]) -> None:
    """The thin line: as many times one unit's as there are units."""
    kinds = {"sessions_per_second": "sessions a second", "megabits_per_second": "Mbit/s"}
    styles = ((OURS, "-"), (OURS, ":"), (PEER, "--"))
    for on, (kind, text) in zip(axes, kinds.items(), strict=True):
        units: list[int] = []
        for (many, each_number), (colour, style) in zip(figures[kind].items(), styles, strict=True):
            found = {int(number): each["each"] for number, each in each_number.items()}
            units = [*found]
            one = median(found[1])
            for number, values in found.items():
                dots = [value / one for value in values]
                on.plot([number] * len(dots), dots, color=colour, **_DOTS)
            middles = [median(values) / one for values in found.values()]
            on.plot([*found], middles, color=colour, linestyle=style, label=f"{int(many):,} rules")
        on.plot(units, units, color=PEER, linewidth=0.6)
        on.set_xticks(units)
        on.set_ylabel("times one unit's")
        on.set_title(text, loc="left", fontsize=10)
        on.legend(loc="upper left", frameon=False)
    axes[-1].set_xlabel("units")


def _flood(figures: Figures, axes: Sequence[Any]) -> None:
    rows = []
    for name, text in {"slow": "an app that decides 300 a second", "usual": "the usual"}.items():
        for when, beside in {"quiet": "no flood", "flooded": "flood"}.items():
            times = [each[when]["percentile_99_ms"] for each in figures[name]["rounds"]]
            rows.append(Row(f"{text}, {beside}", times, ours=when == "flooded"))
    compare(axes[0], "ms", rows)


def _failover(figures: Figures, axes: Sequence[Any]) -> None:
    rows = [
        Row(
            text,
            [max(1.0, stall) for stall in figures["series"][name]["stall_ms"]["each"]],
            ours=name.startswith("synod"),
            target=AT_MOST.get(name, 0),
        )
        for name, text in NAMES.items()
    ]
    compare(axes[0], "ms", rows, log=True)


def _rates(found: Figures) -> list[float]:
    rates: list[float] = found["rounds_sessions_per_second"]
    return rates


_LOADS = {"idle": "nearly idle", "half": "at half its highest rate"}

PLOTS: dict[str, Plot] = {
    "decisions": Plot("Decisions of the app on one core", _decisions),
    "sessions": Plot("Whole short sessions", _sessions),
    "first-packet": Plot(
        "How long the first packet takes through the cluster",
        _first_packet,
        panels=4,
        legend="how many of a hundred SYNs are through by then, all rounds together",
    ),
    "live": Plot("Short sessions beside few that live, and beside many", _live),
    "throughput": Plot("What established sessions carry", _throughput, panels=2),
    "scaling": Plot(
        "What more units add, each of them capped",
        _scaling,
        panels=2,
        legend="a dot for each round, a line through the medians; thin: as many times as units",
    ),
    "flood": Plot(
        "99 of 100 new sessions are answered by then, beside a SYN flood and without",
        _flood,
    ),
    "failover": Plot(
        "The longest that any session waits for bytes that are due",
        _failover,
        legend="a dot for each failure; bar and number: the median; red: at most",
    ),
}
