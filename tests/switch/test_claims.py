"""What nobody outside may send: the first table drops it by flows that have a name, on each unit;
and what units send each other passes all the same.
"""

import re
from collections import Counter
from itertools import chain

import pytest

from agents.config import Cluster, parse
from agents.wire import control, peer, ports, routed_arp
from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import Flow
from ryu_apps.core.pipeline import Passing, Table
from ryu_apps.core.rows import When
from tests.switch import frames
from tests.switch.frames import ACK, SYN
from tests.switch.ovs import Switch
from tests.switch.units import (
    CLIENT,
    CLIENT_MAC,
    CLUSTER,
    INT,
    SERVER,
    UnitBridge,
    cluster_text,
)

GIVEN = bytes.fromhex("0200deadbeef")  # unit 3's MAC of interface 1, instead of a generated one
TEXT = cluster_text(6).replace("{id: 3}", "{id: 3, interfaces: {int: {mac: 02:00:de:ad:be:ef}}}")
ORIG = CLIENT + SERVER + (40000).to_bytes(2, "big") + b"\0\x50"
INSIDE = bytes((10, 1, 0, 1))  # the cluster's address of interface 1
ALL = b"\xff" * 6


class Unit(UnitBridge):
    """A bridge of which is asked how many packets flows of a name have seen."""

    def __init__(self, switch: Switch, cluster: Cluster, unit: int) -> None:
        super().__init__(switch, cluster, unit)
        self.name_of: dict[int, str] = {}

    def become(
        self, role: Role, primary: int, *, diverting: bool = False, passing: Passing | None = None
    ) -> tuple[Flow, ...]:
        flows = super().become(role, primary, diverting=diverting, passing=passing)
        self.name_of = {flow.cookie: flow.name for flow in flows}
        return flows

    def counts(self) -> Counter[str]:
        """Packets that the flows of the first table have seen, by name."""
        self.bridge.switch.appctl("revalidator/purge")
        found: Counter[str] = Counter()
        for line in self.bridge.flows(f"table={Table.CLASSIFY}"):
            packets = int(line.partition("n_packets=")[2].partition(",")[0])
            found[self.name_of.get(int(line[7:25], 16), "")] += packets
        return found

    def drops(self, name: str, *sent: bytes, port: str = "nic1") -> None:
        """These frames are dropped, each by a flow of that name."""
        before = self.counts()
        for frame in sent:
            assert self.pass_through(port, frame) == {}
        ends = {"ha_out": len(sent)}  # the frames that mark the end
        assert self.counts() - before == {name: len(sent)} | ends


@pytest.fixture(scope="module")
def bridges(switch: Switch) -> dict[str, Unit]:
    cluster = parse(TEXT)
    made = {
        "primary": Unit(switch, cluster, 1),
        "auxiliary": Unit(switch, cluster, 2),
        "none": Unit(switch, cluster, 3),
    }
    made["primary"].become(Role.PRIMARY, 1, diverting=True)
    made["auxiliary"].become(Role.AUXILIARY, 1)
    made["none"].become(Role.NONE, 0)
    return made


@pytest.fixture(params=["primary", "auxiliary"])
def unit(bridges: dict[str, Unit], request: pytest.FixtureRequest) -> Unit:
    return bridges[request.param]


def virtual(unit: Unit, index: int = INT) -> bytes:
    return unit.cluster.interface(index).virtual_mac


def own(unit: Unit) -> bytes:
    """Where frames for this bridge are sent to: what it takes anything by."""
    role = Role.PRIMARY if unit.unit == 1 else Role.AUXILIARY
    return virtual(unit) if role is Role.PRIMARY else unit.cluster.unit(unit.unit).macs[0]


@pytest.mark.parametrize("role", ["primary", "auxiliary", "none"])
def test_agents_frames(bridges: dict[str, Unit], role: str) -> None:
    unit = bridges[role]
    here, other = unit.cluster.unit(unit.unit), unit.cluster.unit(1 + unit.unit % 3)
    (told,) = peer.cleared_frames(peer.Link(1, other.id, other.ha_mac, here.ha_mac), [1])
    census = control.census_request_frame(1, unit.unit, 5)
    alive = peer.keepalive_frame(
        peer.Link(1, other.id, other.ha_mac, ports.ha_group(1)), hears_app=True
    )
    unit.drops("drop_agents_outside", told, census, alive)
    unit.drops("drop_agents_outside", own(unit) + CLIENT_MAC + told[12:], port="nic2")


@pytest.mark.parametrize("role", ["primary", "auxiliary", "none"])
@pytest.mark.parametrize("op", [routed_arp.ROUTED_REQUEST, routed_arp.ROUTED_REPLY])
def test_routed_arp(bridges: dict[str, Unit], role: str, op: int) -> None:
    unit = bridges[role]
    here, asker = unit.cluster.unit(unit.unit), unit.cluster.unit(1 + unit.unit % 3)
    sender, target = (asker.macs[0], INSIDE), (bytes(6), CLIENT)
    unit.drops(
        "drop_routed_arp_outside",
        *(
            frames.arp(op, sender, target, eth_dst, eth_src)
            for eth_dst in (here.ha_mac, own(unit), ALL)
            for eth_src in (asker.ha_mac, virtual(unit), CLIENT_MAC)
        ),
    )


def test_a_units_mac_and_what_it_may_be_claimed_with(unit: Unit) -> None:
    claimed = [
        *unit.cluster.unit(1).macs,
        *unit.cluster.unit(2).macs,
        *unit.cluster.unit(3).macs,
        *(each.ha_mac for each in unit.cluster.units),
        virtual(unit, 2),
    ]
    assert GIVEN in claimed
    sent = [
        (
            frames.tcp(mac, own(unit), ORIG),
            frames.udp(mac, own(unit), CLIENT, SERVER),
            frames.udp(mac, ALL, CLIENT, SERVER),
            frames.arp(1, (mac, CLIENT), (bytes(6), INSIDE), ALL),
        )
        for mac in claimed
    ]
    unit.drops("drop_unit_mac", *chain.from_iterable(sent))


def test_the_virtual_mac_at_the_primary(bridges: dict[str, Unit]) -> None:
    unit = bridges["primary"]
    for target in (virtual(unit), unit.cluster.unit(1).macs[0], ALL):
        unit.drops(
            "drop_unit_mac",
            frames.tcp(virtual(unit), target, ORIG),
            frames.udp(virtual(unit), target, CLIENT, SERVER),
        )


def test_the_virtual_mac_at_an_auxiliary(bridges: dict[str, Unit]) -> None:
    """What the primary sends to others is no attack: a switch floods it, or it is for all."""
    unit = bridges["auxiliary"]
    unit.drops(
        "drop_of_primary",
        frames.tcp(virtual(unit), CLIENT_MAC, ORIG, ACK),
        frames.tcp(virtual(unit), unit.cluster.unit(3).macs[0], ORIG),
        frames.arp(1, (virtual(unit), INSIDE), (bytes(6), INSIDE), ALL),
    )
    for flags in (SYN, ACK):
        handed = frames.tcp(virtual(unit), own(unit), ORIG, flags)
        port = "synod" if flags == SYN else "kernel1"
        assert unit.pass_through("nic1", handed) == {port: [handed]}


def test_an_address_of_the_cluster(unit: Unit) -> None:
    for address in (INSIDE, CLUSTER):  # that of the other interface, too
        tuple12 = address + ORIG[4:]
        unit.drops(
            "drop_cluster_address",
            frames.tcp(CLIENT_MAC, own(unit), tuple12),
            frames.udp(CLIENT_MAC, own(unit), address, SERVER),
            frames.icmp(CLIENT_MAC, own(unit), address, SERVER),
        )
        unit.drops(
            "drop_cluster_arp",
            frames.arp(1, (CLIENT_MAC, address), (bytes(6), CLIENT), ALL),
            frames.arp(2, (CLIENT_MAC, address), (virtual(unit), INSIDE), own(unit)),
        )


def test_packets_of_sessions_are_cached_whatever_they_claim(bridges: dict[str, Unit]) -> None:
    """Their source isn't looked at, or each source would have a cached flow of its own. What no
    unit serves goes to the primary's kernel, which has no entry of it.
    """
    unit = bridges["primary"]
    for mac, orig in ((virtual(unit), ORIG), (CLIENT_MAC, CLUSTER + ORIG[4:])):
        claims = frames.tcp(mac, virtual(unit), orig, ACK)
        assert set(unit.pass_through("nic1", claims)) == {"kernel1"}
    traced = unit.bridge.trace(
        f"in_port=1,tcp,dl_src={CLIENT_MAC.hex(':')},dl_dst={virtual(unit).hex(':')},"
        "nw_src=10.9.8.7,nw_dst=10.6.5.4,tp_src=1234,tp_dst=80,tcp_flags=ack"
    )
    (cached,) = re.findall(r"Megaflow: (\S+)", traced)
    assert "dl_src" not in cached


def test_what_is_like_it_passes(bridges: dict[str, Unit]) -> None:
    """Of hosts with addresses close by, and of the unit's own kernel."""
    unit = bridges["primary"]
    close = bytes((10, 1, 0, 2))
    for mac in (CLIENT_MAC, ports.physical_mac(2, 1, 1), ports.helper_mac(1)):
        frame = frames.udp(mac, virtual(unit), close, SERVER)
        assert set(unit.pass_through("nic1", frame)) == {"kernel1"}
    probe = frames.arp(1, (CLIENT_MAC, bytes(4)), (bytes(6), INSIDE), ALL)  # RFC 5227, 2.1.1
    assert set(unit.pass_through("nic1", probe)) == {"kernel1"}
    answer = frames.udp(unit.cluster.unit(1).macs[0], CLIENT_MAC, INSIDE, CLIENT)
    assert set(unit.pass_through("kernel1", answer)) == {"nic1"}


def test_while_the_role_passes_the_heir_takes_what_one_unit_sends(switch: Switch) -> None:
    cluster = parse(TEXT)
    unit = Unit(switch, cluster, 4)
    here, old, third = (cluster.unit(each) for each in (4, 5, 3))
    for role in (Role.AUXILIARY, Role.PRIMARY):
        unit.become(role, 4, passing=Passing(When.SUCCEEDING, 5))
        for flags in (SYN, ACK):
            passed = frames.tcp(old.macs[0], here.macs[0], ORIG, flags)
            assert unit.pass_through("nic1", passed) == {"kernel1": [passed]}
        unit.drops(
            "drop_unit_mac",
            frames.tcp(third.macs[0], here.macs[0], ORIG),
            frames.tcp(old.macs[0], virtual(unit), ORIG),
            frames.arp(1, (old.macs[0], CLIENT), (bytes(6), INSIDE), here.macs[0]),
        )
    unit.become(Role.PRIMARY, 4)
    unit.drops("drop_unit_mac", frames.tcp(old.macs[0], here.macs[0], ORIG))


def test_who_steps_back_passes_on_nothing_of_the_kind(switch: Switch) -> None:
    cluster = parse(TEXT)
    unit = Unit(switch, cluster, 5)
    unit.become(Role.AUXILIARY, 4, passing=Passing(When.YIELDING, 4))
    unit.drops("drop_unit_mac", frames.tcp(cluster.unit(3).macs[0], virtual(unit), ORIG))
    claims = frames.tcp(CLIENT_MAC, virtual(unit), CLUSTER + ORIG[4:])
    unit.drops("drop_cluster_address", claims)
    still = frames.tcp(CLIENT_MAC, virtual(unit), ORIG, ACK)
    assert set(unit.pass_through("nic1", still)) == {"nic1"}
