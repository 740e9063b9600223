"""The HTTP API of the real app: what is told of the cluster, and what has happened to it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from tests.switch.app import Scene
from tests.switch.ovs import Switch, wait
from tests.switch.units import cluster_of


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        yield running


def events_of(scene: Scene, after: int = 0) -> list[dict[str, Any]]:
    code, told = scene.app.ask(f"/v1/events?after={after}")
    assert code == 200
    found: list[dict[str, Any]] = told["events"]
    return found


def test_events_are_numbered_and_dated_by_the_clock_on_the_wall(scene: Scene) -> None:
    found = events_of(scene)
    assert found[0]["event"] == "app_started"
    assert [each["number"] for each in found] == list(range(1, len(found) + 1))
    times = [each["time"] for each in found]
    assert times == sorted(times)
    assert abs(time.time() - times[-1]) < 300
    assert ("unit_up", 2) in [(each["event"], each["fields"].get("unit")) for each in found]


def test_only_what_is_new_is_told_to_who_knows_the_rest(scene: Scene) -> None:
    _, told = scene.app.ask("/v1/events")
    assert told["next"] == told["events"][-1]["number"]
    assert events_of(scene, told["next"]) == []
    scene.silent.add(3)
    try:
        (found,) = wait(lambda: events_of(scene, told["next"]), "an event", 20)
    finally:
        scene.silent.clear()
    assert (found["number"], found["event"]) == (told["next"] + 1, "unit_silent")
    assert found["fields"] == {"unit": 3, "role": "auxiliary", "was": "up"}
    wait(scene.formed, "all units are up", 20)
    unit = scene.app.unit(3)
    assert found["time"] < unit["since"] <= scene.app.status()["time"]


@pytest.mark.parametrize("after", ["-1", "two", "1.5", "%D9%A1", "9" * 16, "%ff"])
def test_a_number_that_is_none_is_refused(scene: Scene, after: str) -> None:
    code, told = scene.app.ask(f"/v1/events?after={after}")
    assert code == 400, told
    assert told["error"].startswith("after: ")


def test_new_sessions_are_told_second_by_second(scene: Scene) -> None:
    wait(scene.formed, "all units are up", 20)
    scene.offer(*range(100, 109))

    def told() -> dict[str, Any]:
        code, found = scene.app.ask("/v1/history")
        assert code == 200
        return found if sum(map(sum, found["units"].values())) == 9 else {}

    found = wait(told, "the second is over", 20)
    assert {unit: sum(new) for unit, new in found["units"].items()} == {"1": 3, "2": 3, "3": 3}
    assert abs(found["end"] - time.time()) < 5
    units = scene.app.status()["units"]
    assert [unit["share"] for unit in units] == [0.3333] * 3
    assert [unit["sessions"]["per_second"] for unit in units] == [0.3] * 3
    assert all(0 <= unit["heard"] < 5 for unit in units)
