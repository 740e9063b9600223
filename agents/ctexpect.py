"""Expectations in the kernel: the ctnetlink messages that carry them. No sockets.

A connection's helper (FTP's, IRC's) reads what the two sides announce to each other and *expects*
the connection that this will bring: whatever first packet fits the expectation is `related`, and is
translated as was announced. The talk: "call of helper->help function is added to track the related
connections of the respective session" (slide "ipt_LB.ko").

The messages are declared in include/uapi/linux/netfilter/nfnetlink_conntrack.h (CTA_EXPECT_…) and
done by net/netfilter/nf_conntrack_netlink.c, which is where the facts below are from. IPv4 only.
"""

import struct
from typing import NamedTuple

from agents.cttuple import DPORT, DST, IP, NUMBER, PROTO, SPORT, SRC, TCP, UDP, head, pack_tuple
from agents.nfnetlink import (
    ACK,
    CREATE,
    EXCL,
    HEAD_SIZE,
    REQUEST,
    Message,
    attribute,
    attributes,
    message,
)
from agents.wire.peer import Expectation

PERMANENT = 1  # flag NF_CT_EXPECT_PERMANENT: more than one connection may come of it

# NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_…
_NEW, _GET, _DELETE = 0x0200, 0x0201, 0x0202

_MASTER, _TUPLE, _MASK, _ZONE, _FLAGS, _CLASS, _NAT, _FUNCTION = 1, 2, 3, 7, 8, 9, 10, 11
_NAT_DIRECTION, _NAT_TUPLE = 1, 2
_HEADS = {kind: head(kind) for kind in (_MASTER, _TUPLE, _MASK, _NAT_TUPLE)}


class Expected(NamedTuple):
    """An expectation was made, or is no more (it came true, timed out, or its master ended)."""

    made: bool
    expectation: Expectation


class GetExpectation(NamedTuple):
    """Ask for the expectation that a first packet with this tuple12 would meet."""

    tuple12: bytes
    protocol: int = TCP


class Expect(NamedTuple):
    """Make an expectation. It lives as long as the master's helper would let it.

    ENOENT if there is no such master, EOPNOTSUPP if that has no helper, EEXIST or EBUSY if another
    expectation is in the way, EINVAL if the kernel has no such function.
    """

    expectation: Expectation


class Unexpect(NamedTuple):
    """Remove the expectation that a first packet with this tuple12 would meet."""

    tuple12: bytes
    protocol: int = TCP


ExpectationRequest = GetExpectation | Expect | Unexpect


def pack(request: ExpectationRequest, seq: int, ack: bool = True) -> bytes:
    """One netlink message. Without `ack` the kernel tells only errors and what it was asked for."""
    flags = REQUEST | ACK if ack else REQUEST
    match request:
        case GetExpectation(tuple12, protocol):
            return message(_GET, flags, seq, _pack_tuple(_TUPLE, tuple12, protocol))
        case Expect(expectation):
            return message(_NEW, flags | CREATE | EXCL, seq, _pack(expectation))
        case Unexpect(tuple12, protocol):
            return message(_DELETE, flags, seq, _pack_tuple(_TUPLE, tuple12, protocol))


def parse_event(data: bytes, found: Message) -> Expected | None:
    """What an event tells; None as `parse_expectation`."""
    expectation = parse_expectation(data, found.start, found.end)
    return Expected(found.kind == _NEW, expectation) if expectation else None


def parse_expectation(data: bytes, start: int, end: int) -> Expectation | None:
    """The expectation in a message from `start` to `end`.

    None if it isn't of IPv4 between ports (TCP, UDP), its master is no TCP, it is in another zone,
    or of another class than a helper's first: those can't be made (ctnetlink_alloc_expect() takes a
    class only together with a helper for the expected connection).
    """
    found = attributes(data[start + HEAD_SIZE : end])
    tuple12, protocol = _parse_tuple(found.get(_TUPLE, b""))
    master, master_protocol = _parse_tuple(found.get(_MASTER, b""))
    mask, _ = _parse_tuple(found.get(_MASK, b""))
    if not mask or protocol not in (TCP, UDP) or master_protocol != TCP or _ZONE in found:
        return None
    if int.from_bytes(found.get(_CLASS, b"")):
        return None
    nat = attributes(found.get(_NAT, b""))
    translated, _ = _parse_tuple(nat.get(_NAT_TUPLE, b""))
    return Expectation(
        master,
        tuple12,
        _source(mask),
        protocol,
        int.from_bytes(found.get(_FLAGS, b"")),
        found.get(_FUNCTION, b"").partition(b"\0")[0].decode("ascii", "replace"),
        int.from_bytes(nat.get(_NAT_DIRECTION, b"")),
        _source(translated),
    )


def _pack(expectation: Expectation) -> bytes:
    master, tuple12, mask, protocol, flags, function, direction, nat = expectation
    body = _pack_tuple(_MASTER, master, TCP) + _pack_tuple(_TUPLE, tuple12, protocol)
    # No CTA_EXPECT_HELP_NAME: it would name a helper of the expected connection's own.
    body += _pack_tuple(_MASK, _with_source(mask, b"\xff"), protocol)
    body += attribute(_FLAGS, struct.pack("!I", flags))
    if nat:
        translation = attribute(_NAT_DIRECTION, struct.pack("!I", direction))
        translation += _pack_tuple(_NAT_TUPLE, _with_source(nat, b"\0"), protocol)
        body += attribute(_NAT, translation, True)
    if function:
        body += attribute(_FUNCTION, function.encode("ascii", "replace") + b"\0")
    return body


def _source(tuple12: bytes) -> bytes:
    """Address and port of its source."""
    return tuple12[:4] + tuple12[8:10]


def _with_source(source: bytes, rest: bytes) -> bytes:
    """A tuple12 with this source, and `rest` (one byte) all over its destination."""
    return source[:4] + rest * 4 + source[4:] + rest * 2


def _pack_tuple(kind: int, tuple12: bytes, protocol: int) -> bytes:
    return pack_tuple(_HEADS[kind], tuple12, protocol)


def _parse_tuple(data: bytes) -> tuple[bytes, int]:
    """tuple12 and protocol of a nested tuple; (b"", 0) if it has no IPv4 addresses and ports."""
    parts = attributes(data)
    addresses, ports = attributes(parts.get(IP, b"")), attributes(parts.get(PROTO, b""))
    tuple12 = b"".join((
        addresses.get(SRC, b""), addresses.get(DST, b""),
        ports.get(SPORT, b""), ports.get(DPORT, b""),
    ))  # fmt: skip
    number = ports.get(NUMBER, b"")
    return (tuple12, number[0]) if len(tuple12) == 12 and number else (b"", 0)
