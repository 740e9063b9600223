"""Who hasn't got the cluster's key changes nothing, whatever he sends and wherever he has heard it.

SYNs with SYN data are put on the wire by the primary's own NIC and with its virtual MAC, so that no
switch could tell them from real ones; agents' frames on the HA link.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether

from agents import config_key
from agents.core_serving import SETTLED
from agents.wire import control, packet, peer, ports, routed_arp, seal, syndata
from agents.wire.ports import PICKUP_GROUP, PICKUP_PORT, mac_text
from tests.lab.world import World
from tests.unit.wire_frames import append_data
from topologies.observe import is_syn

GROUP, INT = 1, 1
OFTEN = 5  # times that something is sent


@pytest.fixture(autouse=True)
def _still_works(world: World) -> Iterator[None]:
    """Every one of these tests ends with the cluster doing what it is there for."""
    yield
    assert world.healthy(), world.situation()
    assert {world.connect().unit for _ in range(3)} == {1, 2, 3}


def handed_over(world: World) -> bytes:
    """A SYN of a session that unit 2 was given, as it came there; the session is over by then."""
    with world.captures("u2/nic-int", expression="tcp", direction="in") as at:
        session = world.connect_through(2)
        port = session.endpoints.sport
        (frame, *_) = at["u2/nic-int"].wait(
            1, lambda f: is_syn(f) and f["TCP"].sport == port and bytes(f["TCP"].payload)
        )
    world.client("close", id=session.id)
    world.pass_time(SETTLED)  # an entry that goes sooner is made again
    found: bytes = frame.original
    forget(world, port, 2)
    return found


def forget(world: World, port: int, *units: int) -> None:
    """These units remove what they have of a session from that port; then no unit has any."""
    for unit in units:
        end = ["conntrack", "-D", "-p", "tcp", "--orig-port-src", str(port)]
        world.lab.run(f"u{unit}", end, check=False)
    world.until(lambda: not entries(world, port), lambda: f"left: {entries(world, port)}")


def entries(world: World, port: int) -> list[object]:
    """What any unit has of sessions from that port of the client's."""
    found = (world.entry_of_port(port, unit) for unit in world.units)
    return [entry for entry in found if entry]


@contextmanager
def nothing_happens(world: World, port: int, *names: str) -> Iterator[None]:
    """What is sent in the block is counted at unit 2 under one of these names, and that is all."""
    before = world.agent_counters(2)

    def grown() -> Counter[str]:
        return world.agent_counters(2) - before

    with world.captures("u2/int", expression=f"tcp port {port}") as at:
        yield
        world.until(
            lambda: sum(grown()[name] for name in names) >= OFTEN, lambda: f"counted: {grown()}"
        )
        assert not at["u2/int"].frames(), "the auxiliary's kernel saw it"
    assert not entries(world, port)


def send(world: World, frame: bytes) -> None:
    """From the primary's NIC."""
    world.peer("u1")("raw", interface="nic-int", frames=[frame.hex()] * OFTEN)


def taken_apart(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """The client's packet, the SYN data without their seal, and that."""
    syn = packet.parse_syn(frame)
    _, length = syndata.decode(syn.payload)
    bare = packet.cut_data(syn.frame, length)
    return bare, syn.payload[-length : -seal.SIZE], syn.payload[-seal.SIZE :]


def resealed(frame: bytes, keys: seal.Keys) -> bytes:
    """The same SYN data with a seal by these keys, of the agent that was heard, and a later one."""
    bare, told, _ = taken_apart(frame)
    _, unit, epoch, counter = seal._HEAD.unpack(packet.parse_syn(frame).payload[-seal.SIZE :][:20])
    later = seal.Seal(unit, epoch, counter + 500)
    return append_data(bare, told + keys.seal(seal.SYN, later, bare[14:] + told))


def test_a_syn_that_was_heard_and_is_sent_again_makes_no_entry(world: World) -> None:
    frame = handed_over(world)
    with nothing_happens(world, _port(frame), "seal_replayed"):
        send(world, frame)


def _port(frame: bytes) -> int:
    return int.from_bytes(packet.parse_syn(frame).tuple12[8:10])


def test_a_seal_by_another_key_is_none(world: World) -> None:
    frame = handed_over(world)
    keys = seal.Keys([secrets.token_bytes(32)], GROUP)
    # Which of both depends on the hint, one byte of the key's name.
    with nothing_happens(world, _port(frame), "seal_key", "seal_tag"):
        send(world, resealed(frame, keys))


def test_another_cluster_with_the_same_key_is_another_cluster(world: World) -> None:
    frame = handed_over(world)
    keys = config_key.load(str(world.lab.config.with_name("key")))
    with nothing_happens(world, _port(frame), "seal_tag"):
        send(world, resealed(frame, seal.Keys(keys, GROUP + 1)))


def test_syn_data_are_good_for_their_own_syn_alone(world: World) -> None:
    """Of another port; with data of the client's; with another mark."""
    frame = handed_over(world)
    bare, told, made = taken_apart(frame)
    port = _port(frame) ^ 1
    moved = packet.as_client_sent(
        bare, packet.parse_syn(bare).tuple12[:8] + port.to_bytes(2) + bare[36:38]
    )
    with nothing_happens(world, port, "seal_tag"):
        send(world, append_data(moved, told + made))
    marked = told[:4] + (77).to_bytes(4) + told[8:]
    for changed in (
        append_data(bare, b"x" + told + made),
        append_data(bare, marked + made),
    ):
        with nothing_happens(world, _port(frame), "seal_tag"):
            send(world, changed)


def test_a_syn_that_was_cut_or_extended_has_no_syn_data(world: World) -> None:
    frame = handed_over(world)
    bare, told, made = taken_apart(frame)
    for changed in (told + made[:-1], told + made + b"x"):
        with nothing_happens(world, _port(frame), "syn_without_data"):
            send(world, append_data(bare, changed))
    with nothing_happens(world, _port(frame), "syndata_truncated"):
        send(world, append_data(bare, told[1:] + made))


# -- session pickup


def told_by_pickup(world: World) -> tuple[bytes, int]:
    """What a unit's conntrackd has told the others of a session that is over, and its port."""
    with world.captures("u2/ha", expression=f"udp port {PICKUP_PORT}", direction="out") as at:
        session = world.connect_through(2)
        port = session.endpoints.sport
        (frame, *_) = at["u2/ha"].wait(1, lambda f: port.to_bytes(2) in bytes(f["UDP"].payload))
    world.client("close", id=session.id)
    forget(world, port, *world.units)
    return bytes(frame["UDP"].payload), port


def refused_by_rule(world: World, unit: int) -> int:
    """Datagrams for conntrackd that came to a unit's kernel by another way than the HA link."""
    listed = world.lab.run(f"u{unit}", ["nft", "list", "chain", "inet", "synod", "local"]).stdout
    (line,) = (line for line in listed.splitlines() if 'comment "pickup"' in line)
    return int(line.split("packets ")[1].split()[0])


def test_nobody_outside_speaks_to_session_pickup(world: World) -> None:
    """It listens at every address of a unit, of the cluster's, too."""
    told, port = told_by_pickup(world)
    before = refused_by_rule(world, 1)
    for address in ("10.1.0.1", "203.0.113.1"):
        world.client("datagrams", address=address, port=PICKUP_PORT, data=[told.hex()] * OFTEN)
    world.until(
        lambda: refused_by_rule(world, 1) - before >= 2 * OFTEN,
        lambda: f"refused: {refused_by_rule(world, 1) - before}",
    )
    assert not entries(world, port)


# -- the HA link


def on_the_ha_link(world: World, *frames: bytes) -> None:
    """By unit 3's NIC."""
    world.peer("u3")("raw", interface="nic-ha", frames=[frame.hex() for frame in frames] * OFTEN)


def counted(
    world: World, name: str, before: Counter[str], times: int = OFTEN, unit: int = 2
) -> None:
    world.until(
        lambda: (world.agent_counters(unit) - before)[name] >= times,
        lambda: f"counted: {world.agent_counters(unit) - before}",
    )


def from_the_primary() -> peer.Link:
    return peer.Link(GROUP, 1, ports.ha_mac(GROUP, 1), ports.ha_mac(GROUP, 2))


def test_nobody_on_the_ha_link_speaks_to_session_pickup(world: World) -> None:
    """Neither plainly, nor in pieces, nor by what agents have said before."""
    with world.captures("u2/nic-ha", expression="ether proto 0x88b5", direction="out") as at:
        told, port = told_by_pickup(world)
        carried = at["u2/nic-ha"].wait(1, lambda f: told in f.original)
    sender = Ether(src=mac_text(ports.ha_mac(GROUP, 2)), dst="ff:ff:ff:ff:ff:ff")
    datagram = IP(src="169.254.83.2", dst="169.254.83.1") / UDP(dport=PICKUP_PORT) / told
    to_all = IP(src="169.254.83.2", dst=PICKUP_GROUP) / UDP(dport=PICKUP_PORT) / told
    pieces = fragment(datagram, fragsize=32)
    plain = [bytes(sender / each) for each in (datagram, to_all)]
    dropped = world.drops(1)
    on_the_ha_link(world, *plain, *(bytes(sender / each) for each in pieces))
    wanted = {"drop_pickup_unsealed": len(plain), "drop_ha_fragment": len(pieces)}
    world.until(
        lambda: all((world.drops(1) - dropped)[name] >= OFTEN * n for name, n in wanted.items()),
        lambda: f"dropped: {world.drops(1) - dropped}",
    )
    before = world.agent_counters(1)
    on_the_ha_link(world, carried[0].original)
    counted(world, "seal_replayed", before, unit=1)
    assert not entries(world, port)


def test_a_keepalive_that_was_heard_keeps_nobody_alive(world: World) -> None:
    with world.captures("u2/nic-ha", expression="ether proto 0x88b5", direction="in") as at:
        heard = at["u2/nic-ha"].wait(OFTEN, lambda f: f.original[15] == control.KEEPALIVE)
    before = world.agent_counters(2)
    on_the_ha_link(world, *[frame.original for frame in heard[:OFTEN]])
    counted(world, "seal_replayed", before, OFTEN * OFTEN)


def test_a_keepalive_that_was_made_up_keeps_nobody_alive(world: World) -> None:
    to_all = from_the_primary()._replace(dst=ports.ha_group(GROUP))
    bare = peer.keepalive_frame(to_all, hears_app=True)
    forger = seal.Sealer(seal.Keys([secrets.token_bytes(32)], GROUP), 1, secrets.randbits(64))
    before = world.agent_counters(2)
    on_the_ha_link(world, bare)
    counted(world, "seal_truncated", before)
    before = world.agent_counters(2)
    on_the_ha_link(world, peer.sealed(bare, forger))
    world.until(
        lambda: (
            sum((world.agent_counters(2) - before)[f"seal_{n}"] for n in ("key", "tag")) >= OFTEN
        ),
        lambda: f"counted: {world.agent_counters(2) - before}",
    )


def test_who_is_no_unit_asks_and_tells_nothing_by_routed_arp(world: World) -> None:
    """201 and 202 made up, and a 202 that was heard."""
    address = "203.0.113.77"
    world.lab.run(
        "server", ["ip", "address", "replace", f"{address}/24", "dev", world.device("server")]
    )
    with world.captures("u2/nic-ha", expression="arp", direction="in") as at:
        world.lab.run("u2", ["ping", "-c", "1", "-W", "3", "-I", "ext", address], check=False)
        (heard, *_) = at["u2/nic-ha"].wait(1, lambda f: f.original[20:22] == b"\0\xca")
    told = routed_arp.parse(heard.original)
    lie = told._replace(sha=b"\x06" * 6, spa=bytes((203, 0, 113, 66)))
    for frame, name in (
        (heard.original, "seal_replayed"),
        (routed_arp.encode(lie), "seal_truncated"),
    ):
        before = world.agent_counters(2)
        on_the_ha_link(world, frame)
        counted(world, name, before)
    assert not world.lab.run("u2", ["ip", "neigh", "show", "203.0.113.66"]).stdout
    asks = routed_arp.Arp(
        *(routed_arp.ROUTED_REQUEST, ports.physical_mac(GROUP, 2, 2), told.tpa, bytes(6)),
        *(bytes((203, 0, 113, 67)), ports.ha_mac(GROUP, 1), ports.ha_mac(GROUP, 2)),
    )
    before, asked = world.agent_counters(1), world.counters()
    on_the_ha_link(world, routed_arp.encode(asks))
    counted(world, "seal_truncated", before, unit=1)
    assert world.counters()["routed_arp_asked"] == asked["routed_arp_asked"]


def test_nobody_ends_a_session_in_the_primarys_name(world: World) -> None:
    session = world.connect_through(2)
    entry = world.entry(session.endpoints, 2)
    assert entry
    ends = session.endpoints
    orig = packet.tuple12(ends.source, ends.destination, ends.sport, ends.dport)
    told = entry.reply
    reply = packet.tuple12(told.source, told.destination, told.sport, told.dport)
    before = world.agent_counters(2)
    on_the_ha_link(world, *peer.clear_frames(from_the_primary(), [peer.Clear(7, orig, reply)]))
    counted(world, "seal_truncated", before)
    assert world.entry(session.endpoints, 2)
    assert world.client("talk", id=session.id, text="still there?") == "still there?"
    world.client("close", id=session.id)
