"""What Prometheus is told, as data: each value from the place that knows it, and never more of them
than a cluster has units, outcomes and flows.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from agents.outcomes import Outcome
from ryu_apps.core.metrics import METRICS, MOST_OUTCOMES, Kind
from ryu_apps.core.orders import DRAIN, Order
from ryu_apps.core.sessions import MOST_SESSIONS
from tests.unit.core_world import World, cluster_of
from tests.unit.test_core_failover import die, hearing, settled
from tests.unit.test_core_succession import live_on, synced, tell

BY_NAME = {row.name: row for row in METRICS}


def read(world: World, name: str) -> dict[tuple[str, ...], float]:
    """Label values -> value; no labels twice."""
    samples = list(BY_NAME[name].read(world.controller, world.now))
    found = dict(samples)
    assert len(found) == len(samples)
    assert {len(labels) for labels in found} <= {len(BY_NAME[name].labels)}
    return found


def of_units(world: World, name: str) -> list[float]:
    """The values of units 1, 2, …, all there."""
    found = read(world, name)
    return [found[str(unit),] for unit in range(1, len(found) + 1)]


def one(world: World, name: str) -> float:
    return read(world, name)[()]


def ones(world: World, name: str) -> set[tuple[str, ...]]:
    return {labels for labels, value in read(world, name).items() if value}


def test_names_say_what_kind_they_are() -> None:
    assert len(BY_NAME) == len(METRICS)
    for row in METRICS:
        assert row.name.startswith("synod_")
        assert row.name.endswith("_total") == (row.kind is Kind.COUNTER), row.name
        assert row.name.endswith("_info") == (row.kind is Kind.INFO), row.name


def test_of_a_cluster_that_nobody_has_joined() -> None:
    world = World()
    assert one(world, "synod_primary_present") == one(world, "synod_balancing") == 0
    assert one(world, "synod_term") == 0
    assert read(world, "synod_offers_waiting") == {}
    assert ones(world, "synod_unit_state") == {("1", "down"), ("2", "down"), ("3", "down")}
    assert ones(world, "synod_unit_role") == {("1", "none"), ("2", "none"), ("3", "none")}
    for name in (
        "info", "state_age_seconds", "heartbeat_age_seconds", "sessions_serving", "data_link_up",
    ):  # fmt: skip
        assert read(world, f"synod_unit_{name}") == {}
    assert read(world, "synod_ha_link_up") == read(world, "synod_pickup_synced") == {}


def test_of_a_cluster_that_works() -> None:
    world = World(cluster_of(weights=(5, 3, 2))).form()
    world.announce(3, serving=17)
    world.now += 0.5
    ((labels, value),) = read(world, "synod_controller_info").items()
    assert (labels[:3], value) == (("lab", "round-robin", "flows"), 1)
    assert one(world, "synod_controller_boot_id") == 7
    assert one(world, "synod_term") == one(world, "synod_primary_present") == 1
    assert one(world, "synod_balancing") == 1
    assert one(world, "synod_sessions_limit") == MOST_SESSIONS
    assert ones(world, "synod_unit_state") == {("1", "up"), ("2", "up"), ("3", "up")}
    assert ones(world, "synod_unit_role") == {
        ("1", "primary"), ("2", "auxiliary"), ("3", "auxiliary"),
    }  # fmt: skip
    assert ("2", "u2", "1") in read(world, "synod_unit_info")
    assert of_units(world, "synod_unit_weight") == [5, 3, 2]
    assert read(world, "synod_unit_sessions_serving")["3",] == 17
    assert read(world, "synod_unit_heartbeat_age_seconds")["3",] == pytest.approx(0.5)
    assert min(of_units(world, "synod_unit_state_age_seconds")) >= 0.5
    assert read(world, "synod_primary_appointments_total") == {
        ("elected",): 1, ("adopted",): 0, ("promoted",): 0,
    }  # fmt: skip


def test_sessions_and_outcomes_are_counted_by_unit() -> None:
    world = World().form()
    found = world.decided(world.offer(1, *range(6)))
    world.ended(2, *(number for number, unit in found.items() if unit == 2))
    assert of_units(world, "synod_unit_sessions_decided_total") == [2, 2, 2]
    assert of_units(world, "synod_unit_sessions") == [2, 0, 2]
    assert read(world, "synod_controller_outcomes_total")["decided",] == 6
    world.announce(2, counters={"injected": 2})
    assert read(world, "synod_unit_outcomes_total")["2", "injected"] == 2
    world.controller.members.get(2).drops["drop_ipv6"] = 9
    assert ("2", "drop_ipv6") in ones(world, "synod_unit_dropped_packets_total")


def test_an_agent_that_makes_up_outcomes_makes_no_more_than_so_many() -> None:
    world = World().form()
    for start in range(0, 2 * MOST_OUTCOMES, 64):
        world.announce(2, counters={f"made_up_{start + n}": 1 for n in range(64)})
    found = [unit for unit, _ in read(world, "synod_unit_outcomes_total") if unit == "2"]
    assert len(found) == MOST_OUTCOMES > len(Outcome)


def test_offers_wait_as_the_primarys_agent_says() -> None:
    world = World().form()
    world.announce(1, waiting=20)
    world.announce(2, waiting=3)
    assert one(world, "synod_offers_waiting") == 20


def test_a_death_and_the_primary_after_it() -> None:
    world = settled(World())
    die(world, 1)
    assert one(world, "synod_unit_deaths_total") == 1
    assert ("1", "dead") in ones(world, "synod_unit_state")
    assert one(world, "synod_term") == 2
    assert read(world, "synod_primary_appointments_total")["promoted",] == 1
    assert one(world, "synod_primary_present") == 1
    hearing(world, 1)
    assert set(read(world, "synod_ha_link_up")) == {("2", "3"), ("3", "2")}
    assert world.status()["primary_present"] is True
    die(world, 2, 3)
    assert one(world, "synod_primary_present") == 0
    told = world.status()
    assert (told["primary"], told["primary_present"]) == (2, False), "nobody could take over"


def test_links_and_pickup_by_pair() -> None:
    world = settled(World())
    assert set(read(world, "synod_ha_link_up").values()) == {1}
    assert read(world, "synod_pickup_synced") == {}
    live_on(world, 0.4, **synced(world, 1, 2, 3))
    assert len(ones(world, "synod_pickup_synced")) == 6
    tell(world, 2, hears=(3,), synced=(1,))
    assert read(world, "synod_ha_link_up").keys() - ones(world, "synod_ha_link_up") == {("2", "1")}
    assert read(world, "synod_pickup_synced")["2", "3"] == 0
    tell(world, 2, down=(2,))
    down = read(world, "synod_unit_data_link_up")
    assert (down["2", "int"], down["2", "ext"], down["1", "ext"]) == (1, 0, 1)


def test_what_an_operator_or_a_wrong_file_does_to_a_unit() -> None:
    world = World().form()
    world.controller.give(Order(DRAIN, 3), world.now)
    world.announce(2, digest="0" * 16)
    assert of_units(world, "synod_unit_drained") == [0, 0, 1]
    assert of_units(world, "synod_unit_refused") == [0, 1, 0]


class NeverWalked(dict[Any, Any]):
    """Fails whoever goes through it."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("walks over sessions")

    keys = values = items = __iter__  # type: ignore[assignment]


def test_no_metric_walks_over_sessions() -> None:
    world = World().form()
    world.offer(1, *range(3))
    sessions = world.controller.sessions
    sessions._sessions = NeverWalked(sessions._sessions)
    for row in METRICS:
        list(row.read(world.controller, world.now))
