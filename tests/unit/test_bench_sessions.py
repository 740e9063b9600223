"""What `script/bench` promises of sessions, first packets and memory, and what breaks it."""

from typing import Any

import pytest

from tests.bench import first_packet, live_sessions, memory, short_sessions, sustained
from tests.bench.benchmark import Benchmark
from tests.bench.first_packet import Times, percents


def rate(per_second: int, **changes: Any) -> dict[str, Any]:
    found = {"sessions_per_second": per_second, "lowest": 1, "highest": 9_000, "sessions": 20_000}
    return {**found, "failed": 0, "live_lost": 0, "opened_per_second": 1_000, **changes}


def times(median: float, tail: float, failed: int = 0) -> dict[str, Any]:
    return {**rate(1_000, failed=failed), "median_us": median, "p99_us": tail}


def sessions(conntrack: float = 0.5, flows: float = 0.25, failed: int = 0) -> dict[str, Any]:
    rates = {"gateway": rate(4_000), "conntrack": rate(2_000), "flows": rate(1_000, failed=failed)}
    return {**rates, "conntrack_ratio": conntrack, "flows_ratio": flows}


def first(median: float = 1_000.0, tail: float = 5_000.0, failed: int = 0) -> dict[str, Any]:
    both = {"gateway": times(100.0, 100.0), "cluster": times(200.0, 200.0, failed)}
    few = {**both, "added_median_us": 1_000.0, "added_p99_us": 90_000.0}
    marks = {**both, "added_median_us": median, "added_p99_us": tail}
    flows = {"idle": few, "half": {**few, "added_p99_us": 0.0}}
    return {"rounds": 5, "conntrack": {"idle": few, "half": marks}, "flows": flows}


def live(ratio: float = 0.9, lost: int = 0) -> dict[str, Any]:
    beside = {"beside_1000": rate(2_000), "beside_100000": rate(1_800, live_lost=lost)}
    return {"conntrack": {**beside, "ratio": ratio}, "flows": {**beside, "ratio": 0.1}}


def grown(app: int = 300, lost: int = 0) -> dict[str, Any]:
    programs = ("controller.app", "u1.agent", "u2.agent", "u1.vswitchd", "u2.vswitchd")
    taken = dict.fromkeys((*programs, "u1.conntrackd", "u2.conntrackd"), 5_000)
    marks = {"bytes_per_session": taken | {"controller.app": app}, "live_lost": 0}
    return {"conntrack": marks, "flows": {"bytes_per_session": taken, "live_lost": lost}}


def lasting(failed: int = 0, **ratios: float) -> dict[str, Any]:
    least = {
        case.name: short_sessions.PROMISED[case.table] for case in sustained.CASES if case.table
    }
    found = rate(2_000, failed=failed) | {"first": 2_100, "last": 2_000}
    found |= {"remembered_seconds": 40, "entries": 80_000, "handed_over": 1.0}
    cases = {case.name: found for case in sustained.CASES}
    changed = {name: ratios.get(name.rpartition(" ")[2], ratio) for name, ratio in least.items()}
    return {"slice_seconds": 5, "cases": cases, "ratios": changed}


@pytest.mark.parametrize(
    ("benchmark", "kept", "broken"),
    [
        (
            short_sessions.BENCHMARK,
            sessions(),
            [sessions(conntrack=0.499), sessions(flows=0.249), sessions(failed=1)],
        ),
        (
            first_packet.BENCHMARK,
            first(),
            [first(median=1_001.0), first(tail=5_001.0), first(failed=1)],
        ),
        (live_sessions.BENCHMARK, live(), [live(ratio=0.899), live(lost=1)]),
        (
            sustained.BENCHMARK,
            lasting(),
            [lasting(conntrack=0.499), lasting(flows=0.249), lasting(minutes=0.249), lasting(1)],
        ),
        (memory.BENCHMARK, grown(), [grown(app=301), grown(lost=1)]),
    ],
)
def test_each_promise_is_broken_by_its_own_figure(
    benchmark: Benchmark, kept: dict[str, Any], broken: list[dict[str, Any]]
) -> None:
    assert all(benchmark.promises(kept).values())
    for figures in broken:
        assert sum(not each for each in benchmark.promises(figures).values()) == 1
    heading, *rows = benchmark.rows(kept)
    assert {len(row) for row in rows} == {len(heading)}


def test_percents_are_microseconds_of_all_rounds() -> None:
    assert percents(list(range(0, 101_000, 1_000)))[::49] == [1.0, 50.0, 99.0]
    found = Times(10, [[1_000, 3_000], [1_000, 1_000, 1_000]], sessions=6).figures()
    assert (found["median_us"], found["rounds_median_us"]) == (1.0, [2.0, 1.0])
    assert found["lost_on_the_way"] == 1
