"""Links that are lost, orders to promote, and units that take the role back: who steps back for
whom, and in which order bridges are told.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from ryu_apps.core import events
from ryu_apps.core.events import Effect
from ryu_apps.core.gratuitous import REPEAT, STEADY, announcements
from ryu_apps.core.orders import DRAIN, PROMOTE, Order
from ryu_apps.core.succession import HOLD, RETRY, SETTLE
from tests.unit.core_world import World, cluster_of, state_told
from tests.unit.test_core_failover import by_and_by, die, hearing, served_by, settled

ALL = (1, 2, 3)


def tell(world: World, unit: int, **told: Any) -> list[Effect]:
    """A unit announces itself, as one of three that are all heard."""
    others = tuple(other for other in world.bridges if other != unit)
    return world.announce(unit, **({"hears": others} | told))


def live_on(world: World, seconds: float, **told: dict[int, Any]) -> list[Effect]:
    """Time passes, and all announce themselves; `told`: field -> unit -> what it says."""
    effects: list[Effect] = []
    for _ in range(round(seconds / 0.2)):
        for unit in world.bridges:
            says = {name: of[unit] for name, of in told.items() if unit in of}
            effects += tell(world, unit, **says)
        effects += world.tick()
    return effects


def synced(world: World, *units: int) -> dict[str, dict[int, Any]]:
    """These hold the sessions of all others."""
    return {"synced": {u: tuple(o for o in world.bridges if o != u) for u in units}}


def order(world: World, unit: int, *, force: bool = False) -> list[Effect]:
    """An operator's order, and what follows from it."""
    effects: list[Effect] = []
    for effect in world.controller.give(Order(PROMOTE, unit, force=force), world.now):
        effects.append(effect)
        if answer := world._answer(effect):
            effects += world.feed(answer)
    return effects


def primary(world: World) -> int:
    return int(world.status()["primary"])


def installs(effects: Iterable[Effect]) -> list[int]:
    """Whose bridges are changed, in order."""
    found = [e.unit for e in effects if isinstance(e, events.Install) and (e.add or e.delete)]
    return list(dict.fromkeys(found))


def arps(world: World, effects: Iterable[Effect], unit: int) -> int:
    """How many rounds of gratuitous ARP went out of a unit."""
    first = announcements(world.cluster, unit)[0]
    return sum(effect == first for effect in effects)


def passing_on(world: World, unit: int) -> bool:
    """Whether a unit's bridge passes on what comes for the cluster."""
    return has(world, unit, "relay")


def has(world: World, unit: int, name: str) -> bool:
    """Whether a unit's bridge has flows of that name."""
    wanted = world.controller.formation.bridges.of(unit).wanted
    named = [flow for flow in wanted.values() if flow.name == name]
    assert {flow.cookie for flow in named} <= world.bridges[unit].cookies
    return bool(named)


# -- links


def test_an_auxiliary_without_a_link_gets_nothing_new_and_loses_what_it_has() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    effects = tell(world, 3, down=(2,))
    assert world.states()[3] == ("degraded", "auxiliary")
    assert served_by(world) == {1: 1, 2: 2, 3: 1}
    assert world.live() == {1: 2, 2: 1, 3: 0}
    assert [e.fields["down"] for e in effects if isinstance(e, events.Line) and "down" in e.fields]
    assert set(world.decided(world.offer(1, *range(10, 20))).values()) == {1, 2}
    assert world.counters["unit_rehomed"] == 1
    tell(world, 3, down=(1, 2))
    assert world.counters["unit_rehomed"] == 1  # nothing was left


def test_an_auxiliary_whose_link_is_back_gets_sessions_again() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    tell(world, 3, down=(2,))
    tell(world, 1, adopted=(3,))
    tell(world, 3)
    by_and_by(world)
    assert world.states()[3] == ("up", "auxiliary")
    assert set(world.decided(world.offer(1, *range(10, 20))).values()) == {1, 2, 3}


def test_what_a_census_finds_at_a_unit_without_a_link_moves_too() -> None:
    world = settled(World())
    tell(world, 3, down=(1,))
    world.controller.sessions.adopt(3, b"o" * 12, b"r" * 12)
    tell(world, 3, down=(1,))
    assert world.live()[3] == 0


def test_a_primary_without_a_link_steps_back_and_stays_back() -> None:
    world = settled(World())
    world.offer(1, *range(3))
    tell(world, 1, down=(1,), role="primary", primary=1, term=1)
    assert world.states()[1] == ("degraded", "primary")
    effects = world.tick(SETTLE)
    assert installs(effects) == [2, 1, 3]
    assert world.states() == {
        1: ("degraded", "auxiliary"), 2: ("up", "primary"), 3: ("up", "auxiliary"),
    }  # fmt: skip
    assert world.live() == {1: 0, 2: 3, 3: 0}
    assert state_told(tell(world, 1, down=(1,))).role == "auxiliary"
    live_on(world, 1.0)
    assert world.states()[1] == ("up", "auxiliary")
    live_on(world, 2 * HOLD)
    assert primary(world) == 2


def test_a_primary_without_a_link_that_does_not_step_back_is_not_told_to_all_the_time() -> None:
    world = settled(World())
    tell(world, 1, down=(1,))
    world.bridges[1].refuses = True
    live_on(world, RETRY - 0.4, down={1: (1,)})
    assert (world.counters["promotion"], primary(world)) == (1, 1)
    world.bridges[1].refuses = False
    live_on(world, 1.0, down={1: (1,)})
    assert (world.counters["promotion"], primary(world)) == (2, 2)


def test_a_primary_without_a_link_stays_if_nobody_has_all_links() -> None:
    world = settled(World())
    world.offer(1, *range(6))
    down = {"down": {1: (1,), 2: (1,), 3: (1,)}}
    for unit in ALL:
        tell(world, unit, down=(1,))
    live_on(world, 1.0, **down)
    assert primary(world) == 1
    assert world.live() == {1: 6, 2: 0, 3: 0}
    live_on(world, 1.0, down={1: (1,), 2: (1,)})
    assert primary(world) == 3


def test_who_forms_a_cluster_is_primary_with_all_links_if_one_has_them() -> None:
    world = World()
    for unit in ALL:
        world.connect(unit)
        tell(world, unit, down=(1,) if unit == 1 else ())
    world.tick()
    assert world.states()[1] == ("degraded", "auxiliary")
    assert primary(world) == 2
    assert "promotion" not in world.counters


def test_a_unit_without_a_link_may_fall_silent_and_come_back() -> None:
    world = settled(World())
    tell(world, 3, down=(1,))
    for _ in range(8):
        hearing(world, 3)
        world.tick()
    assert world.states()[3] == ("silent", "auxiliary")
    tell(world, 3, down=(1,))
    assert world.states()[3] == ("degraded", "auxiliary")


# -- who is next, and who takes the role back


def test_the_heir_is_rather_one_that_holds_all_sessions_and_is_not_drained() -> None:
    world = settled(World(cluster_of(4)))
    live_on(world, 0.4, **synced(world, 3, 4))
    world.controller.give(Order(DRAIN, 3), world.now)
    tell(world, 2, synced=(1,))
    tell(world, 1, down=(1,))
    world.tick(SETTLE)
    assert primary(world) == 4


def test_the_sessions_of_a_primary_without_a_link_count() -> None:
    world = settled(World())
    live_on(world, 0.4, synced={1: (2, 3), 2: (3,), 3: (1, 2)})
    tell(world, 1, down=(1,))
    world.tick(SETTLE)
    assert primary(world) == 3


def test_a_unit_takes_the_role_by_its_priority_if_it_is_configured_to() -> None:
    world = settled(World(cluster_of(3, priorities=(50, 60, 100), overrides=(1, 3))))
    assert primary(world) == 3
    die(world, 3)
    assert primary(world) == 2
    world.bridges[3].answers = True
    world.connect(3)
    live_on(world, HOLD - 0.6, **synced(world, *ALL))
    assert primary(world) == 2
    live_on(world, 1.0, **synced(world, *ALL))
    assert primary(world) == 3


@pytest.mark.parametrize("overrides", [(), (3,)])
def test_none_takes_it_that_isnt_configured_to_or_does_not_hold_all_sessions(
    overrides: tuple[int, ...],
) -> None:
    world = settled(World(cluster_of(3, priorities=(50, 60, 100), overrides=overrides)))
    die(world, 3)
    world.bridges[3].answers = True
    world.connect(3)
    held = {3: (1,)} if overrides else {3: (1, 2)}
    live_on(world, 2 * HOLD, synced=held)
    assert primary(world) == 2


def test_a_unit_takes_the_role_no_sooner_than_after_the_last_change() -> None:
    cluster = cluster_of(3, priorities=(50, 60, 100), overrides=(3,))
    world = settled(World(cluster))
    live_on(world, HOLD, **synced(world, *ALL))
    order(world, 1)
    live_on(world, RETRY - 0.6, **synced(world, *ALL))
    assert primary(world) == 1
    live_on(world, 1.0, **synced(world, *ALL))
    assert primary(world) == 3


# -- gratuitous ARP


def test_as_long_as_the_old_primary_is_out_of_reach_the_new_one_speaks_up() -> None:
    world = settled(World())
    die(world, 1)
    for _ in range(20):
        hearing(world, 1)
        world.tick()
    effects: list[Effect] = []
    for _ in range(20):
        effects += hearing(world, 1) + world.tick()
    assert arps(world, effects, 2) == round(4.0 / REPEAT)
    world.bridges[1].answers = True
    world.connect(1)
    live_on(world, 0.6)
    assert arps(world, live_on(world, STEADY - 0.8), 2) == 0


def test_a_primary_on_a_quiet_network_says_now_and_then_where_it_is() -> None:
    world = settled(World())
    live_on(world, STEADY)
    assert arps(world, live_on(world, 4 * STEADY), 1) == 4


def test_a_primary_that_has_heard_a_rival_speaks_up() -> None:
    world = settled(World())
    heard = {"rival_heard": 2}
    assert arps(world, tell(world, 1, counters=heard), 1) == 1
    assert arps(world, tell(world, 1, counters=heard), 1) == 0
    assert arps(world, tell(world, 1, counters={"rival_heard": 3}), 1) == 1
    assert arps(world, tell(world, 1, boot=77, counters={}), 1) == 0
    assert arps(world, tell(world, 1, boot=77, counters={"rival_heard": 1}), 1) == 1
    assert arps(world, tell(world, 2, counters=heard), 1) == 0
