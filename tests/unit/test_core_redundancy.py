"""What a cluster lacks while it works: told once each way, and in the status meanwhile."""

from collections.abc import Iterable
from typing import Any

import pytest

from ryu_apps.core import events
from ryu_apps.core.events import Effect
from ryu_apps.core.redundancy import SETTLE
from tests.unit.core_world import World
from tests.unit.test_core_failover import die, hearing, settled
from tests.unit.test_core_succession import live_on, synced, tell

WORDS = ("ha_link_lost", "ha_link_back", "pickup_lost", "pickup_back")


def lines(effects: Iterable[Effect]) -> list[tuple[str, object, object]]:
    return [
        (e.event, e.fields["unit"], e.fields["of"])
        for e in effects
        if isinstance(e, events.Line) and e.event in WORDS
    ]


def unit_status(world: World, unit: int) -> dict[str, Any]:
    found: dict[str, Any] = next(u for u in world.status()["units"] if u["id"] == unit)
    return found


def test_a_lost_ha_link_is_told_once_and_nobody_is_dead() -> None:
    world = settled(World())
    lost = {"hears": {1: (3,), 2: (), 3: (1,)}}
    told = lines(live_on(world, SETTLE + 3.0, **lost))
    assert told == [
        ("ha_link_lost", 1, "2"), ("ha_link_lost", 2, "1,3"), ("ha_link_lost", 3, "2"),
    ]  # fmt: skip
    assert unit_status(world, 2)["unheard"] == [1, 3]
    assert {state for state, _ in world.states().values()} == {"up"}
    back = lines(live_on(world, SETTLE + 3.0))
    assert back == [
        ("ha_link_back", 1, "2"), ("ha_link_back", 2, "1,3"), ("ha_link_back", 3, "2"),
    ]  # fmt: skip
    assert unit_status(world, 2)["unheard"] == []


def test_what_becomes_worse_is_told_again() -> None:
    world = settled(World())
    live_on(world, SETTLE + 0.4, hears={1: (3,)})
    assert lines(live_on(world, SETTLE + 0.4, hears={1: ()})) == [("ha_link_lost", 1, "2,3")]


def test_what_does_not_last_is_not_told() -> None:
    world = settled(World())
    effects = live_on(world, SETTLE - 0.4, hears={1: (3,)})
    effects += live_on(world, 0.4) + live_on(world, SETTLE - 0.4, hears={1: (3,)})
    effects += live_on(world, SETTLE - 0.4, hears={1: (2,)}) + live_on(world, 1.0)
    assert lines(effects) == []


def test_of_a_unit_that_is_dead_or_silent_nothing_is_missed() -> None:
    world = settled(World())
    tell(world, 3, hears=())
    effects = die(world, 3)
    for _ in range(10):
        effects += hearing(world, 3) + world.tick()
    assert lines(effects) == []
    assert unit_status(world, 3)["unheard"] == []


def test_what_comes_back_in_part_is_told_in_part() -> None:
    world = settled(World())
    live_on(world, SETTLE + 0.4, hears={1: ()})
    assert lines(live_on(world, SETTLE + 0.4, hears={1: (3,)})) == [("ha_link_back", 1, "3")]
    assert lines(live_on(world, SETTLE + 0.4)) == [("ha_link_back", 1, "2")]


@pytest.mark.parametrize("dies", [2, 3])
def test_what_a_unit_that_dies_has_lacked_or_others_have_of_it_is_not_back(dies: int) -> None:
    """It is told again, if it is so, when the unit is there."""
    world = settled(World())
    lost = {"hears": {1: (2, 3), 2: (1,), 3: (1, 2)}}
    assert lines(live_on(world, SETTLE + 0.4, **lost)) == [("ha_link_lost", 2, "3")]
    effects = die(world, dies)
    for _ in range(10):
        effects += hearing(world, dies) + world.tick()
    assert lines(effects) == []
    world.bridges[dies].answers = True
    world.connect(dies)
    assert lines(live_on(world, SETTLE + 3.0, **lost)) == [("ha_link_lost", 2, "3")]
    assert lines(live_on(world, SETTLE + 0.4)) == [("ha_link_back", 2, "3")]


def test_whose_sessions_are_held_is_told_when_pickup_is_on() -> None:
    world = settled(World())
    assert lines(live_on(world, SETTLE + 0.4)) == []
    assert unit_status(world, 2)["synced"] is None
    assert lines(live_on(world, SETTLE + 0.4, **synced(world, 1, 2, 3))) == []
    assert unit_status(world, 2)["synced"] == [1, 3]
    less = {"synced": {1: (2, 3), 2: (), 3: (1, 2)}}
    assert lines(live_on(world, SETTLE + 1.0, **less)) == [("pickup_lost", 2, "1,3")]
    assert unit_status(world, 2)["unheld"] == [1, 3]
    told = lines(live_on(world, SETTLE + 1.0, **synced(world, 1, 2, 3)))
    assert told == [("pickup_back", 2, "1,3")]


def test_a_unit_that_is_silent_lacks_no_sessions() -> None:
    world = settled(World())
    live_on(world, 0.4, synced={1: (), 2: (1, 3), 3: (1, 2)})
    effects: list[Effect] = []
    for _ in range(12):
        effects += tell(world, 2, synced=(1, 3)) + tell(world, 3, synced=(1, 2)) + world.tick()
    assert world.states()[1][0] == "silent"
    assert lines(effects) == []


def test_links_that_are_down_are_named() -> None:
    world = settled(World())
    tell(world, 2, down=(2, 1))
    assert unit_status(world, 2)["links_down"] == ["int", "ext"]
