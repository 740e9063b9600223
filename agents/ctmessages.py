"""The ctnetlink messages that carry entries and what is asked for of them. No sockets.

They are declared in include/uapi/linux/netfilter/nfnetlink_conntrack.h and done by
net/netfilter/nf_conntrack_netlink.c, which is where the facts below are from. An entry that isn't
of TCP over IPv4 in the default zone is read as None. One message comes and goes with every SYN: so
they are packed from templates, in the order in which the kernel writes them, and what an entry
usually begins with is read at once.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from agents import ctexpect
from agents.ctexpect import Expect, ExpectationRequest, GetExpectation, Unexpect
from agents.ctnetlink import (
    ASKS,
    CONFIRMED,
    LIBERAL,
    Adjustment,
    Create,
    Delete,
    Entry,
    Get,
    Readjust,
    Request,
    Update,
)
from agents.cttuple import DPORT_HEAD, DST_HEAD, PROTOCOL_HEADS, TCP, TUPLE, head, pack_tuple
from agents.nfnetlink import (
    ACK,
    ATTRIBUTE,
    CREATE,
    DUMP,
    EXCL,
    HEAD,
    HEAD_SIZE,
    KIND,
    NFGEN,
    REQUEST,
    attribute,
    attributes,
    header,
    message,
)
from agents.wire.peer import Expectation

_NEW, _GET, _DELETE = 0x0100, 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_…

_STATUS, _PROTOINFO, _HELP, _NAT_SRC, _TIMEOUT, _MARK = 3, 4, 5, 6, 7, 8
_NAT_DST, _MASTER, _ZONE, _LABELS, _LABELS_MASK = 13, 14, 18, 22, 23
_SEQ_ADJ_ORIG, _SEQ_ADJ_REPLY = 15, 16


_ABOUT = struct.Struct(HEAD + TUPLE.format)  # a message that begins with a tuple, or has no more
_TCP_HEAD = PROTOCOL_HEADS[TCP]
_ORIG_HEAD, _REPLY_HEAD, _MASTER_HEAD = head(1), head(2), head(_MASTER)
_NAT = struct.Struct("8s4s4s4s8s2s6s2s2x")
_NAT_HIGH, _NAT_PORT = header(2, 4), header(3, 16, True) + header(1, 2)
_NAT_HIGH_PORT = b"\0\0" + header(2, 2)
_SRC_HEAD = header(_NAT_SRC, 36, True) + header(1, 4)
_DST_NAT_HEAD = header(_NAT_DST, 36, True) + header(1, 4)

_NUMBERS = struct.Struct("!4sI4sI4sI")  # status, timeout, mark
_MADE = struct.Struct(_ABOUT.format + TUPLE.format + _NAT.format + "24s4s16s")
_STATE = struct.Struct("!4sI4sI32s")  # status, timeout, TCP's
_RELABEL = struct.Struct("4s16s4s16s")  # labels, mask
_STATUS_HEAD, _TIMEOUT_HEAD, _MARK_HEAD = (header(kind, 4) for kind in (_STATUS, _TIMEOUT, _MARK))
_LABELS_HEAD, _MASK_HEAD = header(_LABELS, 16), header(_LABELS_MASK, 16)
_ENTRY_SIZE = HEAD_SIZE + 2 * TUPLE.size
_PARSED = struct.Struct("!20x" + TUPLE.format * 2)
# What then comes first of an entry that is asked for (ctnetlink_dump_info(), …_extinfo()), if it
# has no counters, time stamp or helper: status, mark, id, use, timeout, TCP's state, labels.
_ID_HEAD, _USE_HEAD = header(12, 4), header(11, 4)
_USUAL = struct.Struct(_PARSED.format + "4sI4sI4s4x4s4x4sI12sB35x4s16s")
_HEADS = (_ORIG_HEAD, _REPLY_HEAD, _TCP_HEAD, _TCP_HEAD)


def _tcp(state: int, liberal: bool) -> bytes:
    """CTA_PROTOINFO of a TCP state; flags (struct nf_ct_tcp_flags: value, mask) for both ways."""
    tcp = attribute(1, bytes((state,)))
    if liberal:
        tcp += attribute(4, bytes((LIBERAL, LIBERAL))) + attribute(5, bytes((LIBERAL, LIBERAL)))
    return attribute(_PROTOINFO, attribute(1, tcp, True), True)


_TCP_INFO = {(state, how): _tcp(state, how) for state in range(10) for how in (False, True)}


# TCP's state, both sides' window scales, both sides' flags (tcp_to_nlattr()).
_STATE_HEAD = header(_PROTOINFO, 44, True) + header(1, 40, True) + header(1, 1)
_USUAL_HEADS = (
    *_HEADS,
    *(_STATUS_HEAD, _MARK_HEAD, _ID_HEAD, _USE_HEAD, _TIMEOUT_HEAD, _STATE_HEAD, _LABELS_HEAD),
)


def pack_all(requests: Sequence[Request], first: int) -> bytes:
    """Messages with numbers from `first` on. Errors are told of each; so that one hears from the
    last in any case, it asks for an acknowledgement, unless it asks for more than that.
    """
    packed = [
        _PACKERS[type(request)](request, REQUEST, seq)
        for seq, request in enumerate(requests, first)
    ]
    if type(requests[-1]) not in ASKS:
        packed[-1] = pack(requests[-1], first + len(requests) - 1)
    return b"".join(packed)


def pack(request: Request, seq: int, ack: bool = True) -> bytes:
    """One netlink message. Without `ack` the kernel tells only errors and, of a Get, the entry."""
    return _PACKERS[type(request)](request, REQUEST | ACK if ack else REQUEST, seq)


def parse_answer(request: Request, data: bytes) -> Entry | Expectation | None:
    """What was asked for, in a datagram that isn't an error; None if that can't be read."""
    if type(request) is GetExpectation:
        return ctexpect.parse_expectation(data, 0, len(data))
    return parse_entry(data, 0, len(data))


def pack_dump(seq: int) -> bytes:
    """The request for all entries of IPv4."""
    return message(_GET, REQUEST | DUMP, seq, b"")


def parse_entry(data: bytes, start: int, end: int) -> Entry | None:
    """The entry in a message from `start` to `end`.

    None if it isn't TCP over IPv4, is in another zone, or no entry at all.
    """
    if end - start >= _USUAL.size:
        (
            orig_head, src, _, dst, tcp, sport, _, dport,
            reply_head, rsrc, _, rdst, rtcp, rsport, _, rdport,
            status_head, status, mark_head, mark, id_head, use_head,
            timeout_head, timeout, state_head, state, labels_head, labels,
        ) = _USUAL.unpack_from(data, start)  # fmt: skip
        heads = (
            orig_head, reply_head, tcp, rtcp,
            status_head, mark_head, id_head, use_head, timeout_head, state_head, labels_head,
        )  # fmt: skip
        if heads == _USUAL_HEADS:
            orig, reply = src + dst + sport + dport, rsrc + rdst + rsport + rdport
            entry = Entry(orig, reply, status, state, timeout, mark, labels)
            return _parse_rest(data, start + _USUAL.size, end, entry)
    if end - start < _ENTRY_SIZE:
        return None
    # The tuples come first, always like this (ctnetlink_fill_info(), ctnetlink_conntrack_event()).
    (
        orig_head, src, _, dst, tcp, sport, _, dport,
        reply_head, rsrc, _, rdst, rtcp, rsport, _, rdport,
    ) = _PARSED.unpack_from(data, start)  # fmt: skip
    if (orig_head, reply_head, tcp, rtcp) != _HEADS:
        return None
    entry = Entry(src + dst + sport + dport, rsrc + rdst + rsport + rdport, status=0)
    return _parse_rest(data, start + _ENTRY_SIZE, end, entry)


def parse_gone(data: bytes, start: int, end: int) -> Entry | None:
    """The entry in an event that it is gone, by its tuples alone: nothing else of it is read. None
    as `parse_entry`; an entry's zone is told right behind its tuples, if it isn't the default.
    """
    after = start + _ENTRY_SIZE
    zone = end - after >= 4 and ATTRIBUTE.unpack_from(data, after)[1] == _ZONE
    return None if zone else parse_entry(data, start, min(after, end))


def _parse_rest(data: bytes, at: int, end: int, entry: Entry) -> Entry | None:
    """The entry with what else is told of it from there on."""
    values: list[Any] = []
    while end - at >= 4:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > end:
            return None
        kind &= KIND
        if kind in _READERS:
            place, read = _READERS[kind]
            values = values or list(entry)
            values[place] = read(data[at + 4 : at + length])
        elif kind == _ZONE:
            return None
        at += length + 3 & ~3
    return Entry._make(values) if values else entry


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


def _parse_tuple(value: bytes) -> bytes:
    """tuple12 of a CTA_TUPLE_… attribute; empty if it isn't of TCP over IPv4, or has a zone."""
    if not TUPLE.size - 6 <= len(value) <= TUPLE.size - 4:
        return b""
    # The template has the attribute's header, too, and its padding.
    whole = bytes(4) + value.ljust(TUPLE.size - 4, b"\0")
    _, src, _, dst, tcp, sport, _, dport = TUPLE.unpack(whole)
    return src + dst + sport + dport if tcp == _TCP_HEAD else b""


def _pack_about(kind: int, flags: int, seq: int, t: bytes, body: bytes = b"") -> bytes:
    """A message about the entry with this tuple."""
    return (
        _ABOUT.pack(
            *(_ABOUT.size + len(body), kind, flags, seq, 0, NFGEN),
            *(_ORIG_HEAD, t[:4], DST_HEAD, t[4:8], _TCP_HEAD, t[8:10], DPORT_HEAD, t[10:]),
        )
        + body
    )


def _pack_get(request: Get, flags: int, seq: int) -> bytes:
    # Either attribute is looked up in both directions (nf_conntrack_find_get()).
    return _pack_about(_GET, flags, seq, request.tuple12)


def _pack_create(request: Create, flags: int, seq: int) -> bytes:
    entry, liberal = request
    orig, reply, status, state, timeout, mark, labels, helper, master, _, _ = entry
    src, dst, sport, dport = orig[:4], orig[4:8], orig[8:10], orig[10:]
    address, port = reply[4:8], reply[10:]
    extra = b""
    if reply[:4] != dst or reply[8:10] != dport:
        extra = _pack_nat(_DST_NAT_HEAD, reply[:4], reply[8:10])
    if helper:
        name = helper.encode("ascii", "replace") + b"\0"
        extra += attribute(_HELP, attribute(1, name), True)
    if master:
        extra += pack_tuple(_MASTER_HEAD, master)
    numbers = _NUMBERS.pack(
        _STATUS_HEAD, status | CONFIRMED, _TIMEOUT_HEAD, timeout, _MARK_HEAD, mark
    )
    info = _TCP_INFO[state, liberal]
    length = _MADE.size + len(info) + len(extra)
    made = _MADE.pack(
        *(length, _NEW, flags | CREATE | EXCL, seq, 0, NFGEN),
        *(_ORIG_HEAD, src, DST_HEAD, dst, _TCP_HEAD, sport, DPORT_HEAD, dport),
        # The reply tuple of an entry to be is that without NAT: the NAT that follows changes it.
        *(_REPLY_HEAD, dst, DST_HEAD, src, _TCP_HEAD, dport, DPORT_HEAD, sport),
        # Even where nothing is translated: it keeps the user's NAT rules away. With one attribute
        # both sides count as done (ctnetlink_setup_nat()): nf_nat_inet_fn() asks no rule any more.
        *(_SRC_HEAD, address, _NAT_HIGH, address, _NAT_PORT, port, _NAT_HIGH_PORT, port),
        *(numbers, _LABELS_HEAD, labels),
    )
    return made + info + extra


def _pack_update(request: Update, flags: int, seq: int) -> bytes:
    orig, labels, clear, status, timeout, state, mark = request
    body = _RELABEL.pack(_LABELS_HEAD, labels, _MASK_HEAD, clear)
    if status:
        body += _STATE.pack(_STATUS_HEAD, status, _TIMEOUT_HEAD, timeout, _TCP_INFO[state, True])
    if mark is not None:
        body += _MARK_HEAD + mark.to_bytes(4)
    return _pack_about(_NEW, flags, seq, orig, body)


def _pack_readjust(request: Readjust, flags: int, seq: int) -> bytes:
    orig, reply, adjustment = request
    kind = _SEQ_ADJ_REPLY if reply else _SEQ_ADJ_ORIG
    return _pack_about(_NEW, flags, seq, orig, _pack_adjustment(kind, adjustment))


def _pack_delete(request: Delete, flags: int, seq: int) -> bytes:
    return _pack_about(_DELETE, flags, seq, request.orig)


def _pack_expectation(request: ExpectationRequest, flags: int, seq: int) -> bytes:
    return ctexpect.pack(request, seq, bool(flags & ACK))


_PACKERS: dict[type[Request], Callable[[Any, int, int], bytes]] = {
    Get: _pack_get,
    Create: _pack_create,
    Update: _pack_update,
    Readjust: _pack_readjust,
    Delete: _pack_delete,
    GetExpectation: _pack_expectation,
    Expect: _pack_expectation,
    Unexpect: _pack_expectation,
}


def _pack_nat(begin: bytes, address: bytes, port: bytes) -> bytes:
    """A range of one address and one port."""
    return _NAT.pack(begin, address, _NAT_HIGH, address, _NAT_PORT, port, _NAT_HIGH_PORT, port)


_PLACE = {name: place for place, name in enumerate(Entry._fields)}
# By kind: the place of its field in an entry, and how to read it.
_READERS: dict[int, tuple[int, Callable[[bytes], Any]]] = {
    _LABELS: (_PLACE["labels"], bytes),
    _STATUS: (_PLACE["status"], int.from_bytes),
    _MARK: (_PLACE["mark"], int.from_bytes),
    _TIMEOUT: (_PLACE["timeout"], int.from_bytes),
    _PROTOINFO: (_PLACE["state"], _parse_state),
    _HELP: (_PLACE["helper"], _parse_name),
    _MASTER: (_PLACE["master"], _parse_tuple),
    _SEQ_ADJ_ORIG: (_PLACE["adjusted"], _parse_adjustment),
    _SEQ_ADJ_REPLY: (_PLACE["adjusted_reply"], _parse_adjustment),
}
