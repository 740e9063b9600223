"""Netlink messages: framing and attributes, and the expectations in them."""

import errno
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents import ctexpect, ctmessages
from agents.ctexpect import Expect, Expected, GetExpectation, Unexpect
from agents.ctnetlink import (
    CONFIRMED,
    Adjustment,
    Create,
    Delete,
    Entry,
    Get,
    Readjust,
    Request,
    Update,
)
from agents.nfnetlink import (
    ACK,
    HEAD_SIZE,
    NLMSG_ERROR,
    Message,
    attribute,
    attributes,
    first_of,
    message,
    messages,
    parse_error,
)
from agents.wire.packet import inverse, tuple12
from agents.wire.peer import Expectation
from tests.unit.test_wire_peer import expectations
from tests.unit.wire_frames import junk, tuples, u8, u16, u32

kinds = st.integers(1, 0x3FFF)
MASTER = tuple12("10.1.0.10", "203.0.113.10", 39999, 21)
# What `227 Entering Passive Mode` makes a kernel expect, without its translation.
PLAIN = Expectation(MASTER, tuple12("10.1.0.10", "203.0.113.10", 0, 50000), b"\xff" * 4 + b"\0\0")
FULL = PLAIN._replace(
    flags=1, function="nat-follow-master", direction=1, nat=bytes((10, 1, 0, 10)) + b"\xc3\x50"
)


# -- framing


@given(st.lists(st.tuples(kinds, u16, u32, st.binary(max_size=40).map(lambda b: b[: len(b) & ~3]))))
def test_messages_come_back_from_one_datagram(sent: list[tuple[int, int, int, bytes]]) -> None:
    data = b"".join(message(*each) for each in sent)
    found = list(messages(data))
    assert [(each.kind, each.seq, each.pid) for each in found] == [
        (kind, seq, 0) for kind, _, seq, _ in sent
    ]
    assert [data[each.start + HEAD_SIZE : each.end] for each in found] == [
        body for *_, body in sent
    ]


@given(st.integers(0, 59))
def test_a_message_cut_short_is_left_out(length: int) -> None:
    data = message(1, 0, 1, bytes(8)) + message(2, 0, 2, bytes(12))
    wanted = [] if length < 28 else [1]
    assert [each.kind for each in messages(data[:length])] == wanted


@pytest.mark.parametrize("length", [0, 15])
def test_a_message_shorter_than_its_header_ends_the_reading(length: int) -> None:
    bad = struct.pack("=IHHII", length, 9, 0, 0, 0)
    assert [each.kind for each in messages(message(1, 0, 1, b"") + bad)] == [1]


def error_message(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, NLMSG_ERROR, 0, 7, 0, code) + bytes(16)


@pytest.mark.parametrize("code", [0, errno.ENOENT, errno.EEXIST])
def test_the_errno_of_an_error(code: int) -> None:
    data = b"...." * 3 + error_message(-code)
    assert parse_error(data, Message(NLMSG_ERROR, 7, 0, 12, 48)) == code


def test_an_error_without_an_errno() -> None:
    data = error_message(-errno.ENOENT)
    assert parse_error(data, Message(NLMSG_ERROR, 7, 0, 0, 19)) == errno.EPROTO


@given(st.dictionaries(kinds, st.binary(max_size=20)), st.booleans())
def test_attributes_come_back(sent: dict[int, bytes], nested: bool) -> None:
    data = b"".join(attribute(kind, value, nested) for kind, value in sent.items())
    assert len(data) % 4 == 0
    assert attributes(data) == sent


def test_the_last_attribute_of_a_kind_counts() -> None:
    assert attributes(attribute(3, b"a") + attribute(3, b"b")) == {3: b"b"}


@pytest.mark.parametrize("rest", [b"\5\0\2", b"\3\0\2\0", b"\0\0\2\0abcd", b"\x09\0\2\0abcd"])
def test_attributes_end_at_the_first_that_is_cut_short(rest: bytes) -> None:
    assert attributes(attribute(1, b"value") + rest) == {1: b"value"}


@given(junk)
def test_any_bytes_are_read(data: bytes) -> None:
    for found in messages(data):
        assert 0 <= found.start < found.end <= len(data)
        parse_error(data, found)
        ctexpect.parse_event(data, found)
        ctmessages.parse_entry(data, found.start, found.end)
        ctmessages.parse_gone(data, found.start, found.end)
    ctexpect.parse_expectation(data, 0, len(data))
    assert len(attributes(data)) <= len(data) // 4


# -- expectations


def packed(expectation: Expectation) -> bytes:
    return ctexpect.pack(Expect(expectation), 5)


def read(data: bytes) -> Expectation | None:
    (found,) = messages(data)
    return ctexpect.parse_expectation(data, found.start, found.end)


@given(expectations)
def test_what_is_asked_for_is_what_would_be_told(expectation: Expectation) -> None:
    """Requests and answers have the same attributes."""
    if not expectation.nat:
        expectation = expectation._replace(direction=0)
    assert read(packed(expectation)) == expectation


def test_an_expectation_in_bytes() -> None:
    """As `struct nlattr` has them: length, kind; bit 15 of a kind for what is nested."""
    t = bytes.fromhex
    addresses = t("1400 0180 0800 0100 {} 0800 0200 {}".format("0a01000a", "cb00710a"))
    master = t("3400 0180") + addresses + t("1c00 0280 0500 0100 06 000000")
    master += t("0600 0200 9c3f 0000 0600 0300 0015 0000")
    expected = t("3400 0280") + addresses + t("1c00 0280 0500 0100 06 000000")
    expected += t("0600 0200 0000 0000 0600 0300 c350 0000")
    mask = t("3400 0380 1400 0180 0800 0100 ffffffff 0800 0200 ffffffff")
    mask += t("1c00 0280 0500 0100 06 000000 0600 0200 0000 0000 0600 0300 ffff 0000")
    flags = t("0800 0800 00000001")
    nat = t(
        "4000 0a80 0800 0100 00000001 3400 0280 1400 0180 0800 0100 0a01000a 0800 0200 00000000"
    )
    nat += t("1c00 0280 0500 0100 06 000000 0600 0200 c350 0000 0600 0300 0000 0000")
    function = t("1600 0b00") + b"nat-follow-master\0\0\0"
    body = master + expected + mask + flags + nat + function
    # NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_NEW; REQUEST, ACK, EXCL, CREATE; seq 5
    head = struct.pack("=IHHII", 20 + len(body), 0x0200, 0x0605, 5, 0) + t("02 00 0000")
    assert packed(FULL) == head + body


@pytest.mark.parametrize(("request_", "kind"), [(GetExpectation, 0x0201), (Unexpect, 0x0202)])
@given(t=tuples, protocol=st.sampled_from([6, 17]), ack=st.booleans())
def test_asked_for_and_removed_by_its_tuple(
    request_: type[GetExpectation | Unexpect], kind: int, t: bytes, protocol: int, ack: bool
) -> None:
    data = ctmessages.pack(request_(t, protocol), 9, ack)
    (found,) = messages(data)
    assert (found.kind, found.seq) == (kind, 9)
    assert struct.unpack_from("=H", data, 6) == (5 if ack else 1,)
    whole = data[HEAD_SIZE:]
    assert packed(PLAIN._replace(tuple12=t, protocol=protocol)).find(whole) > 0


@pytest.mark.parametrize(("kind", "made"), [(0x0200, True), (0x0202, False)])
def test_events_tell_what_was_made_and_what_goes(kind: int, made: bool) -> None:
    data = message(kind, 0, 0, packed(FULL)[HEAD_SIZE:])
    (found,) = messages(data)
    assert ctexpect.parse_event(data, found) == Expected(made, FULL)


def test_an_answer_is_read_as_what_was_asked_for() -> None:
    data = packed(FULL)
    assert ctmessages.parse_answer(GetExpectation(FULL.tuple12), data) == FULL
    entry = ctmessages.pack(Create(Entry(MASTER, inverse(MASTER), helper="ftp")), 5)
    read = ctmessages.parse_answer(Get(MASTER), entry)
    assert isinstance(read, Entry)
    assert (read.orig, read.reply, read.helper) == (MASTER, inverse(MASTER), "ftp")


def without(*gone: int) -> bytes:
    return b"".join(
        attribute(kind, value, kind in {1, 2, 3, 10})
        for kind, value in attributes(packed(FULL)[HEAD_SIZE:]).items()
        if kind not in gone
    )


MASTER_OF_UDP = ctexpect.pack(Unexpect(MASTER, 17), 1)[HEAD_SIZE + 4 :]
SIX = attribute(1, attribute(3, bytes(16)) + attribute(4, bytes(16)), nested=True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        without(1),
        without(2),
        without(3),
        without() + attribute(1, MASTER_OF_UDP, nested=True),
        without() + attribute(2, SIX, nested=True),
        packed(FULL._replace(protocol=132))[HEAD_SIZE:],  # SCTP has ports, too
        without() + attribute(7, b"\0\1"),  # CTA_EXPECT_ZONE
        without() + attribute(9, b"\0\0\0\1"),  # CTA_EXPECT_CLASS
    ],
)
def test_expectations_of_another_kind_are_none(body: bytes) -> None:
    data = message(0x0200, 0, 0, body)
    (found,) = messages(data)
    assert read(data) is None
    assert ctexpect.parse_event(data, found) is None


def test_the_first_class_is_the_one_of_zero() -> None:
    assert read(message(0x0200, 0, 0, without() + attribute(9, bytes(4)))) == FULL


def test_what_isnt_told_is_zero() -> None:
    assert read(message(0x0200, 0, 0, without(8, 10, 11))) == PLAIN


# -- entries

ORIG, REPLY = (
    tuple12("10.1.0.10", "203.0.113.10", 1024, 80),
    bytes.fromhex("cb00710acb00710100500400"),
)
# As a kernel (6.18) tells it: its header, both tuples; status, mark, id, use, timeout, TCP's state;
# labels, SYN proxy.
HEAD_AND_TUPLES = bytes.fromhex(
    "040100000001020002000000d81e000002000000"
    "3400018014000180080001000a01000a08000200cb00710a1c00028005000100060000000600020004000000"
    "0600030000500000"
    "3400028014000180 08000100cb00710a08000200cb0071011c00028005000100060000000600020000500000"
    "0600030004000000"
)
USUAL = bytes.fromhex(
    "0800030000000198 0800080000000005 08000c001d3ae861 08000b0000000002 0800070000000078"
    "300004802c00018005000100010000000500020000000000050003000000000006000400000000000600050000000000"
)
LABELS = bytes.fromhex("1400160000000000000000000200000000000000")
REST = LABELS + bytes.fromhex("1c001880080001000000000008000200000000000800030000000000")
TOLD = Entry(ORIG, REPLY, 0x198, 1, 120, 5, LABELS[4:])


def entry_in(data: bytes) -> Entry | None:
    return ctmessages.parse_entry(data, 0, len(data))


def test_an_entry_as_a_kernel_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of it is looked for: so much time is there for each."""
    monkeypatch.setattr(ctmessages, "_READERS", None)
    assert entry_in(HEAD_AND_TUPLES + USUAL + LABELS) == TOLD


@pytest.mark.parametrize(
    "told",
    [
        USUAL + REST,
        attribute(9, attribute(1, bytes(8)), nested=True) + USUAL + REST,  # CTA_COUNTERS_ORIG first
        LABELS + USUAL,
        USUAL[8:] + USUAL[:8] + REST,
        USUAL[:40] + REST + USUAL[40:],
    ],
)
def test_in_whatever_order_it_is_told(told: bytes) -> None:
    assert entry_in(HEAD_AND_TUPLES + told) == TOLD


def test_what_isnt_told_of_an_entry_is_zero() -> None:
    assert entry_in(HEAD_AND_TUPLES) == Entry(ORIG, REPLY, status=0)
    assert entry_in(HEAD_AND_TUPLES + USUAL) == TOLD._replace(labels=bytes(16))


@pytest.mark.parametrize("rest", [b"\3\0\2\0", b"\x09\0\2\0abcd", attribute(18, b"\0\1")])
def test_an_entry_cut_short_or_of_another_zone_is_none(rest: bytes) -> None:
    assert entry_in(HEAD_AND_TUPLES + USUAL + rest) is None


@pytest.mark.parametrize("more", [attribute(3, b"\0\1"), bytes(60)])
def test_a_master_of_another_zone_is_none(more: bytes) -> None:
    """Its tuple is longer then: CTA_TUPLE_ZONE."""
    tuple_ = HEAD_AND_TUPLES[HEAD_SIZE + 4 : HEAD_SIZE + 52]
    master = attribute(14, tuple_, nested=True)
    assert entry_in(HEAD_AND_TUPLES + USUAL + master) == TOLD._replace(
        master=ORIG, labels=bytes(16)
    )
    longer = attribute(14, tuple_ + more, nested=True)
    assert entry_in(HEAD_AND_TUPLES + USUAL + longer) == TOLD._replace(labels=bytes(16), master=b"")


def test_of_an_entry_that_is_gone_its_tuples_are_read() -> None:
    def gone(told: bytes) -> Entry | None:
        return ctmessages.parse_gone(told, 0, len(told))

    tuples_alone = Entry(ORIG, REPLY, status=0)
    assert gone(HEAD_AND_TUPLES + USUAL + REST) == gone(HEAD_AND_TUPLES) == tuples_alone
    assert gone(HEAD_AND_TUPLES + attribute(18, b"\0\1") + USUAL) is None
    assert gone(HEAD_AND_TUPLES[:-4]) is None


bits = st.binary(min_size=16, max_size=16)
states = st.integers(0, 9)


def entries(helpers: st.SearchStrategy[str]) -> st.SearchStrategy[Entry]:
    """Entries as they are made."""
    masters = st.just(b"") | tuples
    fields = tuples, tuples, u8, states, u32, u32, bits, helpers, masters, st.none(), st.none()
    return st.builds(Entry, *fields)


requests = st.one_of(
    st.builds(Get, tuples),
    st.builds(Delete, tuples),
    st.builds(Update, tuples, bits, bits, st.sampled_from([0, 14]), u32, states, st.none() | u32),
    st.builds(Readjust, tuples, st.booleans(), st.just(Adjustment(1, -2, 3))),
    st.builds(Create, entries(st.sampled_from(["", "ftp", "irc"])), st.booleans()),
    st.builds(GetExpectation, tuples, st.sampled_from([6, 17])),
)


@given(requests)
def test_a_request_is_one_message_full_of_attributes(request_: Request) -> None:
    data = ctmessages.pack(request_, 5)
    (found,) = messages(data)
    assert (found.start, found.end, found.seq) == (0, len(data), 5)
    at = HEAD_SIZE
    while at < len(data):
        length, _ = struct.unpack_from("=HH", data, at)
        assert length >= 4
        at += length + 3 & ~3
    assert at == len(data)


@given(entries(st.just("")), st.booleans())
@example(Entry(ORIG, inverse(ORIG)), False)
@example(Entry(ORIG, inverse(ORIG)[:8] + b"\x1f\x90" + ORIG[8:10]), False)  # its port alone
def test_an_entry_is_asked_for_as_it_would_be_told(entry: Entry, liberal: bool) -> None:
    """But for its translation, which is told by the reply tuple and asked for as NAT."""
    data = ctmessages.pack(Create(entry, liberal), 5)
    wanted = entry._replace(reply=inverse(entry.orig), status=entry.status | CONFIRMED)
    assert entry_in(data) == wanted
    nat = {kind: attributes(attributes(data[HEAD_SIZE:]).get(kind, b"")) for kind in (6, 13)}
    assert (nat[6][1], attributes(nat[6][3])[1]) == (entry.reply[4:8], entry.reply[10:])
    translated = (entry.reply[:4], entry.reply[8:10]) != (entry.orig[4:8], entry.orig[10:])
    assert bool(nat[13]) == translated
    if translated:
        assert (nat[13][1], attributes(nat[13][3])[1]) == (entry.reply[:4], entry.reply[8:10])


@pytest.mark.parametrize(
    ("last", "acknowledged"),
    [(Get(ORIG), False), (GetExpectation(ORIG), False), (Delete(ORIG), True), (Update(ORIG), True)],
)
def test_one_hears_from_the_last_of_many_requests(last: Request, acknowledged: bool) -> None:
    asked: list[Request] = [Update(ORIG), Get(ORIG), Create(Entry(ORIG, REPLY)), last]
    data = ctmessages.pack_all(asked, 70)
    found = list(messages(data))
    assert [each.seq for each in found] == [70, 71, 72, 73]
    flags = [struct.unpack_from("=H", data, each.start + 6)[0] for each in found]
    assert [bool(each & ACK) for each in flags] == [False, False, False, acknowledged]
    parts = [data[each.start : each.end] for each in found]
    assert parts[:3] == [
        ctmessages.pack(ask, 70 + at, ack=False) for at, ask in enumerate(asked[:3])
    ]
    assert first_of(parts[3]) == (found[3].kind, 73)


# -- what a helper added to a stream

ADJUSTED = Adjustment(0xFFFFFFF0, -3, 2)


@pytest.mark.parametrize(("reply", "kind"), [(False, 15), (True, 16)])
def test_what_was_added_is_read_as_it_is_written(reply: bool, kind: int) -> None:
    data = ctmessages.pack(Readjust(MASTER, reply, ADJUSTED), 1)
    nested = bytes.fromhex("0800 0100 fffffff0  0800 0200 fffffffd  0800 0300 00000002")
    assert data.endswith(struct.pack("=HH", 28, 0x8000 | kind) + nested)
    entry = ctmessages.pack(Create(Entry(MASTER, inverse(MASTER))), 1) + data[-28:]
    found = ctmessages.parse_entry(entry, 0, len(entry))
    assert found is not None
    assert (found.adjusted, found.adjusted_reply) == (
        (None, ADJUSTED) if reply else (ADJUSTED, None)
    )


def test_what_cannot_be_read_of_it_is_none() -> None:
    short = attribute(15, attribute(1, bytes(4)) + attribute(2, bytes(3)), True)
    entry = ctmessages.pack(Create(Entry(MASTER, inverse(MASTER))), 1) + short
    found = ctmessages.parse_entry(entry, 0, len(entry))
    assert found is not None
    assert found.adjusted is None
