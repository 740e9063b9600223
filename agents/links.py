"""Which of this unit's NICs have a link, told by the kernel as soon as it changes; and setting them
up or down.

Packed rtnetlink (rtnetlink(7), RFC 3549): a dump of all links to begin with, then what the group
RTMGRP_LINK is told. Nothing is polled, and nothing is read from /sys, which shows the network
namespace that it was mounted in. What a missing link means is not decided here.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agents.nfnetlink import (
    ACK,
    DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    REQUEST,
    attributes,
    messages,
    parse_error,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
IFF_UP, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x40, 0x10000
# Set up, with a carrier, and its operational state (RFC 2863) lets packets pass.
_LINKED = IFF_UP | IFF_RUNNING | IFF_LOWER_UP
_IFLA_IFNAME = 3
_RTMGRP_LINK = 1
_HEAD = struct.Struct("=IHHII")  # nlmsghdr
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_DATAGRAM = 1 << 16


class Link(NamedTuple):
    """What the kernel tells of an interface."""

    name: str
    linked: bool  # frames can pass


def pack_dump(seq: int) -> bytes:
    """Ask for all links."""
    return _message(RTM_GETLINK, REQUEST | DUMP, seq, _LINK.pack(0, 0, 0, 0, 0))


def pack_set(seq: int, index: int, up: bool) -> bytes:
    """Set an interface up or down."""
    flags = IFF_UP if up else 0
    return _message(RTM_NEWLINK, REQUEST | ACK, seq, _LINK.pack(0, 0, index, flags, IFF_UP))


def parse(data: bytes) -> Iterator[Link]:
    """The links that a datagram tells of; one that is gone has no link."""
    for kind, _, _, start, end in messages(data):
        at = start + _HEAD.size
        if kind not in (RTM_NEWLINK, RTM_DELLINK) or end - at < _LINK.size:
            continue
        family, _, _, flags, _ = _LINK.unpack_from(data, at)
        name = attributes(data[at + _LINK.size : end]).get(_IFLA_IFNAME, b"").rstrip(b"\0")
        # Of another family are a bridge's words on its ports: one that left a bridge isn't gone.
        if name and family == socket.AF_UNSPEC:
            linked = kind == RTM_NEWLINK and flags & _LINKED == _LINKED
            yield Link(os.fsdecode(name), linked)


def _message(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    return _HEAD.pack(_HEAD.size + len(body), kind, flags, seq, 0) + body


class Links:
    """The links of these NICs, and a socket that can be read when one may have changed."""

    def __init__(self, nics: Sequence[str]) -> None:
        self.nics = tuple(nics)
        self._linked = dict.fromkeys(nics, False)  # until the dump says otherwise
        # Listening before asking: no change falls between the two.
        self._socket = _socket(_RTMGRP_LINK)
        self._dump()

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def down(self) -> tuple[int, ...]:
        """Which of the NICs have no link, counted from 1, after reading what waits."""
        try:
            while True:
                self._take(self._socket.recv(_DATAGRAM, socket.MSG_DONTWAIT))
        except BlockingIOError:
            pass
        except OSError as problem:
            if problem.errno != errno.ENOBUFS:
                raise
            self._dump()  # changes were lost
        return tuple(place for place, nic in enumerate(self.nics, 1) if not self._linked[nic])

    def any(self) -> bool:
        """Has any of the NICs a link, as far as was read?"""
        return any(self._linked.values())

    def set(self, nics: Iterable[str], up: bool) -> dict[str, str]:
        """Set NICs up or down; those for which that was refused, and why."""
        refused = {}
        with _socket(0) as asking:
            for nic in nics:
                try:
                    asking.send(pack_set(1, socket.if_nametoindex(nic), up))
                    answer = asking.recv(_DATAGRAM)
                    code = max(parse_error(answer, found) for found in messages(answer))
                    if code:
                        raise OSError(code, os.strerror(code))
                except OSError as problem:
                    # if_nametoindex() says why without a number.
                    refused[nic] = problem.strerror or str(problem)
        return refused

    def _dump(self) -> None:
        """Ask for all, and take what comes until that is over."""
        self._socket.send(pack_dump(1))
        ends = (NLMSG_DONE, NLMSG_ERROR)
        while True:
            data = self._socket.recv(_DATAGRAM)
            self._take(data)
            if any(found.kind in ends for found in messages(data)):
                return

    def _take(self, data: bytes) -> None:
        for link in parse(data):
            if link.name in self._linked:
                self._linked[link.name] = link.linked


def _socket(groups: int) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    sock.bind((0, groups))
    return sock
