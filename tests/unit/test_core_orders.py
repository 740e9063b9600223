"""Drain, undrain: what is done, and what is refused with which words."""

import pytest

from ryu_apps.core import events
from ryu_apps.core.orders import DRAIN, LONGEST, UNDRAIN, Order, Refusal
from tests.unit.core_world import World, cluster_of
from tests.unit.test_core_failover import by_and_by, die, hearing, settled


def give(world: World, verb: str, unit: int, deadline: float | None = None) -> list[events.Effect]:
    effects = world.controller.give(Order(verb, unit, deadline), world.now)
    for effect in effects:
        if answer := world._answer(effect):
            world.feed(answer)
    return effects


def chosen(world: World, start: int) -> set[int]:
    return set(world.decided(world.offer(1, *range(start, start + 9))).values())


def test_a_drained_unit_gets_no_new_sessions_and_keeps_its_own() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    give(world, DRAIN, 2)
    assert chosen(world, 10) == {1, 3}
    assert world.decided(world.offer(1, 1)) == {1: 2}  # it has that one already
    assert world.live()[2] == 1
    assert [unit["drained"] for unit in world.status()["units"]] == [False, True, False]
    assert world.controller.orders.left(2, world.now) is None
    give(world, UNDRAIN, 2)
    assert chosen(world, 20) == {1, 2, 3}


def test_at_the_deadline_the_rest_moves() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    give(world, DRAIN, 2, 10.0)
    assert world.controller.orders.left(2, world.now) == 10.0
    world.now += 4.0
    assert world.controller.orders.left(2, world.now) == 6.0
    for _ in range(35):
        hearing(world)
        world.tick()
    assert world.live() == {1: 2, 2: 0, 3: 1}
    assert world.states()[2] == ("up", "auxiliary")
    world.announce(1, hears=(2, 3), adopted=(2,))
    by_and_by(world)
    assert chosen(world, 10) == {1, 3}
    give(world, UNDRAIN, 2)
    assert chosen(world, 20) == {1, 2, 3}


def test_no_time_is_a_time() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    give(world, DRAIN, 3, 0)
    assert world.live() == {1: 2, 2: 1, 3: 0}


def test_undraining_stops_the_clock_and_draining_again_sets_it() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    give(world, DRAIN, 2, 1.0)
    give(world, UNDRAIN, 2)
    give(world, DRAIN, 3, 1.0)
    give(world, DRAIN, 3)
    for _ in range(10):
        hearing(world)
        world.tick()
    assert world.live() == {1: 1, 2: 1, 3: 1}


def test_a_deadline_that_finds_the_unit_primary_moves_nothing() -> None:
    world = settled(World(cluster_of(2)))
    world.offer(1, *range(3))
    give(world, DRAIN, 2, 5.0)
    die(world, 1)
    live = world.live()
    for _ in range(30):
        hearing(world, 1)
        world.tick()
    assert world.live() == live == {1: 0, 2: 3}


def test_a_primary_can_be_drained_of_new_sessions() -> None:
    world = settled(World())
    give(world, DRAIN, 1)
    assert chosen(world, 10) == {2, 3}


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order(DRAIN, 9), "there is no unit 9; there are 1, 2, 3"),
        (Order(DRAIN, 2, -1.0), "a deadline is from 0"),
        (Order(DRAIN, 2, LONGEST + 1), "a deadline is from 0"),
        (Order(DRAIN, 1, 5.0), "unit 1 is primary"),
        (Order(UNDRAIN, 2), "unit 2 is not drained"),
    ],
)
def test_what_cannot_be_done_changes_nothing(order: Order, words: str) -> None:
    world = settled(World())
    world.lose(3)
    before = world.status()
    with pytest.raises(Refusal, match=words):
        world.controller.give(order, world.now)
    assert world.status() == before


def test_without_a_primary_nothing_moves() -> None:
    world = World()
    world.connect(1)
    assert [type(effect) for effect in give(world, DRAIN, 1, 0)] == [events.Line]
