"""A firewall whose kernel follows FTP, between a client and a server: three network stacks.

Its rules are Synod's, and a user's that let nothing in which no session has announced. Tests play
its agent, and the bridge behind `int` and `ext`.
"""

import contextlib
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from agents.config import parse
from agents.conntrack import Conntrack, Events, expected
from agents.ctexpect import Expected
from agents.ctnetlink import CONFIRMED, SEEN_REPLY, SYN_SENT, Create, Entry, Get, Request, Result
from agents.nft import agent_port_rules, inet_rules
from agents.wire.labels import with_unit
from agents.wire.packet import inverse, tuple12
from agents.wire.peer import Expectation
from agents.wire.ports import SYNOD_NAME
from tests.lab.firewall import CLIENT, OUTSIDE, SERVER, firewall_between
from tests.lab.namespaces import Namespace, link, need_root

FTP = 21
CLUSTER = parse(
    """
name: kernel
group: 9
method: round-robin
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
ha: {nic: nic-ha, subnet: 169.254.83.0/24}
units: [{id: 1}, {id: 2}]
controllers: ["tcp:127.0.0.1:6653"]
"""
)
INT, EXT = 1, 2
# Nothing comes in from outside that no session has announced.
USERS = """
table ip user {
    ct helper ftp-standard {
        type "ftp" protocol tcp
    }
    chain helpers {
        type filter hook prerouting priority filter; policy accept;
        tcp dport 21 ct helper set "ftp-standard"
    }
    chain filters {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "int" tcp dport 21 accept
    }
    chain leaving {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "ext" masquerade
    }
}
"""
RULES = USERS + inet_rules(CLUSTER) + agent_port_rules(CLUSTER)


@dataclass
class Wall:
    """The firewall between client and server, and what its agent has there."""

    client: Namespace
    firewall: Namespace
    server: Namespace
    conntrack: Conntrack
    events: Events[Expected]
    listener: socket.socket
    ports: Iterator[int] = field(default_factory=lambda: itertools.count(20000))

    def do(self, request: Request) -> Result:
        return self.conntrack.transact([request])[0]

    def get(self, orig: bytes) -> Entry:
        found = self.do(Get(orig))
        assert isinstance(found, Entry), found
        return found

    def told(self) -> list[Expected]:
        """Events since the last time."""
        events, lost, waiting = self.events.read()
        assert (lost, waiting) == (False, False)
        return events

    def orig(self) -> bytes:
        """The tuple of a control session that doesn't exist yet."""
        return tuple12(CLIENT, SERVER, next(self.ports), FTP)

    def emptied(self) -> "Wall":
        """Without entries, and events about them."""
        self.firewall.run("conntrack", "-F")
        self.events.read()
        return self

    def mac(self, device: str) -> bytes:
        """The MAC address of a device of the firewall's."""
        with self.firewall.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind((device, 0))
            found: bytes = sock.getsockname()[4]
            return found

    def master(self, helper: str = "ftp") -> bytes:
        """The tuple of a control session of which there is no more than its entry."""
        orig = self.orig()
        assert self.do(Create(injected(orig, helper=helper))) == 0
        return orig

    @contextlib.contextmanager
    def control(self, orig: bytes) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A control session, both its ends; the first line each way has been said."""
        with self.client.entered():
            client = socket.socket()
        with client:
            client.settimeout(5)
            client.bind((CLIENT, int.from_bytes(orig[8:10])))
            client.connect((SERVER, FTP))
            server, _ = self.listener.accept()
            with server:
                server.settimeout(5)
                server.sendall(b"220 ready\r\n")
                assert client.recv(100) == b"220 ready\r\n"
                client.sendall(b"USER anonymous\r\n")
                assert server.recv(100) == b"USER anonymous\r\n"
                yield client, server


@contextlib.contextmanager
def ftp_wall() -> Iterator[Wall]:
    """One such firewall, or a skip that says what is missing."""
    need_root("unshare", "nsenter", "nft", "ethtool", "conntrack")
    with firewall_between() as (client, firewall, server), contextlib.ExitStack() as closing:
        link(firewall, SYNOD_NAME, firewall, "to-synod0")
        firewall.rules(RULES)
        with firewall.entered():
            conntrack = Conntrack()
            events = expected(ignore=conntrack.pid)
        closing.callback(conntrack.close)
        closing.callback(events.close)
        with server.entered():
            listener = closing.enter_context(socket.create_server((SERVER, FTP)))
        listener.settimeout(5)
        yield Wall(client, firewall, server, conntrack, events, listener)


def port_command(address: str, port: int) -> bytes:
    """PORT (RFC 959, section 4.1.2)."""
    return f"PORT {address.replace('.', ',')},{port >> 8},{port & 255}\r\n".encode()


def passive_reply(address: str, port: int) -> bytes:
    """227 (RFC 959, section 4.1.2)."""
    numbers = f"{address.replace('.', ',')},{port >> 8},{port & 255}"
    return f"227 Entering Passive Mode ({numbers}).\r\n".encode()


def active(master: bytes, port: int = 50000, **fields: object) -> Expectation:
    """What the kernel expects after PORT: the server comes, and is translated to the client."""
    made = Expectation(
        master,
        tuple12(SERVER, OUTSIDE, 0, port),
        b"\xff\xff\xff\xff\0\0",
        function="nat-follow-master",
        direction=1,
        nat=bytes(4) + port.to_bytes(2),
    )
    return made._replace(**fields)  # type: ignore[arg-type]


def injected(orig: bytes, reply: bytes = b"", **fields: object) -> Entry:
    """An entry of a control session as an auxiliary's agent makes it."""
    reply = reply or inverse(orig)[:4] + socket.inet_aton(OUTSIDE) + inverse(orig)[8:]
    labels = with_unit(2, helper=True)[0]
    made = Entry(orig, reply, CONFIRMED | SEEN_REPLY, SYN_SENT, 120, 0, labels, "ftp")
    return made._replace(**fields)  # type: ignore[arg-type]
