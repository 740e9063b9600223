"""Orders to promote a unit: in which order bridges are told, what is broken off or refused."""

from typing import Any

import pytest

from ryu_apps.core import events
from ryu_apps.core.orders import DRAIN, Order, Refusal
from ryu_apps.core.succession import PATIENCE, RELAY
from tests.unit.core_world import World, state_told
from tests.unit.test_core_failover import die, settled
from tests.unit.test_core_succession import (
    ALL,
    arps,
    has,
    installs,
    live_on,
    order,
    passing_on,
    primary,
    synced,
    tell,
)


def test_the_primary_has_an_auxiliarys_flows_before_another_has_its_own() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    world.bridges[1].answers = False
    effects = order(world, 3, force=True)
    assert installs(effects) == [3, 1]  # it takes what is passed on; that passes on
    told = [e for e in effects if isinstance(e, (events.Send, events.Install))]
    assert (state_told(told[:1]).heir, told[0].unit) == (3, 3)  # its agent knows before that
    assert primary(world) == 1
    last = [e for e in effects if isinstance(e, events.Install)][-1]
    assert {"relay", "handed_syn"} <= {flow.name for flow in last.add}
    world.bridges[1].answers = True
    world.connect(2)  # another's confirmation is none
    assert primary(world) == 1
    effects = world.feed(events.Confirmed(1, world.bridges[1].connection, last.token))
    assert installs(effects) == [3, 2]  # that of 2 asks another for its ARP
    assert world.states() == {
        1: ("up", "auxiliary"), 2: ("up", "auxiliary"), 3: ("up", "primary"),
    }  # fmt: skip
    assert arps(world, effects, 3) == 1
    state = state_told(tell(world, 3))
    assert (state.adopt, state.heir) == ((1, 2), 0)
    assert world.live() == {1: 0, 2: 0, 3: 3}
    assert world.counters["promotion"] == world.counters["primary_promoted"] == 1


def test_once_another_is_primary_the_old_one_can_be_drained_with_a_deadline() -> None:
    world = settled(World())
    live_on(world, 0.4, **synced(world, *ALL))
    order(world, 2)
    tell(world, 2, adopted=(1, 3))
    tell(world, 1)
    tell(world, 3)
    world.offer(2, *range(9))
    assert world.live() == {1: 3, 2: 3, 3: 3}
    world.controller.give(Order(DRAIN, 1, 0.0), world.now)
    assert world.live() == {1: 0, 2: 6, 3: 3}


def test_the_old_primary_passes_on_what_still_comes_for_a_while() -> None:
    world = settled(World())
    order(world, 3, force=True)
    live_on(world, RELAY - 0.4)
    assert passing_on(world, 1)
    assert has(world, 3, "relayed")
    with pytest.raises(Refusal, match="unit 3 is just becoming primary"):
        order(world, 2, force=True)
    live_on(world, 0.6)
    assert not passing_on(world, 1)
    assert not has(world, 3, "relayed")
    assert world.states()[1] == ("up", "auxiliary")
    order(world, 1, force=True)
    assert (passing_on(world, 1), passing_on(world, 3)) == (False, True)


def test_what_is_passed_on_is_not_passed_on_to_the_dead() -> None:
    world = settled(World())
    order(world, 3, force=True)
    live_on(world, 0.2)
    die(world, 3)
    assert primary(world) == 1
    assert not passing_on(world, 1)


def test_a_primary_that_does_not_step_back_stays() -> None:
    world = settled(World())
    was = world.bridges[1].cookies.copy()
    world.bridges[1].answers = False
    order(world, 3, force=True)
    world.feed(events.Pong(1, world.bridges[1].connection))
    with pytest.raises(Refusal, match="unit 3 is just becoming primary"):
        order(world, 2, force=True)
    world.bridges[1].answers = True
    live_on(world, PATIENCE + 0.2)
    assert primary(world) == 1
    assert world.counters["promotion_broken_off"] == 1
    assert world.bridges[1].cookies == was
    assert world.states()[1] == ("up", "primary")


def test_an_heir_that_is_not_ready_to_take_what_is_passed_on_is_none() -> None:
    world = settled(World())
    was = {unit: world.bridges[unit].cookies.copy() for unit in ALL}
    world.bridges[3].refuses = True
    effects = order(world, 3, force=True)
    world.bridges[3].refuses = False
    assert installs(effects) == [3]
    live_on(world, PATIENCE + 0.2)
    assert primary(world) == 1
    assert {unit: world.bridges[unit].cookies for unit in ALL} == was
    assert world.states()[3] == ("up", "auxiliary")


def test_an_heir_that_is_lost_meanwhile_is_none() -> None:
    world = settled(World())
    was = world.bridges[1].cookies.copy()
    world.bridges[1].answers = False
    told = [e for e in order(world, 3, force=True) if isinstance(e, events.Install)][-1]
    world.bridges[1].answers = True
    world.lose(3)
    world.feed(events.Confirmed(1, world.bridges[1].connection, told.token))
    assert primary(world) == 1
    assert world.bridges[1].cookies == was


def test_a_primary_that_dies_while_it_steps_back_has_the_heir_that_a_dead_one_has() -> None:
    world = settled(World())
    world.bridges[1].answers = False
    order(world, 3, force=True)
    die(world, 1)
    assert primary(world) == 2
    assert world.controller.formation.bridges.passage is None


LOST = "session pickup is off: the sessions that other units serve would be lost"


@pytest.mark.parametrize(
    ("unit", "told", "words"),
    [
        (9, {}, "there is no unit 9"),
        (1, {}, "unit 1 is primary already"),
        (2, {"down": (1, 2)}, "unit 2 has no link on int, ext"),
        (2, {}, LOST),
        (2, {"synced": ()}, "unit 2 does not hold the sessions of unit 1, 3 yet"),
        (2, {"synced": (1,)}, "unit 2 does not hold the sessions of unit 3 yet"),
    ],
)
def test_why_a_unit_is_not_promoted(unit: int, told: dict[str, Any], words: str) -> None:
    world = settled(World())
    tell(world, 2, **told)
    before = world.status()
    with pytest.raises(Refusal, match=words):
        order(world, unit)
    assert world.status() == before
    forced = words.endswith(("yet", "lost"))
    if forced:
        order(world, unit, force=True)
        assert primary(world) == 2


def test_neither_is_one_that_is_drained_or_down_nor_for_one_that_cannot_be_told() -> None:
    world = settled(World())
    world.controller.give(Order(DRAIN, 2), world.now)
    with pytest.raises(Refusal, match="unit 2 is drained: 'synod undrain 2' first"):
        order(world, 2, force=True)
    world.lose(1)
    with pytest.raises(Refusal, match="unit 1 is primary, and cannot be told to step back"):
        order(world, 3, force=True)
    world.lose(3)
    with pytest.raises(Refusal, match="unit 3 is down, not up"):
        order(world, 3, force=True)


def test_nobody_is_promoted_before_the_first_primary() -> None:
    world = World()
    assert world.controller.succession.promote(world.controller.members.get(1), "", 0.0) == []  # type: ignore[arg-type]
