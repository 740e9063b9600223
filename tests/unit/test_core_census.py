"""Censuses: what units have is adopted, what they lack has ended, and lost frames end nothing."""

import pytest

from agents.wire import control
from ryu_apps.core import events
from ryu_apps.core.pipeline import FIN_SECONDS
from tests.unit.core_world import World, census_requests, forgotten, tuples


def token_of(effects: list[events.Effect], unit: int) -> int:
    (token,) = [token for asked, token in census_requests(effects) if asked == unit]
    return token


def restarted() -> World:
    """An app that was restarted in mid-traffic: all units up, nothing known yet."""
    world = World().form()
    world.restart()
    for unit in (1, 2, 3):
        world.connect(unit)
    return world


def test_an_agent_is_asked_once_for_each_start_and_each_loss() -> None:
    world = World()
    for unit in (1, 2, 3):
        world.connect(unit)
    assert census_requests(world.announce(1)) == []  # nobody is primary yet
    world.announce(2)
    assert [unit for unit, _ in census_requests(world.announce(3))] == [3]
    assert [unit for unit, _ in census_requests(world.announce(2))] == [2]
    assert census_requests(world.announce(2)) == []
    assert [unit for unit, _ in census_requests(world.announce(2, boot=99))] == [2]
    assert [unit for unit, _ in census_requests(world.announce(2, boot=99, resync=1))] == [2]


def test_a_restarted_app_learns_what_runs() -> None:
    world = restarted()
    first = token_of(world.announce(1, role="primary", primary=1), 1)
    second = token_of(world.announce(2, role="auxiliary", primary=1), 2)
    world.flows.clear()
    world.census(1, first, {10: 1, 11: 2, 12: 3})
    world.census(2, second, {11: 2, 21: 2})
    assert world.live() == {1: 1, 2: 2, 3: 1}
    assert world.served() == {1: 0, 2: 0, 3: 0}
    expected = {11: 2, 12: 3, 21: 2}
    assert world.flows == {
        each: unit for number, unit in expected.items() for each in tuples(number)
    }
    assert world.decided(world.offer(1, 11)) == {11: 2}


@pytest.mark.parametrize("asked", [1, 2])
def test_what_ends_while_a_census_is_on_its_way_is_not_adopted_from_it(asked: int) -> None:
    """It was found, it ended, that was told, and then the census came."""
    world = restarted()
    roles = {1: "primary", 2: "auxiliary"}
    tokens = {
        unit: token_of(world.announce(unit, role=role, primary=1), unit)
        for unit, role in roles.items()
    }
    world.flows.clear()
    world.ended(2, 11)
    world.census(asked, tokens[asked], {11: 2})
    assert world.live()[2] == 0
    assert world.flows == {}
    again = token_of(world.announce(asked, resync=1), asked)
    world.census(asked, again, {11: 2})  # of its tuple there is another
    assert world.live()[2] == 1


def test_a_session_of_the_primarys_own_finds_no_flows_that_an_app_before_has_left() -> None:
    """The end of an auxiliary's session was told to an app that had just died, and its tuple is
    used again before its flows have gone by themselves.
    """
    world = World().form()
    world.offer(1, 10, 11, 12)
    world.restart()
    for unit in (1, 2, 3):
        world.connect(unit)
    world.announce(1, role="primary", primary=1)
    assert {world.flows[each] for each in tuples(11)} == {2}
    effects = world.offer(1, 11, 20)
    assert world.decided(effects) == {11: 1, 20: 1}
    assert not set(tuples(11)) & set(world.flows)
    assert {world.flows[each] for each in tuples(12)} == {3}
    world.now += FIN_SECONDS
    (settle,) = [each for each in world.offer(1, 21) if isinstance(each, events.Settle)]
    assert settle.delete == []


def test_a_census_with_a_stranger_in_it_is_dropped_as_a_whole() -> None:
    world = restarted()
    token = token_of(world.announce(1, role="primary", primary=1), 1)
    world.flows.clear()
    world.census(1, token, {10: 1, 11: 2, 12: 9})
    assert world.counters["census_stranger"] == 1
    assert world.live() == {1: 0, 2: 0, 3: 0}
    assert world.flows == {}


def test_what_only_the_primary_remembers_is_looked_for_where_it_was() -> None:
    world = restarted()
    first = token_of(world.announce(1, role="primary", primary=1), 1)
    second = token_of(world.announce(2), 2)
    world.census(2, second, {})
    world.census(1, first, {11: 2})
    assert world.live()[2] == 1
    again = token_of(world.announce(2), 2)
    last = token_of(world.census(2, again, {}), 2)
    effects = world.census(2, last, {})
    assert forgotten(effects) == [control.Session(*tuples(11))]
    assert world.live()[2] == 0
    assert world.flows == {}


def test_a_session_ends_only_when_two_censuses_lack_it() -> None:
    world = World().form()
    world.offer(1, 10, 11, 12, 13, 14)
    world.pass_time(2.2, 1, 2, 3)
    first = token_of(world.announce(2, resync=1), 2)
    second = token_of(world.census(2, first, {}), 2)
    assert world.live()[2] == 2
    effects = world.census(2, second, {11: 2})
    assert forgotten(effects) == [control.Session(*tuples(14))]
    assert world.live() == {1: 2, 2: 1, 3: 1}
    assert census_requests(effects) == []


def test_what_one_census_had_the_next_may_lack() -> None:
    world = World().form()
    world.offer(1, 10, 11, 12, 13, 14)
    world.pass_time(2.2, 1, 2, 3)
    first = token_of(world.announce(2, resync=1), 2)
    second = token_of(world.census(2, first, {11: 2}), 2)
    assert forgotten(world.census(2, second, {})) == [control.Session(*tuples(14))]


def test_what_was_decided_a_moment_ago_may_not_have_arrived() -> None:
    world = World().form()
    world.offer(1, 10, 11)
    first = token_of(world.announce(2, resync=1), 2)
    effects = world.census(2, first, {})
    assert census_requests(effects) == []
    assert world.live()[2] == 1


def test_what_was_too_young_is_asked_for_once_it_is_not() -> None:
    """Decided, and ended while its agent was away: only a census can tell, and not the first."""
    world = World().form()
    world.offer(1, 10, 11)
    first = token_of(world.announce(2, resync=1), 2)
    world.census(2, first, {})

    def wait(seconds: float) -> list[events.Effect]:
        effects: list[events.Effect] = []
        for _ in range(round(seconds / 0.2)):
            effects += world.announce(2, resync=1) + world.pass_time(0.2, 1, 3)
        return effects

    assert census_requests(wait(1.4)) == []
    second = token_of(wait(1), 2)
    effects = world.census(2, second, {})
    assert forgotten(effects) == [control.Session(*tuples(11))]
    assert world.live()[2] == 0
    assert census_requests(wait(3)) == []


def test_what_ended_while_its_agent_was_away_is_asked_for_once_it_must_have_arrived() -> None:
    world = World().form()
    world.offer(1, 10, 11, 12, 13, 14)
    first = token_of(world.announce(2, boot=99), 2)
    world.census(2, first, {14: 2})
    assert census_requests(world.announce(2, boot=99)) == []
    world.now += 1.8
    assert census_requests(world.tick(0.1)) == []
    assert world.live()[2] == 2
    world.announce(2, boot=99)
    second = token_of(world.tick(0.2), 2)
    assert forgotten(world.census(2, second, {14: 2})) == [control.Session(*tuples(11))]
    assert world.live()[2] == 1
    assert census_requests(world.pass_time(0.8)) == []


def test_what_ends_while_the_primarys_bridge_is_away_is_forgotten_when_it_is_back() -> None:
    """But not what has begun anew meanwhile: its flows are another session's."""
    world = World().form()
    world.offer(1, 10, 11, 12, 13, 14)
    world.lose(1)
    assert not forgotten(world.ended(2, 11, 14))
    world.controller.sessions.decide(*tuples(14), 3, world.now)
    assert forgotten(world.connect(1)) == [control.Session(*tuples(11))]
    assert not world.flows.keys() & set(tuples(11))
    world.lose(1)
    assert not forgotten(world.connect(1))


def test_the_primarys_own_sessions_end_likewise() -> None:
    world = World().form()
    world.offer(1, 10)
    world.pass_time(2.2, 1, 2, 3)
    first = token_of(world.announce(1, resync=1), 1)
    second = token_of(world.census(1, first, {}), 1)
    effects = world.census(1, second, {})
    assert world.live()[1] == 0
    assert not [effect for effect in effects if isinstance(effect, events.Settle)]


def test_a_census_comes_in_several_frames_and_counts_when_it_is_whole() -> None:
    world = World().form()
    world.offer(1, 10, 11, 12, 13, 14)
    world.pass_time(2.2, 1, 2, 3)
    token = token_of(world.announce(2, resync=1), 2)
    records = [control.Counted(*tuples(number), 2) for number in (11, 14)]
    (frame,) = control.census_frames(1, 2, token, records[:1])
    unfinished = bytearray(frame)
    unfinished[control.HEADER.size - 6] = 0
    assert census_requests(world.frame(2, bytes(unfinished))) == []
    effects = world.frames(2, control.census_frames(1, 2, token, records[1:]))
    assert census_requests(effects) == []
    assert world.live()[2] == 2


def test_an_unfinished_census_is_asked_for_again() -> None:
    world = World()
    for unit in (1, 2, 3):
        world.connect(unit)
    first = token_of(world.pass_time(0.6, 1, 2, 3), 2)
    second = token_of(world.pass_time(5.4, 1, 2, 3), 2)
    assert second != first
    world.census(2, first, {})
    assert world.counters["census_stale"] == 1
    assert "census_done" not in world.counters
    world.census(2, second, {})
    assert world.counters["census_done"] == 1


def test_one_that_comes_slowly_is_not() -> None:
    """A million sessions take a while, and who asks again begins again."""
    world = World()
    for unit in (1, 2, 3):
        world.connect(unit)
    token = token_of(world.pass_time(0.6, 1, 2, 3), 2)
    records = [control.Counted(*tuples(number), 2) for number in range(200)]
    for frame in control.census_frames(1, 2, token, records):
        asked = census_requests(world.pass_time(4.0, 1, 2, 3))
        assert 2 not in [unit for unit, _ in asked]
        world.frames(2, [frame])
    assert world.counters["census_done"] == 1
    assert world.live()[2] == 200


def test_a_silent_agent_is_not_asked_again() -> None:
    world = World().form()
    world.announce(2, resync=1)
    assert census_requests(world.pass_time(6.0, 1, 3)) == []


def test_a_census_that_nobody_finishes_is_given_up() -> None:
    """Or what ends on other units would be remembered for it, for ever."""
    world = World().form()
    token = token_of(world.announce(3, resync=1), 3)
    world.pass_time(8.0, 1, 2)  # unit 3 says nothing any more
    world.census(3, token, {})
    assert world.counters["census_stale"] == 1
    done = world.counters["census_done"]
    again = token_of(world.announce(3, resync=1), 3)
    world.census(3, again, {})
    assert world.counters["census_done"] == done + 1


@pytest.mark.parametrize("label", [3, 9])
def test_an_auxiliary_speaks_for_itself_only(label: int) -> None:
    world = World().form()
    token = token_of(world.announce(2, resync=1), 2)
    world.census(2, token, {10: label})
    assert world.counters["census_stranger"] == 1
    assert sum(world.live().values()) == 0


def test_a_unit_that_is_not_configured_serves_nothing() -> None:
    world = World().form()
    token = token_of(world.announce(1, resync=1), 1)
    world.census(1, token, {10: 9})
    assert world.counters["census_stranger"] == 1
