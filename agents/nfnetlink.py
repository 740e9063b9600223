"""Netlink messages of the kernel's netfilter subsystems: framing and attributes. No sockets.

The formats are those of include/uapi/linux/netlink.h and nfnetlink.h. What connection tracking puts
into them is for `agents.ctnetlink` (entries) and `agents.ctexpect` (expectations).

Netlink's own numbers are in the host's byte order, those of netfilter in the network's.
"""

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP, EXCL, CREATE = 0x001, 0x004, 0x300, 0x200, 0x400

NFGEN = bytes((2, 0, 0, 0))  # AF_INET, NFNETLINK_V0, no resource
_HEAD = struct.Struct("=IHHII4s")  # nlmsghdr, nfgenmsg
_MESSAGE = struct.Struct("=IHHII")  # nlmsghdr: length, kind, flags, seq, pid
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, kind
_NESTED = 0x8000
KIND = 0x3FFF

HEAD = _HEAD.format  # with `NFGEN` as its last part
HEAD_SIZE = _HEAD.size  # bytes of a message before its attributes


class Message(NamedTuple):
    """A netlink message as it lies in a buffer: `start` to `end`, header included."""

    kind: int
    seq: int
    pid: int
    start: int
    end: int


def message(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    """One message about IPv4: its header, and the attributes packed before."""
    return _HEAD.pack(_HEAD.size + len(body), kind, flags, seq, 0, NFGEN) + body


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram. What is cut short at its end is left out."""
    start, size = 0, len(data)
    while size - start >= 16:
        length, kind, _, seq, pid = _MESSAGE.unpack_from(data, start)
        end = start + length
        if length < 16 or end > size:
            return
        yield Message(kind, seq, pid, start, end)
        start += length + 3 & ~3


def first_of(data: bytes) -> tuple[int, int]:
    """Kind and sequence number of a datagram's first message. (Of answers each has one only.)"""
    _, kind, _, seq, _ = _MESSAGE.unpack_from(data)
    return kind, seq


def parse_error(data: bytes, found: Message) -> int:
    """The errno of an NLMSG_ERROR or NLMSG_DONE, 0 for success; EPROTO if it has none."""
    if found.end - found.start < 20:
        return errno.EPROTO
    code: int = struct.unpack_from("=i", data, found.start + 16)[0]
    return -code


def header(kind: int, length: int, nested: bool = False) -> bytes:
    """A netlink attribute's first four bytes; `length` is that of its value."""
    return ATTRIBUTE.pack(4 + length, kind | (_NESTED if nested else 0))


def attribute(kind: int, value: bytes, nested: bool = False) -> bytes:
    """A whole attribute, padded to four bytes."""
    return header(kind, len(value), nested) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The values of the attributes that lie in a row in `data`, by kind; the last of a kind counts.

    Ends at the first that is cut short.
    """
    found: dict[int, bytes] = {}
    at = 0
    while len(data) - at >= 4:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            break
        found[kind & KIND] = data[at + 4 : at + length]
        at += length + 3 & ~3
    return found
