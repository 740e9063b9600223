"""What tests of related sessions share: rules, files, and who serves a control session's data.

A *family* is a control session and the data sessions that its helper's expectations let through.
The rules are those of a careful user: policy drop, what is established or related, and the control
ports. So a data session that comes through at all came by an expectation.
"""

import hashlib
import json
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agents.ctnetlink import CLOSE, EXPECTED, TIME_WAIT
from tests.lab.world import ADDRESSES, ROOT, SERVER, PeerProcess, World
from topologies.observe import Endpoints

# From inside, hosts go out by the cluster's address; from outside, it leads to a server inside.
RULES = """
table ip user {
    ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
    ct helper irc { type "irc" protocol tcp; l3proto ip; }
    ct helper tftp { type "tftp" protocol udp; l3proto ip; }
    chain helpers {
        type filter hook prerouting priority filter
        tcp dport 21 ct helper set "ftp"
        tcp dport 6667 ct helper set "irc"
        udp dport 69 ct helper set "tftp"
    }
    chain prerouting {
        type nat hook prerouting priority dstnat
        iifname "ext" tcp dport 21 dnat to 10.1.0.10
    }
    chain forward {
        type filter hook forward priority filter
        policy drop
        ct state established,related accept
        ct state new tcp dport { 21, 6667, 7000 } accept
        ct state new udp dport 69 accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" ip saddr 10.1.0.0/24 snat to 203.0.113.1
    }
}
"""

# Below those that kernels choose at random. Of hundreds so chosen two are the same one, and then
# one entry in conntrack has been two sessions.
PORTS = iter(range(10_000, 32_768))

KEPT = {"last_ack": 120, "time_wait": 120, "close": 120}

MODES = ("PASV", "EPSV", "PORT", "EPRT")
PASSIVE = MODES[:2]  # in which the server announces


@dataclass(frozen=True, slots=True)
class Tracked:
    """A unit's conntrack entry of a TCP connection. `unit` is what its label says."""

    original: Endpoints
    reply: Endpoints
    master: Endpoints | None
    status: int
    state: int
    helper: str
    unit: int

    @property
    def expected(self) -> bool:
        """Does the kernel say that it came by an expectation?"""
        return bool(self.status & EXPECTED)

    @property
    def over(self) -> bool:
        """Has it seen both sides' end?"""
        return self.state in {TIME_WAIT, CLOSE}


@dataclass(frozen=True, slots=True)
class Family:
    """A control session as the primary has it, and its data sessions as those have them who serve
    them: conntrackd tells of no master.
    """

    control: Tracked
    data: tuple[Tracked, ...]

    @property
    def unit(self) -> int:
        """Who serves the control session."""
        return self.control.unit


def curl_options(mode: str, address: str, local: range) -> list[str]:
    """What curl is told about one transfer: the client's own ports, and which port to announce,
    PASV and EPSV the server's, PORT and EPRT one of the client's, whose address this is.
    """
    active = ["--ftp-port", f"{address}:{next(PORTS)}"]
    how = {
        "PASV": ["--disable-epsv"],
        "EPSV": [],
        "PORT": ["--disable-eprt", *active],
        "EPRT": active,
    }
    quiet = ["--silent", "--show-error", "--max-time", "60"]
    return [*quiet, "--local-port", f"{local[0]}-{local[-1]}", *how[mode]]


def own_ports(count: int) -> range:
    """Ports that no other client has had."""
    ports = [next(PORTS) for _ in range(count)]
    return range(ports[0], ports[-1] + 1)


def tracked(world: World, unit: int) -> dict[Endpoints, Tracked]:
    """The TCP entries of a unit, by original tuple."""
    argv = [sys.executable, "-m", "tests.lab.masters"]
    listing = world.lab.run(f"u{unit}", argv, env={"PYTHONPATH": str(ROOT)})
    found = {}
    for row in map(json.loads, listing.stdout.splitlines()):
        original, reply, master = (
            Endpoints(*row.pop(name)) if row[name] else row.pop(name) or None
            for name in ("original", "reply", "master")
        )
        found[original] = Tracked(original, reply, master, **row)
    return found


def families(world: World) -> list[Family]:
    """The families that the primary knows."""
    by_unit = {unit: tracked(world, unit) for unit in world.units}
    own = [
        entry for unit, found in by_unit.items() for entry in found.values() if entry.unit == unit
    ]
    return [
        Family(control, tuple(entry for entry in own if entry.master == control.original))
        for control in by_unit[1].values()
        if control.helper and control.unit
    ]


def family_of(world: World, known: Iterable[Family]) -> Family:
    """The one family that has come since."""
    old = {family.control.original for family in known}
    (new,) = (family for family in families(world) if family.control.original not in old)
    return new


def assert_together(world: World, found: Iterable[Family]) -> None:
    """Each data session is its control session's unit's: the primary says so, and the unit's own
    kernel, which has both, and the one as the other's master, and has seen it end.
    """
    found = list(found)
    primarys = tracked(world, 1)
    strays = [
        (family.unit, data)
        for family in found
        for data in family.data
        if {data.unit, primarys.get(data.original, data).unit} != {family.unit}
    ]
    assert not strays, f"{len(strays)} data sessions elsewhere: {strays[:3]}"
    for unit in {family.unit for family in found}:
        here = [family for family in found if family.unit == unit]
        own = world.until(lambda unit=unit, here=here: _over(world, unit, here), "not over", 30)
        for family in here:
            _assert_own(own, family)


def _over(world: World, unit: int, here: list[Family]) -> dict[Endpoints, Tracked]:
    """A unit's entries, once it has seen all data sessions of these families end.

    One that was reset before it was answered is nobody's any more (nf_conntrack_tcp_packet() kills
    its entry), and the primary is told so.
    """
    own, kept = tracked(world, unit), tracked(world, 1)
    data = [
        own.get(data.original)
        for family in here
        for data in family.data
        if data.original in own or data.original in kept
    ]
    return own if all(entry and entry.over for entry in data) else {}


def _assert_own(own: dict[Endpoints, Tracked], family: Family) -> None:
    control = own[family.control.original]
    assert control.reply == family.control.reply
    assert control.helper == family.control.helper
    for data in family.data:
        assert data.expected, data
        if (here := own.get(data.original)) is None:
            continue  # reset before it was answered: see `_over`
        assert here.expected, here
        assert here.master == control.original
        assert here.reply == data.reply


def pages(world: World, host: str) -> Path:
    """The directory that a host's FTP server serves."""
    return Path(world.lab.directory) / "web" / host / "pages"


def write_random(path: Path, size: int, seed: int) -> str:
    """A file of random bytes; their digest."""
    data = random.Random(seed).randbytes(size)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def digest(path: Path) -> str:
    """What is in a file; a word if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no file"


class FtpClient:
    """A raw client of FTP in a host: a control session, and data sessions step by step."""

    def __init__(self, peer: PeerProcess, address: str = SERVER, source: str = "") -> None:
        self.peer = peer
        opened = peer("login", address=address, source=source, sport=next(PORTS))
        assert opened["reply"].startswith("200 "), opened
        self.id: int = opened["id"]
        self.address = address
        self.original = Endpoints(source or ADDRESSES[peer.host], opened["port"], address, 21)

    def passive(self, mode: str = "PASV") -> int:
        """Has the server announce a port, which it returns."""
        return int(self.peer("passive", id=self.id, mode=mode))

    def active(self, mode: str = "PORT", port: int = 0) -> int:
        """Announces a port and has the server's word that it knows; the listener's number."""
        port = port or next(PORTS)
        listener = self.peer("listen", port=port, source=self.original.source)
        self.peer("announce", id=self.id, port=port, mode=mode)
        self.expect("200 ")
        return int(listener)

    def ask(self, command: str) -> None:
        """Sends a command; its replies are left unread."""
        self.peer("send", id=self.id, text=f"{command}\r\n")

    def expect(self, start: str) -> None:
        """Reads a reply."""
        reply = self.peer("reply", id=self.id)
        assert reply.startswith(start), reply

    def announce(self, mode: str, port: int = 0) -> int:
        """A data session announced, either way: the server's port, or the number of the listener
        (at `port`, if it matters which).
        """
        return self.passive(mode) if mode in PASSIVE else self.active(mode, port)

    def go_on(self, mode: str, announced: int, command: str) -> int:
        """A transfer, from where `announce` left it, up to where data may flow; the data socket's
        number.
        """
        if mode in PASSIVE:
            opened = self.peer("connect", address=self.address, port=announced, greeted=False)
            self.ask(command)
        else:
            self.ask(command)
            opened = self.peer("accept", id=announced)
            self.peer("close", id=announced)
        self.expect("150 ")
        return int(opened["id"])

    def begin(self, mode: str, command: str, port: int = 0) -> int:
        """A transfer up to where data may flow; the data socket's number. `port` is announced."""
        return self.go_on(mode, self.announce(mode, port), command)

    def fetch(self, mode: str, name: str) -> str:
        """A whole download; its digest."""
        data = self.begin(mode, f"RETR {name}")
        found = self.peer("take", id=data)["digest"]
        self.peer("close", id=data)
        self.expect("226 ")
        return str(found)

    def unit(self, world: World) -> int:
        """Who serves the control session."""
        entry = world.until(lambda: world.entry(self.original), f"no label on {self.original}")
        return int(entry.unit)


def raw_clients(world: World) -> dict[int, FtpClient]:
    """A raw client's control session on each unit."""
    peer = world.another_peer("client", "tests.lab.related_peer")
    opened = [FtpClient(peer) for _ in world.units]
    found = {client.unit(world): client for client in opened}
    assert set(found) == set(world.units)
    return found


def expected(world: World, unit: int, master: Endpoints) -> list[str]:
    """What a unit expects of a control session, as `conntrack -L expect` says it."""
    where = f"master-src={master.source} master-dst={master.destination} "
    where += f"sport={master.sport} dport={master.dport}"
    listing = world.lab.run(f"u{unit}", ["conntrack", "-L", "expect"])
    return [line for line in listing.stdout.splitlines() if where in line]
