"""Conntrack entries as values, and the ctnetlink messages that carry them; with the messages of
`agents.ctexpect`, all that is asked of connection tracking. No sockets.

What the talk does in the kernel (`ip_nat_setup_info`, a field of its own in struct nfct: slides
"Packet Flow", "ipt_LB.ko") the kernel offers to user space: it is declared in
include/uapi/linux/netfilter/nfnetlink_conntrack.h and done by net/netfilter/nf_conntrack_netlink.c,
which is where the facts below are from. TCP over IPv4 in the default zone only; any other entry is
read as None. Messages are packed from templates, in the order in which the kernel writes them.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from agents import ctexpect
from agents.ctexpect import ExpectationRequest, GetExpectation
from agents.nfnetlink import (
    ACK,
    CREATE,
    DUMP,
    EXCL,
    HEAD_SIZE,
    REQUEST,
    Message,
    attribute,
    attributes,
    header,
    message,
)
from agents.wire.packet import inverse
from agents.wire.peer import Expectation

# The state of a TCP connection (enum tcp_conntrack).
SYN_SENT, SYN_RECV, ESTABLISHED, TIME_WAIT, CLOSE = 1, 2, 3, 7, 8

# Bits of an entry's status (enum ip_conntrack_status).
EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED = 1, 2, 4, 8

NO_LABELS = bytes(16)

# For an entry that saw only part of its traffic: no window is wrong, and neither is a SACK.
LIBERAL = 0x02 | 0x08  # IP_CT_TCP_FLAG_SACK_PERM | IP_CT_TCP_FLAG_BE_LIBERAL


class Adjustment(NamedTuple):
    """What a helper has added to one direction's stream by translating its text (struct
    nf_ct_seqadj): bytes before and after sequence number `position`, which is the sender's.
    """

    position: int
    before: int
    after: int


class Entry(NamedTuple):
    """One entry. `orig`, `reply` and `master` (orig of the master entry, or empty) are tuple12."""

    orig: bytes
    reply: bytes
    status: int = CONFIRMED
    state: int = SYN_SENT
    timeout: int = 0
    mark: int = 0
    labels: bytes = NO_LABELS
    helper: str = ""
    master: bytes = b""
    adjusted: Adjustment | None = None
    adjusted_reply: Adjustment | None = None


class Get(NamedTuple):
    """Ask for the entry that has this tuple12 in either direction."""

    tuple12: bytes


class Create(NamedTuple):
    """Make an entry, NAT included: in what `reply` is other than the inverse of `orig`.

    EEXIST if either tuple is taken. `timeout` must not be 0. `status` may not have EXPECTED, which
    `master` sets; ENOENT if there is no such master, EOPNOTSUPP if no such helper. `liberal` turns
    the checks of windows off.
    """

    entry: Entry
    liberal: bool = False


class Update(NamedTuple):
    """Change labels of the entry with this orig tuple; with `status`, its state too.

    The bits of `labels_mask` are cleared, then those of `labels` set (ENOSPC if the namespace has
    no rule that uses labels; all else is done nevertheless). `status` must have all bits that the
    entry has already (EBUSY), and comes with `timeout` in seconds; windows are not checked any
    more. ENOENT if there is no entry. Whoever listens is told of the whole entry, whatever was
    changed (ctnetlink_new_conntrack()).
    """

    orig: bytes
    labels: bytes = NO_LABELS
    labels_mask: bytes = NO_LABELS
    status: int = 0
    timeout: int = 0
    state: int = ESTABLISHED
    mark: int | None = None


class Readjust(NamedTuple):
    """Change what was added to a direction's stream (`reply`: not the original one) of the entry
    with this orig tuple. ENOENT if there is none.
    """

    orig: bytes
    reply: bool
    adjustment: Adjustment


class Delete(NamedTuple):
    """Remove the entry with this orig tuple."""

    orig: bytes


Request = Get | Create | Update | Readjust | Delete | ExpectationRequest
# What became of a request: what was asked for, or an errno, 0 for success.
Result = Entry | Expectation | int

_NEW, _GET, _DELETE = 0x0100, 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_…
_KIND = 0x3FFF

_STATUS, _PROTOINFO, _HELP, _NAT_SRC, _TIMEOUT, _MARK = 3, 4, 5, 6, 7, 8
_NAT_DST, _MASTER, _ZONE, _LABELS, _LABELS_MASK = 13, 14, 18, 22, 23
_SEQ_ADJ_ORIG, _SEQ_ADJ_REPLY = 15, 16


_TUPLE = struct.Struct("12s4s4s4s16s2s6s2s2x")
_IP_HEAD = header(1, 16, True) + header(1, 4)  # CTA_TUPLE_IP, CTA_IP_V4_SRC
_DST_HEAD = header(2, 4)  # CTA_IP_V4_DST
# CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_SRC_PORT
_TCP_HEAD = header(2, 24, True) + attribute(1, b"\x06") + header(2, 2)
_DPORT_HEAD = b"\0\0" + header(3, 2)  # CTA_PROTO_DST_PORT
_ORIG_HEAD = header(1, 48, True) + _IP_HEAD
_REPLY_HEAD = header(2, 48, True) + _IP_HEAD
_MASTER_HEAD = header(_MASTER, 48, True) + _IP_HEAD
_NAT = struct.Struct("8s4s4s4s8s2s6s2s2x")
_NAT_VALUES = (header(2, 4), header(3, 16, True) + header(1, 2), b"\0\0" + header(2, 2))
_SRC_HEAD = header(_NAT_SRC, 36, True) + header(1, 4)
_DST_NAT_HEAD = header(_NAT_DST, 36, True) + header(1, 4)

_NUMBERS = struct.Struct("!4sI4sI4sI")  # status, timeout, mark
_STATUS_HEAD, _TIMEOUT_HEAD, _MARK_HEAD = (header(kind, 4) for kind in (_STATUS, _TIMEOUT, _MARK))
_LABELS_HEAD, _MASK_HEAD = header(_LABELS, 16), header(_LABELS_MASK, 16)
_ENTRY_SIZE = HEAD_SIZE + 2 * _TUPLE.size
_PARSED = struct.Struct("=20x" + _TUPLE.format * 2)
_HEADS = (_ORIG_HEAD, _REPLY_HEAD, _TCP_HEAD, _TCP_HEAD)


def _tcp(state: int, liberal: bool) -> bytes:
    """CTA_PROTOINFO of a TCP state; flags (struct nf_ct_tcp_flags: value, mask) for both ways."""
    tcp = attribute(1, bytes((state,)))
    if liberal:
        tcp += attribute(4, bytes((LIBERAL, LIBERAL))) + attribute(5, bytes((LIBERAL, LIBERAL)))
    return attribute(_PROTOINFO, attribute(1, tcp, True), True)


_TCP_INFO = {(state, how): _tcp(state, how) for state in range(10) for how in (False, True)}


def pack(request: Request, seq: int, ack: bool = True) -> bytes:
    """One netlink message. Without `ack` the kernel tells only errors and, of a Get, the entry."""
    flags = REQUEST | ACK if ack else REQUEST
    match request:
        case Get(tuple12):
            # Either attribute is looked up in both directions (nf_conntrack_find_get()).
            return message(_GET, flags, seq, _pack_tuple(_ORIG_HEAD, tuple12))
        case Create(entry, liberal):
            return message(_NEW, flags | CREATE | EXCL, seq, _pack_entry(entry, liberal))
        case Update(orig, labels, clear, status, timeout, state, mark):
            body = _pack_tuple(_ORIG_HEAD, orig) + _LABELS_HEAD + labels + _MASK_HEAD + clear
            if status:
                body += struct.pack("!4sI4sI", _STATUS_HEAD, status, _TIMEOUT_HEAD, timeout)
                body += _TCP_INFO[state, True]
            if mark is not None:
                body += _MARK_HEAD + mark.to_bytes(4)
            return message(_NEW, flags, seq, body)
        case Readjust(orig, reply, adjustment):
            kind = _SEQ_ADJ_REPLY if reply else _SEQ_ADJ_ORIG
            body = _pack_tuple(_ORIG_HEAD, orig) + _pack_adjustment(kind, adjustment)
            return message(_NEW, flags, seq, body)
        case Delete(orig):
            return message(_DELETE, flags, seq, _pack_tuple(_ORIG_HEAD, orig))
        case _:
            return ctexpect.pack(request, seq, ack)


def parse_answer(request: Request, data: bytes, found: Message) -> Entry | Expectation | None:
    """What was asked for, in a message that isn't an error; None if that can't be read."""
    if type(request) is GetExpectation:
        return ctexpect.parse_expectation(data, found.start, found.end)
    return parse_entry(data, found.start, found.end)


def pack_dump(seq: int) -> bytes:
    """The request for all entries of IPv4."""
    return message(_GET, REQUEST | DUMP, seq, b"")


def parse_entry(data: bytes, start: int, end: int) -> Entry | None:
    """The entry in a message from `start` to `end`.

    None if it isn't TCP over IPv4, is in another zone, or no entry at all.
    """
    if end - start < _ENTRY_SIZE:
        return None
    # The tuples come first, always like this (ctnetlink_fill_info(), ctnetlink_conntrack_event()).
    (
        orig_head, src, _, dst, tcp, sport, _, dport,
        reply_head, rsrc, _, rdst, rtcp, rsport, _, rdport,
    ) = _PARSED.unpack_from(data, start)  # fmt: skip
    if (orig_head, reply_head, tcp, rtcp) != _HEADS:
        return None
    fields: dict[str, Any] = {"status": 0}
    at = start + _ENTRY_SIZE
    while end - at >= 4:
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > end:
            return None
        kind &= _KIND
        if kind in _READERS:
            name, read = _READERS[kind]
            fields[name] = read(data[at + 4 : at + length])
        elif kind == _ZONE:
            return None
        at += length + 3 & ~3
    return Entry(src + dst + sport + dport, rsrc + rdst + rsport + rdport, **fields)


def _parse_name(value: bytes) -> str:
    """Of CTA_HELP: CTA_HELP_NAME comes first in it (ctnetlink_dump_helpinfo())."""
    return value[4:].partition(b"\0")[0].decode("ascii", "replace")


def _parse_state(value: bytes) -> int:
    """CTA_PROTOINFO_TCP, then CTA_PROTOINFO_TCP_STATE first in it (tcp_to_nlattr())."""
    return value[8] if len(value) > 8 else 0


def _parse_adjustment(data: bytes) -> Adjustment | None:
    found = attributes(data)
    parts = [found.get(kind, b"") for kind in (1, 2, 3)]  # CTA_SEQADJ_CORRECTION_POS, OFFSET_…
    if any(len(part) != 4 for part in parts):
        return None
    return Adjustment(*struct.unpack("!Iii", b"".join(parts)))


def _pack_adjustment(kind: int, adjustment: Adjustment) -> bytes:
    position, before, after = adjustment
    parts = (struct.pack("!I", position), struct.pack("!i", before), struct.pack("!i", after))
    nested = b"".join(attribute(number, part) for number, part in enumerate(parts, 1))
    return attribute(kind, nested, True)


def _pack_tuple(head: bytes, t: bytes) -> bytes:
    return _TUPLE.pack(head, t[:4], _DST_HEAD, t[4:8], _TCP_HEAD, t[8:10], _DPORT_HEAD, t[10:])


def _parse_tuple(value: bytes) -> bytes:
    """tuple12 of a CTA_TUPLE_… attribute; empty if it isn't of TCP over IPv4."""
    if len(value) < _TUPLE.size - 6:
        return b""
    # The template has the attribute's header, too, and its padding.
    whole = bytes(4) + value.ljust(_TUPLE.size - 4, b"\0")
    _, src, _, dst, tcp, sport, _, dport = _TUPLE.unpack(whole)
    return src + dst + sport + dport if tcp == _TCP_HEAD else b""


def _pack_nat(head: bytes, address: bytes, port: bytes) -> bytes:
    """A range of one address and one port."""
    high, proto, high_port = _NAT_VALUES
    return _NAT.pack(head, address, high, address, proto, port, high_port, port)


def _pack_entry(entry: Entry, liberal: bool) -> bytes:
    orig, reply = entry.orig, entry.reply
    body = (
        _pack_tuple(_ORIG_HEAD, orig)
        # The reply tuple of an entry to be is that without NAT: the NAT that follows changes it.
        + _pack_tuple(_REPLY_HEAD, inverse(orig))
        # Even where nothing is translated: it keeps the user's NAT rules away. With one attribute
        # both sides count as done (ctnetlink_setup_nat()): nf_nat_inet_fn() asks no rule any more.
        + _pack_nat(_SRC_HEAD, reply[4:8], reply[10:])
    )
    if reply[:4] != orig[4:8] or reply[8:10] != orig[10:]:
        body += _pack_nat(_DST_NAT_HEAD, reply[:4], reply[8:10])
    body += _NUMBERS.pack(
        _STATUS_HEAD, entry.status | CONFIRMED, _TIMEOUT_HEAD, entry.timeout, _MARK_HEAD, entry.mark
    )
    body += _TCP_INFO[entry.state, liberal] + _LABELS_HEAD + entry.labels
    if entry.helper:
        name = entry.helper.encode("ascii", "replace") + b"\0"
        body += attribute(_HELP, attribute(1, name), True)
    if entry.master:
        body += _pack_tuple(_MASTER_HEAD, entry.master)
    return body


_READERS: dict[int, tuple[str, Callable[[bytes], Any]]] = {
    _LABELS: ("labels", bytes),
    _STATUS: ("status", int.from_bytes),
    _MARK: ("mark", int.from_bytes),
    _TIMEOUT: ("timeout", int.from_bytes),
    _PROTOINFO: ("state", _parse_state),
    _HELP: ("helper", _parse_name),
    _MASTER: ("master", _parse_tuple),
    _SEQ_ADJ_ORIG: ("adjusted", _parse_adjustment),
    _SEQ_ADJ_REPLY: ("adjusted_reply", _parse_adjustment),
}
