"""A client, a firewall and a server, each with a network stack of its own: what a real kernel does
with the entries that the agent makes, changes and removes.

Nothing of the firewall's rules would decide as those entries. Tests play the bridge: whatever the
client sends, the firewall's kernel gets, as an auxiliary's or the primary's would.
"""

import contextlib
import errno
import itertools
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from agents import ctnetlink
from agents.conntrack import Conntrack, Events, destroyed
from agents.ctnetlink import CONFIRMED, SEEN_REPLY, SYN_SENT, Entry, Get
from agents.wire.labels import with_unit
from agents.wire.packet import inverse, tuple12
from tests.lab.firewall import CLIENT, OUTSIDE, SERVER, firewall_between
from tests.lab.namespaces import Namespace, need_root

SPARE = "203.0.113.77"  # an address of the firewall's that no rule of it uses
HTTP, FTP, SHUT = 80, 21, 81

# Nothing here would decide as the entries that the tests make: whatever a session shows of these
# rules, the auxiliary's own kernel has decided.
CONTRARY = """
table ip user {
    ct helper ftp-standard {
        type "ftp" protocol tcp
    }
    chain marks {
        type filter hook prerouting priority mangle; policy accept;
        ct state new ct mark set 0x99
    }
    chain helpers {
        type filter hook prerouting priority filter; policy accept;
        tcp dport 8021 ct helper set "ftp-standard"
    }
    chain filters {
        type filter hook forward priority filter; policy drop;
        ct state invalid drop
        ct state established accept
        ct state new ct mark set 0x98 drop
    }
    chain forwards {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "int" tcp dport 80 dnat to 203.0.113.66:81
    }
    chain leaving {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "ext" masquerade
    }
}
table inet synod {
    chain arrival {
        type filter hook prerouting priority -199; policy accept;
        iifname "int" ct state new ct label set 65
    }
}
"""
AGREEABLE = CONTRARY.replace('iifname "int" tcp dport 80 dnat', "tcp dport 9 dnat").replace(
    "ct state new ct mark set 0x98 drop", "ct state new accept"
)


@dataclass
class Wall:
    """The firewall between client and server, and what the agent has there."""

    client: Namespace
    firewall: Namespace
    server: Namespace
    conntrack: Conntrack
    destroyed: Events[Entry]
    seen: list[tuple[str, int]] = field(default_factory=list)
    ports: Iterator[int] = field(default_factory=lambda: itertools.count(20000))

    def orig(self, dport: int = HTTP, dst: str = SERVER) -> bytes:
        """The tuple of a session that doesn't exist yet."""
        return tuple12(CLIENT, dst, next(self.ports), dport)

    def do(self, request: ctnetlink.Request) -> ctnetlink.Result:
        return self.conntrack.transact([request])[0]

    def get(self, orig: bytes) -> Entry:
        found = self.do(Get(orig))
        assert isinstance(found, Entry), errno.errorcode.get(found)
        return found

    def open(self, orig: bytes, timeout: float = 5) -> socket.socket:
        """A session of the client's, opened by it: it really has these addresses and ports."""
        with self.client.entered():
            sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(timeout)
        sock.bind((CLIENT, int.from_bytes(orig[8:10])))
        sock.connect((socket.inet_ntoa(orig[4:8]), int.from_bytes(orig[10:])))
        return sock

    def emptied(self) -> "Wall":
        """With contrary rules and no entries."""
        self.firewall.rules(CONTRARY)
        self.firewall.run("conntrack", "-F")
        self.ended()
        self.seen.clear()
        return self

    def ended(self) -> list[Entry]:
        return [gone.entry for gone in self.destroyed.read().events]


@contextlib.contextmanager
def echo_server(where: Namespace, port: int, seen: list[tuple[str, int]]) -> Iterator[None]:
    """Listens, notes whom it takes its clients for, and sends everything back."""
    with where.entered():
        listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((SERVER, port))
    listener.listen(64)

    def echo(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, address = listener.accept()
                seen.append(address)
                threading.Thread(target=echo, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def said_back(sock: socket.socket, size: int = 300_000) -> int:
    """Sends that much, and returns how much of it came back."""
    sender = threading.Thread(target=sock.sendall, args=(b"x" * size,))
    sender.start()
    got = 0
    while got < size and (data := sock.recv(65536)):
        got += len(data)
    sender.join()
    return got


def entry_of(orig: bytes, reply: bytes = b"", **fields: object) -> Entry:
    """An entry as an auxiliary's agent makes it."""
    labels = with_unit(3)[0]
    made = Entry(orig, reply or inverse(orig), CONFIRMED | SEEN_REPLY, SYN_SENT, 120, 7, labels)
    return made._replace(**fields)  # type: ignore[arg-type]


def snat(orig: bytes, address: str, port: int) -> bytes:
    return inverse(orig)[:4] + socket.inet_aton(address) + orig[10:] + port.to_bytes(2)


def tcp_segment(orig: bytes, seq: int, ack: int, flags: int = 0x10) -> bytes:
    """An IPv4 packet with a bare TCP segment; the kernel fills in the checksum of IP."""
    head = bytes.fromhex("4500002800004000400600000000000000000000")[:12] + orig[:8]
    tcp = orig[8:] + seq.to_bytes(4) + ack.to_bytes(4) + bytes((0x50, flags, 0x10, 0, 0, 0, 0, 0))
    pseudo = orig[:8] + bytes((0, 6)) + len(tcp).to_bytes(2)
    total = 0xFFFF - int.from_bytes(pseudo + tcp) % 0xFFFF
    return head + tcp[:16] + total.to_bytes(2) + tcp[18:]


@contextlib.contextmanager
def entry_wall() -> Iterator[Wall]:
    """One such firewall, or a skip that says what is missing."""
    need_root("unshare", "nsenter", "nft", "ethtool")
    with firewall_between() as (client, firewall, server), contextlib.ExitStack() as closing:
        firewall.address("ext", f"{SPARE}/24")
        server.run("ip", "route", "add", "default", "via", OUTSIDE)
        firewall.rules(CONTRARY)
        with firewall.entered():
            conntrack = Conntrack()
            ends = destroyed(ignore=conntrack.pid)
        closing.callback(conntrack.close)
        closing.callback(ends.close)
        wall = Wall(client, firewall, server, conntrack, ends)
        for port in (HTTP, FTP):
            closing.enter_context(echo_server(server, port, wall.seen))
        yield wall
