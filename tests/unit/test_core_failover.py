"""Who is dead, whose sessions become whose, and who is primary then."""

from typing import Any

import pytest

from agents.wire import ports, routed_arp
from ryu_apps.core import events
from ryu_apps.core.cluster import MOST_COUNTERS, MOST_TERM
from ryu_apps.core.events import Effect
from ryu_apps.core.flows import PARTS
from ryu_apps.core.forgetting import AT_ONCE
from ryu_apps.core.formation import PATIENCE
from ryu_apps.core.gratuitous import PAUSES, announcements
from ryu_apps.core.liveness import AT_ONCE as SUDDEN
from ryu_apps.core.liveness import GRACE, UNANSWERED
from tests.unit.core_world import (
    World,
    agent_frames,
    census_requests,
    cluster_of,
    state_told,
    tuples,
)


def settled(world: World) -> World:
    """Formed, and long enough ago for somebody to be missed."""
    world.form()
    for _ in range(round(GRACE / 0.2) + 1):
        hearing(world)
        world.tick()
    return world


def hearing(world: World, *silent: int) -> list[Effect]:
    """Everybody who isn't silent announces himself, and hears the others who aren't."""
    there = [unit for unit in world.bridges if unit not in silent]
    effects: list[Effect] = []
    for unit in there:
        heard = tuple(other for other in there if other != unit)
        primary, term = world.status()["primary"], world.status()["term"]
        told = {"role": "auxiliary", "primary": primary, "term": term}
        effects += world.announce(unit, hears=heard, **told)
    return effects


def by_and_by(world: World, *silent: int) -> list[Effect]:
    """Time in which the flows of a unit's sessions go."""
    effects: list[Effect] = []
    for _ in range(PARTS // AT_ONCE + 1):
        effects += hearing(world, *silent) + world.tick(0.05)
    return effects


def parts_of(effects: list[Effect]) -> list[int]:
    """The parts of sessions whose flows go."""
    return [part for e in effects if isinstance(e, events.ForgetParts) for part in e.parts]


def die(world: World, unit: int, *others: int) -> list[Effect]:
    """The unit loses its connection, and nobody hears it any more."""
    for each in (unit, *others):
        world.lose(each)
        world.bridges[each].answers = False
    return hearing(world, unit, *others) + world.tick(0.05)


def served_by(world: World) -> dict[int, int]:
    """The primary's bridge: unit -> where its sessions are served."""
    primary = world.status()["primary"]
    cookies = world.bridges[primary].cookies
    homes = {}
    for flow in world.controller.formation.bridges.of(primary).wanted.values():
        if flow.name == "served_by":
            assert flow.cookie in cookies
            homes[int(dict(flow.match)["reg1"])] = int(flow.actions[0].value)
    return homes


def test_who_has_lost_its_connection_and_is_heard_by_nobody_is_dead() -> None:
    world = settled(World())
    world.lose(3)
    hearing(world)
    world.tick(0.05)
    assert world.states()[3] == ("down", "auxiliary")
    hearing(world, 3)
    world.tick(0.05)
    assert world.states()[3] == ("dead", "auxiliary")
    assert world.counters["unit_rehomed"] == 1


def test_whose_connection_was_ended_is_dead_once_its_keepalives_are_missing() -> None:
    world = settled(World())
    world.lose(3)
    world.announce(1, hears=(2, 3), missing=(3,))
    assert world.states()[3] == ("down", "auxiliary")
    world.announce(2, hears=(1, 3), missing=(1, 3))
    assert world.states()[3] == ("dead", "auxiliary")


def lacking(world: World, unit: int) -> None:
    """The others still hear that unit, but have missed its last keepalives."""
    for other in world.bridges:
        if other != unit:
            heard = tuple(each for each in world.bridges if each != other)
            world.announce(other, hears=heard, missing=(unit,))


def test_a_primary_that_falls_silent_may_be_busy() -> None:
    world = settled(World())
    world.bridges[1].answers = False
    for _ in range(20):
        lacking(world, 1)
        world.tick(0.1)
    assert world.states()[1] == ("silent", "primary")


def test_an_auxiliary_that_falls_silent_at_once_is_dead() -> None:
    world = settled(World())
    world.bridges[2].answers = False
    lacking(world, 2)
    world.tick(SUDDEN - 0.03)
    assert world.states()[2] == ("up", "auxiliary")
    world.tick(0.05)
    assert world.states()[2] == ("dead", "auxiliary")
    assert world.counters["unit_rehomed"] == 1
    hearing(world, 2)  # it isn't even missed any more
    world.tick(0.05)
    assert world.states()[2] == ("dead", "auxiliary")
    world.bridges[2].answers = True
    world.tick(0.1)
    world.tick(0.1)
    assert world.states()[2][0] != "dead"
    assert world.counters["unit_dead"] == 1


def test_an_auxiliary_of_which_one_unit_hears_is_not_dead() -> None:
    world = settled(World())
    world.bridges[2].answers = False
    for _ in range(20):
        world.announce(1, hears=(2, 3), missing=(2,))
        world.announce(3, hears=(1, 2))
        world.tick(0.1)
    assert world.states()[2] == ("silent", "auxiliary")


def test_an_auxiliary_whose_agent_is_gone_has_as_long_as_a_primary_to_answer() -> None:
    world = settled(World())
    hearing(world, 2)
    world.bridges[2].answers = False
    world.tick(UNANSWERED - 0.01)
    assert world.states()[2][0] != "dead"
    hearing(world, 2)
    world.tick(0.02)
    assert world.states()[2] == ("dead", "auxiliary")


def test_whose_bridge_hangs_is_dead_if_nobody_hears_it() -> None:
    world = settled(World())
    world.bridges[2].answers = False
    hearing(world, 2)
    world.tick(UNANSWERED - 0.1)
    assert world.states()[2] == ("up", "auxiliary")
    hearing(world, 2)
    world.tick(0.2)
    assert world.states()[2] == ("dead", "auxiliary")


def test_whose_bridge_answers_is_not_dead() -> None:
    world = settled(World())
    for _ in range(20):
        hearing(world, 2)
        world.tick(0.1)
    assert world.states()[2] == ("silent", "auxiliary")


def test_a_witness_that_is_silent_itself_is_none() -> None:
    world = settled(World())
    hearing(world)
    world.lose(2)
    world.lose(3)
    for _ in range(6):
        world.announce(1, hears=())
        world.tick(0.2)
    assert world.states()[2] == world.states()[3] == ("dead", "auxiliary")


def test_nobody_is_missed_who_was_not_heard_while_the_cluster_has_just_been_found() -> None:
    world = World()
    world.connect(1)
    world.announce(1, role="primary", primary=1, term=4)
    world.tick()
    assert world.states()[2] == ("down", "auxiliary")
    for _ in range(round(GRACE / 0.2) + 1):
        world.announce(1)
        world.tick()
    assert world.states()[2] == ("dead", "auxiliary")


def test_who_was_heard_is_missed_at_once_in_a_cluster_that_has_just_been_formed() -> None:
    world = World()
    world.form()
    hearing(world)
    world.lose(3)
    hearing(world, 3)
    world.tick(UNANSWERED)
    assert world.states()[3] == ("dead", "auxiliary")


def test_a_late_tick_kills_nobody() -> None:
    world = settled(World())
    for bridge in world.bridges.values():
        bridge.answers = False
    world.tick(5.0)
    assert {state for state, _ in world.states().values()} == {"up"}


def test_the_sessions_of_a_dead_unit_are_the_primarys_by_one_flow() -> None:
    world = settled(World())
    world.offer(1, *range(30))
    effects = die(world, 3)
    installs = [effect for effect in effects if isinstance(effect, events.Install)]
    assert [(i.unit, len(i.add), len(i.delete)) for i in installs] == [(1, 1, 1)]
    assert served_by(world) == {1: 1, 2: 2, 3: 1}
    assert world.live() == {1: 20, 2: 10, 3: 0}
    assert state_told(world.announce(1)).adopt == (3,)
    assert state_told(world.announce(2)).adopt == ()


def test_what_the_primary_has_made_its_own_needs_no_flows() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    die(world, 3)
    assert 3 in world.flows.values()
    effects = world.announce(1, hears=(2,), adopted=(3,))
    assert state_told(effects).adopt == ()
    assert [unit for unit, _ in census_requests(effects)] == [1]
    assert served_by(world) == {1: 1, 2: 2, 3: 1}
    effects = by_and_by(world, 3)
    assert parts_of(effects) == list(range(PARTS))
    assert set(world.flows.values()) == {2}
    assert served_by(world) == {1: 1, 2: 2, 3: 3}
    assert not parts_of(by_and_by(world, 3))
    assert world.announce(2, adopted=(3,)) is not None  # nobody else's word counts


def test_a_unit_that_returns_gets_sessions_once_its_old_ones_are_settled() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    die(world, 3)
    world.bridges[3].answers = True
    world.connect(3)
    hearing(world)
    assert world.states()[3] == ("up", "auxiliary")
    assert set(world.decided(world.offer(1, *range(10, 20))).values()) == {1, 2}
    world.announce(1, hears=(2, 3), adopted=(3,))
    assert set(world.decided(world.offer(1, *range(20, 30))).values()) == {1, 2}
    by_and_by(world)
    assert set(world.decided(world.offer(1, *range(30, 40))).values()) == {1, 2, 3}
    assert world.live()[3] < 10  # those of before stay where they are


def test_a_bridge_that_connects_anew_is_told_from_the_first_part_on() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    die(world, 3)
    world.announce(1, hears=(2,), adopted=(3,))
    first = world.tick(0.05)
    world.lose(1)
    assert not parts_of(world.tick(0.05))
    world.connect(1)
    assert parts_of(world.tick(0.05)) == parts_of(first) == list(range(AT_ONCE))


def test_an_agent_that_claims_the_last_of_all_terms_leaves_the_app_its_voice() -> None:
    """What the app tells from then on can still be read: there is no term after it."""
    world = World()
    for unit in (1, 2, 3):
        world.connect(unit)
    world.announce(1, role="primary", primary=1, term=MOST_TERM)
    hearing(world)
    world.tick()
    die(world, 1)
    assert world.status()["primary"] == 2
    assert state_told(world.announce(2)).term == MOST_TERM


def test_counters_of_an_agent_are_kept_by_so_many_names_only() -> None:
    world = settled(World())
    for start in range(0, 3 * MOST_COUNTERS, 1000):
        world.announce(2, counters={f"name_{start + n}": 1 for n in range(1000)})
    member = world.controller.members.get(2)
    assert member
    assert len(member.counters) <= MOST_COUNTERS
    assert f"name_{start}" in member.counters


def told_to(bridge: int, *effects: list[Effect]) -> int:
    """Of how many parts a bridge is told to forget the flows."""
    forgets = [e for some in effects for e in some if isinstance(e, events.ForgetParts)]
    return sum(len(e.parts) for e in forgets if e.unit == bridge)


def test_a_primary_that_was_cut_off_is_told_again_when_it_connects_anew() -> None:
    """It is replaced while its connection seems to be there: what it is told then never comes."""
    world = settled(World())
    world.offer(1, *range(3))
    world.bridges[1].answers = False
    hearing(world, 1)
    world.tick(0.45)
    assert world.controller.members.primary_id == 2
    assert told_to(1, by_and_by(world, 1), by_and_by(world, 1), by_and_by(world, 1)) == 3 * PARTS
    world.bridges[1].answers = True
    world.connect(1)
    assert told_to(1, by_and_by(world), by_and_by(world), by_and_by(world)) == 3 * PARTS
    world.connect(2)
    assert not parts_of(by_and_by(world))  # it has new sessions


def test_a_primary_needs_not_forget_what_it_was_told_before() -> None:
    world = settled(World())
    forgetting = world.controller.formation.forgetting
    forgetting.begin(2, 3)
    by_and_by(world)
    forgetting.over(2)  # it is primary now
    world.connect(2)
    assert not parts_of(by_and_by(world))


def test_one_unit_after_the_other_is_forgotten() -> None:
    world = settled(World())
    forgetting = world.controller.formation.forgetting
    forgetting.begin(1, 2, 3)
    forgetting.begin(1, 2)
    forgetting.begin(9, 2)
    of = [e.of for e in by_and_by(world) if isinstance(e, events.ForgetParts)]
    assert of == [2] * (PARTS // AT_ONCE) + [3]
    forgetting.over(1)
    assert not parts_of(by_and_by(world))


def test_a_unit_that_hung_is_asked_what_it_has() -> None:
    world = settled(World())
    world.bridges[2].answers = False
    hearing(world, 2)
    world.tick(0.45)
    assert world.states()[2] == ("dead", "auxiliary")
    world.bridges[2].answers = True
    world.tick(0.1)
    effects = world.tick(0.05)
    assert [e for e in effects if isinstance(e, events.AskStatic) and e.unit == 2]
    hearing(world)
    assert world.states()[2] == ("up", "auxiliary")


def test_a_unit_that_is_heard_again_lives_though_the_app_does_not_reach_it() -> None:
    world = settled(World())
    die(world, 2)
    hearing(world)
    world.tick(0.05)
    assert world.states()[2] == ("down", "auxiliary")


def test_another_unit_is_primary_when_the_primary_dies() -> None:
    world = settled(World(cluster_of(3, priorities=(100, 5, 50))))
    world.offer(1, *range(3))
    effects = die(world, 1)
    assert world.states() == {
        1: ("dead", "auxiliary"), 2: ("up", "auxiliary"), 3: ("up", "primary"),
    }  # fmt: skip
    assert world.status()["term"] == 2
    assert world.live() == {1: 0, 2: 0, 3: 3}
    assert [e.unit for e in effects if isinstance(e, events.Forget)] == [3]
    assert not world.flows
    told = dict.fromkeys(agent_frames(effects))
    assert told
    assert state_told(world.announce(3)).adopt == (1, 2)
    assert state_told(world.announce(2)).primary == 3


def test_a_new_primary_serves_alone_until_all_sessions_are_its_own() -> None:
    world = settled(World())
    die(world, 1)
    assert set(world.decided(world.offer(2, *range(10))).values()) == {2}
    world.announce(2, hears=(3,), adopted=(1, 3))
    assert set(world.decided(world.offer(2, *range(10, 20))).values()) == {2}
    world.announce(3)
    assert set(world.decided(world.offer(2, *range(20, 30))).values()) == {2, 3}


def test_a_unit_that_lost_its_sessions_gives_them_up_before_it_gets_new_ones() -> None:
    world = settled(World())
    die(world, 1)
    world.announce(2, hears=(3,), adopted=(1, 3))
    told = state_told(world.announce(3, forfeited=0)).forfeit
    assert told
    assert set(world.decided(world.offer(2, *range(10))).values()) == {2}
    assert state_told(world.announce(3, forfeited=told)).forfeit == 0
    assert set(world.decided(world.offer(2, *range(10, 20))).values()) == {2, 3}


def rejoined(world: World, unit: int) -> None:
    """A unit that was dead connects again, and hears the others."""
    die(world, unit)
    world.bridges[unit].answers = True
    world.tick(GRACE)
    world.connect(unit)


def test_also_in_a_cluster_just_formed_a_unit_gives_its_own_up_before_it_is_up() -> None:
    world = World()
    world.form()
    hearing(world)
    die(world, 3)
    assert world.states()[3][0] == "dead"
    world.bridges[3].answers = True
    world.connect(3)
    world.announce(3, hears=(1, 2), forfeited=0)
    assert world.states()[3][0] == "joining"
    told = state_told(world.announce(3, hears=(1, 2), forfeited=0)).forfeit
    world.announce(3, hears=(1, 2), forfeited=told)
    assert world.states()[3][0] == "up"


def test_the_status_says_who_is_up_and_gets_no_sessions_yet() -> None:
    world = settled(World())
    world.offer(1, *range(9))
    die(world, 3)
    world.bridges[3].answers = True
    world.connect(3)
    world.announce(3, hears=(1, 2), synced=(1, 2))
    assert (world.states()[3][0], unit_settled(world, 3)) == ("up", False)
    assert set(world.decided(world.offer(1, *range(10, 20))).values()) == {1, 2}
    world.announce(1, hears=(2, 3), adopted=(3,))
    by_and_by(world)
    assert (world.states()[3][0], unit_settled(world, 3)) == ("up", True)


def unit_settled(world: World, unit: int) -> bool:
    return bool(world.status()["units"][unit - 1]["settled"])


def test_a_unit_that_joins_is_up_once_it_holds_the_sessions_of_the_living() -> None:
    world = settled(World())
    rejoined(world, 3)
    held: dict[str, Any] = {"hears": (1, 2), "forfeited": 0}
    world.announce(3, **held, synced=(1, 2))
    assert world.states()[3][0] == "joining"  # it hasn't given up its own
    held.pop("forfeited")
    world.announce(3, **held, synced=(1,))
    assert world.states()[3][0] == "joining"
    world.announce(3, **held, synced=(1, 2))
    assert world.states()[3][0] == "up"


def test_a_unit_that_nobody_tells_of_sessions_is_up_in_the_end() -> None:
    world = settled(World())
    rejoined(world, 3)
    for _ in range(round(PATIENCE / 0.2)):
        world.announce(3, hears=(1, 2), synced=())
        assert world.states()[3][0] == "joining"
        hearing(world, 3)
        world.tick()
    world.announce(3, hears=(1, 2), synced=())
    assert world.states()[3][0] == "up"


def test_no_two_apps_say_it_alike() -> None:
    tokens = set()
    for boot in (7, 0xFFFFFFFF):
        world = settled(World(boot=boot))
        die(world, 2)
        tokens.add(world.controller.formation.takeover.forfeit(2))
    assert len(tokens - {0}) == 2


def test_the_old_primary_returns_as_an_auxiliary() -> None:
    world = settled(World())
    die(world, 1)
    world.bridges[1].answers = True
    world.connect(1)
    world.announce(1, role="primary", primary=1, term=1)
    assert world.states()[1] == ("up", "auxiliary")
    assert world.status()["primary"] == 2


def test_nobody_is_dead_while_the_app_reaches_nobody() -> None:
    world = settled(World(cluster_of(2)))
    die(world, 1, 2)
    for _ in range(6):  # until what unit 2 said last is old
        world.tick()
    assert world.states() == {1: ("down", "primary"), 2: ("down", "auxiliary")}
    for unit in (1, 2):
        world.bridges[unit].answers = True
        world.connect(unit)
    hearing(world)
    world.tick()
    assert world.states() == {1: ("up", "primary"), 2: ("up", "auxiliary")}


def test_an_app_that_is_restarted_believes_the_latest_term() -> None:
    world = World()
    for unit in (1, 2, 3):
        world.connect(unit)
    world.announce(1, role="primary", primary=1, term=1)
    assert world.status()["primary"] == 1
    world.announce(2, role="primary", primary=2, term=2)
    assert (world.status()["primary"], world.status()["term"]) == (2, 2)
    world.announce(1, role="primary", primary=1, term=1)
    assert world.status()["primary"] == 2


def test_virtual_macs_are_announced_several_times() -> None:
    world = settled(World())
    effects = die(world, 1)
    for _ in range(60):
        effects += hearing(world, 1) + world.tick(0.05)
    expected = announcements(world.cluster, 2)
    assert [e for e in effects if e in expected] == expected * len(PAUSES)
    assert len(expected) == 3


@pytest.mark.parametrize("place", range(3))
def test_an_announcement_says_where_an_address_is(place: int) -> None:
    cluster = cluster_of(2)
    send = announcements(cluster, 2)[place]
    arp = routed_arp.parse(send.frame)
    interface = cluster.interface(ports.interface_of_nic(send.port) or 0)
    assert arp.spa == arp.tpa
    assert arp.spa in {address.ip.packed for address in interface.addresses}
    assert (arp.op, arp.sha, arp.eth_src) == (1, interface.virtual_mac, interface.virtual_mac)
    assert arp.eth_dst == b"\xff" * 6


def test_ends_of_sessions_that_moved_are_believed_of_their_new_unit() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    die(world, 3)
    world.ended(1, 2)
    assert world.live() == {1: 1, 2: 1, 3: 0}
    assert tuples(2)[0] in world.flows  # until all of that unit's go at once
