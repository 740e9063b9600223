"""Whatever comes in, nothing stops: it is dropped for a reason that has a name, and counted.

Frames are put where an attacker, a broken switch or a broken unit could put them: on the wires, on
the HA link, on the port between bridge and agent. Afterwards the cluster must do all that it did
before.
"""

import json
import random
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from agents.outcomes import Outcome
from agents.wire import control, ports, routed_arp, seal, syndata
from ryu_apps.core.cluster import State
from tests.lab.world import CLIENT, OUTSIDE, PORT, ROOT, SERVER, World

GROUP, INT = 1, 1
# All that the app may count: the words that stand in its source.
WORDS_OF_THE_APP = {f"unit_{state}" for state in State}.union(
    *(
        re.findall(r'"(\w+)"', path.read_text())
        for folder in ("agents", "ryu_apps")
        for path in (ROOT / folder).rglob("*.py")
    )
)
VIRTUAL = ports.mac_text(ports.virtual_mac(GROUP, INT))


def physical(unit: int, index: int = INT) -> str:
    return ports.mac_text(ports.physical_mac(GROUP, unit, index))


def ha_mac(unit: int) -> str:
    return ports.mac_text(ports.ha_mac(GROUP, unit))


@contextmanager
def counted(world: World, now: Callable[[], Counter[str]], by: int, *names: str) -> Iterator[None]:
    """What is done in the block must be counted, so many times, by one of these names."""
    before = now()
    yield
    world.until(
        lambda: sum((now() - before)[name] for name in names) >= by,
        lambda: f"counted: {now() - before}",
    )


@pytest.fixture(autouse=True)
def _still_works(world: World) -> Iterator[None]:
    """Every one of these tests ends with the cluster doing what it is there for."""
    yield
    assert world.healthy(), world.situation()
    assert {world.connect().unit for _ in range(3)} == {1, 2, 3}
    assert set(world.client("sessions", address=SERVER, port=PORT, count=30)) == {"ok"}
    # A counter's name never comes from what was sent.
    of_units = {name for unit in world.units for name in world.agent_counters(unit)}
    assert of_units - set(Outcome) == set()
    assert set(world.counters()) - WORDS_OF_THE_APP == set()


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
    # From the primary's NIC, as a real one.
    frames = [handed_over(GARBLED[reason], 31000 + number) for number in range(5)]
    names = {reason, _ALSO.get(reason, reason)}
    with world.captures("u2/int", expression="tcp") as at:
        with counted(world, lambda: world.agent_counters(2), len(frames), *names):
            world.peer("u1")("raw", interface="nic-int", frames=frames)
        assert not at["u2/int"].frames(), "the auxiliary's kernel saw it"


def test_a_syn_cut_short_or_far_too_long(world: World) -> None:
    # A port of its own: the long one is in order but for its size, and its seal.
    whole = bytes.fromhex(handed_over(good_data(), 32000))
    short = [whole[:length].hex() for length in range(15, len(whole), 7)]
    long = [handed_over(bytes(1370) + good_data(), 32000)] * 3
    # The agent counts the long ones; by then, the kernel has had the short ones.
    with counted(world, lambda: world.agent_counters(2), len(long), "seal_key", "seal_tag"):
        world.peer("u1")("raw", interface="nic-int", frames=[*short, *long])
    assert not [
        entry for entry in (world.entry_of_port(32000, unit) for unit in (1, 2, 3)) if entry
    ]


def test_random_bytes_everywhere(world: World) -> None:
    """Reproducible noise behind headers that get it as far in as possible."""
    noise = random.Random(20120813)
    bodies = [noise.randbytes(noise.randrange(0, 200)) for _ in range(150)]
    syns = [handed_over(body + syndata.MAGIC + bytes(seal.SIZE)) for body in bodies]
    names = ("syndata_version", "syn_without_data")
    with counted(world, lambda: world.agent_counters(2), len(syns), *names):
        world.peer("u1")("raw", interface="nic-int", frames=syns)
    head = (control.ETH_DST + control.ETH_SRC + control.ETHERTYPE.to_bytes(2, "big")).hex()
    frames = [head + body.hex() for body in bodies]
    for host in ("u1", "u2"):
        with counted(world, world.counters, len(frames), *TO_APP):
            world.peer(host)("raw", interface="synod0", frames=frames)
    arps = [f"{'ff' * 6}{'02' * 6}0806{body.hex()}" for body in bodies]
    world.peer("u2")("raw", interface="nic-ha", frames=arps)
    arrives = sum(len(body) > 9 for body in bodies)  # those that are hardly a header don't
    with counted(world, lambda: world.drops(2), arrives, "drop_arp_outside"):
        world.client("raw", interface=world.device("client"), frames=arps)


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
    with counted(world, world.counters, 5, reason):
        world.peer("u1")("raw", interface="synod0", frames=[TO_APP[reason]] * 5)


def test_an_auxiliarys_offer_is_none(world: World) -> None:
    offer = control.OFFER_FORMAT.pack(1, 0, 1, 2, 0, bytes(12), bytes(12))
    frame = control_frame(control.OFFER, offer, unit=2, count=1)
    with counted(world, world.counters, 3, "offer_not_primary"):
        world.peer("u2")("raw", interface="synod0", frames=[frame] * 3)


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
    packet = f"in_port=controller packet={TO_AGENT[reason]} actions=output:{ports.SYNOD}"
    with counted(world, lambda: world.agent_counters(1), 3, reason):
        for _ in range(3):
            world.lab.run("u1", ["ovs-ofctl", "packet-out", "br-synod", packet])


def test_agents_frames_from_outside_go_nowhere(world: World) -> None:
    before = world.counters()
    frames = [TO_APP[reason] for reason in TO_APP]
    with world.captures("u1/synod0") as at:
        with counted(world, lambda: world.drops(1), 3 * len(frames), "drop_agents_outside"):
            world.client("raw", interface=world.device("client"), frames=frames * 3)
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
    with counted(world, world.counters, 5, reason):
        world.peer("u1")("raw", interface="synod0", frames=[ROUTED[reason]] * 5)


def neighbours(world: World) -> set[tuple[int, str]]:
    """Whom the units' kernels know, by unit."""
    argv = ["ip", "-j", "neigh", "show", "dev", "int"]
    return {
        (unit, row["dst"])
        for unit in world.units
        for row in json.loads(world.lab.run(f"u{unit}", argv).stdout)
    }


def test_a_flood_of_arp_from_outside_changes_nothing(world: World) -> None:
    """Answers that nobody has asked for: the app sees them, and no kernel believes them."""
    lies = [
        bytes(
            Ether(src=world.mac("client"), dst=VIRTUAL)
            / ARP(op=2, hwsrc=world.mac("client"), psrc=f"10.1.0.{n}", pdst="10.1.0.1")
        ).hex()
        for n in range(100, 250)
    ]
    before = neighbours(world)
    with counted(world, world.counters, len(lies), "arp_reply_seen"):
        world.client("raw", interface=world.device("client"), frames=lies)
    lied = {(unit, f"10.1.0.{n}") for unit in world.units for n in range(100, 250)}
    assert (neighbours(world) - before) & lied == set()
    assert world.connect().seen.startswith(OUTSIDE)
