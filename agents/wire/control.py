"""Control frames: what agent and app tell each other through the agent's own bridge.

The agent writes frames of the local experimental EtherType 0x88B5 to `synod0`; the bridge hands
them to the app as packet-ins, and the app answers by packet-outs to the same port. They never leave
the bridge. (Frames of the same form that agents send each other do: `agents.wire.peer`.)

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------------------------------------------------------+
    |   dst 02:53:59:00:00:01, src 02:53:59:00:00:02, type 0x88B5   |   14 bytes
    +---------------+---------------+---------------+---------------+
    |   version 2   |     kind      |     group     |     unit      |
    +---------------+---------------+---------------+---------------+
    |             count             |     flags     |       0       |
    +-------------------------------+---------------+---------------+
    |                             token                             |
    +---------------------------------------------------------------+
    |                  body, at most 1488 bytes ...                 |

`unit` is the agent's, whichever of the two sends. `count` is the number of packed records in the
body; of a body that is one msgpack map it is the length in bytes. So the body's end is known, and
padding behind it is ignored.

    kind                 body                          direction
     1 ANNOUNCE          map                           agent to app, every interval
     2 OFFER             32-byte records               agent to app
     3 ENDED             24-byte records               agent to app
     4 CENSUS            28-byte records, flag LAST    agent to app
     5 ANSWER            part of a map, flag LAST      agent to app
    16 STATE             map                           app to agent, every interval
    17 DECIDED           8-byte records                app to agent
    18 FORGET            24-byte records               app to agent
    19 CENSUS_REQUEST    none                          app to agent
    20 QUESTION          a 16-byte record              app to agent
    32 and above         those of agents.wire.peer     agent to agent

    OFFER      offer_id u32 | known_unit u8 | in_interface u8 | out_interface u8 | flags u8
               | orig 12 | reply 12
    DECIDED    offer_id u32 | unit u8 | 0 u8 * 3
    ENDED      orig 12 | reply 12
    FORGET     orig 12 | reply 12
    CENSUS     orig 12 | reply 12 | unit u8 | 0 u8 * 3

The records are packed because one comes with every session; the maps, which come by the clock, can
afford names (`agents.wire.control_maps`). QUESTION and ANSWER, which come when somebody wants to
know, are those of `agents.wire.inquiry`. Tuples are those of `agents.wire.packet`.
"""

import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from agents.wire import control_maps, ports
from agents.wire.errors import WireError

# So that one import gives all that frames are made of.
Announce = control_maps.Announce
State = control_maps.State

ETHERTYPE = 0x88B5
ETH_DST = bytes.fromhex("025359000001")
ETH_SRC = bytes.fromhex("025359000002")
VERSION = 2
MAX_BODY = 1488  # header and body fill an Ethernet MTU of 1500

ANNOUNCE, OFFER, ENDED, CENSUS, ANSWER = 1, 2, 3, 4, 5
STATE, DECIDED, FORGET, CENSUS_REQUEST, QUESTION = 16, 17, 18, 19, 20
EXPECT, EXPECTED, WITHDRAW, CLEAR, CLEARED, KEEPALIVE, BEGUN, PICKUP = range(32, 40)
KINDS = {
    ANNOUNCE: "announce",
    OFFER: "offer",
    ENDED: "ended",
    CENSUS: "census",
    ANSWER: "answer",
    STATE: "state",
    DECIDED: "decided",
    FORGET: "forget",
    CENSUS_REQUEST: "census_request",
    QUESTION: "question",
    EXPECT: "expect",
    EXPECTED: "expected",
    WITHDRAW: "withdraw",
    CLEAR: "clear",
    CLEARED: "cleared",
    KEEPALIVE: "keepalive",
    BEGUN: "begun",
    PICKUP: "pickup",
}
LAST = 1  # flag: the last frame of a census, or of an answer
HEARS_APP = 1  # flag of a keepalive: the unit hears the app

HEADER = struct.Struct("!6s6sHBBBBHBxI")
OFFER_FORMAT = struct.Struct("!IBBBB12s12s")
DECIDED_FORMAT = struct.Struct("!IB3x")
SESSION_FORMAT = struct.Struct("!12s12s")
CENSUS_FORMAT = struct.Struct("!12s12sB3x")
QUESTION_FORMAT = struct.Struct("!B3x12s")
EXPECT_FORMAT = struct.Struct("!IBBBB12s12s6s6s24s")
EXPECTED_FORMAT = struct.Struct("!IB3x")
WITHDRAW_FORMAT = struct.Struct("!12s12sB3x")
CLEAR_FORMAT = struct.Struct("!I12s12s")
CLEARED_FORMAT = struct.Struct("!I")
KEEPALIVE_FORMAT = struct.Struct("!BBxxQ")
BEGUN_FORMAT = struct.Struct("!12s12s12s16s16sI")

_RECORD_SIZES = {
    ANNOUNCE: 1,
    OFFER: OFFER_FORMAT.size,
    ENDED: SESSION_FORMAT.size,
    CENSUS: CENSUS_FORMAT.size,
    ANSWER: 1,
    STATE: 1,
    DECIDED: DECIDED_FORMAT.size,
    FORGET: SESSION_FORMAT.size,
    CENSUS_REQUEST: 0,
    QUESTION: QUESTION_FORMAT.size,
    EXPECT: EXPECT_FORMAT.size,
    EXPECTED: EXPECTED_FORMAT.size,
    WITHDRAW: WITHDRAW_FORMAT.size,
    CLEAR: CLEAR_FORMAT.size,
    CLEARED: CLEARED_FORMAT.size,
    KEEPALIVE: KEEPALIVE_FORMAT.size,
    BEGUN: BEGUN_FORMAT.size,
    PICKUP: 1,
}


class Message(NamedTuple):
    """A control frame: its header, and the body cut to the length that its `count` gives it."""

    kind: int
    group: int
    unit: int
    token: int
    flags: int
    body: bytes


class Offer(NamedTuple):
    """A new session, offered to the app: who shall serve it?

    `offer_id` (u32) is the agent's own; `known_unit` is a unit id if the entry (or its master) has
    one already, else 0; interfaces are indices (1…16); `flags` is 0 for now.
    """

    offer_id: int
    known_unit: int
    in_interface: int
    out_interface: int
    flags: int
    orig: bytes
    reply: bytes


class Decided(NamedTuple):
    """The app's answer to an offer: this unit (1…64)."""

    offer_id: int
    unit: int


class Session(NamedTuple):
    """A session by both its tuples, in ENDED and FORGET."""

    orig: bytes
    reply: bytes


class Counted(NamedTuple):
    """A session found in conntrack by a census, and the unit (1…64) that its label names."""

    orig: bytes
    reply: bytes
    unit: int


def parse(frame: bytes) -> Message:
    """Read a frame. WireError not_control, control_truncated, control_version, control_kind or
    control_value (group 0, a unit out of 1…64). The body is checked by the function of its kind.
    """
    if frame[12:14] != b"\x88\xb5":
        raise WireError("not_control")
    if len(frame) < HEADER.size:
        raise WireError("control_truncated", f"{len(frame)} bytes")
    _, _, _, version, kind, group, unit, count, flags, token = HEADER.unpack_from(frame)
    if version != VERSION:
        raise WireError("control_version", str(version))
    size = _RECORD_SIZES.get(kind)
    if size is None:
        raise WireError("control_kind", str(kind))
    if not group or not 1 <= unit <= ports.MAX_UNITS:
        raise WireError("control_value", f"group {group}, unit {unit}")
    end = HEADER.size + count * size
    if len(frame) < end:
        raise WireError("control_truncated", f"{count} records in {len(frame)} bytes")
    return Message(kind, group, unit, token, flags, frame[HEADER.size : end])


def offers(message: Message) -> list[Offer]:
    """Records of an OFFER; WireError control_kind, control_value."""
    found = list(map(Offer._make, OFFER_FORMAT.iter_unpack(body_of(message, OFFER))))
    for offer in found:
        if (
            offer.known_unit > ports.MAX_UNITS
            or not 1 <= offer.in_interface <= ports.MAX_INTERFACES
            or not 1 <= offer.out_interface <= ports.MAX_INTERFACES
        ):
            raise WireError("control_value", f"unit or interface in {offer}")
    return found


def decided(message: Message) -> list[Decided]:
    """Records of a DECIDED; WireError control_kind, control_value."""
    found = list(map(Decided._make, DECIDED_FORMAT.iter_unpack(body_of(message, DECIDED))))
    _check_units(found)
    return found


def ended(message: Message) -> list[Session]:
    """Records of an ENDED; WireError control_kind."""
    return list(map(Session._make, SESSION_FORMAT.iter_unpack(body_of(message, ENDED))))


def forgotten(message: Message) -> list[Session]:
    """Records of a FORGET; WireError control_kind."""
    return list(map(Session._make, SESSION_FORMAT.iter_unpack(body_of(message, FORGET))))


def census(message: Message) -> list[Counted]:
    """Records of one frame of a CENSUS; WireError control_kind, control_value."""
    found = list(map(Counted._make, CENSUS_FORMAT.iter_unpack(body_of(message, CENSUS))))
    _check_units(found)
    return found


def announce(message: Message) -> Announce:
    """The map of an ANNOUNCE; WireError control_kind, control_body, control_field."""
    told = control_maps.unpack_announce(body_of(message, ANNOUNCE))
    if (told.unit, told.group) != (message.unit, message.group):
        raise WireError("control_field", "unit or group is not that of the header")
    return told


def state(message: Message) -> State:
    """The map of a STATE; WireError control_kind, control_body, control_field."""
    return control_maps.unpack_state(body_of(message, STATE))


def offer_frames(group: int, unit: int, records: Iterable[Offer]) -> list[bytes]:
    """OFFER frames of these records, as few as hold them (none of none)."""
    return frames(OFFER, group, unit, OFFER_FORMAT, records)


def decided_frames(group: int, unit: int, records: Iterable[Decided]) -> list[bytes]:
    """DECIDED frames of these records, as few as hold them (none of none)."""
    return frames(DECIDED, group, unit, DECIDED_FORMAT, records)


def ended_frames(group: int, unit: int, records: Iterable[Session]) -> list[bytes]:
    """ENDED frames of these records, as few as hold them (none of none)."""
    return frames(ENDED, group, unit, SESSION_FORMAT, records)


def forget_frames(group: int, unit: int, records: Iterable[Session]) -> list[bytes]:
    """FORGET frames of these records, as few as hold them (none of none)."""
    return frames(FORGET, group, unit, SESSION_FORMAT, records)


def census_frames(group: int, unit: int, token: int, records: Iterable[Counted]) -> list[bytes]:
    """CENSUS frames of these records with the request's token; the last has the flag LAST.

    There is always a last: an empty census is one frame of no records.
    """
    found = frames(CENSUS, group, unit, CENSUS_FORMAT, records, token=token)
    if not found:
        return [_frame(CENSUS, group, unit, 0, b"", flags=LAST, token=token)]
    last = bytearray(found[-1])
    last[HEADER.size - 6] = LAST
    return [*found[:-1], bytes(last)]


def census_request_frame(group: int, unit: int, token: int) -> bytes:
    """CENSUS_REQUEST; `token` (u32) comes back with the census."""
    return _frame(CENSUS_REQUEST, group, unit, 0, b"", token=token)


def empty_frame(kind: int, group: int, unit: int, flags: int = 0, count: int = 0) -> bytes:
    """A frame without its body, of so many records."""
    return _frame(kind, group, unit, count, b"", flags=flags)


def part_frames(kind: int, group: int, unit: int, token: int, body: bytes) -> list[bytes]:
    """Frames that have the parts of a body, as few as hold it; the last has the flag LAST."""
    starts = range(0, max(1, len(body)), MAX_BODY)
    parts = [body[start : start + MAX_BODY] for start in starts]
    flags = [0] * (len(parts) - 1) + [LAST]
    return [
        _frame(kind, group, unit, len(part), part, flags=flag, token=token)
        for part, flag in zip(parts, flags, strict=True)
    ]


def announce_frames(told: Announce) -> list[bytes]:
    """ANNOUNCE frames; more than one only if the counters don't fit into one.

    Each is complete but for its counters, of which each has its share. WireError control_body if
    the rest alone doesn't fit.
    """
    body = control_maps.pack(told)
    if len(body) <= MAX_BODY:
        return [_frame(ANNOUNCE, told.group, told.unit, len(body), body)]
    counters = list(told.counters.items())
    if not counters:
        raise WireError("control_body", f"{len(body)} bytes do not fit into a frame")
    half = len(counters) // 2
    halves = (counters[:half], counters[half:]) if half else ((),)
    return [
        frame for part in halves for frame in announce_frames(replace(told, counters=dict(part)))
    ]


def state_frame(group: int, unit: int, told: State) -> bytes:
    """STATE for the agent of that unit."""
    body = control_maps.pack(told)
    return _frame(STATE, group, unit, len(body), body)


def _frame(
    kind: int, group: int, unit: int, count: int, body: bytes, *, flags: int = 0, token: int = 0
) -> bytes:
    head = (ETH_DST, ETH_SRC, ETHERTYPE, VERSION, kind, group, unit, count, flags, token)
    return HEADER.pack(*head) + body


def frames(
    kind: int,
    group: int,
    unit: int,
    layout: struct.Struct,
    records: Iterable[tuple[Any, ...]],
    *,
    token: int = 0,
    most: int = MAX_BODY,
) -> list[bytes]:
    """Frames of packed records of one kind, as few as hold them (none of none), `most` bytes in
    each.
    """
    packed = [layout.pack(*record) for record in records]
    room = most // layout.size
    parts = (packed[start : start + room] for start in range(0, len(packed), room))
    return [_frame(kind, group, unit, len(part), b"".join(part), token=token) for part in parts]


def body_of(message: Message, kind: int) -> bytes:
    """The body of a message of that kind; WireError control_kind if it is of another."""
    if message.kind != kind:
        raise WireError("control_kind", f"{KINDS[message.kind]}, not {KINDS[kind]}")
    return message.body


def _check_units(records: Iterable[Decided | Counted]) -> None:
    for record in records:
        if not 1 <= record.unit <= ports.MAX_UNITS:
            raise WireError("control_value", f"unit in {record}")
