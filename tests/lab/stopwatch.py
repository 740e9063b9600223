"""How long a data session takes to come about, from packets at both hosts.

The time begins when its announcement passes the interface of the host that makes it (the server's
reply to PASV or EPSV, the client's PORT or EPRT), and ends when the data session's SYN-ACK arrives
at the host that opens it. So it has in it whatever delays the announcement, or the SYN that comes
of it. (In active modes there are the server's answer and the client's next command, too, with a
cluster or without.) Both hosts have this machine's clock.
"""

import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import inet_ntoa

from tests.lab.related import Family
from tests.lab.world import World
from topologies.observe import Endpoints

_WANTED = "tcp port 21 or tcp[tcpflags] & tcp-syn != 0"
_MODES = {b"227": "PASV", b"229": "EPSV", b"PORT": "PORT", b"EPRT": "EPRT"}
_ANNOUNCEMENT = re.compile(rb"(227|229|PORT|EPRT) ")
_SYN, _FIN, _RST, _ACK = 2, 1, 4, 16
_FILE, _RECORD = struct.Struct("=I20x"), struct.Struct("=IIII")
_MAGIC = 0xA1B23C4D  # time in nanoseconds

Segment = tuple[float, Endpoints, int, bytes]


class Stopwatch:
    """Times of announcements and of answered SYNs at one host."""

    def __init__(self) -> None:
        self.announced: dict[Endpoints, tuple[float, bytes]] = {}
        self.answered: dict[Endpoints, float] = {}
        self.most = 0  # control sessions open at once

    def read(self, path: Path) -> None:
        """All that a capture has. Control sessions are counted from their SYN to the first end."""
        open_now: set[Endpoints] = set()
        for time, who, flags, data in segments(path):
            if flags & _SYN and flags & _ACK:
                self.answered.setdefault(who, time)
            elif flags & _SYN and who.dport == 21:
                open_now.add(who)
                self.most = max(self.most, len(open_now))
            elif found := _ANNOUNCEMENT.match(data):
                self.announced.setdefault(who, (time, found[1]))
            if flags & (_FIN | _RST):
                open_now -= {who, who.reverse}


@contextmanager
def stopwatches(world: World, folder: Path) -> Iterator[dict[str, Stopwatch]]:
    """At client and server, read when the block has ended."""
    watches = {host: Stopwatch() for host in ("client", "server")}
    with ExitStack() as stack:
        running = {}
        for host in watches:
            running[host] = _tcpdump(world, host, folder / f"{host}.pcap")
            stack.callback(running[host].kill)
        yield watches
        for host, process in running.items():
            process.terminate()
            said = process.communicate(timeout=20)[1]
            assert "\n0 packets dropped by kernel" in said, said
            watches[host].read(folder / f"{host}.pcap")


def delay(family: Family, watches: dict[str, Stopwatch]) -> tuple[float, str]:
    """Seconds that the only data session of a family took, and the mode; the client is behind SNAT,
    and the server sees it by the control session's reply tuple.
    """
    (data,) = family.data
    if data.original.source == family.control.original.source:
        began, word = watches["server"].announced[family.control.reply]
        opener = "client"
    else:
        began, word = watches["client"].announced[family.control.original]
        opener = "server"
    return watches[opener].answered[data.original.reverse] - began, _MODES[word]


def _tcpdump(world: World, host: str, path: Path) -> subprocess.Popen[str]:
    """Runs, and hears everything that comes from now on."""
    options = ("-n", "-U", "--immediate-mode", "-s", "192", "-B", "16384", "-Z", "root", "--nano")
    process = world.lab.popen(
        host,
        ["tcpdump", "-i", world.device(host), *options, "-w", str(path), *_WANTED.split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("listening on" in line for line in process.stderr)
    return process


def segments(path: Path) -> Iterator[Segment]:
    """The TCP segments of a capture of IPv4 over Ethernet. Scapy takes a minute for as many."""
    content = path.read_bytes()
    assert _FILE.unpack_from(content) == (_MAGIC,)
    at = _FILE.size
    while at < len(content):
        seconds, fraction, kept, _ = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        packet = content[at + 14 : at + kept]
        at += kept
        tcp = packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4])]
        sport, dport = struct.unpack_from("!HH", tcp)
        who = Endpoints(inet_ntoa(packet[12:16]), sport, inet_ntoa(packet[16:20]), dport)
        yield seconds + fraction / 1e9, who, tcp[13], tcp[(tcp[12] >> 4) * 4 :]
