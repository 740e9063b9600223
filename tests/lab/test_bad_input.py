"""Whatever comes in, nothing stops: it is dropped for a reason that has a name, and counted.

Frames are put where an attacker, a broken switch or a broken unit could put them: on the wires, on
the HA link, on the port between bridge and agent. Afterwards the cluster must do all that it did
before.
"""

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from agents.wire import control, ports, routed_arp, seal, syndata
from tests.lab.world import CLIENT, OUTSIDE, PORT, SERVER, World

GROUP, INT = 1, 1
VIRTUAL = ports.mac_text(ports.virtual_mac(GROUP, INT))


def physical(unit: int, index: int = INT) -> str:
    return ports.mac_text(ports.physical_mac(GROUP, unit, index))


def ha_mac(unit: int) -> str:
    return ports.mac_text(ports.ha_mac(GROUP, unit))


@pytest.fixture(autouse=True)
def _still_works(world: World) -> Iterator[None]:
    """Every one of these tests ends with the cluster doing what it is there for."""
    yield
    assert world.healthy(), world.situation()
    assert {world.connect().unit for _ in range(3)} == {1, 2, 3}
    assert set(world.client("sessions", address=SERVER, port=PORT, count=30)) == {"ok"}


def good_data(unit: int = 2) -> bytes:
    reply = bytes([203, 0, 113, 10, 203, 0, 113, 1]) + struct.pack("!HH", PORT, 30000)
    told = syndata.SynData(
        unit=unit, primary=1, interface=INT, mark=0, labels=bytes(16), reply=reply
    )
    return syndata.encode(told) + bytes(seal.SIZE)


def handed_over(data: bytes, sport: int = 31000, unit: int = 2) -> str:
    """A SYN from the primary's virtual MAC to an auxiliary, with these bytes behind it."""
    frame = (
        Ether(src=VIRTUAL, dst=physical(unit))
        / IP(src=CLIENT, dst=SERVER)
        / TCP(sport=sport, dport=PORT, flags="S", seq=7)
        / Raw(data)
    )
    return bytes(frame).hex()


GARBLED = {
    "syndata_absent": b"no data of ours",
    "syndata_version": good_data()[:-42] + b"\x63" + good_data()[-41:],
    "syndata_length": struct.pack("!HBB4s", 3, syndata.VERSION, 0, syndata.MAGIC) + bytes(36),
    "syndata_truncated": good_data()[9:],
    "syndata_value": b"\xff" + good_data()[1:],
    "other_unit": good_data(unit=3),
    "seal_key": good_data(),  # of no key at all
}


# What else it may be called: that depends on the kernel's entries, and on the lab's key.
_ALSO = {"syndata_absent": "syn_without_data", "seal_key": "seal_tag"}


@pytest.mark.parametrize("reason", GARBLED)
def test_garbled_syn_data_is_dropped_by_its_name(world: World, reason: str) -> None:
    before = world.agent_counters(2)
    with world.captures("u2/int", expression="tcp") as at:
        # From the primary's NIC, as a real one.
        frames = [handed_over(GARBLED[reason], 31000 + number) for number in range(5)]
        world.peer("u1")("raw", interface="nic-int", frames=frames)
        names = {reason, _ALSO.get(reason, reason)}
        world.until(
            lambda: sum((world.agent_counters(2) - before)[name] for name in names) >= 5,
            lambda: f"counted: {world.agent_counters(2) - before}",
        )
        assert not at["u2/int"].frames(), "the auxiliary's kernel saw it"


def test_a_syn_cut_short_or_far_too_long(world: World) -> None:
    # A port of its own: the long one is in order but for its size, and its seal.
    whole = bytes.fromhex(handed_over(good_data(), 32000))
    short = [whole[:length].hex() for length in range(15, len(whole), 7)]
    long = handed_over(bytes(1370) + good_data(), 32000)
    world.peer("u1")("raw", interface="nic-int", frames=[*short, *[long] * 3])
    assert not [
        entry for entry in (world.entry_of_port(32000, unit) for unit in (1, 2, 3)) if entry
    ]


def test_random_bytes_everywhere(world: World) -> None:
    """Reproducible noise behind headers that get it as far in as possible."""
    noise = random.Random(20120813)
    bodies = [noise.randbytes(noise.randrange(0, 200)) for _ in range(150)]
    syns = [handed_over(body + syndata.MAGIC + bytes(seal.SIZE)) for body in bodies]
    world.peer("u1")("raw", interface="nic-int", frames=syns)
    head = (control.ETH_DST + control.ETH_SRC + control.ETHERTYPE.to_bytes(2, "big")).hex()
    world.peer("u1")("raw", interface="synod0", frames=[head + body.hex() for body in bodies])
    world.peer("u2")("raw", interface="synod0", frames=[head + body.hex() for body in bodies])
    arps = [f"{'ff' * 6}{'02' * 6}0806{body.hex()}" for body in bodies]
    world.client("raw", interface=world.device("client"), frames=arps)
    world.peer("u2")("raw", interface="nic-ha", frames=arps)


def control_frame(
    kind: int,
    body: bytes,
    *,
    version: int = control.VERSION,
    group: int = GROUP,
    unit: int = 1,
    count: int | None = None,
) -> str:
    header = control.HEADER.pack(
        control.ETH_DST,
        control.ETH_SRC,
        control.ETHERTYPE,
        version,
        kind,
        group,
        unit,
        len(body) if count is None else count,
        0,
        0,
    )
    return (header + body).hex()


# What the app makes of frames from an agent's port: its name -> the frame.
TO_APP = {
    "control_version": control_frame(control.ANNOUNCE, b"\x80", version=99),
    "control_kind": control_frame(77, b""),
    "control_truncated": control_frame(control.OFFER, bytes(10), count=1000),
    "control_body": control_frame(control.ANNOUNCE, b"\xc1 not msgpack"),
    "control_field": control_frame(control.ANNOUNCE, msgpack.packb({"unit": "one", "more": []})),
    "control_direction": control_frame(control.FORGET, bytes(24), count=1),
    "unit_mismatch": control_frame(control.ENDED, bytes(24), unit=3, count=1),
    "group_mismatch": control_frame(control.ENDED, bytes(24), group=9, count=1),
}


@pytest.mark.parametrize("reason", TO_APP)
def test_an_agents_bad_frame_is_dropped_by_its_name(world: World, reason: str) -> None:
    before = world.counters()
    world.peer("u1")("raw", interface="synod0", frames=[TO_APP[reason]] * 5)
    world.until(
        lambda: (world.counters() - before)[reason] >= 5,
        lambda: f"counted: {world.counters() - before}",
    )


def test_an_auxiliarys_offer_is_none(world: World) -> None:
    before = world.counters()
    offer = control.OFFER_FORMAT.pack(1, 0, 1, 2, 0, bytes(12), bytes(12))
    frame = control_frame(control.OFFER, offer, unit=2, count=1)
    world.peer("u2")("raw", interface="synod0", frames=[frame] * 3)
    world.until(lambda: (world.counters() - before)["offer_not_primary"] >= 3, "not counted")


# What an agent makes of frames that its bridge brings, as if from the app.
TO_AGENT = {
    "control_version": control_frame(control.STATE, b"\x80", version=99),
    "control_kind": control_frame(77, b""),
    "control_body": control_frame(control.STATE, b"\xc1 not msgpack"),
    "control_truncated": control_frame(control.DECIDED, bytes(3), count=200),
    "decided_unknown": control_frame(
        control.DECIDED, control.DECIDED_FORMAT.pack(0xFFFFFFF0, 2), count=1
    ),
    "forget_unknown": control_frame(control.FORGET, bytes([9] * 24), count=1),
}


@pytest.mark.parametrize("reason", TO_AGENT)
def test_an_apps_bad_frame_is_dropped_by_its_name(world: World, reason: str) -> None:
    before = world.agent_counters(1)
    for _ in range(3):
        packet = f"in_port=controller packet={TO_AGENT[reason]} actions=output:{ports.SYNOD}"
        world.lab.run("u1", ["ovs-ofctl", "packet-out", "br-synod", packet])
    world.until(
        lambda: (world.agent_counters(1) - before)[reason] >= 3,
        lambda: f"counted: {world.agent_counters(1) - before}",
    )


def test_agents_frames_from_outside_go_nowhere(world: World) -> None:
    before = world.counters()
    dropped = world.drops(1)
    frames = [TO_APP[reason] for reason in TO_APP]
    with world.captures("u1/synod0") as at:
        world.client("raw", interface=world.device("client"), frames=frames * 3)
        world.until(
            lambda: sum((world.drops(1) - dropped).values()) >= 3 * len(frames),
            lambda: f"dropped: {world.drops(1) - dropped}",
        )
        injected = {bytes.fromhex(frame) for frame in frames}
        assert not injected & {frame.original for frame in at["u1/synod0"].frames()}
    assert not set(world.counters() - before) & set(TO_APP)


def routed(unit: int, **fields: Any) -> str:
    values: dict[str, Any] = {
        "op": routed_arp.ROUTED_REQUEST,
        "hwsrc": physical(unit),
        "psrc": "10.1.0.1",
        "hwdst": "00:00:00:00:00:00",
        "pdst": "10.1.0.99",
    } | fields
    ends = {"src": ports.mac_text(control.ETH_SRC), "dst": ports.mac_text(control.ETH_DST)}
    return bytes(Ether(**ends) / ARP(**values)).hex()


ROUTED = {
    "routed_arp_stranger": routed(2, hwsrc="06:99:99:99:99:99"),
    "routed_arp_own_address": routed(2, pdst="10.1.0.1"),
}


@pytest.mark.parametrize("reason", ROUTED)
def test_a_bad_routed_request_is_dropped_by_its_name(world: World, reason: str) -> None:
    """What the primary's agent tells the app."""
    before = world.counters()
    world.peer("u1")("raw", interface="synod0", frames=[ROUTED[reason]] * 5)
    world.until(
        lambda: (world.counters() - before)[reason] >= 5,
        lambda: f"counted: {world.counters() - before}",
    )


def test_a_flood_of_arp_from_outside_changes_nothing(world: World) -> None:
    lies = [
        bytes(
            Ether(src=world.mac("client"), dst=VIRTUAL)
            / ARP(op=2, hwsrc=world.mac("client"), psrc=f"10.1.0.{n}", pdst="10.1.0.1")
        ).hex()
        for n in range(100, 250)
    ]
    world.client("raw", interface=world.device("client"), frames=lies)
    assert world.connect().seen.startswith(OUTSIDE)


def test_every_name_is_one_that_the_project_has(world: World) -> None:
    """A counter's name never comes from what was sent."""
    known: Callable[[str], bool] = lambda name: name.isidentifier() and name.islower()  # noqa: E731
    names = Counter(world.counters()) + world.agent_counters(1) + world.agent_counters(2)
    assert all(known(name) for name in names)
