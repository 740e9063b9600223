"""Units join, a primary is chosen, bridges are brought up to date, and all that survives
trouble.
"""

import itertools
from dataclasses import replace

import pytest

from agents.wire import control
from ryu_apps.core import bridges, events
from ryu_apps.core.cluster import TRANSITIONS, Change, Role, State
from ryu_apps.core.flows import cookie
from ryu_apps.core.pipeline import desired
from tests.unit.core_world import (
    World,
    agent_frames,
    cluster_of,
    installed,
    state_told,
)


def wanted(world: World, unit: int, role: Role, *, diverting: bool = False) -> set[int]:
    primary = 0 if role is Role.NONE else 1
    flows = desired(world.cluster, unit, role, primary, diverting=diverting)
    return {flow.cookie for flow in flows}


def test_a_cluster_forms() -> None:
    world = World().form()
    assert world.states() == {
        1: ("up", "primary"),
        2: ("up", "auxiliary"),
        3: ("up", "auxiliary"),
    }
    assert world.bridges[1].cookies == wanted(world, 1, Role.PRIMARY, diverting=True)
    assert world.bridges[2].cookies == wanted(world, 2, Role.AUXILIARY)


def test_when_all_are_there_nobody_waits() -> None:
    world = World()
    for unit in (1, 2, 3):
        world.connect(unit)
    world.announce(1)
    assert state_told(world.announce(2)).role == "none"
    assert "primary_elected" not in world.counters
    told = control.State(7, "auxiliary", 1, False, 1, boots={1: 1, 2: 2, 3: 3})
    assert state_told(world.announce(3)) == told
    assert state_told(world.announce(3)) == replace(told, balancing=True)


def test_two_seconds_after_the_first_those_that_are_there_begin() -> None:
    world = World()
    world.connect(2)
    world.pass_time(1.8, 2)
    assert world.states()[2] == ("joining", "none")
    world.pass_time(0.6, 2)
    assert world.states()[2] == ("up", "primary")
    world.connect(1)
    world.announce(1)
    assert world.states()[1] == ("up", "auxiliary")


def test_the_two_seconds_begin_anew_when_all_have_gone() -> None:
    world = World()
    world.connect(2)
    world.pass_time(0.6, 2)
    world.pass_time(2.0)
    world.pass_time(1.8, 2)
    assert world.states()[2] == ("joining", "none")


@pytest.mark.parametrize(
    ("priorities", "primary"), [((100, 100, 100), 1), ((100, 100, 200), 3), ((1, 9, 9), 2)]
)
def test_the_highest_priority_is_primary_then_the_lowest_id(
    priorities: tuple[int, ...], primary: int
) -> None:
    world = World(cluster_of(3, priorities=priorities)).form()
    assert world.status()["primary"] == primary


def test_before_it_is_elected_a_unit_is_brought_no_more_than_what_all_have() -> None:
    world = World()
    foreign = cookie(1, 0, 0xDEAD)
    world.bridges[1].cookies = {foreign}
    world.connect(1)
    assert world.bridges[1].cookies == wanted(world, 1, Role.NONE) | {foreign}
    world.pass_time(2.4, 1)
    assert world.bridges[1].cookies == wanted(world, 1, Role.PRIMARY)


def test_what_is_superfluous_goes_after_what_is_missing_has_come() -> None:
    world = World().form()
    stale = cookie(1, 0, 0xDEAD)
    some = sorted(world.bridges[2].cookies)[:5]
    world.bridges[2].cookies = {*some, stale}
    effects = world.controller.handle(events.Connected(2, 50), world.now)
    (ask,) = [effect for effect in effects if isinstance(effect, events.AskStatic)]
    present = frozenset(world.bridges[2].cookies)
    effects = world.controller.handle(
        events.StaticFlows(2, 50, ask.token, present, frozenset()), world.now
    )
    (install,) = [effect for effect in effects if isinstance(effect, events.Install)]
    assert install.delete == (stale,)
    assert {flow.cookie for flow in install.add} == wanted(world, 2, Role.AUXILIARY) - set(some)


def test_an_app_that_is_restarted_finds_its_cluster_and_touches_nothing() -> None:
    world = World().form()
    before = {unit: set(bridge.cookies) for unit, bridge in world.bridges.items()}
    world.restart()
    for unit in (2, 3, 1):
        world.connect(unit)
    effects = world.announce(2, role="auxiliary", primary=1)
    assert state_told(effects) == control.State(8, "auxiliary", 1, False, boots={2: 2})
    effects += world.announce(3, role="auxiliary", primary=1)
    assert world.bridges[2].cookies == before[2]
    assert world.bridges[1].cookies == wanted(world, 1, Role.PRIMARY)
    effects += world.announce(1, role="primary", primary=1)
    assert world.bridges[1].cookies == before[1]
    assert [flow.name for flow in installed(effects)] == ["divert", "divert"]
    assert set(world.states().values()) == {("up", "primary"), ("up", "auxiliary")}
    assert world.counters["primary_adopted"] == 1


def test_a_primary_that_is_away_is_waited_for_if_others_know_it() -> None:
    world = World()
    world.connect(2)
    world.pass_time(3.0)
    world.announce(2, role="auxiliary", primary=3)
    assert world.states()[3] == ("down", "primary")
    assert world.states()[2] == ("up", "auxiliary")


def test_a_later_claim_changes_nothing() -> None:
    world = World().form()
    world.announce(2, role="primary", primary=2)
    assert world.status()["primary"] == 1


def test_a_claim_of_a_unit_that_is_not_configured_is_none() -> None:
    world = World()
    world.connect(1)
    world.announce(1, role="auxiliary", primary=9)
    assert world.status()["primary"] is None


def test_every_announcement_is_answered() -> None:
    world = World().form()
    told = control.State(7, "primary", 1, True, 1, boots={1: 1, 2: 2, 3: 3})
    assert state_told(world.announce(1)) == told
    assert state_told(world.announce(3)) == replace(told, role="auxiliary")


def test_syns_are_diverted_only_while_there_is_somebody_to_give_them_to() -> None:
    world = World().form(1)
    diverting = wanted(world, 1, Role.PRIMARY, diverting=True)
    plain = wanted(world, 1, Role.PRIMARY)
    assert world.bridges[1].cookies == plain
    assert not state_told(world.announce(1)).balancing
    world.connect(2)
    world.announce(2)
    assert world.bridges[1].cookies == diverting
    world.pass_time(1.4, 1)
    assert world.states()[2][0] == "silent"
    assert world.bridges[1].cookies == plain
    world.announce(2)
    assert world.bridges[1].cookies == diverting
    world.lose(2)
    assert world.bridges[1].cookies == plain


def test_syns_are_not_diverted_to_an_agent_that_is_away() -> None:
    world = World().form()
    world.pass_time(1.4, 2, 3)
    assert world.states()[1] == ("silent", "primary")
    assert world.bridges[1].cookies == wanted(world, 1, Role.PRIMARY)
    world.announce(1)
    assert world.bridges[1].cookies == wanted(world, 1, Role.PRIMARY, diverting=True)


def test_units_without_weight_are_nobody_to_give_sessions_to() -> None:
    world = World(cluster_of(2, weights=(1, 0))).form()
    assert world.states()[2] == ("up", "auxiliary")
    assert world.bridges[1].cookies == wanted(world, 1, Role.PRIMARY)


def test_a_bridge_that_comes_back_with_its_flows_is_not_disturbed() -> None:
    world = World().form()
    world.lose(2)
    assert world.states()[2] == ("down", "auxiliary")
    effects = world.connect(2)
    assert world.states()[2] == ("up", "auxiliary")
    assert [flow.table for flow in installed(effects) if flow.name != "divert"] == []


def test_a_new_connection_replaces_the_old_one() -> None:
    world = World().form()
    old = world.bridges[2].connection
    world.connect(2)
    world.feed(events.Lost(2, old))
    assert world.states()[2] == ("up", "auxiliary")
    assert world.counters["connection_replaced"] == 1


def test_a_primary_that_lost_all_its_flows_gets_those_of_all_sessions_again() -> None:
    world = World().form()
    world.offer(1, *range(9))
    flows = dict(world.flows)
    assert len(flows) == 12
    world.lose(1)
    world.bridges[1].cookies.clear()
    world.flows.clear()
    world.connect(1)
    assert world.flows == flows
    world.lose(2)
    world.bridges[2].cookies.clear()
    world.flows.clear()
    world.connect(2)
    assert not world.flows


def test_a_unit_whose_flows_are_refused_is_not_up_and_is_tried_again() -> None:
    world = World()
    world.bridges[2].refuses = True
    for unit in (1, 2, 3):
        world.connect(unit)
    world.pass_time(3.0, 1, 2, 3)
    assert world.states()[2][0] == "joining"
    assert world.counters["flow_refused"] >= 2
    world.bridges[2].refuses = False
    world.pass_time(1.2, 1, 2, 3)
    assert world.states()[2] == ("up", "auxiliary")


def test_a_bridge_that_does_not_answer_is_asked_again() -> None:
    world = World()
    world.bridges[2].answers = False
    for unit in (1, 2, 3):
        world.connect(unit)
    world.pass_time(3.0, 1, 2, 3)
    world.bridges[2].answers = True
    world.pass_time(4.0, 1, 2, 3)
    assert world.states()[2] == ("up", "auxiliary")


def test_answers_to_old_questions_are_ignored() -> None:
    world = World().form()
    connection = world.bridges[2].connection
    cookies = set(world.bridges[2].cookies)
    assert world.feed(events.StaticFlows(2, connection, 1, frozenset(), frozenset())) == []
    assert world.feed(events.Confirmed(2, connection, 1)) == []
    assert world.bridges[2].cookies == cookies


def test_a_message_that_a_switch_refuses_is_counted() -> None:
    world = World().form()
    connection = world.bridges[1].connection
    for token in (events.SESSION_TOKEN, events.COUNT_TOKEN):
        world.feed(events.Refused(1, connection, token, "table full"))
    assert world.counters["message_refused"] == 2
    assert world.states()[1][0] == "up"


def test_a_late_tick_silences_nobody() -> None:
    world = World().form()
    world.tick(0.2)
    world.tick(5.0)
    assert world.states()[2] == ("up", "auxiliary")
    world.pass_time(1.4)
    assert world.states()[2] == ("silent", "auxiliary")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "other"}, "digest_mismatch"),
        ({"macs": {"int": "02:00:00:00:00:01", "ext": "02:53:59:01:02:02"}}, "macs_mismatch"),
        ({"group": 2}, "group_mismatch"),
        ({"unit": 3}, "unit_mismatch"),
    ],
)
def test_a_unit_that_does_not_fit_is_refused_by_name(
    changes: dict[str, object], reason: str
) -> None:
    world = World()
    world.connect(2)
    effects = world.announce(2, **changes)
    assert agent_frames(effects) == []
    world.pass_time(3.0)
    told = world.status()
    assert told["units"][1]["refusal"] == reason
    assert told["units"][1]["state"] == "joining"
    assert told["primary"] is None
    assert told["counters"][reason] == 1
    world.announce(2)
    assert world.status()["units"][1]["refusal"] is None


def test_a_bridge_of_no_configured_unit_is_ignored() -> None:
    world = World().form()
    effects = world.controller.handle(events.Connected(9, 99), world.now)
    assert [effect.event for effect in effects if isinstance(effect, events.Line)] == [
        "unit_unknown"
    ]


def test_an_agents_counters_may_come_in_several_announcements() -> None:
    world = World().form()
    world.announce(2, counters={"a": 1})
    world.announce(2, counters={"b": 2})
    assert world.status()["units"][1]["agent"] == {"a": 1, "b": 2}
    world.announce(2, boot=77, counters={"c": 3})
    assert world.status()["units"][1]["agent"] == {"c": 3}


def test_what_bridges_drop_is_asked_and_told() -> None:
    world = World().form()
    flows = desired(world.cluster, 2, Role.AUXILIARY, 1)
    (unasked,) = [flow for flow in flows if flow.name == "drop_routed_arp_stray"]
    world.bridges[2].packets[unasked.cookie] = 5
    claims = [flow for flow in flows if flow.name == "drop_unit_mac"]
    assert len(claims) == len(world.cluster.interfaces)
    world.bridges[2].packets |= {claim.cookie: 4 for claim in claims}
    world.pass_time(2.4, 1, 2, 3)
    drops = world.status()["units"][1]["drops"]
    assert drops["drop_unit_mac"] == 4 * len(claims)
    assert drops["drop_routed_arp_stray"] == 5
    assert set(drops) == {flow.name for flow in flows if flow.drops}
    connection = world.bridges[2].connection
    assert world.feed(events.Counted(2, connection, 12345, 1)) == []


def test_of_a_bridge_that_drops_by_many_flows_some_are_asked_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridges, "MOST_COUNTS", 7)
    world = World().form()
    flows = [flow for flow in desired(world.cluster, 2, Role.AUXILIARY, 1) if flow.drops]
    world.bridges[2].packets |= dict.fromkeys((flow.cookie for flow in flows), 1)
    told = []
    for _ in range(len(flows) // 7 + 4):
        world.pass_time(1.0, 1, 2, 3)
        told.append(sum(world.status()["units"][1]["drops"].values()))
    assert told == sorted(told)
    assert max(after - before for before, after in itertools.pairwise(told)) <= 9
    assert told[-1] == len(flows)


def test_status_tells_all() -> None:
    world = World().form()
    world.offer(1, 0, 1)
    told = world.status()
    assert (told["cluster"], told["primary"], told["method"]) == ("lab", 1, "round-robin")
    assert (told["session_table"], told["balancing"]) == ("flows", True)
    unit = told["units"][1]
    assert {key: unit[key] for key in ("id", "role", "state", "weight", "sessions")} == {
        "id": 2,
        "role": "auxiliary",
        "state": "up",
        "weight": 1,
        "sessions": {"live": 1, "served": 1, "per_second": 0.0},
    }
    assert (unit["name"], unit["version"], unit["serving"]) == ("u2", "1", 0)
    assert World().status()["units"][0]["name"] is None


def test_transitions_lead_from_every_state_to_every_state_but_by_name() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert set(TRANSITIONS.values()) == set(State)
    assert {change for _, change in TRANSITIONS} == set(Change)


def test_a_bridge_that_is_not_connected_is_told_nothing() -> None:
    world = World()
    world.connect(1)
    effects = world.announce(1, role="auxiliary", primary=2)
    assert {effect.unit for effect in effects if isinstance(effect, events.Install)} == {1}


# -- seals: whom agents are to believe


def states_told(effects: list[events.Effect]) -> list[tuple[int, control.State]]:
    """Unit and STATE, in order."""
    messages = [control.parse(frame) for frame in agent_frames(effects)]
    return [(m.unit, control.state(m)) for m in messages if m.kind == control.STATE]


def test_all_others_hear_of_an_agent_that_is_another_before_it_hears_anything() -> None:
    world = World().form()
    told = states_told(world.announce(1, boot=99))
    assert [unit for unit, _ in told] == [2, 3, 1]
    assert all(state.boots == {1: 99, 2: 2, 3: 3} for _, state in told)
    assert [unit for unit, _ in states_told(world.announce(1, boot=99))] == [1]


def test_only_who_is_connected_and_has_been_heard_is_told_of_it() -> None:
    """An agent that this app hasn't heard yet may know who is primary; it must not be told that
    nobody is.
    """
    world = World().form()
    world.restart()
    for unit in (1, 2, 3):
        world.connect(unit)
    assert [unit for unit, _ in states_told(world.announce(3))] == [3]
    world.announce(2, role="auxiliary", primary=1, term=1)
    world.lose(3)
    told = [unit for unit, _ in states_told(world.announce(1, role="primary", primary=1))]
    assert told[0] == 2
    assert set(told[1:]) == {1}


def test_an_agent_that_has_not_been_heard_is_told_nothing_unasked() -> None:
    world = World().form(1, 2)
    world.connect(3)
    assert [unit for unit, _ in states_told(world.announce(1, boot=99))] == [2, 1]


@pytest.mark.parametrize(
    ("primarys", "its", "why"),
    [
        ((1,), (1,), None),
        ((1, 2), (1,), None),
        ((2, 1), (1, 2), None),
        ((2,), (2, 1), None),
        ((2,), (1, 2), "key_mismatch"),
        ((1,), (2,), "key_mismatch"),
        ((1, 2), (2,), "key_mismatch"),
        ((1,), (2, 1), "key_mismatch"),
    ],
)
def test_a_unit_must_believe_the_primary_and_be_believed(
    primarys: tuple[int, ...], its: tuple[int, ...], why: str | None
) -> None:
    world = World().form()
    assert states_told(world.announce(1, keys=primarys))
    refused = not states_told(world.announce(2, keys=its))
    assert refused == bool(why)
    assert world.counters.get("key_mismatch", 0) == refused
    assert states_told(world.announce(1, keys=primarys))
