"""What a bridge passes on of what strangers send: so much of each kind, whatever comes of others.

The switch's clock stands still, so that none of it is a question of time.
"""

from dataclasses import replace

import pytest

from agents.config import Limits
from agents.wire import control, peer
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.limits import Limit, Meter
from tests.switch import frames
from tests.switch.frames import ACK, SYN
from tests.switch.ovs import Switch
from tests.switch.units import CLIENT, CLIENT_MAC, SERVER, UnitBridge, cluster_of

RATES = Limits(arp=3, icmp=4, broadcast=5, ip=6, routed_arp=7, decisions=0)
LAB = replace(cluster_of(2), limits=RATES)
VIRTUAL = LAB.interface(1).virtual_mac
INSIDE = bytes((10, 1, 0, 1))
ALL = b"\xff" * 6
ORIG = CLIENT + SERVER + (40000).to_bytes(2, "big") + b"\0\x50"
QUESTION = frames.arp(1, (CLIENT_MAC, CLIENT), (bytes(6), INSIDE), ALL)
# Kind -> a frame of it, the port that it comes in by, that which it leaves by, and how many do.
KINDS = {
    Limit.ARP: (QUESTION, "nic1", "kernel1", RATES.arp),
    Limit.ARP_ANSWERS: (
        frames.arp(2, (CLIENT_MAC, CLIENT), (VIRTUAL, INSIDE), VIRTUAL),
        *("nic1", "kernel1", RATES.arp),
    ),
    Limit.ARP_RIVALS: (
        frames.arp(1, (VIRTUAL, INSIDE), (bytes(6), INSIDE), ALL),
        *("nic1", "synod", RATES.arp),
    ),
    Limit.ICMP: (
        frames.icmp(CLIENT_MAC, VIRTUAL, CLIENT, SERVER),
        *("nic1", "kernel1", RATES.icmp),
    ),
    Limit.BROADCAST: (
        frames.udp(CLIENT_MAC, ALL, CLIENT, SERVER),
        *("nic1", "kernel1", RATES.broadcast),
    ),
    Limit.IP: (frames.udp(CLIENT_MAC, VIRTUAL, CLIENT, SERVER), "nic1", "kernel1", RATES.ip),
    Limit.ROUTED_ARP: (
        frames.arp(
            201,
            (LAB.unit(2).macs[0], INSIDE),
            (bytes(6), CLIENT),
            LAB.unit(1).ha_mac,
            LAB.unit(2).ha_mac,
        ),
        *("ha-nic", "synod", RATES.routed_arp),
    ),
}


@pytest.fixture(scope="module")
def unit(switch: Switch) -> UnitBridge:
    made = UnitBridge(switch, LAB, 1)
    made.become(Role.PRIMARY, 1, diverting=True)
    switch.appctl("time/stop")
    return made


@pytest.fixture(autouse=True)
def _later(unit: UnitBridge) -> None:
    """Each meter may let through a second's worth."""
    unit.bridge.switch.appctl("time/warp", "2000")


@pytest.mark.parametrize("flooded", Limit)
def test_a_flood_of_one_kind_leaves_the_others_their_turn(unit: UnitBridge, flooded: Limit) -> None:
    assert unit.openflow
    frame, comes, _, rate = KINDS[flooded]
    unit.openflow.packet_ins.clear()
    unit.bridge.flush()
    before = unit.bridge.meters()
    unit.bridge.put(unit.port(comes), *[frame] * 40)
    unit.pass_through("ha", ALL + frame[6:12] + b"\x88\xb6" + bytes(46))
    number = flooded.number(0 if flooded is Limit.ROUTED_ARP else 1)
    after = unit.bridge.meters()
    assert {each for each in after if after[each][0] != before[each][0]} == {number}
    assert after[number][0] - before[number][0] == 40 - rate
    unit.openflow.barrier()
    copies = rate if flooded is Limit.ARP_ANSWERS else 0
    assert unit.openflow.packet_ins == [frame] * copies
    for kind, (other, by, to, _) in KINDS.items():
        if kind is not flooded:
            unit.openflow.packet_ins.clear()
            found = unit.pass_through(by, other)
            assert set(found) == {to}
            unit.openflow.barrier()
            assert unit.openflow.packet_ins == [other] * (kind is Limit.ARP_ANSWERS)


def test_a_second_later_there_is_more(unit: UnitBridge) -> None:
    frame, comes, leaves, rate = KINDS[Limit.ICMP]
    for _ in range(2):
        unit.bridge.flush()
        unit.bridge.put(unit.port(comes), *[frame] * 10)
        assert len(unit.bridge.take(unit.port(leaves), rate)) == rate
        unit.bridge.switch.appctl("time/warp", "1000")


def test_a_flood_on_one_network_is_none_on_another(unit: UnitBridge) -> None:
    other = LAB.interface(2).virtual_mac
    unit.bridge.put(unit.port("nic1"), *[KINDS[Limit.ICMP][0]] * 40)
    frame = frames.icmp(CLIENT_MAC, other, SERVER, CLIENT)
    assert set(unit.pass_through("nic2", frame)) == {"kernel2"}


def test_sessions_and_agents_have_no_limit(unit: UnitBridge) -> None:
    assert unit.openflow
    told = control.census_request_frame(1, 1, 5)
    (heard,) = peer.cleared_frames(peer.Link(1, 2, LAB.unit(2).ha_mac, LAB.unit(1).ha_mac), [1])
    before = unit.bridge.meters()
    for comes, leaves, frame in (
        ("nic1", "kernel1", frames.tcp(CLIENT_MAC, VIRTUAL, ORIG, SYN)),
        ("nic1", "kernel1", frames.tcp(CLIENT_MAC, VIRTUAL, ORIG, ACK)),
        ("kernel1", "synod", frames.tcp(LAB.unit(1).macs[0], CLIENT_MAC, ORIG, SYN)),
        ("ha-nic", "synod", heard),
    ):
        unit.bridge.flush()
        unit.bridge.put(unit.port(comes), *[frame] * 100)
        assert len(unit.bridge.take(unit.port(leaves), 100)) == 100
    unit.openflow.packet_ins.clear()
    unit.bridge.put(unit.port("synod"), *[told] * 100)
    for _ in range(100):
        assert unit.openflow.take_packet_in() == told
    assert [each[0] for each in unit.bridge.meters().values()] == [
        each[0] for each in before.values()
    ]


def test_meters_take_another_rate_and_go_while_others_stay(unit: UnitBridge) -> None:
    here = Limit.ICMP.number(1)
    unit.tell(events.Install(1, (), (), 97, events.Meters((Meter(250, 9),))))
    changes = events.Meters((), (Meter(here, RATES.icmp + 2),), (250,))
    unit.tell(events.Install(1, (), (), 98, changes))
    assert 250 not in unit.bridge.meters()
    frame, comes, leaves, rate = KINDS[Limit.ICMP]
    unit.bridge.flush()
    unit.bridge.put(unit.port(comes), *[frame] * 40)
    assert len(unit.bridge.take(unit.port(leaves), rate + 2)) == rate + 2
    unit.tell(events.Install(1, (), (), 99, events.Meters((), (Meter(here, rate),))))
