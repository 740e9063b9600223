"""What the primary's bridge does with frames."""

import re
from collections.abc import Iterator
from itertools import count

import pytest

from agents.wire import control, peer, ports, routed_arp
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import Flow
from ryu_apps.core.pipeline import desired
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

LAB = cluster_of(3)
ME = LAB.unit(1)
VIRTUAL = {interface.index: interface.virtual_mac for interface in LAB.interfaces}
PHYSICAL = {interface.index: ME.macs[interface.index - 1] for interface in LAB.interfaces}


def session(number: int) -> tuple[bytes, bytes]:
    """orig and reply of a session that is translated to the cluster's address."""
    port = (40000 + number).to_bytes(2, "big")
    return CLIENT + SERVER + port + b"\0\x50", SERVER + CLUSTER + b"\0\x50" + port


@pytest.fixture(scope="module", params=["flows", "conntrack"])
def unit(switch: Switch, request: pytest.FixtureRequest) -> UnitBridge:
    """The primary's bridge, with either session table."""
    made = UnitBridge(switch, cluster_of(3, request.param), 1)
    made.become(Role.PRIMARY, 1, diverting=True)
    return made


ONLY_FLOWS = pytest.mark.parametrize("unit", ["flows"], indirect=True)
FRESH = count(1000)


@pytest.fixture
def served_by(unit: UnitBridge) -> Iterator[tuple[bytes, bytes]]:
    """A session of unit 2's, of a tuple that no other test uses.

    (What the datapath has cached of a tuple that was another session's a moment ago may be followed
    once more; that is `test_a_tuple_used_again_finds_its_new_unit_in_moments`.)
    """
    orig, reply = session(next(FRESH))
    unit.tell(events.Settle(1, [], [(2, orig, reply)], []))
    yield orig, reply
    unit.tell(events.Settle(1, [orig, reply], [], []))


def flow_named(unit: UnitBridge, name: str, *, diverting: bool = True) -> Flow:
    flows = desired(unit.cluster, unit.unit, Role.PRIMARY, 1, diverting=diverting)
    return next(flow for flow in flows if flow.name == name)


def readdressed(frame: bytes, dst: bytes, src: bytes) -> bytes:
    return dst + src + frame[12:]


# -- from outside


@pytest.mark.parametrize("flags", [SYN, ACK, FIN, RST, SYN_ACK])
def test_what_is_nobodys_session_goes_to_the_kernel(unit: UnitBridge, flags: str) -> None:
    frame = frames.tcp(CLIENT_MAC, VIRTUAL[INT], session(1)[0], flags)
    assert unit.pass_through("nic1", frame) == {
        "kernel1": [readdressed(frame, PHYSICAL[INT], CLIENT_MAC)]
    }


@pytest.mark.parametrize("flags", [ACK, FIN, RST, SYN_ACK])
def test_a_session_goes_to_its_unit_both_ways(
    unit: UnitBridge, served_by: tuple[bytes, bytes], flags: str
) -> None:
    orig, reply = served_by
    there = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, flags, b"GET /")
    assert unit.pass_through("nic1", there) == {
        "nic1": [readdressed(there, LAB.unit(2).macs[0], VIRTUAL[INT])]
    }
    back = frames.tcp(SERVER_MAC, VIRTUAL[EXT], reply, flags, b"200 OK")
    assert unit.pass_through("nic2", back) == {
        "nic2": [readdressed(back, LAB.unit(2).macs[1], VIRTUAL[EXT])]
    }


def test_a_syn_goes_to_the_kernel_even_if_its_session_is_known(
    unit: UnitBridge, served_by: tuple[bytes, bytes]
) -> None:
    frame = frames.tcp(CLIENT_MAC, VIRTUAL[INT], served_by[0])
    assert set(unit.pass_through("nic1", frame)) == {"kernel1"}


def test_a_session_is_found_at_once_although_its_syn_was_seen_before(unit: UnitBridge) -> None:
    """No cached flow of the SYN, or of another session, swallows what follows the decision."""
    for number in range(20, 40):
        orig, reply = session(number)
        syn = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig)
        assert set(unit.pass_through("nic1", syn)) == {"kernel1"}
        unit.tell(events.Settle(1, [], [(2 + number % 2, orig, reply)], []))
        ack = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK)
        mac = LAB.unit(2 + number % 2).macs[0]
        assert unit.pass_through("nic1", ack) == {"nic1": [readdressed(ack, mac, VIRTUAL[INT])]}


@ONLY_FLOWS
def test_what_the_datapath_caches_of_one_session_fits_no_other(unit: UnitBridge) -> None:
    """Not even if the table has nothing that would tell them apart."""
    traced = unit.bridge.trace(
        f"in_port=1,tcp,dl_dst={frames.mac(VIRTUAL[INT])},nw_src=10.9.8.7,nw_dst=10.6.5.4,"
        "tp_src=1234,tp_dst=80,tcp_flags=ack"
    )
    (cached,) = re.findall(r"Megaflow: (\S+)", traced)
    fields = cached.split(",")
    for field in ("nw_src=10.9.8.7", "nw_dst=10.6.5.4", "tp_src=1234", "tp_dst=80"):
        assert field in fields, cached
    assert "tcp_flags=-syn" in fields, cached


def test_the_ends_of_sessions_are_exact(unit: UnitBridge) -> None:
    orig, reply = session(50)
    other, other_reply = session(51)
    unit.tell(events.Settle(1, [], [(2, orig, reply), (3, other, other_reply)], []))
    ack = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK)
    assert set(unit.pass_through("nic1", ack)) == {"nic1"}
    unit.tell(events.Settle(1, [orig, reply], [], []))

    def forgotten() -> bool:  # what the datapath has cached of a deleted flow goes within moments
        return set(unit.pass_through("nic1", ack)) == {"kernel1"}

    until(forgotten, "the session's packets go to the kernel")
    others = frames.tcp(CLIENT_MAC, VIRTUAL[INT], other, ACK)
    assert set(unit.pass_through("nic1", others)) == {"nic1"}
    back = frames.tcp(SERVER_MAC, VIRTUAL[EXT], other_reply, ACK)
    assert set(unit.pass_through("nic2", back)) == {"nic2"}


def test_a_tuple_used_again_finds_its_new_unit_in_moments(unit: UnitBridge) -> None:
    """Until then its packets go where they went before: to a kernel that has an entry for them."""
    orig, reply = session(53)
    ack = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK)
    for serving in (2, 3):
        unit.tell(events.Settle(1, [], [(serving, orig, reply)], []))
        there = {"nic1": [readdressed(ack, LAB.unit(serving).macs[0], VIRTUAL[INT])]}
        until(lambda there=there: unit.pass_through("nic1", ack) == there, "it goes to its unit")
        unit.tell(events.Settle(1, [orig, reply], [], []))
        until(lambda: set(unit.pass_through("nic1", ack)) == {"kernel1"}, "it goes to the kernel")


@ONLY_FLOWS
def test_a_session_given_to_another_unit_has_the_new_one_only(unit: UnitBridge) -> None:
    orig, reply = session(52)
    unit.tell(events.Settle(1, [], [(2, orig, reply)], []))
    unit.tell(events.Settle(1, [], [(3, orig, reply)], []))
    lines = [line for line in unit.bridge.flows("table=2") if "tp_src=40052" in line]
    assert len(lines) == 1
    assert "cookie=0x53590203000000" in lines[0]


def test_all_sessions_of_a_unit_move_by_one_flow_mod(unit: UnitBridge) -> None:
    numbers = range(60, 70)
    sessions = [session(number) for number in numbers]
    unit.tell(events.Settle(1, [], [(3, *each) for each in sessions], []))
    home = {flow.name: flow for flow in desired(unit.cluster, 1, Role.PRIMARY, 1)}
    moved = set(desired(unit.cluster, 1, Role.PRIMARY, 1, homes={3: 2})) - set(home.values())
    before = len(unit.bridge.flows())
    unit.tell(events.Install(1, tuple(moved), (), 98))
    assert len(unit.bridge.flows()) == before

    def all_moved() -> bool:
        sent = [
            unit.pass_through("nic1", frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK))["nic1"][0]
            for orig, _ in sessions
        ]
        return {frames.ethernet(frame) for frame in sent} == {(LAB.unit(2).macs[0], VIRTUAL[INT])}

    until(all_moved, "the sessions of unit 3 go to unit 2")
    unit.become(Role.PRIMARY, 1, diverting=True)


def test_sessions_that_come_home_go_to_the_kernel(unit: UnitBridge) -> None:
    orig, reply = session(71)
    unit.tell(events.Settle(1, [], [(3, orig, reply)], []))
    flows = desired(unit.cluster, 1, Role.PRIMARY, 1, homes={3: 1})
    unit.tell(events.Install(1, flows, (), 98))
    ack = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK)

    def home() -> bool:
        return unit.pass_through("nic1", ack) == {
            "kernel1": [readdressed(ack, PHYSICAL[INT], CLIENT_MAC)]
        }

    until(home, "the session goes to the kernel")
    unit.become(Role.PRIMARY, 1, diverting=True)


@ONLY_FLOWS
def test_sessions_of_one_unit_are_listed_by_cookie(unit: UnitBridge) -> None:
    orig, reply = session(72)
    unit.tell(events.Settle(1, [], [(3, orig, reply)], []))
    listed = unit.bridge.flows("cookie=0x5359020300000000/0xffffffff00000000")
    assert any("tp_src=40072" in line for line in listed)
    assert all("set_field:0x3->reg1" in line for line in listed)


def test_the_rest_of_ip_goes_to_the_kernel(unit: UnitBridge) -> None:
    for frame in (
        frames.udp(CLIENT_MAC, VIRTUAL[INT], CLIENT, SERVER),
        frames.icmp(CLIENT_MAC, VIRTUAL[INT], CLIENT, SERVER),
        frames.fragment(CLIENT_MAC, VIRTUAL[INT], CLIENT, SERVER, 0),
        frames.fragment(CLIENT_MAC, VIRTUAL[INT], CLIENT, SERVER, 8),
    ):
        assert unit.pass_through("nic1", frame) == {
            "kernel1": [readdressed(frame, PHYSICAL[INT], CLIENT_MAC)]
        }


def test_the_fragments_of_a_session_go_to_the_kernel_that_can_put_them_together(
    unit: UnitBridge,
) -> None:
    orig, reply = session(0)
    unit.tell(events.Settle(1, [], [(2, orig, reply)], []))
    for offset in (0, 8):
        frame = frames.fragment(CLIENT_MAC, VIRTUAL[INT], CLIENT, SERVER, offset)
        assert set(unit.pass_through("nic1", frame)) == {"kernel1"}


def test_broadcasts_and_multicasts_go_to_the_kernel(unit: UnitBridge) -> None:
    for address in (b"\xff" * 6, bytes.fromhex("01005e000001")):
        frame = frames.udp(CLIENT_MAC, address, CLIENT, bytes((10, 1, 0, 255)))
        assert unit.pass_through("nic1", frame) == {"kernel1": [frame]}


def test_what_is_for_somebody_else_is_dropped_and_counted(unit: UnitBridge) -> None:
    cookie = flow_named(unit, "drop_unexpected").cookie
    before = unit.bridge.packets(cookie)
    strangers = [SERVER_MAC, PHYSICAL[INT], LAB.unit(2).macs[0], VIRTUAL[EXT]]
    for address in strangers:
        frame = frames.tcp(CLIENT_MAC, address, session(1)[0], ACK)
        assert unit.pass_through("nic1", frame) == {}
    until(lambda: unit.bridge.packets(cookie) == before + len(strangers), "all are counted")


def test_ipv6_is_dropped_and_counted(unit: UnitBridge) -> None:
    cookie = flow_named(unit, "drop_ipv6").cookie
    before = unit.bridge.packets(cookie)
    assert unit.pass_through("nic1", frames.ipv6(CLIENT_MAC, VIRTUAL[INT])) == {}
    assert unit.pass_through("kernel1", frames.ipv6(PHYSICAL[INT], CLIENT_MAC)) == {}
    until(lambda: unit.bridge.packets(cookie) == before + 2, "both are counted")


# -- from the kernel and the agent


def test_a_syn_that_leaves_the_kernel_goes_to_the_agent_as_it_is(unit: UnitBridge) -> None:
    frame = frames.tcp(PHYSICAL[EXT], SERVER_MAC, session(1)[0])
    assert unit.pass_through("kernel2", frame) == {"synod": [frame]}


@pytest.mark.parametrize("flags", [ACK, SYN_ACK, RST])
def test_the_rest_leaves_as_the_cluster(unit: UnitBridge, flags: str) -> None:
    for frame in (
        frames.tcp(PHYSICAL[EXT], SERVER_MAC, session(1)[0], flags),
        frames.udp(PHYSICAL[EXT], SERVER_MAC, CLUSTER, SERVER),
    ):
        assert unit.pass_through("kernel2", frame) == {
            "nic2": [readdressed(frame, SERVER_MAC, VIRTUAL[EXT])]
        }


def test_a_syn_that_the_agent_releases_leaves_as_the_cluster(unit: UnitBridge) -> None:
    frame = frames.tcp(PHYSICAL[EXT], SERVER_MAC, session(1)[0])
    assert unit.pass_through("synod", frame) == {
        "nic2": [readdressed(frame, SERVER_MAC, VIRTUAL[EXT])]
    }


def test_a_syn_is_handed_over_by_the_interface_that_it_came_in_by(unit: UnitBridge) -> None:
    aux = LAB.unit(2).macs[0]
    frame = frames.tcp(PHYSICAL[INT], aux, session(1)[0], SYN, b"SYN data")
    assert unit.pass_through("synod", frame) == {"nic1": [readdressed(frame, aux, VIRTUAL[INT])]}


def test_an_agent_sends_as_nobody_else(unit: UnitBridge) -> None:
    for source in (CLIENT_MAC, LAB.unit(2).macs[0], VIRTUAL[INT]):
        assert unit.pass_through("synod", frames.tcp(source, SERVER_MAC, session(1)[0])) == {}


@pytest.mark.parametrize("diverting", [True, False])
def test_a_syn_that_is_to_be_seen_anew_goes_to_the_kernel(
    unit: UnitBridge, diverting: bool
) -> None:
    unit.become(Role.PRIMARY, 1, diverting=diverting)
    for index in (INT, EXT):
        frame = frames.tcp(control.ETH_SRC, PHYSICAL[index], session(1)[0])
        assert unit.pass_through("synod", frame) == {f"kernel{index}": [frame]}
    unit.become(Role.PRIMARY, 1, diverting=True)


def test_at_the_primary_nothing_waits_for_the_agent(unit: UnitBridge) -> None:
    """Its own kernel expects what its own sessions announce."""
    frame = frames.tcp(ports.helper_mac(EXT), SERVER_MAC, session(1)[0], ACK, b"227 Entering")
    assert unit.pass_through("kernel2", frame) == {
        "nic2": [readdressed(frame, SERVER_MAC, VIRTUAL[EXT])]
    }


def test_a_gateway_alone_diverts_nothing(unit: UnitBridge) -> None:
    unit.become(Role.PRIMARY, 1)
    frame = frames.tcp(PHYSICAL[EXT], SERVER_MAC, session(1)[0])

    def straight() -> bool:
        return unit.pass_through("kernel2", frame) == {
            "nic2": [readdressed(frame, SERVER_MAC, VIRTUAL[EXT])]
        }

    until(straight, "SYNs leave without the agent")
    unit.become(Role.PRIMARY, 1, diverting=True)


def test_the_agent_is_heard_by_the_app_and_by_nobody_else(unit: UnitBridge) -> None:
    assert unit.openflow
    frame = control.census_request_frame(1, 1, 5).ljust(1500, b"\0")
    assert unit.pass_through("synod", frame) == {}
    assert unit.openflow.take_packet_in() == frame
    assert unit.pass_through("nic1", frame) == {}
    assert unit.pass_through("kernel1", frame) == {}


def test_what_agents_tell_each_other_crosses_the_ha_link_and_the_app_never_hears_it(
    unit: UnitBridge,
) -> None:
    assert unit.openflow
    other = LAB.unit(2).ha_mac
    to, back = peer.Link(1, 1, ME.ha_mac, other), peer.Link(1, 2, other, ME.ha_mac)
    (told,) = peer.expected_frames(to, [peer.Answered(1, peer.Answer.EXPECTED)])
    (asked,) = peer.withdraw_frames(back, [peer.Withdrawn(*session(1), 6)])
    assert unit.pass_through("synod", told) == {"ha-nic": [told]}
    assert unit.pass_through("ha-nic", asked) == {"synod": [asked]}
    assert unit.pass_through("nic1", asked) == {}
    assert unit.pass_through("kernel1", told) == {}
    unit.openflow.barrier()
    assert unit.openflow.packet_ins == []


def test_the_app_is_heard_by_the_agent(unit: UnitBridge) -> None:
    unit.bridge.flush()
    frame = control.census_request_frame(1, 1, 5)
    unit.tell(events.Send(1, ports.SYNOD, frame))
    assert unit.bridge.take(unit.port("synod")) == [frame]


def test_the_ha_link_passes(unit: UnitBridge) -> None:
    for frame in (
        frames.udp(LAB.unit(2).ha_mac, ME.ha_mac, CLIENT, SERVER),
        frames.ipv6(LAB.unit(2).ha_mac, ME.ha_mac),
        frames.arp(1, (LAB.unit(2).ha_mac, CLIENT), (bytes(6), SERVER), b"\xff" * 6),
    ):
        assert unit.pass_through("ha-nic", frame) == {"ha": [frame]}


# -- ARP


def test_who_asks_for_the_cluster_is_answered_with_the_virtual_mac(unit: UnitBridge) -> None:
    own = bytes((10, 1, 0, 1))
    question = frames.arp(1, (CLIENT_MAC, CLIENT), (bytes(6), own), b"\xff" * 6)
    assert unit.pass_through("nic1", question) == {"kernel1": [question]}
    answer = frames.arp(2, (PHYSICAL[INT], own), (CLIENT_MAC, CLIENT), CLIENT_MAC)
    told = frames.arp(2, (VIRTUAL[INT], own), (CLIENT_MAC, CLIENT), CLIENT_MAC)
    assert unit.pass_through("kernel1", answer) == {"nic1": [told]}


def test_arp_of_another_primary_is_shown_to_the_agent_alone(unit: UnitBridge) -> None:
    own = bytes((10, 1, 0, 1))
    rival = frames.arp(1, (VIRTUAL[INT], own), (bytes(6), own), b"\xff" * 6)
    assert unit.pass_through("nic1", rival) == {"synod": [rival]}


def test_who_asks_again_by_unicast_is_heard(unit: UnitBridge) -> None:
    own = bytes((10, 1, 0, 1))
    question = frames.arp(1, (CLIENT_MAC, CLIENT), (VIRTUAL[INT], own), VIRTUAL[INT])
    assert unit.pass_through("nic1", question) == {
        "kernel1": [readdressed(question, PHYSICAL[INT], CLIENT_MAC)]
    }


def test_the_kernel_asks_as_the_cluster(unit: UnitBridge) -> None:
    question = frames.arp(1, (PHYSICAL[EXT], CLUSTER), (bytes(6), SERVER), b"\xff" * 6)
    asked = frames.arp(1, (VIRTUAL[EXT], CLUSTER), (bytes(6), SERVER), b"\xff" * 6)
    assert unit.pass_through("kernel2", question) == {"nic2": [asked]}


def test_an_answer_goes_to_the_kernel_and_a_copy_to_the_app(unit: UnitBridge) -> None:
    assert unit.openflow
    answer = frames.arp(2, (SERVER_MAC, SERVER), (VIRTUAL[EXT], CLUSTER), VIRTUAL[EXT])
    heard = frames.arp(2, (SERVER_MAC, SERVER), (PHYSICAL[EXT], CLUSTER), PHYSICAL[EXT])
    assert unit.pass_through("nic2", answer) == {"kernel2": [heard]}
    assert unit.openflow.take_packet_in() == answer


def test_a_routed_request_goes_to_the_agent_and_the_agents_to_the_app_alone(
    unit: UnitBridge,
) -> None:
    assert unit.openflow
    asker = LAB.unit(2)
    question = frames.arp(
        routed_arp.ROUTED_REQUEST,
        (asker.macs[1], CLUSTER),
        (bytes(6), SERVER),
        ME.ha_mac,
        asker.ha_mac,
    )
    sealed = question + b"a seal"
    assert unit.pass_through("ha-nic", sealed) == {"synod": [sealed]}
    told = control.ETH_DST + control.ETH_SRC + question[12:]
    assert unit.pass_through("synod", told) == {}
    assert unit.openflow.take_packet_in() == told


def test_the_agents_answer_goes_over_the_ha_link(unit: UnitBridge) -> None:
    known = (SERVER_MAC, SERVER), (PHYSICAL[EXT], CLUSTER)
    sealed = frames.arp(202, *known, LAB.unit(2).ha_mac, ME.ha_mac) + b"a seal"
    assert unit.pass_through("synod", sealed) == {"ha-nic": [sealed]}


def test_a_routed_reply_is_not_for_the_primary(unit: UnitBridge) -> None:
    cookie = flow_named(unit, "drop_routed_arp_stray").cookie
    before = unit.bridge.packets(cookie)
    reply = frames.arp(202, (SERVER_MAC, SERVER), (PHYSICAL[EXT], CLUSTER), ME.ha_mac)
    assert unit.pass_through("ha-nic", reply) == {}
    until(lambda: unit.bridge.packets(cookie) == before + 1, "it is counted")


def test_no_port_ever_sees_anothers_source(
    unit: UnitBridge, served_by: tuple[bytes, bytes]
) -> None:
    """Whatever goes in: what leaves by a NIC has that interface's virtual MAC as its source."""
    orig, reply = served_by
    macs = [CLIENT_MAC, SERVER_MAC, *PHYSICAL.values(), *VIRTUAL.values(), LAB.unit(2).macs[0]]
    macs += map(ports.helper_mac, VIRTUAL)
    for port in ("nic1", "nic2", "kernel1", "kernel2", "synod"):
        for source in macs:
            for target in (VIRTUAL[INT], VIRTUAL[EXT], CLIENT_MAC, LAB.unit(2).macs[0]):
                for frame in (
                    frames.tcp(source, target, orig, ACK),
                    frames.tcp(source, target, reply, SYN),
                ):
                    unit.bridge.put(unit.port(port), frame)
    unit.pass_through("ha", b"\xff" * 12 + b"\x88\xb6" + bytes(46))
    captured = {
        index: (unit.bridge.switch.dir / f"{unit.name}-nic{index}.pcap").read_bytes()
        for index in (1, 2)
    }
    for index, data in captured.items():
        at = 24
        while at < len(data):
            length = int.from_bytes(data[at + 8 : at + 12], "little")
            assert data[at + 22 : at + 28] == VIRTUAL[index]
            at += 16 + length
