"""Which meters a bridge has, and how it comes by them."""

from dataclasses import replace

import pytest

from agents.config import Cluster, Limits
from ryu_apps.core import events, limits
from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import Flow, Metered
from ryu_apps.core.limits import MOST, Limit, meters
from ryu_apps.core.pipeline import desired
from tests.unit.core_world import World, cluster_of


def limited(**rates: int) -> Cluster:
    cluster = cluster_of(3)
    return replace(cluster, limits=replace(cluster.limits, **rates))


def used(flow: Flow) -> set[int]:
    return {action.meter for action in flow.actions if isinstance(action, Metered)}


def test_each_kind_has_a_meter_on_each_interface() -> None:
    found = meters(limited(arp=5, icmp=6, broadcast=7, ip=8, routed_arp=9))
    assert {(limits.name_of(number), rate) for number, rate in found} == {
        ("limit_arp", 5),
        ("limit_arp_answers", 5),
        ("limit_arp_rivals", 5),
        ("limit_icmp", 6),
        ("limit_broadcast", 7),
        ("limit_ip", 8),
        ("limit_routed_arp", 9),
    }
    assert len(found) == 6 * 2 + 1
    assert all(0 < number < MOST for number, _ in found)


@pytest.mark.parametrize("role", [Role.NONE, Role.AUXILIARY, Role.PRIMARY])
def test_a_flow_has_no_meter_that_isnt_there(role: Role) -> None:
    cluster = limited(ip=0, routed_arp=0)
    there = {number for number, _ in meters(cluster)}
    flows = desired(cluster, 1, role, 1 if role is Role.PRIMARY else 2)
    asked = [used(flow) for flow in flows]
    assert set().union(*asked) == (there if role is Role.PRIMARY else set())
    by_name = {flow.name: used(flow) for flow in flows}
    assert not by_name.get("nic_ip")


def test_what_is_no_stranger_is_without_limit() -> None:
    flows = {flow.name: used(flow) for flow in desired(limited(), 1, Role.PRIMARY, 1)}
    for name in (
        "agent",
        "from_agents",
        "nic_tcp",
        "nic_syn",
        "ha_in",
        "kernel_arp",
        "own_session",
    ):
        assert flows[name] == set()


def test_a_bridge_gets_its_meters_once_and_keeps_them() -> None:
    world = World().form()
    wanted = dict(meters(world.cluster))
    for bridge in world.bridges.values():
        assert bridge.meters == wanted
    world.connect(2)  # (a switch refuses to make one again)
    world.announce(2)
    assert world.bridges[2].meters == wanted


def test_those_of_an_app_before_are_changed_and_removed() -> None:
    world = World()
    wanted = dict(meters(world.cluster))
    number, rate = next(iter(wanted.items()))
    before = {number: rate + 1, MOST - 1: 7, MOST: 8}
    world.bridges[2].meters |= before
    world.connect(2)
    assert world.bridges[2].meters == wanted | {MOST - 1: 7, MOST: 8}  # not before it has a role
    world.form()
    assert world.bridges[2].meters == wanted | {MOST: 8}


def test_what_meters_drop_is_told_by_kind() -> None:
    world = World().form()
    for index in (1, 2):
        world.bridges[1].over[Limit.ARP.number(index)] = 20 + index
    world.bridges[1].over |= {Limit.ROUTED_ARP.number(): 3, MOST: 99}
    world.pass_time(2.4, 1, 2, 3)
    drops = world.status()["units"][0]["drops"]
    found = {name: count for name, count in drops.items() if name.startswith("limit_")}
    assert found == {"limit_arp": 43, "limit_routed_arp": 3}


def test_without_limits_there_are_no_meters() -> None:
    world = World(replace(cluster_of(3), limits=Limits(0, 0, 0, 0, 0, 0))).form()
    assert {unit: bridge.meters for unit, bridge in world.bridges.items()} == {1: {}, 2: {}, 3: {}}
    connection = world.bridges[1].connection
    assert world.feed(events.Metered(1, connection, {Limit.ARP.number(1): 5})) == []
    assert "limit_arp" not in world.status()["units"][0]["drops"]
