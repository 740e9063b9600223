"""What is otherwise where sessions are entries of the switch's connection tracker: which rows the
primary has, and how entries go. (What they do to packets: tests/switch.)
"""

from collections.abc import Iterable

from agents.wire.packet import inverse
from ryu_apps.core import events, forgetting, renewal
from ryu_apps.core.cluster import Role
from ryu_apps.core.events import Effect
from ryu_apps.core.flows import Flow, Move, Track
from ryu_apps.core.pipeline import desired
from tests.unit.core_world import World, census_requests, cluster_of, tuples

CLUSTER = cluster_of(session_table="conntrack")


def settled() -> World:
    """Units that have heard each other, sessions in entries."""
    world = World(CLUSTER).form()
    world.pass_time(3.0, 1, 2, 3)
    heard(world)
    return world


def heard(world: World, *silent: int, **told: object) -> list[Effect]:
    """Every other unit announces itself, and hears the others; the primary says what else."""
    effects: list[Effect] = []
    there = [unit for unit in world.bridges if unit not in silent]
    known = world.status()
    for unit in there:
        says = told if unit == known["primary"] else {}
        effects += world.announce(
            unit,
            hears=tuple(other for other in there if other != unit),
            role="auxiliary",
            primary=known["primary"],
            term=known["term"],
            **says,
        )
    return effects


def die(world: World, unit: int) -> list[Effect]:
    world.lose(unit)
    world.bridges[unit].answers = False
    return heard(world, unit) + world.tick(0.05)


def settles(effects: Iterable[Effect], unit: int = 1) -> list[events.Settle]:
    return [e for e in effects if isinstance(e, events.Settle) and e.unit == unit]


def deleted(effects: Iterable[Effect]) -> list[bytes]:
    return [tuple12 for settle in settles(effects) for tuple12 in settle.delete]


def both(*numbers: int) -> list[bytes]:
    return [tuple12 for number in numbers for tuple12 in tuples(number)]


def named(flows: Iterable[Flow], *names: str) -> set[Flow]:
    return {flow for flow in flows if flow.name in names}


def test_the_pipeline_is_that_of_flows_but_for_where_sessions_are_looked_up() -> None:
    by_flows = desired(cluster_of(), 1, Role.PRIMARY, 1, diverting=True)
    by_marks = desired(CLUSTER, 1, Role.PRIMARY, 1, diverting=True)
    assert set(by_flows) - set(by_marks) == named(by_flows, "nic_tcp")
    only = named(by_marks, "nic_tcp_tracked", "marked", "looked_up")
    assert set(by_marks) - set(by_flows) == only
    others = {(Role.AUXILIARY, 2), (Role.NONE, 0)}
    for role, primary in others:
        assert desired(CLUSTER, 1, role, primary) == desired(cluster_of(), 1, role, primary)


def test_no_cached_flow_is_told_a_tuple() -> None:
    flows = desired(CLUSTER, 1, Role.PRIMARY, 1, diverting=True)
    assert not [a for flow in flows for a in flow.actions if isinstance(a, Move)]
    (zone,) = {a.zone for flow in flows for a in flow.actions if isinstance(a, Track)}
    assert zone
    assert {dict(flow.match)["ct_mark"] for flow in named(flows, "marked")} == {1, 2, 3}


def test_what_the_primary_has_made_its_own_needs_no_entries() -> None:
    world = settled()
    world.offer(1, *range(6))
    effects = die(world, 3)
    effects += heard(world, 3, adopted=(3,))
    assert deleted(effects) == []
    assert set(world.flows.values()) == {2, 3}
    effects = world.tick(0.05)
    assert deleted(effects) == both(2, 5)
    assert not [e for e in effects if isinstance(e, events.ForgetParts | events.Forget)]
    assert set(world.flows.values()) == {2}
    assert deleted(world.tick(0.05)) == []


def test_many_go_some_at_a_time() -> None:
    world = settled()
    many = forgetting.ENTRIES_AT_ONCE * 3 + 6
    world.offer(1, *range(many))
    die(world, 3)
    heard(world, 3, adopted=(3,))
    sizes = [len(deleted(world.tick(0.05))) // 2 for _ in range(3)]
    assert sizes == [forgetting.ENTRIES_AT_ONCE, 2, 0]


def test_a_bridge_that_connects_anew_is_told_from_the_first_on() -> None:
    world = settled()
    world.offer(1, *range(forgetting.ENTRIES_AT_ONCE * 3 + 6))
    die(world, 3)
    heard(world, 3, adopted=(3,))
    first = deleted(world.tick(0.05))
    world.lose(1)
    world.connect(1)
    assert deleted(world.tick(0.05)) == first


def test_what_is_decided_meanwhile_stays() -> None:
    world = settled()
    world.offer(1, *range(9))
    die(world, 3)  # it had 2, 5 and 8
    (orig2, reply2), (orig5, reply5), (orig8, reply8) = tuples(2), tuples(5), tuples(8)
    elsewhere = reply5[:4] + bytes((198, 51, 100, 1)) + reply5[8:]
    sessions = world.controller.sessions
    sessions.decide(orig2, reply2, 2, world.now)
    sessions.decide(orig5, elsewhere, 2, world.now)
    heard(world, 3, adopted=(3,))
    # Its answers were addressed otherwise: that entry is nobody's. The rest is the new session's.
    assert deleted(world.tick(0.05)) == [reply5, orig8, reply8]


def test_of_a_session_without_nat_the_one_entry_stays_with_the_new_one() -> None:
    world = settled()
    going = world.controller.formation.forgetting
    orig, reply = tuples(1)
    world.controller.sessions.decide(orig, reply, 2, world.now)
    going.moved(3, [(orig, inverse(orig))])
    going.begin(1, 3)
    assert deleted(world.tick(0.05)) == []


def test_what_comes_to_it_while_it_goes_goes_too() -> None:
    world = settled()
    going = world.controller.formation.forgetting
    going.moved(3, [tuples(1)])
    going.begin(1, 3)
    going.begin(1, 3)
    going.moved(3, [tuples(2)])
    assert deleted(world.tick(0.05)) == both(1)
    assert deleted(world.tick(0.05)) == both(2)
    going.begin(1, 3)
    assert deleted(world.tick(0.05)) == []


def test_who_is_primary_no_more_loses_all_entries_at_once() -> None:
    world = settled()
    world.offer(1, *range(6))
    effects = die(world, 1)
    assert world.status()["primary"] == 2
    assert next(e.unit for e in effects if isinstance(e, events.Forget)) == 2
    assert world.flows == {}
    heard(world, 1, adopted=(1, 3))
    world.bridges[1].answers = True
    world.connect(1)
    effects = [effect for _ in range(3) for effect in world.tick(0.05)]
    forgotten = [e.unit for e in effects if isinstance(e, events.Forget)]
    assert forgotten.count(1) == 3  # whosever they were: once for each unit
    assert settles(effects, 1) == settles(effects, 2) == []


def test_sessions_of_the_primary_that_a_new_app_finds_have_no_entry_afterwards() -> None:
    """One may be marked as another unit's, and the app that knew it is no more."""
    world = World(CLUSTER).form()
    world.restart()
    for unit in (1, 2, 3):
        world.connect(unit)
    asked = dict(census_requests(world.announce(1, role="primary", primary=1)))
    world.flows = dict.fromkeys(both(10), 3)
    written, removed = settles(world.census(1, asked[1], {10: 1, 11: 2}))
    assert {orig for _, orig, _ in written.add} == {tuples(number)[0] for number in (10, 11)}
    assert removed.delete == both(10)  # each of which it has, by now
    assert world.flows == dict.fromkeys(both(11), 2)


def test_entries_are_renewed_long_before_they_expire() -> None:
    world = settled()
    world.offer(1, *range(renewal.AT_ONCE + 2))
    world.now += renewal.FIRST - 60.0
    assert settles(world.tick(0.05)) == []
    world.now += 60.0
    first, second = world.tick(0.05), world.tick(0.05)
    assert settles(world.tick(0.05)) == []
    renewed = [added for settle in settles([*first, *second]) for added in settle.add]
    ours = {orig for orig, _ in map(tuples, range(renewal.AT_ONCE + 2))}
    assert {unit for unit, *_ in renewed} == {2, 3}
    assert {orig for _, orig, _ in renewed} < ours
    assert len(renewed) == sum(world.live()[unit] for unit in (2, 3))
    assert deleted([*first, *second]) == [tuple12 for _, *pair in renewed for tuple12 in pair]
    world.now += renewal.EVERY
    assert settles(world.tick(0.05))


def test_what_has_ended_meanwhile_is_not_renewed() -> None:
    world = settled()
    world.offer(1, *range(renewal.AT_ONCE * 2))
    world.now += renewal.FIRST
    world.tick(0.05)
    for unit in (1, 2, 3):
        world.ended(unit, *range(renewal.AT_ONCE * 2))
    assert settles(world.tick(0.05)) == []


def test_flows_need_no_renewal() -> None:
    world = World().form()
    world.offer(1, *range(6))
    world.now += renewal.FIRST + renewal.EVERY
    assert settles(world.tick(0.05)) == []
