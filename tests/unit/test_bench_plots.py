"""What is drawn of a benchmark's figures. The library that draws isn't needed: axes write down."""

from typing import Any

import pytest

from tests.bench.__main__ import BENCHMARKS
from tests.bench.failover_report import AT_MOST, NAMES
from tests.bench.plots import OURS, PEER, PLOTS, TARGET, Row, compare


class Axes:
    """Notes what it is told to draw; `xaxis` is itself."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.xaxis = self

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: self.told.append((name, args, options))

    def of(self, name: str) -> list[Any]:
        return [args for what, args, _ in self.told if what == name]

    def drawn(self, colour: str) -> list[Any]:
        return [list(a[0]) for what, a, o in self.told if what == "plot" and o["color"] == colour]


def drawn(name: str, figures: dict[str, Any]) -> Axes:
    axes = Axes()
    PLOTS[name].draw(figures, [axes])
    return axes


def test_a_contender_is_all_its_rounds_its_median_and_what_it_should_reach() -> None:
    axes = Axes()
    compare(axes, "ms", [Row("ours", [3, 1, 2], True, target=5), Row("theirs", [7, 9], False)])
    assert axes.drawn(OURS) == [[3, 1, 2], [2]]
    assert axes.drawn(PEER) == [[7, 9], [8]]
    assert axes.drawn(TARGET) == [[5]]
    assert [text for text, *_ in axes.of("annotate")] == ["2", "8"]
    assert axes.of("set_yticks")[0][1] == ["ours", "theirs"]
    assert axes.of("set_xlabel") == [("ms",)]


def test_every_plot_is_of_a_benchmark() -> None:
    assert [name for name in PLOTS if name not in BENCHMARKS] == []


def test_decisions_are_beside_the_textbooks() -> None:
    each = {name: {"each": [value]} for value, name in enumerate(("textbook", "single", "batched"))}
    axes = drawn("decisions", {"offers_a_batch": 46, **each})
    assert axes.drawn(PEER) == [[0], [0]]
    assert axes.drawn(OURS) == [[1], [1], [2], [2]]


def test_sessions_of_either_table_are_beside_the_gateways() -> None:
    axes = drawn("sessions", {"gateway": {"each": [4]}, "cluster": {"each": [1]}})
    assert axes.drawn(PEER) == [[4], [4]]
    both = {name: {"each": [value]} for name, value in (("flows", 1), ("conntrack", 2))}
    axes = drawn("sessions", {"gateway": {"each": [4]}, **both})
    assert axes.drawn(OURS) == [[1], [1], [2], [2]]


def test_every_kind_of_failure_has_all_its_stalls_and_its_promise() -> None:
    series = {name: {"stall_ms": {"each": [0.0, 30.0, 20.0]}} for name in NAMES}
    axes = drawn("failover", {"series": series})
    ours = sum(name.startswith("synod") for name in NAMES)
    assert axes.drawn(OURS) == [[1.0, 30.0, 20.0], [20.0]] * ours  # 0 is nowhere on this axis
    assert len(axes.drawn(PEER)) == 2 * (len(NAMES) - ours)
    assert axes.drawn(TARGET) == [[AT_MOST[name]] for name in NAMES if name in AT_MOST]


def test_figures_that_are_not_there_are_named() -> None:
    with pytest.raises(KeyError, match="each"):
        drawn("sessions", {"gateway": {"per_second": 4300}})
