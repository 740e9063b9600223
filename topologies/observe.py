"""What can be seen of a lab: packets on its wires, conntrack entries, the flows of a bridge.

Only looks, with the tools that an administrator would use (tcpdump, conntrack, ovs-ofctl), so
that what it reports is what the kernel and the switch do, not what our own programs believe. Used
by the demonstration and by the lab's tests.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from scapy.utils import PcapReader

from agents.wire.ports import CT_ZONE


class Host(Protocol):
    """The part of a lab that looking needs."""

    def run(self, host: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Runs a command in a host to its end."""

    def popen(self, host: str, argv: list[str], **how: Any) -> subprocess.Popen[str]:
        """Starts a command in a host."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses and ports of one direction of a session."""

    source: str
    sport: int
    destination: str
    dport: int

    def __str__(self) -> str:
        """As tcpdump writes it."""
        return f"{self.source}:{self.sport} > {self.destination}:{self.dport}"

    @property
    def reverse(self) -> "Endpoints":
        """The same without translation, the other way."""
        return Endpoints(self.destination, self.dport, self.source, self.sport)


@dataclass(frozen=True, slots=True)
class Entry:
    """A TCP entry of a unit's connection tracking."""

    state: str
    timeout: int
    original: Endpoints
    reply: Endpoints
    mark: int
    labels: frozenset[str]
    assured: bool

    @property
    def unit(self) -> int:
        """The unit that the label names; 0 for none."""
        return next((int(name[5:]) for name in self.labels if name.startswith("unit-")), 0)


_SIDE = r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)"
_ENTRY = re.compile(rf"tcp\s+6\s+(\d+)\s+(\S+)\s+{_SIDE}\s+(\[UNREPLIED\]\s+)?{_SIDE}(.*)")


def parse_entry(line: str) -> Entry | None:
    """One line of `conntrack -L -p tcp -o labels`; None if it isn't an entry's."""
    match = _ENTRY.search(line)
    if not match:
        return None
    timeout, state = match[1], match[2]
    original = Endpoints(match[3], int(match[5]), match[4], int(match[6]))
    reply = Endpoints(match[8], int(match[10]), match[9], int(match[11]))
    rest = match[12]
    mark = re.search(r"mark=(\d+)", rest)
    labels = re.search(r"labels=(\S+)", rest)
    return Entry(
        state=state,
        timeout=int(timeout),
        original=original,
        reply=reply,
        mark=int(mark[1]) if mark else 0,
        labels=frozenset(labels[1].split(",")) if labels else frozenset(),
        assured="[ASSURED]" in rest,
    )


def entries(lab: Host, unit: int) -> list[Entry]:
    """The TCP entries of a unit."""
    listing = lab.run(f"u{unit}", ["conntrack", "-L", "-p", "tcp", "-o", "labels"])
    return [entry for line in listing.stdout.splitlines() if (entry := parse_entry(line))]


def session_flows(lab: Host, unit: int, bridge: str = "br-synod") -> list[str]:
    """The flows of sessions on a unit's bridge, as `ovs-ofctl` prints them."""
    listing = lab.run(
        f"u{unit}",
        [
            "ovs-ofctl",
            "--no-stats",
            "dump-flows",
            bridge,
            "cookie=0x5359020000000000/0xffffff0000000000",
        ],
    )
    return [line.strip() for line in listing.stdout.splitlines() if "cookie=" in line]


def switch_sessions(lab: Host, unit: int, bridge: str = "br-synod") -> list[str]:
    """What a unit's switch has of sessions, in either session table: each direction a line."""
    argv = ["ovs-appctl", "dpctl/dump-conntrack", f"zone={CT_ZONE}"]
    listing = lab.run(f"u{unit}", argv).stdout.splitlines()
    return session_flows(lab, unit, bridge) + [line for line in listing if "mark=" in line]


class Capture:
    """tcpdump on one interface of one host, from entering to leaving; readable all the while."""

    def __init__(
        self,
        lab: Host,
        host: str,
        interface: str,
        folder: Path,
        *,
        expression: str = "",
        direction: str = "inout",
    ) -> None:
        """`expression` is tcpdump's filter, `direction` in, out or inout as the host sees it."""
        self.name = f"{host}-{interface}"
        self.path = folder / f"{self.name}-{time.monotonic_ns()}.pcap"
        self._lab, self._host, self._interface = lab, host, interface
        self._wanted = ["-Q", direction, *expression.split()]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Returns when it hears everything that comes from now on."""
        options = ("-n", "-s", "0", "-U", "--immediate-mode", "-Z", "root")
        self._process = self._lab.popen(
            self._host,
            ["tcpdump", "-i", self._interface, *options, "-w", str(self.path), *self._wanted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "listening on" in line:
                return self
        raise RuntimeError(f"tcpdump on {self.name} ended with {self._process.wait()}")

    def __exit__(self, *_: object) -> None:
        """Ends it; what it wrote stays."""
        if self._process:
            self._process.terminate()
            self._process.communicate(timeout=10)

    def frames(self) -> list[Packet]:
        """Everything caught so far, as Ethernet frames."""
        if not self.path.exists() or self.path.stat().st_size < 24:
            return []  # not even a file header yet
        with PcapReader(str(self.path)) as reader:
            return list(reader)

    def tcp(self, *sessions: Endpoints) -> list[Packet]:
        """The TCP segments of these sessions, both directions of each; of all, if none is named."""
        wanted = {side for session in sessions for side in (session, session.reverse)}
        return [
            frame
            for frame in self.frames()
            if TCP in frame and (not wanted or endpoints(frame) in wanted)
        ]

    def arp(self) -> list[Packet]:
        """The ARP frames."""
        return [frame for frame in self.frames() if ARP in frame]

    def wait(
        self, count: int, wanted: Callable[[Packet], bool], timeout: float = 5
    ) -> list[Packet]:
        """Polls until so many wanted frames have been caught. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while len(found := [frame for frame in self.frames() if wanted(frame)]) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {len(found)} of {count} frames: {found}")
            time.sleep(0.05)
        return found


def endpoints(frame: Packet) -> Endpoints:
    """Who sent this TCP segment to whom."""
    return Endpoints(frame[IP].src, frame[TCP].sport, frame[IP].dst, frame[TCP].dport)


def is_syn(frame: Packet) -> bool:
    """Is it a SYN without an ACK?"""
    return TCP in frame and frame[TCP].flags.S and not frame[TCP].flags.A


def ip_bytes(frame: Packet) -> bytes:
    """The IP packet inside, without what Ethernet pads behind it."""
    packet: bytes = frame.original[14:]
    return packet[: int.from_bytes(packet[2:4], "big")]


def payload(frame: Packet) -> bytes:
    """The data of a TCP segment, without what Ethernet pads behind it."""
    packet = ip_bytes(frame)
    header = (packet[0] & 15) * 4
    return packet[header + (packet[header + 12] >> 4) * 4 :]


def describe(frame: Packet) -> str:
    """One line for a reader: MACs, addresses, flags, length."""
    if TCP not in frame:
        return str(frame.summary())
    data = len(payload(frame))
    return (
        f"{frame[Ether].src} > {frame[Ether].dst}  {endpoints(frame)}  "
        f"[{frame[TCP].flags}] ttl {frame[IP].ttl}, {data} bytes of data"
    )


def sources(frames: Iterable[Packet]) -> set[str]:
    """The source MACs seen."""
    return {frame[Ether].src for frame in frames if Ether in frame}
