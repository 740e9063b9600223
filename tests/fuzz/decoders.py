"""Targets that read one input: bytes give a value or a `WireError`, and a value's encoding
gives that value again.
"""

import contextlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

from agents import ctexpect, ctmessages, links, nfnetlink
from agents.config import ConfigErrors, parse
from agents.ctnetlink import Entry
from agents.cttuple import TUPLE
from agents.outcomes import Outcome
from agents.wire import control, inquiry, labels, packet, peer, routed_arp, seal, syndata
from agents.wire.errors import WireError
from ryu_apps import receiving
from ryu_apps.core import order_forms
from ryu_apps.core.orders import NoSuch

# Reasons that only the app gives; all others are the agent's outcomes, too, and counted as those.
ARP_REASONS = frozenset({"not_arp", "arp_truncated", "arp_format"})
ORIG = packet.tuple12("10.1.0.10", "203.0.113.10", 40000, 80)


class named(contextlib.suppress):
    """Lets a WireError pass that has one of the fixed names; whatever else is raised, is raised."""

    def __init__(self, reasons: Iterable[str] = frozenset(Outcome)) -> None:
        super().__init__(WireError)
        self._reasons = reasons

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if isinstance(error, WireError):
            assert error.reason in self._reasons, error.reason
            error.detail.encode()  # for the log: text, whatever the bytes were
        return bool(super().__exit__(kind, error, trace))


def syn_data(data: bytes) -> None:
    with named():
        value, length = syndata.decode(data)
        assert syndata.MIN_SIZE <= length <= syndata.MAX_SIZE
        # There is one encoding only.
        assert syndata.encode(value) == data[len(data) - length : -seal.SIZE]


def sealed(data: bytes) -> None:
    """A seal, and what it covers. What is believed is so once, and not of anything else."""
    made, covered = data[: seal.SIZE], data[seal.SIZE :]
    opener = seal.Opener(seal.Keys([bytes(32)], 1))
    opener.name({1: 1})
    with named():
        opener.open(seal.SYN, 1, made, covered)
        for again in (covered, covered + b"x"):
            assert _refusal(opener, made, again) in ("seal_replayed", "seal_tag")


def _refusal(opener: seal.Opener, made: bytes, covered: bytes) -> str:
    try:
        opener.open(seal.SYN, 1, made, covered)
    except WireError as error:
        return error.reason
    return ""


_OF_APP_AND_AGENT: dict[int, tuple[Callable[..., Any], Callable[..., list[bytes]]]] = {
    control.ANNOUNCE: (control.announce, lambda m, told: control.announce_frames(told)),
    control.STATE: (control.state, lambda m, t: [control.state_frame(m.group, m.unit, t)]),
    control.OFFER: (control.offers, lambda m, r: control.offer_frames(m.group, m.unit, r)),
    control.ENDED: (control.ended, lambda m, r: control.ended_frames(m.group, m.unit, r)),
    control.FORGET: (control.forgotten, lambda m, r: control.forget_frames(m.group, m.unit, r)),
    control.DECIDED: (control.decided, lambda m, r: control.decided_frames(m.group, m.unit, r)),
    control.CENSUS: (
        control.census,
        lambda m, r: control.census_frames(m.group, m.unit, m.token, r),
    ),
}
_QUESTION = (
    inquiry.question,
    lambda m, asked: [inquiry.question_frame(m.group, m.unit, m.token, *asked)],
)
_OF_APP_AND_AGENT[control.QUESTION] = _QUESTION
_OF_AGENTS: dict[int, tuple[Callable[..., Any], Callable[..., list[bytes]]]] = {
    control.EXPECT: (peer.asks, peer.expect_frames),
    control.EXPECTED: (peer.answers, peer.expected_frames),
    control.WITHDRAW: (peer.withdrawn, peer.withdraw_frames),
    control.CLEAR: (peer.clears, peer.clear_frames),
    control.CLEARED: (peer.cleared, peer.cleared_frames),
    control.BEGUN: (peer.begun, peer.begun_frames),
}


def answer(data: bytes) -> None:
    """What an agent answers to a question, put together from its parts."""
    for read in (inquiry.held, inquiry.traced):
        with named():
            told = read(data)
            frames = inquiry.answer_frames(1, 2, 3, told)
            assert read(b"".join(control.parse(frame).body for frame in frames)) == told


def control_frame(data: bytes) -> None:
    with named():
        message = control.parse(data)
        if message.kind in _OF_APP_AND_AGENT:
            read, encode = _OF_APP_AND_AGENT[message.kind]
            told = read(message)
            again = [control.parse(frame) for frame in encode(message, told)]
            assert all((m.group, m.unit) == (message.group, message.unit) for m in again)
        elif message.kind in _OF_AGENTS:
            read, encode = _OF_AGENTS[message.kind]
            told = read(message)
            link = peer.Link(message.group, message.unit, data[6:12], data[:6])
            again = [control.parse(frame) for frame in encode(link, told)]
        else:
            return
        if message.kind == control.ANNOUNCE:  # its counters may take more frames than before
            assert {m.kind for m in again} == {control.ANNOUNCE}
        elif message.kind == control.STATE:
            assert read(again[0]) == told
        else:
            assert [record for m in again for record in read(m)] == list(told)


def arp(data: bytes) -> None:
    with named(ARP_REASONS):
        found = routed_arp.parse(data)
        assert routed_arp.encode(found) == data[:42]


def syn(data: bytes) -> None:
    with named():
        found = packet.parse_syn(data)
        assert packet.segment_tuple(data) == found.tuple12
        mac = bytes(6)
        for more in (b"12345", b"1234"):
            grown = packet.handed_over(found.frame, more, found.eth_dst, found.eth_src)
            assert _same_packet(packet.cut_data(grown, len(more)), found.frame, found.tcp_offset)
            handed = packet.handed_over(packet.as_client_sent(data, ORIG), more, mac, mac)
            assert packet.parse_syn(handed).tuple12 == ORIG
            for frame in (grown, handed):
                assert _wrongness(frame, found.tcp_offset) == _wrongness(data, found.tcp_offset)
    with named():
        assert len(packet.segment_tuple(data)) == 12
        assert 0 <= packet.sequence_of(data) < 1 << 32


def _same_packet(one: bytes, other: bytes, tcp: int) -> bool:
    """But for checksums of 0xffff, which are those of 0."""
    sums = (slice(24, 26), slice(tcp + 16, tcp + 18))
    apart = [bytearray(frame) for frame in (one, other)]
    for frame in apart:
        for where in sums:
            if frame[where] == b"\xff\xff":
                frame[where] = b"\0\0"
    return apart[0] == apart[1]


def _wrongness(frame: bytes, tcp: int) -> tuple[int, int]:
    """By how much either checksum is wrong, computed the long way (RFC 1071)."""
    end = 14 + int.from_bytes(frame[16:18])
    segment = frame[tcp:end]
    pseudo = frame[26:34] + struct.pack("!HH", 6, len(segment))
    return _sum(frame[14:tcp]), _sum(pseudo + segment)


def _sum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    return sum(struct.unpack(f"!{len(data) // 2}H", data)) % 0xFFFF


def label_bits(data: bytes) -> None:
    before, mask = data[:16].ljust(16, b"\0"), data[16:32].ljust(16, b"\0")
    unit, interface = labels.unit_of(before), labels.interface_of(before)
    assert 0 <= unit <= 64
    assert 0 <= interface <= 16
    assert labels.unit_of(data[:40]) in range(65)
    assert labels.balanced(before) in (False, True)
    written = labels.relabelled(before, *labels.with_unit(len(data) % 64 + 1))
    assert labels.unit_of(written) == len(data) % 64 + 1
    assert labels.interface_of(written) == interface
    assert labels.relabelled(before, bytes(16), bytes(16)) == before
    assert len(labels.relabelled(before, before, mask)) == 16


def netlink(data: bytes) -> None:
    """What the kernel says: entries, expectations, links, errors."""
    for found in nfnetlink.messages(data):
        assert 0 <= found.start < found.end <= len(data)
        nfnetlink.parse_error(data, found)
        event = ctexpect.parse_event(data, found)
        if event:
            _again(event.expectation)
        entry = ctmessages.parse_entry(data, found.start, found.end)
        gone = ctmessages.parse_gone(data, found.start, found.end)
        if entry:
            assert all(len(each) == 12 for each in (entry.orig, entry.reply))
            assert len(entry.master) in (0, 12)
            assert gone is None or gone[:2] == entry[:2]
        nfnetlink.first_of(data[found.start : found.end])
    for link in links.parse(data):
        assert link.name


def _again(expectation: peer.Expectation) -> None:
    if expectation.flags < 1 << 32 and expectation.direction < 1 << 32:
        ctexpect.pack(ctexpect.Expect(expectation), 1)


def entries(data: bytes) -> None:
    """An entry in a message whose head is right, read in the quick way and in the slow one."""
    quick = ctmessages.parse_entry(data, 0, len(data))
    if quick is None:
        return
    # An attribute that nobody knows, put first of what follows the tuples, is no reason to read it
    # otherwise; but then the entry isn't what the quick way takes.
    odd = nfnetlink.attribute(0x2000, b"odd!")
    at = nfnetlink.HEAD_SIZE + 2 * TUPLE.size
    slow = ctmessages.parse_entry(data[:at] + odd + data[at:], 0, len(data) + len(odd))
    assert slow == quick, (slow, quick)
    assert isinstance(quick, Entry)


def config(data: bytes) -> None:
    """A cluster's file."""
    with contextlib.suppress(ConfigErrors):
        cluster = parse(data.decode("utf-8", "replace"))
        assert cluster.units
        assert 1 <= cluster.group <= 255


def request_body(data: bytes) -> None:
    """An order's verb, unit and body, as they stand in a request."""
    verb, _, rest = data.partition(b"/")
    unit, _, body = rest.partition(b"\n")
    with contextlib.suppress(ValueError, NoSuch):
        order = order_forms.order(verb.decode("latin-1"), unit.decode("latin-1"), body)
        assert 0 <= order.unit <= 999


def from_switch(data: bytes) -> None:
    """What a switch sends: nothing gets lost or changes places between the sieve and Ryu."""
    at, found = 0, b""
    while at < len(data):
        before = at
        frames, ordinary, at = receiving.cut(data, at, sift=True)
        if not frames and not ordinary:
            break
        assert at > before
        if frames:
            heads = data[before:at]
            assert all(frame in heads for frame in frames)
            found += heads
        found += ordinary
    assert data.startswith(found)
