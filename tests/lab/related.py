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
from tests.lab.world import ROOT, World
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

KEPT = {"last_ack": 120, "time_wait": 120, "close": 120}

# How curl is told what to announce: PASV and EPSV the server's port, PORT and EPRT the client's.
MODES = {
    "PASV": ("--disable-epsv",),
    "EPSV": (),
    "PORT": ("--ftp-port", "-", "--disable-eprt"),
    "EPRT": ("--ftp-port", "-"),
}
# Options behind the command's name, for each of its --next.
QUIET = ("--silent", "--show-error", "--max-time", "60")


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
        return self.state in (TIME_WAIT, CLOSE)


@dataclass(frozen=True, slots=True)
class Family:
    """A control session and its data sessions, as the primary has them."""

    control: Tracked
    data: tuple[Tracked, ...]

    @property
    def unit(self) -> int:
        """Who serves the control session."""
        return self.control.unit


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
    """The families that the primary has."""
    entries = [entry for entry in tracked(world, 1).values() if entry.unit]
    return [
        Family(control, tuple(entry for entry in entries if entry.master == control.original))
        for control in entries
        if control.helper
    ]


def family_of(world: World, known: Iterable[Family]) -> Family:
    """The one family that has come since."""
    old = {family.control.original for family in known}
    (new,) = (family for family in families(world) if family.control.original not in old)
    return new


def assert_together(world: World, found: Iterable[Family], *, over: bool = True) -> None:
    """Each data session is its control session's unit's: the primary says so, and the unit's own
    kernel, which has both, and the one as the other's master. `over`: it saw them end, too.
    """
    found = list(found)
    strays = [
        (family.unit, data) for family in found for data in family.data if data.unit != family.unit
    ]
    assert not strays, f"{len(strays)} data sessions elsewhere: {strays[:3]}"
    for unit in {family.unit for family in found}:
        own = tracked(world, unit)
        for family in found:
            if family.unit == unit:
                _assert_own(own, family, over)


def _assert_own(own: dict[Endpoints, Tracked], family: Family, over: bool) -> None:
    control = own[family.control.original]
    assert control.reply == family.control.reply
    assert control.helper == family.control.helper
    for data in family.data:
        assert data.expected, data
        here = own[data.original]
        assert here.expected, here
        assert here.master == control.original
        assert here.reply == data.reply
        assert here.over or not over, here


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
