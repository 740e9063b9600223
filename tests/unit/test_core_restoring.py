"""What a primary's bridge has lost of sessions it gets again: in portions, until it has all."""

from collections.abc import Iterable

import pytest

from ryu_apps.core import events, restoring
from ryu_apps.core.events import Effect
from ryu_apps.core.restoring import AT_ONCE
from ryu_apps.core.succession import RELAY
from ryu_apps.openflow import Encoder
from ryu_apps.sending import MOST_UNSENT
from tests.unit.core_world import World, cluster_of, tuples
from tests.unit.test_core_failover import die, settled
from tests.unit.test_core_succession import live_on, order


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "AT_ONCE", 2)


def of(*numbers: int) -> set[bytes]:
    return {tuple12 for number in numbers for tuple12 in tuples(number)}


def sizes(effects: Iterable[Effect]) -> list[int]:
    return [len(each.add) for each in effects if isinstance(each, events.Settle)]


def restarted(world: World) -> list[Effect]:
    """The primary's switch is, and has nothing when it connects again."""
    world.lose(1)
    world.bridges[1].cookies.clear()
    world.bridges[1].meters.clear()
    world.flows.clear()
    return world.connect(1)


def with_sessions(session_table: str = "flows") -> World:
    """Of nine sessions units 2 and 3 have three each: 1, 4, 7 and 2, 5, 8."""
    world = settled(World(cluster_of(session_table=session_table)))
    world.offer(1, *range(9))
    return world


def test_some_at_a_time_until_all_are_there() -> None:
    world = with_sessions()
    flows = dict(world.flows)
    assert sizes(restarted(world)) == [2]
    assert [sizes(world.tick(0.05)) for _ in range(4)] == [[2], [2], [], []]
    assert world.flows == flows


def test_a_portion_waits_until_the_one_before_is_there() -> None:
    world = with_sessions()
    restarted(world)
    world.bridges[1].answers = False
    assert [sizes(world.tick(0.05)) for _ in range(4)] == [[2], [], [], []]


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_a_connection_that_ends_before_all_is_there_is_gone_on_from_with_the_next(
    ticks: int,
) -> None:
    """By then the bridge has static flows; what it was told at last may have been lost."""
    world = with_sessions()
    flows = dict(world.flows)
    restarted(world)
    for _ in range(ticks):
        world.tick(0.05)
    world.lose(1)
    assert sizes(world.tick(0.05)) == []
    world.flows.clear()
    world.connect(1)
    for _ in range(3):
        world.tick(0.05)
    assert world.flows == flows
    world.lose(1)
    assert sizes(world.connect(1) + world.tick(0.05)) == [], "it has all"


def test_one_that_is_asked_again_meanwhile_does_not_begin_anew() -> None:
    world = with_sessions()
    restarted(world)
    bridge, known = world.bridges[1], world.controller.formation.bridges.of(1)
    for effect in world.controller.formation.bridges.tick(world.now):
        assert not isinstance(effect, events.AskStatic)
    member = world.controller.members.get(1)
    assert member
    ask = world.controller.formation.bridges.ask(member, world.now)
    assert isinstance(ask, events.AskStatic)
    assert known.awaited == ask.token
    cookies = frozenset(bridge.cookies)
    told = events.StaticFlows(1, bridge.connection, ask.token, cookies, frozenset())
    assert sizes(world.controller.handle(told, world.now)) == []


def test_what_ends_while_it_waits_is_not_put_back_and_what_begins_is_there_at_once() -> None:
    world = with_sessions()
    restarted(world)
    first = set(world.flows)
    assert first == of(1, 2)
    world.ended(2, 4, 7)
    world.offer(1, 20, 21, 22)
    began = set(world.flows) - first
    assert began == of(21, 22) or began < of(20, 21, 22)
    for _ in range(3):
        world.tick(0.05)
    assert set(world.flows) == of(1, 2, 5, 8) | began


def test_what_moves_while_it_waits_is_not_put_back() -> None:
    world = with_sessions()
    restarted(world)
    die(world, 3)
    for _ in range(3):
        world.tick(0.05)
    assert set(world.flows) == of(1, 2, 4, 7), "2 was there before"


def test_who_is_primary_no_more_gets_none_nor_when_it_is_so_again() -> None:
    world = with_sessions()
    restarted(world)
    world.announce(1, hears=(2, 3))
    order(world, 2, force=True)
    assert world.states()[2][1] == "primary"
    assert not any(sizes(world.tick(0.05)) for _ in range(4))
    live_on(world, RELAY + 0.4)
    order(world, 1, force=True)
    assert world.states()[1][1] == "primary"
    assert not any(sizes(world.tick(0.05)) for _ in range(4))


@pytest.mark.parametrize("session_table", ["flows", "conntrack"])
def test_a_portion_is_a_small_part_of_what_may_wait_for_a_switch(session_table: str) -> None:
    sessions = [(2, *tuples(number)) for number in range(AT_ONCE)]
    encoder = Encoder((1, 2, 3), session_table)
    assert len(encoder.encode(events.Settle(1, [], sessions, []))) < MOST_UNSENT / 50
