"""Ways of telling a primary what the kernel of another unit expects, each in a network of its own.

The little programs do what agents would, and nothing else: they are as fast as Python is.
"""

import contextlib
import multiprocessing
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from agents.conntrack import Conntrack
from agents.ctnetlink import ASSURED, CONFIRMED, ESTABLISHED, SEEN_REPLY, Create, Entry, Get
from tests.bench.ftp_units import FTP, Net, Session, eventually, network
from tests.lab.namespaces import Namespace, link

_NETLINK_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP = 12, 270, 1
_EXPECTED = 4  # NFNLGRP_CONNTRACK_EXP_NEW
_NEW_EXPECTATION = 0x0200  # NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_NEW
_REQUEST_ACK_CREATE_EXCL = 0x001 | 0x004 | 0x400 | 0x200
# CTA_EXPECT_…: MASTER, TUPLE, MASK, NAT, FN. No HELP_NAME: on older kernels it would become the
# helper of the data connection.
_PASSED_ON = (1, 2, 3, 10, 11)
_ETHERNET = b"\xff" * 6 + bytes.fromhex("025359000001 88b5")
_ETHERTYPE = 0x88B5
_TELL, _ACK = b"T", b"A"
_FTP = FTP.to_bytes(2)
_SO_MARK, _SO_TIMESTAMPNS, _IPV4 = 36, 35, 0x0800
_PORTS = {"bridge": _IPV4, "int": 0, "ext": 0, "ha": _ETHERTYPE}  # of release(), and what they read
_FORK: Any = multiprocessing.get_context("fork")

# What a control connection sends leaves by a program, as it leaves an auxiliary by its agent. What
# the program sends itself has the mark 21.
DIVERSION = """
table netdev diversion {
    chain int {
        type filter hook egress device "int" priority 0;
        meta mark != 21 tcp sport 21 tcp flags psh fwd to "held"
    }
    chain ext {
        type filter hook egress device "ext" priority 0;
        meta mark != 21 tcp dport 21 tcp flags psh fwd to "held"
    }
}
"""
# The primary's kernel is shown what the serving unit's is, and says nothing.
MIRROR = """
table netdev mirror {
    chain int { type filter hook ingress device "int" priority 0; tcp dport 21 dup to "mint"; }
    chain ext { type filter hook ingress device "ext" priority 0; tcp sport 21 dup to "mext"; }
}
"""
SILENCE = """
table netdev silence {
    chain int { type filter hook egress device "int" priority 0; tcp sport 21 drop; }
    chain ext { type filter hook egress device "ext" priority 0; tcp dport 21 drop; }
}
"""
CONNTRACKD = """
Sync {{
    Mode FTFW {{
        DisableExternalCache yes
        StartupResync yes
    }}
    UDP {{
        IPv4_address 169.254.1.{own}
        IPv4_Destination_Address 169.254.1.{other}
        Port 3780
        Interface ha
        Checksum on
    }}
    Options {{
        ExpectationSync on
    }}
}}
General {{
    HashSize 1024
    HashLimit 8192
    LogFile off
    Syslog off
    LockFile {path}.lock
    UNIX {{
        Path {path}.ctl
    }}
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608
    Filter From Kernelspace {{
        Protocol Accept {{
            TCP
        }}
        State Accept {{
            ESTABLISHED for TCP
        }}
    }}
}}
"""


# -- expectations as messages


def passed_on(event: bytes) -> bytes:
    """The attributes of an expectation that another kernel needs to make the same."""
    found = b""
    at = 20  # behind nlmsghdr and nfgenmsg
    while len(event) - at >= 4:
        length, kind = struct.unpack_from("=HH", event, at)
        size = length + 3 & ~3
        if kind & 0x3FFF in _PASSED_ON:
            found += event[at : at + size].ljust(size, b"\0")
        at += size
    return found


def creation(attributes: bytes) -> bytes:
    """The request to make it."""
    size = 20 + len(attributes)
    head = (size, _NEW_EXPECTATION, _REQUEST_ACK_CREATE_EXCL, 1, 0, b"\2\0\0\0")
    return struct.pack("=IHHII4s", *head) + attributes


# -- the little programs


def _netlink(unit: Namespace, group: int = 0) -> socket.socket:
    with unit.entered():
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    sock.bind((0, 0))
    if group:
        sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return sock


def _frames(unit: Namespace, device: str, ethertype: int) -> socket.socket:
    with unit.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
    sock.bind((device, ethertype))
    return sock


def tell(events: socket.socket, ha: socket.socket) -> None:
    """On the serving unit: what its kernel expects goes over the HA link."""
    while True:
        ha.send(_ETHERNET + _TELL + passed_on(events.recv(65536)))


def expect(ha: socket.socket, kernel: socket.socket, log: Connection) -> None:
    """On the primary: it is made there, too, and acknowledged. Logs when, and the errno."""
    while True:
        frame = ha.recv(2048)
        if frame[14:15] != _TELL:
            continue
        kernel.send(creation(frame[15:]))  # carried out when it returns
        now = time.clock_gettime_ns(time.CLOCK_REALTIME)
        code = struct.unpack_from("=i", kernel.recv(65536), 16)[0]
        ha.send(_ETHERNET + _ACK)
        log.send_bytes(struct.pack("=qi", now, -code))


def release(
    ports: dict[str, socket.socket], events: socket.socket, wait: bool, log: Connection
) -> None:
    """On the serving unit: what a control connection sends, passed on, announcements told before.

    With `wait`, not before the primary has acknowledged. Logs for how long each had been there.
    """
    ha = ports["ha"]
    events.setblocking(False)
    while True:
        frame, control, _, _ = ports["bridge"].recvmsg(2048, 64)
        seconds, nanoseconds = struct.unpack("qq", control[0][2])
        told = False
        with contextlib.suppress(BlockingIOError):
            # If it made the kernel expect something, the event is there: it came first.
            ha.send(_ETHERNET + _TELL + passed_on(events.recv(65536)))
            told = True
        while told and wait and ha.recv(2048)[14:15] != _ACK:
            pass
        ports["int" if frame[34:36] == _FTP else "ext"].send(frame)
        now = time.clock_gettime_ns(time.CLOCK_REALTIME)
        log.send_bytes(struct.pack("=qi", now - seconds * 10**9 - nanoseconds, told))


def watch(events: socket.socket, log: Connection) -> None:
    """On the primary: logs when its kernel said that it expects something."""
    while True:
        events.recv(65536)
        log.send_bytes(struct.pack("=qi", time.clock_gettime_ns(time.CLOCK_REALTIME), 0))


# -- the ways of telling


class Way(NamedTuple):
    """A network in which the primary is told in one way."""

    net: Net
    session: Session
    expected: Connection  # logs of expect() or watch()
    held: Connection | None = None  # of release()


class _Programs(ExitStack):
    """Processes of ours, ended by their id."""

    def start(self, program: Callable[..., None], *arguments: Any) -> Connection:
        """Start one; what it logs."""
        logs, log = multiprocessing.Pipe(duplex=False)
        process = _FORK.Process(target=program, args=(*arguments, log), daemon=True)
        process.start()
        self.callback(process.join)
        self.callback(process.terminate)
        return logs


def _copy_master(net: Net, session: Session) -> None:
    """The primary has an entry of the session, as it has of every one that it hands over."""
    with net.units[1].entered():
        serving = Conntrack()
    with net.primary.entered():
        primary = Conntrack()
    master = serving.transact([Get(session.orig)])[0]
    assert isinstance(master, Entry), master
    made = Entry(master.orig, master.reply, CONFIRMED | SEEN_REPLY | ASSURED, ESTABLISHED, 3600)
    # Without a helper of its own it may not expect anything (ctnetlink_alloc_expect()).
    assert primary.transact([Create(made._replace(helper="ftp"))]) == [0]
    serving.close()
    primary.close()


@contextlib.contextmanager
def told() -> Iterator[Way]:
    """By a program that hears of the expectation when the kernel has it; nothing waits."""
    with network() as net, _Programs() as programs:
        primary, unit = net.units
        ha = _frames(primary, "ha", _ETHERTYPE)
        expected = programs.start(expect, ha, _netlink(primary))
        programs.start(
            lambda events, ha, _: tell(events, ha),
            _netlink(unit, _EXPECTED),
            _frames(unit, "ha", _ETHERTYPE),
        )
        with contextlib.closing(Session(net)) as session:
            _copy_master(net, session)
            yield Way(net, session, expected)


@contextlib.contextmanager
def diverted(wait: bool) -> Iterator[Way]:
    """By the program that the announcement passes; with `wait` it is held until that is done."""
    with network() as net, _Programs() as programs:
        primary, unit = net.units
        unit.run("ip", "link", "add", "held", "type", "veth", "peer", "name", "bridge")
        for device in ("held", "bridge"):
            # A packet that a helper has changed comes here with its checksum still to be filled in
            # (measured); a device that says it does that would leave it so.
            unit.run("ethtool", "-K", device, "tx", "off")
            unit.run("ip", "link", "set", device, "up")
        unit.run("nft", "-f", "-", stdin=DIVERSION)
        ports = {device: _frames(unit, device, kind) for device, kind in _PORTS.items()}
        ports["bridge"].setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        for device in ("int", "ext"):
            ports[device].setsockopt(socket.SOL_SOCKET, _SO_MARK, FTP)
        expected = programs.start(expect, _frames(primary, "ha", _ETHERTYPE), _netlink(primary))
        events = _netlink(unit, _EXPECTED)
        held = programs.start(release, ports, events, wait)
        with contextlib.closing(Session(net)) as session:
            _copy_master(net, session)
            yield Way(net, session, expected, held)


@contextlib.contextmanager
def conntrackd() -> Iterator[Way]:
    """By conntrackd: FTFW over the HA link, straight into the kernel, master entries as well."""
    with network() as net, _Programs() as programs:
        expected = programs.start(watch, _netlink(net.primary, _EXPECTED))
        for own, unit in enumerate((net.units[1], net.primary), 1):
            path = net.scratch / f"conntrackd{own}"
            path.write_text(CONNTRACKD.format(own=own, other=3 - own, path=path))
            output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            daemon = unit.popen("conntrackd", "-C", str(path), stdin=subprocess.DEVNULL, **output)
            programs.callback(daemon.wait)
            programs.callback(daemon.terminate)
            eventually(Path(f"{path}.ctl").exists)
        with net.primary.entered():
            kernel = Conntrack()
        with contextlib.closing(Session(net)) as session, contextlib.closing(kernel):
            eventually(lambda: isinstance(kernel.transact([Get(session.orig)])[0], Entry))
            yield Way(net, session, expected)


@contextlib.contextmanager
def mirrored(serving: int = 1) -> Iterator[Way]:
    """By its own kernel, which is shown every packet of the control connections."""
    with network(serving) as net, _Programs() as programs:
        primary, *units = net.units
        primary.run("nft", "-f", "-", stdin=SILENCE)
        for number, unit in enumerate(units, 1):
            for name, device in (("mint", "int"), ("mext", "ext")):
                there = f"{name}{number}"
                link(unit, name, primary, there)
                mac = unit.run("cat", f"/sys/class/net/{device}/address").strip()
                primary.run("ip", "link", "set", there, "address", mac)
            unit.run("nft", "-f", "-", stdin=MIRROR)
        expected = programs.start(watch, _netlink(primary, _EXPECTED))
        with contextlib.closing(Session(net)) as session:
            yield Way(net, session, expected)
