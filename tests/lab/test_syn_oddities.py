"""SYNs that a single gateway takes in its stride, and so must the cluster, through every unit."""

import struct
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from agents.core_serving import SETTLED
from agents.wire import ports, syndata
from tests.lab.conftest import TIMEOUTS
from tests.lab.world import CLIENT, OUTSIDE, PORT, SERVER, PeerError, World
from topologies.observe import Capture, Endpoints, is_syn, payload, switch_sessions

VIRTUAL = ports.mac_text(ports.virtual_mac(1, 1))
SECOND_SERVER = "203.0.113.11"


@pytest.fixture(autouse=True)
def _quiet_client(world: World) -> Iterator[None]:
    """The client's kernel knows nothing of the SYNs made here, and must not reset them."""
    script = (
        "table ip quiet { chain o { type filter hook output priority 0; tcp flags rst drop; }; }"
    )
    world.lab.run("client", ["nft", script])
    yield
    world.lab.run("client", ["nft", "delete table ip quiet"])


def syn(
    world: World, sport: int, seq: int = 1000, *, flags: str = "S", data: bytes = b"", **fields: Any
) -> Packet:
    """A SYN as the client would send it to the server, its checksums computed."""
    target = fields.pop("address", SERVER)
    frame = (
        Ether(src=world.mac("client"), dst=VIRTUAL)
        / IP(src=CLIENT, dst=target, id=sport, flags="DF")
        / TCP(sport=sport, dport=PORT, seq=seq, flags=flags, window=64240, **fields)
    )
    return Ether(bytes(frame / Raw(data) if data else frame))


def answers(world: World, *frames: Packet, timeout: float = 5) -> list[Packet | None]:
    """Sends SYNs all at once; the answer to each, by its ports, or None."""
    patterns = [
        bytes(map(int, frame[IP].dst.split("."))).hex()
        + bytes(map(int, frame[IP].src.split("."))).hex()
        + struct.pack("!HH", frame[TCP].dport, frame[TCP].sport).hex()
        for frame in frames
    ]
    found = world.client(
        "exchange",
        interface=world.device("client"),
        frames=[bytes(frame).hex() for frame in frames],
        patterns=patterns,
        timeout=timeout,
    )
    return [Ether(bytes.fromhex(text)) if text else None for text in found]


def assert_accepted(sent: Packet, answer: Packet | None) -> None:
    assert answer is not None, "no answer"
    assert str(answer[TCP].flags).startswith("SA")
    assert answer[TCP].ack == sent[TCP].seq + 1 + len(payload(Ether(bytes(sent))))


def at_server(capture: Capture, count: int) -> list[Packet]:
    """The SYNs that reached the server."""
    return capture.wait(count, lambda frame: is_syn(frame) and frame[IP].src == OUTSIDE)


def unit_of(world: World, sport: int, address: str = SERVER) -> int:
    session = Endpoints(CLIENT, sport, address, PORT)
    return int(world.until(lambda: world.entry(session), "no label").unit)


def test_a_retransmitted_syn_goes_the_same_way(world: World) -> None:
    """The server is silent at first; the client's kernel asks again after a second."""
    world.peer("server")  # before it falls silent
    before = world.served()
    place = f"server/{world.device('server')}"
    with ThreadPoolExecutor(3) as pool, world.captures(place, expression="tcp") as captures:
        with world.silenced("server"):
            peers = [world.another_peer("client") for _ in range(3)]
            jobs = [
                pool.submit(peer, "connect", address=SERVER, port=PORT, timeout=20)
                for peer in peers
            ]
            at_server(captures[place], 6)
        opened = [job.result() for job in jobs]
    gained = world.served() - before
    assert gained == {1: 1, 2: 1, 3: 1}
    seen = Counter(frame[TCP].sport for frame in at_server(captures[place], 6))
    assert set(seen) == {answer["port"] for answer in opened}
    sources = {(frame[TCP].sport, frame[Ether].src) for frame in at_server(captures[place], 6)}
    assert len(sources) == 3, "a session's SYNs left from more than one unit"


@pytest.mark.usefixtures("_nothing_left")
def test_a_duplicate_syn_is_one_session(world: World) -> None:
    before = world.served()
    for sport in (21001, 21002, 21003):
        frame = syn(world, sport)
        (answer, again) = answers(world, frame, frame)
        assert_accepted(frame, answer)
        assert_accepted(frame, again)
    assert world.served() - before == {1: 1, 2: 1, 3: 1}
    assert len(switch_sessions(world.lab, 1)) == 4


def test_one_port_to_two_servers_at_once(world: World) -> None:
    world.lab.run(
        "server", ["ip", "address", "replace", f"{SECOND_SERVER}/24", "dev", world.device("server")]
    )
    for sport in range(22000, 22006):
        first = syn(world, sport)
        second = syn(world, sport, seq=2000, address=SECOND_SERVER)
        for sent, answer in zip((first, second), answers(world, first, second), strict=True):
            assert_accepted(sent, answer)
        assert unit_of(world, sport) != unit_of(world, sport, SECOND_SERVER)


def test_two_clients_with_one_port_are_told_apart(world: World) -> None:
    """Translated to one address, the second needs another port; only the primary may choose."""
    world.lab.run(
        "client", ["ip", "address", "replace", "10.1.0.11/24", "dev", world.device("client")]
    )
    for sport in range(23000, 23006):
        seen = {
            world.client("connect", address=SERVER, port=PORT, sport=sport, source=source)["seen"]
            for source in (CLIENT, "10.1.0.11")
        }
        assert len(seen) == 2


@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("unit", [1, pytest.param(2, marks=pytest.mark.both_tables)])
def test_a_port_is_used_again_within_time_wait(world: World, unit: int) -> None:
    """The server closes first, so the client may use its port at once; time after time.

    The units' entries are in TIME_WAIT when the next SYN comes, or just run out. Others hold the
    session each time, and say whose it is: while there is an entry, who served the one before.
    """
    session = world.connect_through(unit)
    assert world.client("talk", id=session.id, text="first") == "first"
    sport = session.endpoints.sport
    opened = {"id": session.id, "seen": session.seen}
    world.pass_time(SETTLED)  # from then on its end is told as soon as its entry goes
    for pause in (0, 0, 1, 2.9, 3, 3.2):
        world.server("close", id=world.server("clients")[opened["seen"]])
        assert world.client("read", id=opened["id"]) == ""
        closes = time.monotonic()
        world.client("close", id=opened["id"])
        world.pass_time(pause)
        opened = world.until(lambda: reopened(world, sport), "the client's own port is not free")
        closed_for = time.monotonic() - closes
        assert world.client("talk", id=opened["id"], text=f"after {pause}") == f"after {pause}"
        served = world.until(lambda: told(world, sport), "not every unit says who serves it")
        assert served == unit or closed_for > TIMEOUTS["time_wait"] - 1
    world.client("close", id=opened["id"])
    world.until_gone(20)


def told(world: World, sport: int) -> int:
    """Who serves the session of that port, once the entries on all units say so, and the same."""
    entries = [world.entry_of_port(sport, unit) for unit in world.units]
    found = {entry.unit if entry else 0 for entry in entries}
    return found.pop() if len(found) == 1 else 0


def reopened(world: World, sport: int) -> dict[str, Any] | None:
    """A session from that port; None while the client's kernel waits for its last ACK."""
    try:
        opened: dict[str, Any] = world.client("connect", address=SERVER, port=PORT, sport=sport)
    except PeerError as error:
        if error.name == "EADDRNOTAVAIL":
            return None
        raise
    return opened


def test_ecn_is_negotiated_end_to_end(world: World) -> None:
    for host in ("client", "server"):
        world.lab.run(host, ["sysctl", "-q", "-w", "net.ipv4.tcp_ecn=1"])
    try:
        place = f"server/{world.device('server')}"
        with world.captures(place, expression="tcp") as captures:
            assert {world.connect().unit for _ in range(3)} == {1, 2, 3}
            for frame in at_server(captures[place], 3):
                assert str(frame[TCP].flags) == "SEC"
            accepted = captures[place].wait(3, lambda frame: str(frame[TCP].flags).startswith("SA"))
            assert {str(frame[TCP].flags) for frame in accepted} == {"SAE"}
    finally:
        for host in ("client", "server"):
            world.lab.run(host, ["sysctl", "-q", "-w", "net.ipv4.tcp_ecn=2"])


def test_forty_bytes_of_options_arrive_as_they_were(world: World) -> None:
    options = [
        ("MSS", 1460),
        ("SAckOK", b""),
        ("Timestamp", (12345, 0)),
        ("NOP", None),
        ("WScale", 7),
        (253, bytes(range(18))),
    ]
    place = f"server/{world.device('server')}"
    with world.captures(place, expression="tcp") as captures:
        sent = [syn(world, sport, options=options) for sport in (24001, 24002, 24003)]
        assert {frame[TCP].dataofs for frame in sent} == {15}
        for frame, answer in zip(sent, answers(world, *sent), strict=True):
            assert_accepted(frame, answer)
        for frame in at_server(captures[place], 3):
            assert frame[TCP].options == sent[0][TCP].options
            assert not payload(frame)
    assert {unit_of(world, sport) for sport in (24001, 24002, 24003)} == {1, 2, 3}


def test_fast_open_data_arrives_in_the_syn(world: World) -> None:
    # client | server | no cookie needed to send | none needed to accept (ip-sysctl.rst)
    for host in ("client", "server"):
        world.lab.run(host, ["sysctl", "-q", "-w", f"net.ipv4.tcp_fastopen={1 | 2 | 4 | 0x400}"])
    world.server("serve", port=8001, fastopen=True)
    place = f"server/{world.device('server')}"
    with world.captures(place, expression="tcp") as captures:
        for number in range(3):
            opened = world.client("fastopen", address=SERVER, port=8001, data=f"early {number}\n")
            assert world.client("talk", id=opened["id"], text="later") == f"early {number}"
        early = {payload(frame) for frame in at_server(captures[place], 3)}
    assert early == {b"early 0\n", b"early 1\n", b"early 2\n"}


@pytest.mark.usefixtures("_nothing_left")
def test_a_syn_too_large_for_the_data_is_served_by_the_primary(world: World) -> None:
    before = world.agent_counters(1)
    size = 1500 - 40
    sent = [syn(world, sport, data=bytes(size)) for sport in (25001, 25002, 25003)]
    for answer in answers(world, *sent):
        assert answer is not None
        assert str(answer[TCP].flags).startswith("SA")
    assert {unit_of(world, sport) for sport in (25001, 25002, 25003)} == {1}
    assert not switch_sessions(world.lab, 1)
    world.until(
        lambda: (world.agent_counters(1) - before)["released_too_large"] >= len(sent),
        lambda: f"counted: {world.agent_counters(1) - before}",
    )


def test_a_syn_that_just_fits_is_balanced(world: World) -> None:
    size = 1500 - 40 - syndata.MAX_SIZE
    sports = (26001, 26002, 26003)
    for answer in answers(world, *(syn(world, sport, data=bytes(size)) for sport in sports)):
        assert answer is not None
    assert {unit_of(world, sport) for sport in sports} == {1, 2, 3}
