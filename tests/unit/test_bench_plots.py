"""What is drawn of a benchmark's figures. The library that draws isn't needed: axes write down."""

from typing import Any

import pytest

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


def rates(value: float) -> dict[str, Any]:
    return {"rounds_sessions_per_second": [value]}


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


def test_decisions_are_beside_the_textbooks() -> None:
    each = {name: {"each": [value]} for value, name in enumerate(("textbook", "single", "batched"))}
    axes = drawn("decisions", {"offers_a_batch": 46, **each})
    assert axes.drawn(PEER) == [[0], [0]]
    assert axes.drawn(OURS) == [[1], [1], [2], [2]]


def test_sessions_of_either_table_are_beside_the_gateways() -> None:
    axes = drawn("sessions", {"gateway": rates(4), "conntrack": rates(2), "flows": rates(1)})
    assert axes.drawn(PEER) == [[4], [4]]
    assert axes.drawn(OURS) == [[2], [2], [1], [1]]


def test_rates_beside_many_are_beside_those_beside_few() -> None:
    tables = {
        table: {"beside_10": rates(place), "beside_99": rates(place + 10)}
        for place, table in enumerate(("conntrack", "flows"))
    }
    axes = drawn("live", {"few": 10, "many": 99, **tables})
    assert axes.drawn(PEER) == [[0], [0], [1], [1]]
    assert axes.drawn(OURS) == [[10], [10], [11], [11]]


def test_the_first_packet_is_a_curve_for_each_contender_at_each_rate() -> None:
    def times(rate: int, who: int) -> dict[str, Any]:
        return {"sessions_per_second": rate, "percents_us": [who] * 99}

    def both(rate: int) -> dict[str, Any]:
        return {"gateway": times(rate, 7), "cluster": times(rate, 8), "added_median_us": 1}

    figures = {
        "conntrack": {"idle": both(10), "half": both(1234)},
        "flows": {"idle": both(10), "half": both(567)},
    }
    panels = [Axes() for _ in range(PLOTS["first-packet"].panels)]
    PLOTS["first-packet"].draw(figures, panels)
    for each in panels:
        assert each.drawn(PEER) == [[7] * 99]
        assert each.drawn(OURS) == [[8] * 99]
    titles = [each.of("set_title")[0][0] for each in panels]
    assert titles[1] == "conntrack, at half its highest rate: 1,234 sessions a second"
    assert [title.split()[-4] for title in titles] == ["10", "1,234", "10", "567"]


def test_throughput_is_a_panel_for_each_kind() -> None:
    each = {name: {"each": [value]} for value, name in enumerate(("primary", "flows", "conntrack"))}
    panels = [Axes(), Axes()]
    PLOTS["throughput"].draw({"megabits_per_second": each, "packets_per_second": each}, panels)
    assert [panel.drawn(PEER) for panel in panels] == [[[0], [0]]] * 2
    assert [panel.drawn(OURS) for panel in panels] == [[[2], [2], [1], [1]]] * 2


def test_scaling_is_how_many_times_one_units() -> None:
    grown = {"1": {"each": [10, 12, 11]}, "2": {"each": [22, 33]}}
    flat = {"1": {"each": [4]}, "2": {"each": [2]}}
    kinds = ("sessions_per_second", "megabits_per_second")
    panels = [Axes(), Axes()]
    found = {"10000": grown, "5000": flat, "0": flat}
    PLOTS["scaling"].draw(dict.fromkeys(kinds, found), panels)
    for panel in panels:
        lines = [args[1] for args in panel.of("plot")]
        assert lines[:3] == [[10 / 11, 12 / 11, 1], [2, 3], [1, 2.5]]
        assert lines[3:] == [[1], [0.5], [1, 0.5]] * 2 + [[1, 2]]


def test_a_flood_is_beside_none() -> None:
    rounds = [{"quiet": {"percentile_99_ms": 5}, "flooded": {"percentile_99_ms": 50}}]
    axes = drawn("flood", {"slow": {"rounds": rounds}, "usual": {"rounds": rounds}})
    assert axes.drawn(PEER) == [[5], [5]] * 2
    assert axes.drawn(OURS) == [[50], [50]] * 2


def test_every_kind_of_failure_has_all_its_stalls_and_its_promise() -> None:
    series = {name: {"stall_ms": {"each": [0.0, 30.0, 20.0]}} for name in NAMES}
    axes = drawn("failover", {"series": series})
    ours = sum(name.startswith("synod") for name in NAMES)
    assert axes.drawn(OURS) == [[1.0, 30.0, 20.0], [20.0]] * ours  # 0 is nowhere on this axis
    assert len(axes.drawn(PEER)) == 2 * (len(NAMES) - ours)
    assert axes.drawn(TARGET) == [[AT_MOST[name]] for name in NAMES if name in AT_MOST]


def test_figures_that_are_not_there_are_named() -> None:
    with pytest.raises(KeyError, match="rounds_sessions_per_second"):
        drawn("sessions", {"gateway": {"per_second": 4300}})
