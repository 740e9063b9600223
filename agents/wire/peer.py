"""What agents tell each other over the HA link: that they are there, which sessions begin, and what
is to be expected.

The talk: the units are "connected via dedicated link used for heartbeat and keep-alive" (slide "HA
Cluster").

An auxiliary's kernel reads what a session with a helper announces (FTP's `227 Entering Passive
Mode`), and the connection that follows comes to the primary. So the auxiliary's agent tells the
primary's ahead of it. The talk has the primary's own kernel read along ("call of helper->help
function is added to track the related connections", slide "ipt_LB.ko"); docs/adr/0015 says why not
here.

The frames are control frames (`agents.wire.control`) in their header, with kinds of their own and
the MAC addresses of the two units' HA ports; `unit` is the unit that sends. Behind the body comes a
seal (`agents.wire.seal`, 36 bytes) over all of the frame before it; padding follows it.

    kind            records                        direction
    32 EXPECT       68 bytes                       auxiliary to primary
    33 EXPECTED     8 bytes                        primary to auxiliary
    34 WITHDRAW     28 bytes                       auxiliary to primary
    35 CLEAR        28 bytes                       primary to auxiliary
    36 CLEARED      4 bytes                        auxiliary to primary
    37 KEEPALIVE    12 bytes, mostly none          everybody to all
    38 BEGUN        72 bytes                       primary to all
    39 PICKUP       a packet of conntrackd's       everybody to all

    EXPECT     ask_id u32 | protocol u8 | direction u8 | flags u8 | translated u8
               | master 12 | tuple 12 | mask 6 | nat 6 | function 24
    EXPECTED   ask_id u32 | answer u8 | 0 u8 * 3
    WITHDRAW   master 12 | tuple 12 | protocol u8 | 0 u8 * 3
    CLEAR      clear_id u32 | orig 12 | reply 12
    CLEARED    clear_id u32
    KEEPALIVE  unit u8 | 1 asked, 2 answered u8 | 0 u16 | nonce u64
    BEGUN      orig 12 | reply 12 | master 12 | helper 16 | labels 16 | mark u32
    PICKUP     that of `agents.wire.pickup`; `count` is its length in bytes

Tuples are those of `agents.wire.packet`, `master` zeros if there is none; `mask` and `nat` are an
address and a port; `function` and `helper` are ASCII, filled up with zeros.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from agents.wire import control, ports, seal
from agents.wire.errors import WireError
from agents.wire.labels import unit_of
from agents.wire.syndata import HELPER_NAME

KINDS = frozenset(
    {
        control.EXPECT,
        control.EXPECTED,
        control.WITHDRAW,
        control.CLEAR,
        control.CLEARED,
        control.KEEPALIVE,
        control.BEGUN,
        control.PICKUP,
    }
)

MAX_BODY = control.MAX_BODY - seal.SIZE
MTU = 1500  # of the HA link, for the longest of these frames

_TCP, _UDP = 6, 17
_FUNCTION_SIZE = 23  # characters; a zero follows


class Expectation(NamedTuple):
    """A connection that another one has announced, and what is to be done with it when it comes.

    `master` is the orig tuple12 of the connection that announced it; `tuple12` is what its first
    packet carries on arrival, of whose source the bits of `mask` count (4 bytes of address, 2 of
    port). `protocol` is 6 (TCP) or 17 (UDP), `flags` (u8) the kernel's NF_CT_EXPECT_…. `function`
    names what the kernel does with it then (at most 23 characters, "" for nothing); `nat` (4 bytes
    of address, 2 of port; b"" for none) and `direction` (0 as the master's, 1 the other) are that
    function's.
    """

    master: bytes
    tuple12: bytes
    mask: bytes
    protocol: int = _TCP
    flags: int = 0
    function: str = ""
    direction: int = 0
    nat: bytes = b""


class Ask(NamedTuple):
    """One record of EXPECT; `ask_id` (u32) comes back with the answer."""

    ask_id: int
    expectation: Expectation


class Answer(IntEnum):
    """What became of an expectation at the primary."""

    EXPECTED = 0
    TAKEN = 1  # another connection's is in the way
    NO_MASTER = 2  # the primary knows no such session, or not as one of the unit that asks
    REFUSED = 3  # its kernel makes no such expectation


class Answered(NamedTuple):
    """One record of EXPECTED."""

    ask_id: int
    answer: Answer


class Withdrawn(NamedTuple):
    """One record of WITHDRAW: the expectation is no more, if it is still that master's."""

    master: bytes
    tuple12: bytes
    protocol: int


class Clear(NamedTuple):
    """One record of CLEAR: another session is about to have this one's tuple, which is over.
    `clear_id` (u32) comes back when its entry is gone.
    """

    clear_id: int
    orig: bytes
    reply: bytes


class Beginning(NamedTuple):
    """One record of BEGUN: the SYN of a session goes out, and this is what its entry is like.

    `master` (b"": none) is the orig tuple12 of the connection that announced it, `helper` ("":
    none) has at most 15 characters, `labels` (16 bytes) say who serves it, `mark` is a u32.
    """

    orig: bytes
    reply: bytes
    master: bytes
    helper: str
    labels: bytes
    mark: int


def asks(message: control.Message) -> list[Ask]:
    """Records of an EXPECT; WireError control_kind, control_value."""
    found = []
    for record in control.EXPECT_FORMAT.iter_unpack(control.body_of(message, control.EXPECT)):
        ask_id, protocol, direction, flags, translated, master, tuple12, mask, nat, name = record
        function = name.rstrip(b"\0")
        if direction > 1 or translated > 1 or not _printable(function, _FUNCTION_SIZE):
            raise WireError("control_value", f"{record}")
        if not translated and nat != bytes(6):
            raise WireError("control_value", f"nat {nat.hex()} of none")
        _check_protocol(protocol)
        expectation = Expectation(
            master, tuple12, mask, protocol, flags,
            function.decode("ascii"), direction, nat if translated else b"",
        )  # fmt: skip
        found.append(Ask(ask_id, expectation))
    return found


def answers(message: control.Message) -> list[Answered]:
    """Records of an EXPECTED; WireError control_kind, control_value."""
    records = control.EXPECTED_FORMAT.iter_unpack(control.body_of(message, control.EXPECTED))
    try:
        return [Answered(ask_id, Answer(answer)) for ask_id, answer in records]
    except ValueError as error:
        raise WireError("control_value", str(error)) from error


def withdrawn(message: control.Message) -> list[Withdrawn]:
    """Records of a WITHDRAW; WireError control_kind, control_value."""
    body = control.body_of(message, control.WITHDRAW)
    found = list(map(Withdrawn._make, control.WITHDRAW_FORMAT.iter_unpack(body)))
    for record in found:
        _check_protocol(record.protocol)
    return found


def clears(message: control.Message) -> list[Clear]:
    """Records of a CLEAR; WireError control_kind."""
    body = control.body_of(message, control.CLEAR)
    return list(map(Clear._make, control.CLEAR_FORMAT.iter_unpack(body)))


def cleared(message: control.Message) -> list[int]:
    """The ids of a CLEARED; WireError control_kind."""
    body = control.body_of(message, control.CLEARED)
    return [clear_id for (clear_id,) in control.CLEARED_FORMAT.iter_unpack(body)]


def begun(message: control.Message) -> list[Beginning]:
    """Records of a BEGUN; WireError control_kind, control_value."""
    found = []
    for record in control.BEGUN_FORMAT.iter_unpack(control.body_of(message, control.BEGUN)):
        orig, reply, master, padded, labels, mark = record
        helper = padded.rstrip(b"\0")
        if not _printable(helper, HELPER_NAME) or not unit_of(labels):
            raise WireError("control_value", f"{record}")
        of = master if any(master) else b""
        found.append(Beginning(orig, reply, of, helper.decode("ascii"), labels, mark))
    return found


def carried(message: control.Message) -> bytes:
    """conntrackd's packet in a PICKUP, as it is; WireError control_kind."""
    return control.body_of(message, control.PICKUP)


class Asked(IntEnum):
    """What a record of KEEPALIVE is about."""

    ASK = 1  # that unit is asked to show that it is there now, and no recording of it
    ANSWER = 2  # what that unit has asked


class Question(NamedTuple):
    """One record of KEEPALIVE: to `unit` (1…64); `nonce` (u64) comes back with the answer."""

    unit: int
    asked: Asked
    nonce: int


def questions(message: control.Message) -> list[Question]:
    """Records of a KEEPALIVE; WireError control_kind, control_value."""
    records = control.KEEPALIVE_FORMAT.iter_unpack(control.body_of(message, control.KEEPALIVE))
    try:
        found = [Question(unit, Asked(asked), nonce) for unit, asked, nonce in records]
    except ValueError as error:
        raise WireError("control_value", str(error)) from error
    if any(not 1 <= each.unit <= ports.MAX_UNITS for each in found):
        raise WireError("control_value", f"unit in {found}")
    return found


class Link(NamedTuple):
    """Between whom a frame goes: the group, the unit that sends, and both HA MACs (6 bytes)."""

    group: int
    unit: int
    src: bytes
    dst: bytes


def expect_frames(link: Link, records: Iterable[Ask]) -> list[bytes]:
    """EXPECT frames of these records. ValueError if a function's name is longer than 23."""
    return _frames(link, control.EXPECT, control.EXPECT_FORMAT, map(_ask_fields, records))


def expected_frames(link: Link, records: Iterable[Answered]) -> list[bytes]:
    """EXPECTED frames of these records."""
    return _frames(link, control.EXPECTED, control.EXPECTED_FORMAT, records)


def withdraw_frames(link: Link, records: Iterable[Withdrawn]) -> list[bytes]:
    """WITHDRAW frames of these records."""
    return _frames(link, control.WITHDRAW, control.WITHDRAW_FORMAT, records)


def clear_frames(link: Link, records: Iterable[Clear]) -> list[bytes]:
    """CLEAR frames of these records."""
    return _frames(link, control.CLEAR, control.CLEAR_FORMAT, records)


def cleared_frames(link: Link, clear_ids: Iterable[int]) -> list[bytes]:
    """CLEARED frames of these ids."""
    return _frames(link, control.CLEARED, control.CLEARED_FORMAT, ((each,) for each in clear_ids))


def begun_frames(link: Link, records: Iterable[Beginning]) -> list[bytes]:
    """BEGUN frames of these records."""
    fields = (
        (orig, reply, master or bytes(12), helper.encode("ascii"), labels, mark)
        for orig, reply, master, helper, labels, mark in records
    )
    return _frames(link, control.BEGUN, control.BEGUN_FORMAT, fields)


def keepalive_frame(link: Link, *, hears_app: bool, records: Iterable[Question] = ()) -> bytes:
    """KEEPALIVE: the unit is there. (All that units may have to ask each other fits into one.)"""
    flags = control.HEARS_APP if hears_app else 0
    packed = [control.KEEPALIVE_FORMAT.pack(*record) for record in records]
    count = len(packed)
    frame = control.empty_frame(control.KEEPALIVE, link.group, link.unit, flags, count)
    return link.dst + link.src + frame[12:] + b"".join(packed)


def pickup_frame(link: Link, packet: bytes) -> bytes:
    """PICKUP with a packet of conntrackd's; WireError pickup_long if it is longer than MAX_BODY."""
    if len(packet) > MAX_BODY:
        raise WireError("pickup_long", f"{len(packet)} bytes")
    frame = control.empty_frame(control.PICKUP, link.group, link.unit, count=len(packet))
    return link.dst + link.src + frame[12:] + packet


def sealed(frame: bytes, sealer: seal.Sealer) -> bytes:
    """One of these frames with its seal."""
    return frame + sealer.seal(seal.PEER, frame)


def open_seal(frame: bytes, message: control.Message, opener: seal.Opener) -> None:
    """Returns if the frame is that unit's; WireError as `agents.wire.seal.Opener.open`."""
    end = control.HEADER.size + len(message.body)
    opener.open(seal.PEER, message.unit, frame[end : end + seal.SIZE], frame[:end])


def _ask_fields(ask: Ask) -> tuple[Any, ...]:
    master, tuple12, mask, protocol, flags, function, direction, nat = ask.expectation
    name = function.encode("ascii")
    if len(name) > _FUNCTION_SIZE:
        raise ValueError(f"function {function!r} has more than {_FUNCTION_SIZE} characters")
    return (
        ask.ask_id, protocol, direction, flags, bool(nat),
        master, tuple12, mask, nat or bytes(6), name,
    )  # fmt: skip


def _frames(
    link: Link, kind: int, layout: struct.Struct, records: Iterable[tuple[Any, ...]]
) -> list[bytes]:
    return [
        link.dst + link.src + frame[12:]
        for frame in control.frames(kind, link.group, link.unit, layout, records, most=MAX_BODY)
    ]


def _check_protocol(protocol: int) -> None:
    if protocol not in (_TCP, _UDP):
        raise WireError("control_value", f"protocol {protocol}")


def _printable(name: bytes, longest: int) -> bool:
    return len(name) <= longest and all(0x20 < byte < 0x7F for byte in name)
