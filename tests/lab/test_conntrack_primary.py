"""The entries that a primary's kernel has made: what its agent finds of them, and changes."""

import errno
import socket

from agents.core_primary import LASTING
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    SYN_SENT,
    TIME_WAIT,
    Create,
    Delete,
    Get,
    Update,
)
from agents.wire.labels import interface_of, unit_of, with_unit
from agents.wire.packet import inverse, tuple12
from tests.lab.entry_wall import (
    AGREEABLE,
    HTTP,
    SPARE,
    Wall,
    entry_of,
    said_back,
    snat,
    tcp_segment,
)
from tests.lab.firewall import CLIENT, SERVER
from tests.polling import until

WEEKS = 14 * 86_400


def test_what_the_kernel_decided_is_found_by_what_it_sent(wall: Wall) -> None:
    wall.firewall.rules(AGREEABLE)
    orig = wall.orig()
    with wall.open(orig):
        until(lambda: wall.seen)
        seen = tuple12(wall.seen[0][0], SERVER, wall.seen[0][1], HTTP)
        entry = wall.get(inverse(seen))
        assert (entry.orig, entry.reply) == (orig, inverse(seen))
        assert entry.mark == 0x99
        assert interface_of(entry.labels) == 1
        assert entry.state == ESTABLISHED
        assert entry.timeout > 1000


def freeze(wall: Wall, orig: bytes) -> None:
    """What the primary's agent does to the entry of a session that it hands over."""
    entry = wall.get(orig)
    labels, mask = with_unit(2)
    status = entry.status | SEEN_REPLY | ASSURED
    assert wall.do(Update(orig, labels, mask, status, LASTING)) == 0


def test_a_handed_over_session_falls_back_to_the_primary(wall: Wall) -> None:
    """The SYN's entry is made established. What follows has long gone past this kernel; then the
    rest of the session comes through it, from the middle, and is translated and let through."""
    wall.firewall.rules(AGREEABLE)
    orig = wall.orig()
    with_entry = snat(orig, SPARE, 6500)
    # The primary's kernel saw one SYN, and no answer to it.
    wall.do(Create(entry_of(orig, with_entry, status=CONFIRMED)))
    wall.firewall.run(
        "nft", "add chain ip user cuts { type filter hook prerouting priority -300; }"
    )
    wall.firewall.run("nft", "add rule ip user cuts iifname ext drop")
    syn = tcp_segment(orig, seq=1000, ack=0, flags=2)
    with wall.client.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        raw.sendto(syn, (SERVER, 0))
        until(lambda: wall.get(orig).state == SYN_SENT)
        freeze(wall, orig)
        frozen = wall.get(orig)
        assert (frozen.state, unit_of(frozen.labels)) == (ESTABLISHED, 2)
        assert frozen.status & (SEEN_REPLY | ASSURED) == SEEN_REPLY | ASSURED
        assert frozen.timeout > WEEKS
        with wall.server.entered():
            sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        sniffer.settimeout(5)
        with sniffer:
            # The client sends its SYN again: translated as before, and the entry stays as it is.
            raw.sendto(syn, (SERVER, 0))
            assert forwarded(sniffer, flags=2) == inverse(with_entry)
            assert wall.get(orig) == frozen._replace(timeout=wall.get(orig).timeout)
            assert wall.get(orig).timeout > WEEKS
            # A segment of the middle, megabytes on from the SYN.
            raw.sendto(tcp_segment(orig, 50_000_000, 70_000_000), (SERVER, 0))
            assert forwarded(sniffer) == inverse(with_entry)
    # From here on the kernel tracks the session itself, with its own timeouts.
    again = wall.get(orig)
    assert (again.state, again.reply) == (ESTABLISHED, with_entry)
    assert 200 < again.timeout <= 432_000


def forwarded(sniffer: socket.socket, flags: int = 0x10) -> bytes:
    """The tuple of the next TCP segment to the server with these flags."""
    while True:
        frame = sniffer.recv(2000)
        if frame[23] == 6 and frame[30:34] == socket.inet_aton(SERVER) and frame[47] == flags:
            return frame[26:38]


def test_a_session_through_an_established_entry_works_to_its_end(wall: Wall) -> None:
    """The whole of a session, SYN included, through an entry that says it is established."""
    wall.firewall.rules(AGREEABLE)
    orig = wall.orig()
    frozen = entry_of(orig, snat(orig, SPARE, 6600), state=ESTABLISHED, timeout=LASTING)
    wall.do(Create(frozen._replace(status=CONFIRMED | SEEN_REPLY | ASSURED), liberal=True))
    with wall.open(orig) as sock:
        assert said_back(sock) == 300_000
    assert wall.seen == [(SPARE, 6600)]
    until(lambda: wall.get(orig).state == TIME_WAIT)


def test_a_label_changes_the_unit_and_nothing_else(wall: Wall) -> None:
    orig = wall.orig()
    labels = (1 << 3 | 1 << 66 | 1 << 100).to_bytes(16, "little")
    wall.do(Create(entry_of(orig, labels=labels)))
    before = wall.get(orig)
    assert wall.do(Update(orig, *with_unit(64))) == 0
    after = wall.get(orig)
    assert unit_of(after.labels) == 64
    assert after.labels == (1 << 64 | 1 << 66 | 1 << 100).to_bytes(16, "little")
    assert after._replace(labels=labels, timeout=0) == before._replace(timeout=0)


def test_a_status_may_not_lose_what_the_entry_has(wall: Wall) -> None:
    orig = wall.orig()
    wall.do(Create(entry_of(orig, status=CONFIRMED | SEEN_REPLY | ASSURED)))
    assert wall.do(Update(orig, *with_unit(1), CONFIRMED, 100)) == errno.EBUSY


def test_requests_for_what_is_not_there(wall: Wall) -> None:
    orig = wall.orig()
    requests = [Get(orig), Update(orig, *with_unit(1)), Delete(orig)]
    assert wall.conntrack.transact(requests) == [errno.ENOENT] * 3
    assert wall.conntrack.transact([]) == []


def test_a_zero_timeout_or_foreign_protocol_is_no_entry(wall: Wall) -> None:
    wall.firewall.run(
        *("conntrack", "-I", "-p", "udp", "-s", CLIENT, "-d", SERVER),
        *("--sport", "5", "--dport", "6", "-t", "100"),
    )
    assert wall.do(Get(tuple12(CLIENT, SERVER, 5, 6))) == errno.ENOENT
    assert wall.conntrack.transact([Get(tuple12(CLIENT, SERVER, 5, 6))]) == [errno.ENOENT]
