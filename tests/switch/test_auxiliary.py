"""What an auxiliary's bridge does with frames, and a unit's that has no role yet."""

import itertools
from functools import partial

import pytest

from agents.wire import control, peer, ports, routed_arp
from ryu_apps.core.cluster import Role
from ryu_apps.core.pipeline import Passing, desired
from ryu_apps.core.rows import When
from ryu_apps.receiving import cut
from tests.polling import until
from tests.switch import frames
from tests.switch.frames import ACK, FIN, RST, SYN, SYN_ACK
from tests.switch.ovs import Switch
from tests.switch.units import (
    CLIENT,
    CLIENT_MAC,
    CLUSTER,
    EXT,
    INT,
    SERVER,
    SERVER_MAC,
    UnitBridge,
    cluster_of,
)
from tests.unit.pickup_frames import said

LAB = cluster_of(3)
ME, PRIMARY = LAB.unit(2), LAB.unit(1)
VIRTUAL = {interface.index: interface.virtual_mac for interface in LAB.interfaces}
PHYSICAL = {interface.index: ME.macs[interface.index - 1] for interface in LAB.interfaces}
ORIG = CLIENT + SERVER + (40000).to_bytes(2, "big") + b"\0\x50"
REPLY = SERVER + CLUSTER + b"\0\x50" + (40000).to_bytes(2, "big")


@pytest.fixture(scope="module")
def unit(switch: Switch) -> UnitBridge:
    made = UnitBridge(switch, LAB, 2)
    made.become(Role.AUXILIARY, 1)
    return made


@pytest.fixture(scope="module")
def fresh(switch: Switch) -> UnitBridge:
    made = UnitBridge(switch, LAB, 3)
    made.become(Role.NONE, 0)
    return made


@pytest.fixture(params=["unit", "fresh"])
def either(request: pytest.FixtureRequest) -> UnitBridge:
    """What has a role, and what has none."""
    found: UnitBridge = request.getfixturevalue(request.param)
    return found


def dropped(unit: UnitBridge, name: str) -> int:
    role = (2, Role.AUXILIARY, 1) if unit.unit == 2 else (3, Role.NONE, 0)
    flows = desired(LAB, *role)
    return sum(unit.bridge.packets(flow.cookie) for flow in flows if flow.name == name)


def question(wanted: bytes = SERVER, eth_dst: bytes = b"\xff" * 6) -> bytes:
    """What the kernel asks."""
    return frames.arp(1, (PHYSICAL[EXT], CLUSTER), (bytes(6), wanted), eth_dst)


def reply(of: bytes = SERVER, eth_dst: bytes = ME.ha_mac) -> bytes:
    """What the primary's app answers."""
    known = (SERVER_MAC, of), (PHYSICAL[EXT], CLUSTER)
    return frames.arp(routed_arp.ROUTED_REPLY, *known, eth_dst, PRIMARY.ha_mac)


# -- sessions


def test_a_syn_from_the_primary_goes_to_the_agent(unit: UnitBridge) -> None:
    frame = frames.tcp(VIRTUAL[INT], PHYSICAL[INT], ORIG, SYN, b"SYN data")
    assert unit.pass_through("nic1", frame) == {"synod": [frame]}


@pytest.mark.parametrize("flags", [SYN_ACK, ACK, FIN, RST])
def test_what_follows_goes_to_the_kernel(unit: UnitBridge, flags: str) -> None:
    there = frames.tcp(VIRTUAL[INT], PHYSICAL[INT], ORIG, flags, b"GET /")
    back = frames.tcp(VIRTUAL[EXT], PHYSICAL[EXT], REPLY, flags, b"200 OK")
    assert unit.pass_through("nic1", there) == {"kernel1": [there]}
    assert unit.pass_through("nic2", back) == {"kernel2": [back]}


def test_a_syn_that_the_agent_has_admitted_goes_to_the_kernel(unit: UnitBridge) -> None:
    frame = frames.tcp(VIRTUAL[INT], PHYSICAL[INT], ORIG)
    assert unit.pass_through("synod", frame) == {"kernel1": [frame]}


def test_the_kernel_sends_as_itself(unit: UnitBridge) -> None:
    for flags in (SYN, SYN_ACK, ACK):
        frame = frames.tcp(PHYSICAL[EXT], SERVER_MAC, ORIG, flags)
        assert unit.pass_through("kernel2", frame) == {"nic2": [frame]}


def test_an_auxiliary_takes_nothing_from_anybody_but_the_primary(unit: UnitBridge) -> None:
    before = dropped(unit, "drop_unexpected")
    strangers = [
        frames.tcp(CLIENT_MAC, PHYSICAL[INT], ORIG),
        frames.tcp(CLIENT_MAC, PHYSICAL[INT], ORIG, ACK),
        frames.tcp(CLIENT_MAC, VIRTUAL[INT], ORIG),
        frames.udp(CLIENT_MAC, b"\xff" * 6, CLIENT, SERVER),
    ]
    for frame in strangers:
        assert unit.pass_through("nic1", frame) == {}
    until(lambda: dropped(unit, "drop_unexpected") == before + len(strangers), "all are counted")


@pytest.mark.parametrize("index", [INT, EXT])
def test_what_may_announce_goes_to_the_agent_and_nowhere_else(unit: UnitBridge, index: int) -> None:
    for flags in (ACK, SYN, FIN):
        frame = frames.tcp(ports.helper_mac(index), SERVER_MAC, ORIG, flags, b"227 Entering")
        assert unit.pass_through(f"kernel{index}", frame) == {"synod": [frame]}


def test_a_helper_mac_means_nothing_outside(unit: UnitBridge) -> None:
    for target in (PHYSICAL[INT], VIRTUAL[INT]):
        frame = frames.tcp(ports.helper_mac(INT), target, ORIG, ACK)
        assert unit.pass_through("nic1", frame) == {}


@pytest.mark.parametrize("index", [INT, EXT])
def test_what_the_agent_lets_go_leaves_as_it_is(unit: UnitBridge, index: int) -> None:
    for target in (SERVER_MAC, VIRTUAL[index], PRIMARY.macs[index - 1]):
        frame = frames.tcp(PHYSICAL[index], target, ORIG, ACK, b"227 Entering Passive Mode")
        assert unit.pass_through("synod", frame) == {f"nic{index}": [frame]}


def test_an_agent_sends_as_nobody_else(unit: UnitBridge) -> None:
    for source in (CLIENT_MAC, PRIMARY.macs[0], VIRTUAL[INT], ports.helper_mac(INT)):
        assert unit.pass_through("synod", frames.tcp(source, SERVER_MAC, ORIG, ACK)) == {}


def test_the_agent_is_heard_by_the_app(unit: UnitBridge) -> None:
    assert unit.openflow
    frame = control.census_request_frame(1, 2, 5)
    assert unit.pass_through("synod", frame) == {}
    assert unit.openflow.take_packet_in() == frame
    # What the switch really sends is what the app takes without Ryu's parser.
    raw = unit.openflow.raw_packet_ins[-1]
    assert cut(raw, 0, sift=True) == ([frame], b"", len(raw))


# -- other agents


def test_what_agents_tell_each_other_crosses_the_ha_link_and_the_app_never_hears_it(
    unit: UnitBridge,
) -> None:
    assert unit.openflow
    to, back = (
        peer.Link(1, 2, ME.ha_mac, PRIMARY.ha_mac),
        peer.Link(1, 1, PRIMARY.ha_mac, ME.ha_mac),
    )
    (asked,) = peer.withdraw_frames(to, [peer.Withdrawn(ORIG, ORIG, 6)])
    (answered,) = peer.expected_frames(back, [peer.Answered(1, peer.Answer.TAKEN)])
    assert unit.pass_through("synod", asked) == {"ha-nic": [asked]}
    assert unit.pass_through("ha-nic", answered) == {"synod": [answered]}
    unit.openflow.barrier()
    assert unit.openflow.packet_ins == []


def test_what_is_for_another_agent_is_not_for_this_one(unit: UnitBridge) -> None:
    """It is the kernel's, as all of the HA link, and nothing there reads it."""
    (frame,) = peer.withdraw_frames(
        peer.Link(1, 1, PRIMARY.ha_mac, LAB.unit(3).ha_mac), [peer.Withdrawn(ORIG, ORIG, 6)]
    )
    assert unit.pass_through("ha-nic", frame) == {"ha": [frame]}


def test_no_agent_is_heard_from_outside(unit: UnitBridge) -> None:
    names = ("drop_agents_outside", "drop_unexpected")
    before = [dropped(unit, name) for name in names]
    told = [
        peer.withdraw_frames(peer.Link(1, 1, src, dst), [peer.Withdrawn(ORIG, ORIG, 6)])[0]
        for src, dst in (
            (PRIMARY.ha_mac, ME.ha_mac),
            (VIRTUAL[INT], PHYSICAL[INT]),
            (control.ETH_SRC, control.ETH_DST),
        )
    ]
    for frame in told:
        assert unit.pass_through("nic1", frame) == {}
        assert unit.pass_through("kernel1", frame) == {}
    after = [count + len(told) for count in before]  # those from the NIC, and the kernel's
    until(lambda: [dropped(unit, name) for name in names] == after, "all are counted")


# -- ARP


def test_the_agent_gets_what_the_kernel_asks_and_asks_over_the_ha_link(unit: UnitBridge) -> None:
    for asked in (question(), question(eth_dst=SERVER_MAC)):  # the second: is it still there?
        assert unit.pass_through("kernel2", asked) == {"synod": [asked]}
    routed = frames.arp(
        routed_arp.ROUTED_REQUEST,
        (PHYSICAL[EXT], CLUSTER),
        (bytes(6), SERVER),
        PRIMARY.ha_mac,
        ME.ha_mac,
    )
    sealed = routed + b"a seal"
    assert unit.pass_through("synod", sealed) == {"ha-nic": [sealed]}


def test_the_agent_gets_the_answer_and_gives_the_kernel_an_ordinary_reply(
    unit: UnitBridge,
) -> None:
    sealed = reply() + b"a seal"
    assert unit.pass_through("ha-nic", sealed) == {"synod": [sealed]}
    told = frames.arp(
        routed_arp.REPLY,
        (SERVER_MAC, SERVER),
        (PHYSICAL[EXT], CLUSTER),
        PHYSICAL[EXT],
        PRIMARY.ha_mac,
    )
    assert unit.pass_through("synod", told) == {"kernel2": [told]}


def test_an_answer_of_nobody_who_is_primary_is_dropped_and_counted(unit: UnitBridge) -> None:
    before = dropped(unit, "drop_routed_arp_stray")
    other = frames.arp(
        *(202, (SERVER_MAC, SERVER), (PHYSICAL[EXT], CLUSTER), ME.ha_mac, LAB.unit(3).ha_mac)
    )
    assert unit.pass_through("ha-nic", other) == {}
    until(lambda: dropped(unit, "drop_routed_arp_stray") == before + 1, "it is counted")


def test_an_answer_for_another_unit_is_dropped_and_counted(unit: UnitBridge) -> None:
    before = dropped(unit, "drop_routed_arp_stray")
    assert unit.pass_through("ha-nic", reply(eth_dst=LAB.unit(3).ha_mac)) == {}
    until(lambda: dropped(unit, "drop_routed_arp_stray") == before + 1, "it is counted")


def test_a_request_of_opcode_201_is_not_for_an_auxiliary(unit: UnitBridge) -> None:
    other = LAB.unit(3)
    asked = frames.arp(201, (other.macs[1], CLUSTER), (bytes(6), SERVER), ME.ha_mac, other.ha_mac)
    assert unit.pass_through("ha-nic", asked) == {}


def test_the_role_passes_and_nothing_is_lost_in_between(switch: Switch) -> None:
    cluster = cluster_of(5)
    old, heir = UnitBridge(switch, cluster, 4), UnitBridge(switch, cluster, 5)
    old.become(Role.AUXILIARY, 5, passing=Passing(When.YIELDING, 5))
    from_old, to_heir = (cluster.unit(unit).macs[INT - 1] for unit in (4, 5))
    own = frames.tcp(from_old, b"\x02" * 6, REPLY, ACK, b"200 OK")
    assert old.pass_through("kernel1", own) == {"nic1": [own]}
    for role, flags in itertools.product((Role.AUXILIARY, Role.PRIMARY), (SYN, ACK)):
        heir.become(role, 5, passing=Passing(When.SUCCEEDING, 4))
        still = frames.tcp(b"\x02" * 6, VIRTUAL[INT], ORIG, flags, b"GET /")
        passed = frames.tcp(from_old, to_heir, ORIG, flags, b"GET /")
        assert old.pass_through("nic1", still) == {"nic1": [passed]}
        assert heir.pass_through("nic1", passed) == {"kernel1": [passed]}


def test_an_auxiliary_has_no_rivals(unit: UnitBridge) -> None:
    own = bytes((10, 1, 0, 1))
    announced = frames.arp(1, (VIRTUAL[INT], own), (bytes(6), own), b"\xff" * 6)
    assert unit.pass_through("nic1", announced) == {}


def test_an_auxiliary_hears_no_arp_from_outside(unit: UnitBridge) -> None:
    before = dropped(unit, "drop_arp_outside")
    asks = frames.arp(1, (CLIENT_MAC, CLIENT), (bytes(6), CLUSTER), b"\xff" * 6)
    says = frames.arp(2, (CLIENT_MAC, CLIENT), (PHYSICAL[INT], CLUSTER), PHYSICAL[INT])
    for frame in (asks, says):
        assert unit.pass_through("nic1", frame) == {}
    until(lambda: dropped(unit, "drop_arp_outside") == before + 2, "both are counted")


def test_an_auxiliary_answers_no_arp(unit: UnitBridge) -> None:
    before = dropped(unit, "drop_arp_answer")
    says = frames.arp(2, (PHYSICAL[EXT], CLUSTER), (SERVER_MAC, SERVER), SERVER_MAC)
    assert unit.pass_through("kernel2", says) == {}
    until(lambda: dropped(unit, "drop_arp_answer") == before + 1, "it is counted")


def test_the_ha_link_passes(unit: UnitBridge) -> None:
    frame = frames.udp(PRIMARY.ha_mac, ME.ha_mac, CLIENT, SERVER)
    assert unit.pass_through("ha-nic", frame) == {"ha": [frame]}
    back = frames.arp(1, (ME.ha_mac, CLIENT), (bytes(6), SERVER), b"\xff" * 6)
    assert unit.pass_through("ha", back) == {"ha-nic": [back]}


def test_what_session_pickup_says_goes_to_the_agent_alone(either: UnitBridge) -> None:
    own = LAB.unit(either.unit)
    frame = said(eth_src=own.ha_mac, src=str(own.ha_address.ip))
    assert either.pass_through("ha", frame) == {"synod": [frame]}


def test_session_pickup_hears_the_agent_and_nobody_on_the_ha_link(either: UnitBridge) -> None:
    own = LAB.unit(either.unit)
    by_primary = partial(said, eth_src=PRIMARY.ha_mac, src=str(PRIMARY.ha_address.ip))
    heard = by_primary()
    assert either.pass_through("synod", heard) == {"ha": [heard]}
    before = {name: dropped(either, name) for name in ("drop_pickup_unsealed", "drop_ha_fragment")}
    for plain in (
        heard,
        by_primary(eth_dst="ff:ff:ff:ff:ff:ff"),
        by_primary(eth_dst=frames.mac(own.ha_mac), dst=str(own.ha_address.ip)),
    ):
        assert either.pass_through("ha-nic", plain) == {}
    for offset in (0, 1):
        piece = frames.fragment(PRIMARY.ha_mac, own.ha_mac, CLIENT, SERVER, offset)
        assert either.pass_through("ha-nic", piece) == {}
    until(
        lambda: [dropped(either, name) - count for name, count in before.items()] == [3, 2],
        "all are counted",
    )


# -- no role


def test_without_a_role_nothing_passes_but_the_agent_and_the_ha_link(fresh: UnitBridge) -> None:
    assert fresh.openflow
    mac, address = LAB.unit(3).macs[0], LAB.unit(3).ha_mac
    arp = frames.arp(1, (CLIENT_MAC, CLIENT), (bytes(6), CLUSTER), b"\xff" * 6)
    for frame in (
        frames.tcp(CLIENT_MAC, VIRTUAL[INT], ORIG),
        frames.tcp(VIRTUAL[INT], mac, ORIG, ACK),
        frames.tcp(mac, SERVER_MAC, ORIG),
        arp,
    ):
        for port in ("nic1", "kernel1", "synod"):
            assert fresh.pass_through(port, frame) == {}
    heartbeat = frames.udp(PRIMARY.ha_mac, address, CLIENT, SERVER)
    assert fresh.pass_through("ha-nic", heartbeat) == {"ha": [heartbeat]}
    told = control.census_request_frame(1, 3, 5)
    assert fresh.pass_through("synod", told) == {}
    assert fresh.openflow.take_packet_in() == told


def test_agents_hear_each_other_before_there_are_roles(fresh: UnitBridge) -> None:
    here = LAB.unit(3).ha_mac
    for to, heard in ((here, True), (ports.ha_group(1), True), (ME.ha_mac, False)):
        frame = peer.keepalive_frame(peer.Link(1, 1, PRIMARY.ha_mac, to), hears_app=True)
        assert fresh.pass_through("ha-nic", frame) == {"synod" if heard else "ha": [frame]}
