"""What agents tell each other: records, frames, and what is refused."""

import string
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import control, peer, seal
from agents.wire.errors import WireError
from agents.wire.labels import SIZE, unit_of
from agents.wire.peer import (
    Answer,
    Answered,
    Ask,
    Asked,
    Beginning,
    Clear,
    Expectation,
    Link,
    Question,
    Withdrawn,
)
from tests.unit.wire_frames import junk, macs, tuples, u8, u32, u64, units

protocols = st.sampled_from([6, 17])
sources = st.binary(min_size=6, max_size=6)
links = st.builds(Link, st.integers(1, 255), units, macs, macs)
expectations = st.builds(
    Expectation,
    tuples,
    tuples,
    sources,
    protocols,
    flags=u8,
    function=st.text(string.ascii_letters + string.digits + "-_.", max_size=23),
    direction=st.integers(0, 1),
    nat=st.just(b"") | sources,
)
asks = st.builds(Ask, u32, expectations)
answers = st.builds(Answered, u32, st.sampled_from(Answer))
withdrawns = st.builds(Withdrawn, tuples, tuples, protocols)
clears = st.builds(Clear, u32, tuples, tuples)
beginnings = st.builds(
    Beginning,
    tuples,
    tuples,
    st.just(b"") | tuples.filter(any),
    st.text(string.ascii_letters + string.digits + "-_.", max_size=15),
    st.binary(min_size=SIZE, max_size=SIZE).filter(unit_of),
    u32,
)

US = Link(1, 2, b"src...", b"...dst")
ASK = Ask(
    0x01020304,
    Expectation(b"m" * 12, b"t" * 12, b"k" * 6, 17, 5, "nat-follow-master", 1, b"n" * 6),
)
EXPECT = peer.expect_frames(US, [ASK])[0]
EXPECTED = peer.expected_frames(US, [Answered(7, Answer.TAKEN)])[0]
WITHDRAW = peer.withdraw_frames(US, [Withdrawn(b"m" * 12, b"t" * 12, 6)])[0]
CLEAR = peer.clear_frames(US, [Clear(9, b"o" * 12, b"r" * 12)])[0]
CLEARED = peer.cleared_frames(US, [9])[0]
BEGIN = Beginning(b"o" * 12, b"r" * 12, b"m" * 12, "ftp", b"\x04" + bytes(15), 0x01020304)
BEGUN = peer.begun_frames(US, [BEGIN])[0]
TOLD = [Question(3, Asked.ASK, 0x0102030405060708), Question(4, Asked.ANSWER, 2**64 - 1)]
ASKING = peer.keepalive_frame(US, hears_app=True, records=TOLD)
READERS: dict[int, Callable[[control.Message], object]] = {
    control.EXPECT: peer.asks,
    control.EXPECTED: peer.answers,
    control.WITHDRAW: peer.withdrawn,
    control.CLEAR: peer.clears,
    control.CLEARED: peer.cleared,
    control.KEEPALIVE: peer.questions,
    control.BEGUN: peer.begun,
    control.PICKUP: peer.carried,
}
BODY = control.HEADER.size
REASONS = (
    "",
    "not_control",
    "control_truncated",
    "control_version",
    "control_kind",
    "control_value",
)


def read(frame: bytes) -> object:
    message = control.parse(frame)
    return READERS[message.kind](message)


def patched(frame: bytes, offset: int, *values: int) -> bytes:
    """The frame with other bytes at this offset of its body."""
    at = BODY + offset
    return frame[:at] + bytes(values) + frame[at + len(values) :]


def test_the_frames_as_documented() -> None:
    head = b"...dst" + b"src..." + b"\x88\xb5"
    assert (
        head
        + bytes.fromhex("02 20 01 02  0001 00 00  00000000")
        + (
            bytes.fromhex("01020304 11 01 05 01")
            + (b"m" * 12 + b"t" * 12 + b"k" * 6 + b"n" * 6)
            + b"nat-follow-master".ljust(24, b"\0")
        )
        == EXPECT
    )
    assert head + bytes.fromhex("02 21 01 02  0001 00 00  00000000  00000007 01 000000") == EXPECTED
    assert (
        head
        + bytes.fromhex("02 22 01 02  0001 00 00  00000000")
        + (b"m" * 12 + b"t" * 12 + b"\x06\0\0\0")
        == WITHDRAW
    )
    assert (
        head + bytes.fromhex("02 23 01 02  0001 00 00  00000000  00000009") + b"o" * 12 + b"r" * 12
        == CLEAR
    )
    assert head + bytes.fromhex("02 24 01 02  0001 00 00  00000000  00000009") == CLEARED
    assert head + bytes.fromhex("02 25 01 02  0000 01 00  00000000") == (
        peer.keepalive_frame(US, hears_app=True)
    )
    assert head + bytes.fromhex("02 25 01 02  0000 00 00  00000000") == (
        peer.keepalive_frame(US, hears_app=False)
    )
    assert (
        head
        + bytes.fromhex("02 25 01 02  0002 01 00  00000000")
        + bytes.fromhex("03 01 0000 0102030405060708  04 02 0000 ffffffffffffffff")
        == ASKING
    )
    assert (
        head
        + bytes.fromhex("02 26 01 02  0001 00 00  00000000")
        + (b"o" * 12 + b"r" * 12 + b"m" * 12 + b"ftp".ljust(16, b"\0"))
        + (b"\x04".ljust(16, b"\0") + bytes.fromhex("01020304"))
        == BEGUN
    )


@pytest.mark.parametrize(
    "wrong", [{"helper": "x" * 16}, {"helper": "f p"}, {"labels": b"\x01" + bytes(15)}]
)
def test_a_beginning_of_no_unit_or_of_no_helpers_name_is_refused(wrong: dict[str, Any]) -> None:
    (frame,) = peer.begun_frames(US, [BEGIN._replace(**wrong)])
    with pytest.raises(WireError, match="control_value"):
        read(frame)


def test_what_is_said_of_nothing_is_zero() -> None:
    """No function, no translation; TCP."""
    (frame,) = peer.expect_frames(US, [Ask(0, Expectation(b"m" * 12, b"t" * 12, bytes(6)))])
    assert frame[BODY + 4 : BODY + 8] == b"\x06\0\0\0"
    assert frame[BODY + 32 :] == bytes(36)
    assert read(frame) == [Ask(0, Expectation(b"m" * 12, b"t" * 12, bytes(6)))]


def test_a_translation_to_zeros_is_one_all_the_same() -> None:
    ask = Ask(0, ASK.expectation._replace(nat=bytes(6)))
    (frame,) = peer.expect_frames(US, [ask])
    assert read(frame) == [ask]


@pytest.mark.parametrize(
    ("records", "make", "size"),
    [
        (asks, peer.expect_frames, 68),
        (answers, peer.expected_frames, 8),
        (withdrawns, peer.withdraw_frames, 28),
        (clears, peer.clear_frames, 28),
        (u32, peer.cleared_frames, 4),
        (beginnings, peer.begun_frames, 72),
    ],
)
def test_records_come_back_in_as_few_frames_as_hold_them(records, make, size) -> None:  # type: ignore[no-untyped-def]
    @given(st.lists(records, max_size=60), links)
    def check(sent: list[object], link: Link) -> None:
        frames = make(link, iter(sent))
        messages = [control.parse(frame) for frame in frames]
        assert [record for frame in frames for record in read(frame)] == sent  # type: ignore[attr-defined]
        assert all((m.group, m.unit, m.token, m.flags) == (*link[:2], 0, 0) for m in messages)
        assert all(frame[:12] == link.dst + link.src for frame in frames)
        assert all(len(frame) + seal.SIZE <= 1514 for frame in frames)
        assert len(frames) == -(-len(sent) // (1452 // size))

    check()


@given(asks, junk)
def test_what_follows_the_records_is_padding(ask: Ask, padding: bytes) -> None:
    (frame,) = peer.expect_frames(US, [ask])
    assert read(frame + padding) == [ask]


@given(st.sampled_from(sorted(peer.KINDS)), st.integers(0, 4), st.binary(max_size=300))
def test_any_body_gives_records_or_is_refused(kind: int, count: int, body: bytes) -> None:
    frame = (
        control.HEADER.pack(b"", b"", control.ETHERTYPE, control.VERSION, kind, 1, 2, count, 0, 0)
        + body
    )
    try:
        seen = str(len(read(frame)))  # type: ignore[arg-type]
    except WireError as error:
        seen = error.reason
    assert seen in {str(count), "control_truncated", "control_value"}


@given(st.sampled_from([EXPECT, EXPECTED, WITHDRAW, CLEAR, CLEARED, BEGUN]), st.integers(0), u8)
def test_any_byte_changed_gives_the_same_value_or_a_reason(
    frame: bytes, offset: int, value: int
) -> None:
    at = offset % len(frame)
    changed = frame[:at] + bytes((value,)) + frame[at + 1 :]
    seen = ""
    try:
        message = control.parse(changed)
        if message.kind in READERS:
            READERS[message.kind](message)
    except WireError as error:
        seen = error.reason
    assert seen in REASONS


@pytest.mark.parametrize("kind", sorted(READERS))
@pytest.mark.parametrize("frame", [EXPECT, EXPECTED, WITHDRAW, CLEAR, CLEARED, BEGUN])
def test_a_reader_reads_its_own_kind(kind: int, frame: bytes) -> None:
    message = control.parse(frame)
    if message.kind == kind:
        assert len(READERS[kind](message)) == 1  # type: ignore[arg-type]
        return
    with pytest.raises(WireError, match="control_kind"):
        READERS[kind](message)


def test_no_kind_of_agents_is_the_apps() -> None:
    assert set(READERS) == peer.KINDS
    assert min(peer.KINDS) == 32


@pytest.mark.parametrize("frame", [EXPECT, EXPECTED, WITHDRAW, CLEAR, CLEARED, BEGUN])
def test_a_body_cut_short_is_refused(frame: bytes) -> None:
    for length in range(BODY, len(frame)):
        with pytest.raises(WireError, match="control_truncated"):
            control.parse(frame[:length])


PROTOCOL, DIRECTION, TRANSLATED, NAT, FUNCTION = 4, 5, 7, 38, 44


@pytest.mark.parametrize(
    "frame",
    [
        patched(EXPECT, PROTOCOL, 1),
        patched(EXPECT, PROTOCOL, 0),
        patched(EXPECT, DIRECTION, 2),
        patched(EXPECT, TRANSLATED, 2),
        patched(EXPECT, TRANSLATED, 0),  # and to what, all the same
        patched(patched(EXPECT, TRANSLATED, 0), NAT, 0, 0, 0, 0, 0, 1),
        patched(EXPECT, FUNCTION, 0),  # a zero, and more
        patched(EXPECT, FUNCTION, 0x1F),
        patched(EXPECT, FUNCTION, 0x20),
        patched(EXPECT, FUNCTION, 0x7F),
        patched(EXPECT, FUNCTION, 0xC3, 0xA4),
        patched(EXPECT, FUNCTION, *b"x" * 24),  # no zero follows
        patched(EXPECTED, 4, 4),
        patched(WITHDRAW, 24, 1),
        patched(ASKING, 0, 0),
        patched(ASKING, 0, 65),
        patched(ASKING, 1, 0),
        patched(ASKING, 1, 3),
    ],
)
def test_values_out_of_range_are_refused(frame: bytes) -> None:
    with pytest.raises(WireError, match="control_value"):
        read(frame)


@given(st.lists(st.builds(Question, units, st.sampled_from(Asked), u64), max_size=120), links)
def test_what_is_asked_comes_back_with_the_keepalive(sent: list[Question], link: Link) -> None:
    frame = peer.keepalive_frame(link, hears_app=False, records=sent)
    assert read(frame) == sent
    assert len(frame) + seal.SIZE <= 1514


KEYS = seal.Keys([bytes(32)], 1)


def opener(unit: int = 2, boot: int = 7) -> seal.Opener:
    made = seal.Opener(KEYS)
    made.name({unit: boot})
    return made


@given(st.sampled_from([EXPECT, CLEARED, BEGUN, ASKING]), junk)
def test_a_seal_covers_the_frame_and_padding_follows_it(frame: bytes, padding: bytes) -> None:
    sealed = peer.sealed(frame, seal.Sealer(KEYS, 2, 7))
    assert sealed[: len(frame)] == frame
    peer.open_seal(sealed + padding, control.parse(sealed), opener())


@given(st.sampled_from([EXPECT, CLEARED, BEGUN, ASKING]), st.integers(0), st.integers(1, 255))
def test_no_byte_of_a_frame_can_be_another(frame: bytes, offset: int, change: int) -> None:
    sealed = bytearray(peer.sealed(frame, seal.Sealer(KEYS, 2, 7)))
    sealed[offset % len(sealed)] ^= change
    with pytest.raises(WireError, match=r"control_|seal_|not_control"):
        peer.open_seal(bytes(sealed), control.parse(bytes(sealed)), opener())


@pytest.mark.parametrize("left", [0, 1, seal.SIZE - 1])
def test_a_frame_without_a_seal_is_nobodys(left: int) -> None:
    cut = peer.sealed(EXPECT, seal.Sealer(KEYS, 2, 7))[: len(EXPECT) + left]
    with pytest.raises(WireError, match="seal_truncated"):
        peer.open_seal(cut, control.parse(cut), opener())


def test_one_bad_record_spoils_the_frame() -> None:
    good = Withdrawn(b"m" * 12, b"t" * 12, 6)
    (frame,) = peer.withdraw_frames(US, [good, good])
    with pytest.raises(WireError, match="control_value"):
        read(patched(frame, 28 + 24, 0))


def test_a_function_of_the_longest_name() -> None:
    ask = Ask(1, ASK.expectation._replace(function="x" * 23))
    (frame,) = peer.expect_frames(US, [ask])
    assert read(frame) == [ask]
    with pytest.raises(ValueError, match="more than 23 characters"):
        peer.expect_frames(US, [Ask(1, ask.expectation._replace(function="x" * 24))])


def test_what_does_not_fit_its_field_is_the_callers_mistake() -> None:
    with pytest.raises(struct.error):
        peer.expect_frames(US, [ASK._replace(ask_id=1 << 32)])
