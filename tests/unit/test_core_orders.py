"""Drain, undrain, weights, methods: what is done, and what is refused with which words."""

from collections import Counter

import pytest

from ryu_apps.core import events
from ryu_apps.core.orders import DRAIN, UNDRAIN, WEIGHT, Method, Order, Refusal
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


def deadlines(world: World) -> list[float | None]:
    """As the status has them, of units 1, 2, …"""
    return [unit["deadline"] for unit in world.status()["units"]]


def test_a_drained_unit_gets_no_new_sessions_and_keeps_its_own() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    give(world, DRAIN, 2)
    assert chosen(world, 10) == {1, 3}
    assert world.decided(world.offer(1, 1)) == {1: 2}  # it has that one already
    assert world.live()[2] == 1
    assert [unit["drained"] for unit in world.status()["units"]] == [False, True, False]
    assert deadlines(world) == [None, None, None]
    give(world, UNDRAIN, 2)
    assert chosen(world, 20) == {1, 2, 3}


def test_at_the_deadline_the_rest_moves() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    give(world, DRAIN, 2, 10.0)
    assert deadlines(world) == [None, 10.0, None]
    world.now += 4.0
    assert deadlines(world) == [None, 6.0, None]
    for _ in range(35):
        hearing(world)
        world.tick()
    assert world.live() == {1: 2, 2: 0, 3: 1}
    assert world.states()[2] == ("up", "auxiliary")
    world.announce(1, hears=(2, 3), adopted=(2,))
    by_and_by(world)
    assert chosen(world, 10) == {1, 3}
    assert deadlines(world) == [None, None, None]
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
    assert deadlines(world) == [None, None]
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
        (Order(DRAIN, 1, 5.0), "unit 1 is primary"),
        (Order(UNDRAIN, 2), "unit 2 is not drained"),
        (Order(WEIGHT, 9, weight=1), "there is no unit 9"),
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


def weigh(world: World, unit: int, weight: int) -> None:
    world.controller.give(Order(WEIGHT, unit, weight=weight), world.now)


def shares(world: World, start: int, sessions: int) -> dict[int, int]:
    """Unit -> how many of so many new sessions it is given."""
    return Counter(world.decided(world.offer(1, *range(start, start + sessions))).values())


def test_another_weight_is_that_of_new_sessions_only() -> None:
    world = settled(World(cluster_of(method="weighted-round-robin")))
    world.offer(1, *range(9))
    before = world.live()
    weigh(world, 2, 5)
    weigh(world, 3, 0)
    assert world.live() == before
    assert {number: 1 + number % 3 for number in range(9)} == world.decided(
        world.offer(1, *range(9))
    )
    assert shares(world, 10, 12) == {1: 2, 2: 10}
    assert [unit["weight"] for unit in world.status()["units"]] == [1, 5, 0]


def test_a_weight_outlives_what_happens_to_units_but_no_restart() -> None:
    world = settled(World(cluster_of(method="weighted-round-robin", weights=(1, 1, 1))))
    weigh(world, 3, 4)
    world.lose(2)
    assert shares(world, 0, 10) == {1: 2, 3: 8}
    world.restart()
    assert [unit["weight"] for unit in world.status()["units"]] == [1, 1, 1]


def test_somebody_has_to_have_a_weight() -> None:
    world = settled(World(cluster_of(method="weighted-round-robin", weights=(1, 1, 0))))
    weigh(world, 1, 0)
    with pytest.raises(Refusal, match="all units would have weight 0"):
        weigh(world, 2, 0)
    assert [unit["weight"] for unit in world.status()["units"]] == [0, 1, 0]
    weigh(world, 3, 2)
    weigh(world, 2, 0)
    assert set(shares(world, 0, 9)) == {3}


def test_another_method_is_in_force_at_once_and_for_new_sessions_only() -> None:
    world = settled(World(cluster_of(weights=(1, 1, 4))))
    world.offer(1, *range(9))
    before = world.live()
    assert before == {1: 3, 2: 3, 3: 3}
    world.controller.give(Method("weighted-round-robin"), world.now)
    assert (world.live(), world.status()["method"]) == (before, "weighted-round-robin")
    assert world.decided(world.offer(1, 1)) == {1: 2}
    assert shares(world, 10, 12) == {1: 2, 2: 2, 3: 8}
    world.controller.give(Method("source-hash"), world.now)
    assert len(shares(world, 30, 12)) == 1  # they are of one client
    world.restart()
    assert world.status()["method"] == "round-robin"


def test_a_method_may_be_named_before_anybody_is_there() -> None:
    world = World(cluster_of(weights=(1, 1, 4)))
    world.controller.give(Method("weighted-round-robin"), world.now)
    world.form()
    assert shares(world, 0, 12) == {1: 2, 2: 2, 3: 8}
