"""Packets that announce, on a real kernel with Synod's rules: how they leave, and come again."""

import contextlib
import errno
import itertools
import socket
from collections.abc import Iterator

import pytest

from agents.core_announcing import RESERVED
from agents.ctexpect import Expect, GetExpectation, Unexpect
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    SYN_SENT,
    Create,
    Entry,
    Update,
)
from agents.wire.labels import HELPER_BIT, with_unit
from agents.wire.packet import inverse, segment_tuple
from agents.wire.ports import helper_mac
from tests.lab.firewall import CLIENT, OUTSIDE
from tests.lab.ftp_wall import EXT, INT, Wall, active, ftp_wall, injected, port_command
from tests.lab.namespaces import Namespace
from tests.polling import until


@pytest.fixture(scope="module")
def stack() -> Iterator[Wall]:
    with ftp_wall() as made:
        yield made


@pytest.fixture
def wall(stack: Wall) -> Wall:
    return stack.emptied()


# -- an announcement that is dropped


@contextlib.contextmanager
def dropping(where: Namespace) -> Iterator[None]:
    """What comes there with data is lost."""
    where.rules("""
table netdev lost {
    chain ingress {
        type filter hook ingress device "eth0" priority 0; policy accept;
        tcp dport 21 @ih,0,8 >= 0 drop
    }
}
""")
    try:
        yield
    finally:
        where.rules("")


def test_a_reserved_port_is_not_announced(wall: Wall) -> None:
    """The primary expects it for another session, so the packet was dropped. TCP sends it again,
    and the kernel reads it again.
    """
    orig = wall.orig()
    assert wall.do(Create(injected(orig))) == 0
    with wall.control(orig) as (client, server):
        asked = active(orig, 42000)
        with dropping(wall.server):
            client.sendall(port_command(CLIENT, 42000))
            until(lambda: wall.do(GetExpectation(asked.tuple12)) == asked)
            kept = asked.tuple12[:8] + b"\0\0" + asked.tuple12[10:]
            keeper = Entry(kept, inverse(kept), CONFIRMED, SYN_SENT, RESERVED, helper="ftp")
            wall.do(Unexpect(asked.tuple12))
            reserved = active(kept, 42000)
            assert wall.do(Create(keeper)) == 0
            while wall.do(Expect(reserved)) == errno.EEXIST:  # sent again, and read, in between
                wall.do(Unexpect(asked.tuple12))
            wall.told()
        told = server.recv(100)
        made = wall.told()[-1].expectation
        port = int.from_bytes(made.tuple12[10:])
        assert port != 42000
        assert made == active(orig, port, nat=asked.nat)
        assert told == port_command(OUTSIDE, port)
        assert wall.do(GetExpectation(asked.tuple12)) == reserved
        # Nothing can be the reservation's session.
        assert wall.get(kept).timeout in range(RESERVED - 10, RESERVED + 1)


# -- packets that may announce: by which source they leave


def segment(orig: bytes, flags: int, payload: bytes = b"", options: bytes = b"") -> bytes:
    """An IPv4 packet with a TCP segment; the kernel fills in the checksum of IP."""
    size = 20 + len(options)
    tcp = orig[8:] + bytes(8) + bytes((size << 2, flags, 0x10, 0, 0, 0, 0, 0)) + options + payload
    pseudo = orig[:8] + bytes((0, 6)) + len(tcp).to_bytes(2)
    padded = pseudo + tcp + bytes(len(tcp) % 2)
    total = 0xFFFF - int.from_bytes(padded) % 0xFFFF
    head = bytes.fromhex("450000000000400040060000") + orig[:8]
    head = head[:2] + (20 + len(tcp)).to_bytes(2) + head[4:]
    return head + tcp[:16] + total.to_bytes(2) + tcp[18:]


FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TIMESTAMPS = bytes.fromhex("0101080a0000000100000002")


def leaves_by(wall: Wall, orig: bytes, reply: bytes, packet: bytes, to: int = EXT) -> bytes:
    """The source MAC by which a packet leaves the firewall."""
    sender, receiver = (wall.client, wall.server) if to == EXT else (wall.server, wall.client)
    arrives = inverse(reply) if to == EXT else inverse(orig)
    with receiver.entered():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    sniffer.settimeout(5)
    with sniffer, sender.entered():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        while True:
            frame = sniffer.recv(2000)
            # Not what the receiver answers: that goes the other way.
            if frame[23] == 6 and segment_tuple(frame) == arrives:
                return frame[6:12]


def established(wall: Wall, *, helper: bool) -> tuple[bytes, bytes]:
    """orig and reply of a session with an entry that takes any segment."""
    orig = wall.orig()
    labels = with_unit(2, helper=helper)[0]
    status = CONFIRMED | SEEN_REPLY | ASSURED
    entry = injected(orig, status=status, state=ESTABLISHED, labels=labels, helper="")
    assert wall.do(Create(entry, liberal=True)) == 0
    return orig, entry.reply


BOTH = (INT, EXT)


@pytest.mark.parametrize(
    ("flags", "payload", "ways", "shown"),
    [
        (PSH | ACK, b"PORT", BOTH, True),
        (ACK, b"\0", BOTH, True),
        (ACK, b"x" * 1400, BOTH, True),
        (FIN | ACK, b"QUIT", BOTH, True),
        (ACK, b"", BOTH, False),
        (FIN | ACK, b"", BOTH, False),
        (RST | ACK, b"", BOTH, False),
        (RST | ACK, b"reason", BOTH, False),
        # The other way conntrack takes these for invalid.
        (SYN, b"", (EXT,), False),
        (SYN, b"fast open", (EXT,), False),
        (SYN | ACK, b"", (INT,), False),
    ],
)
def test_what_may_announce_leaves_with_a_helper_mac(
    wall: Wall, flags: int, payload: bytes, ways: tuple[int, ...], shown: bool
) -> None:
    for to, options in itertools.product(ways, (b"", TIMESTAMPS)):
        orig, reply = established(wall, helper=True)
        packet = segment(orig if to == EXT else reply, flags, payload, options)
        wanted = helper_mac(to) if shown else wall.mac("ext" if to == EXT else "int")
        assert leaves_by(wall, orig, reply, packet, to) == wanted


def test_sessions_without_the_label_leave_as_ever(wall: Wall) -> None:
    orig, reply = established(wall, helper=False)
    packet = segment(orig, PSH | ACK, b"PORT")
    assert leaves_by(wall, orig, reply, packet) == wall.mac("ext")
    assert wall.do(Update(orig, *with_unit(2, helper=True))) == 0
    assert leaves_by(wall, orig, reply, packet) == helper_mac(EXT)
    assert wall.do(Update(orig, *with_unit(1))) == 0
    assert leaves_by(wall, orig, reply, packet) == wall.mac("ext")
    assert not int.from_bytes(wall.get(orig).labels, "little") >> HELPER_BIT & 1
