"""What `script/bench` does around the benchmarks: it keeps what they give, whatever comes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as frame
from tests.bench.benchmark import Benchmark
from tests.bench.machine import describe, said, sentences, version
from tests.bench.results import Results, Unreadable, figures_of, read


def benchmark(figures: dict[str, Any] | None = None, **options: Any) -> Benchmark:
    def measure() -> dict[str, Any]:
        if figures is None:
            raise AssertionError("the lab burned down")
        return figures

    return Benchmark(
        "one", measure, lambda _: [("",)], lambda f: {"no less": f["rate"] > 1}, **options
    )


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "artifacts")


def run(monkeypatch: pytest.MonkeyPatch, results: Results, **benchmarks: Benchmark) -> list[Any]:
    """Runs all of these; what was shown."""
    shown: list[Any] = []
    monkeypatch.setattr(frame, "BENCHMARKS", benchmarks)
    frame.run(list(benchmarks), False, results, lambda _, figures, __: shown.append(figures))
    return shown


def kept(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(results.file.read_text())
    return found


def test_each_result_is_in_the_file_before_the_next_benchmark_begins(
    monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    seen: list[Any] = []

    def look() -> dict[str, Any]:
        seen.append(kept(results)["benchmarks"]["first"])
        return {"rate": 2}

    second = Benchmark("two", look, lambda _: [("",)], lambda _: {})
    run(monkeypatch, results, first=benchmark({"rate": 3, "each": [3, 4]}), second=second)
    assert seen[0]["figures"] == {"rate": 3, "each": [3, 4]}
    assert seen[0]["promises"] == {"no less": True}
    assert set(kept(results)["benchmarks"]) == {"first", "second"}
    assert kept(results)["machine"]["cores"] == results.machine["cores"]
    assert results.exit_code == 0


def test_a_benchmark_that_fails_keeps_no_other_from_being_measured(
    monkeypatch: pytest.MonkeyPatch, results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(monkeypatch, results, broken=benchmark(), sound=benchmark({"rate": 2}))
    assert shown == [{"rate": 2}]
    assert "the lab burned down" in kept(results)["benchmarks"]["broken"]["error"]
    assert "Alone: script/bench broken" in capsys.readouterr().err
    assert results.exit_code == 2


def test_figures_that_nobody_can_judge_are_kept_nevertheless(
    monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    assert run(monkeypatch, results, odd=benchmark({"speed": 2})) == []
    found = kept(results)["benchmarks"]["odd"]
    assert found["figures"] == {"speed": 2}
    assert "KeyError: 'rate'" in found["error"]


def test_a_broken_promise_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    run(monkeypatch, results, slow=benchmark({"rate": 1}))
    assert results.exit_code == 1


def test_without_names_all_but_what_takes_long() -> None:
    there = {"short": benchmark(), "long": benchmark(by_name=True)}
    assert frame.chosen([], there) == ["short"]
    assert frame.chosen(["long"], there) == ["long"]
    with pytest.raises(ValueError, match=r"no such benchmark: sessoins.*There are short, long"):
        frame.chosen(["sessoins"], there)


def test_each_benchmark_says_what_it_measures_and_how_long_that_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silent = [name for name, each in frame.BENCHMARKS.items() if not each.about or not each.minutes]
    assert not silent, "give their Benchmark `about` and `minutes`"
    frame.show_list()
    said = capsys.readouterr().out
    assert [name for name in frame.BENCHMARKS if name not in said] == []


def test_a_tool_is_named_with_its_version_and_left_out_if_it_is_not_there() -> None:
    assert version("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012") == "4.1.0-3+b2"
    assert version("nftables v1.0.6 (Lester Gooch #5)") == "1.0.6"
    assert version("nginx version: nginx/1.22.1") == "1.22.1"
    assert version("Connection tracking daemon v1.4.7. Licensed under GPLv2.") == "1.4.7"
    assert version("") is None
    assert said(["there-is-no-such-program"]) == ""


def test_a_busy_machine_is_warned_of() -> None:
    machine = {**describe(), "cores": 2, "load_average": [0.1, 0, 0], "tools": {"wrk": "4.1.0"}}
    assert any("wrk 4.1.0" in line for line in sentences(machine))
    assert not any("busy" in line for line in sentences(machine))
    assert any("busy" in line for line in sentences({**machine, "load_average": [1.5, 0, 0]}))


def test_what_was_kept_is_read_again(monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
    run(monkeypatch, results, sound=benchmark({"rate": 2}), broken=benchmark())
    machine, measured = read(results.file)
    assert machine == results.machine
    assert figures_of("sound", measured) == {"rate": 2}
    with pytest.raises(Unreadable, match="Again: script/bench broken"):
        figures_of("broken", measured)


def test_a_failovers_rounds_are_figures_too(tmp_path: Path) -> None:
    one = {"undisturbed_ms": 45.0, "gaps_ms": [60.0, 140.0], "lost": 0, "corrupt": 0}
    rounds = {"synod_drained": [{**one, "calls_ms": [3.0], "refused": []}], "synod_promoted": []}
    file = tmp_path / "failover.json"
    file.write_text(json.dumps({"machine": {"cores": 2}, "rounds": rounds, "alarms": {}}))
    machine, measured = read(file)
    series = figures_of("failover", measured)["series"]
    assert machine == {"cores": 2}
    assert series["synod_drained"]["stall_ms"]["each"] == [100.0]
    assert "synod_promoted" not in series  # it came to an end before


@pytest.mark.parametrize("text", [None, "not JSON", '{"figures": 1}'])
def test_what_is_no_such_file_is_said(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "some.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Unreadable, match=r"some\.json.* give a file that script/bench has kept"):
        read(file)
