"""When more sessions begin than are shared out, the app says so, and when it is over."""

from dataclasses import replace
from typing import Any

import pytest

from agents.wire import control
from ryu_apps.core import sessions
from ryu_apps.core.metrics import METRICS
from tests.unit.core_world import World, cluster_of, tuples

UNITS = (1, 2, 3)


def told(world: World) -> list[tuple[str, dict[str, Any]]]:
    """What was told of it, in order."""
    found = world.controller.journal.chronicle.after(0)
    return [(each.event, dict(each.fields)) for each in found if each.event.startswith("overload")]


def why(world: World) -> list[str]:
    """As the status has it, and the metrics."""
    (metric,) = [each for each in METRICS if each.name == "synod_overloaded"]
    samples = dict(metric.read(world.controller, world.now))
    holds: list[str] = world.status()["overloaded"]
    assert samples == {(each,): float(each in holds) for each in ("budget", "undecided", "full")}
    return holds


def agent_says(world: World, boot: int = 99, **counters: int) -> None:
    """An agent that was started after the app has met one, for a second and a half."""
    for _ in range(4):
        world.announce(1, boot=boot, counters=counters)
        world.pass_time(0.4, 2, 3)


def test_offers_that_are_not_decided() -> None:
    world = World().form()
    agent_says(world, released_full=100)  # of before
    agent_says(world, released_full=100, released_undecided=15)
    assert why(world) == []
    agent_says(world, released_full=160, released_undecided=15)
    assert why(world) == ["undecided"]
    agent_says(world, released_full=160, released_undecided=20)
    for _ in range(2):
        agent_says(world, released_full=160, released_undecided=20)
    assert why(world) == ["undecided"]
    for _ in range(2):
        agent_says(world, released_full=160, released_undecided=20)
    assert why(world) == []
    (began, fields), (over, summed) = told(world)
    assert (began, fields) == ("overloaded", {"why": "undecided"})
    assert (over, summed["why"], summed["sessions"]) == ("overload_over", "undecided", 65)
    assert 1 <= summed["seconds"] <= 3


def test_another_agents_counts_are_no_growth() -> None:
    world = World().form()
    agent_says(world, released_full=100)
    agent_says(world, boot=100, released_full=5000)
    assert told(world) == []


def offer(world: World, numbers: range) -> None:
    offers = [control.Offer(number, 0, 1, 2, 0, *tuples(number)) for number in numbers]
    for frame in control.offer_frames(1, 1, offers):
        world.frame(1, frame)


def test_a_budget_of_decisions() -> None:
    cluster = cluster_of(3)
    world = World(replace(cluster, limits=replace(cluster.limits, decisions=30))).form()
    world.pass_time(2.0, *UNITS)
    offer(world, range(100))
    world.pass_time(1.5, *UNITS)
    assert world.controller.journal.counters["decided_over_budget"] == 70
    assert why(world) == ["budget"]
    assert {unit["sessions"]["live"] for unit in world.status()["units"]} == {80, 10}


def test_sessions_that_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 10)
    world = World().form()
    world.pass_time(2.0, *UNITS)
    offer(world, range(100))
    world.pass_time(1.5, *UNITS)
    assert why(world) == ["full"]


def test_without_a_primary_there_is_nothing_to_tell() -> None:
    world = World()
    world.pass_time(5.0)
    assert why(world) == []
