"""Control frames: headers, records and the two maps."""

import string
from collections.abc import Callable
from dataclasses import asdict, replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import control
from agents.wire.control import Announce, Counted, Decided, Message, Offer, Session, State
from agents.wire.errors import WireError
from agents.wire.ports import mac_text
from tests.unit.wire_frames import interfaces, junk, macs, tuples, u8, u32, u64, units

groups = st.integers(1, 255)
units_or_none = st.integers(0, 64)
names = st.text(string.ascii_lowercase + "_", min_size=1, max_size=15)
counts = st.integers(0, 2**63 - 1)
roles = st.sampled_from(["primary", "auxiliary", "none"])

offers = st.builds(Offer, u32, units_or_none, interfaces, interfaces, u8, tuples, tuples)
decideds = st.builds(Decided, u32, units)
sessions = st.builds(Session, tuples, tuples)
counteds = st.builds(Counted, tuples, tuples, units)
announces = st.builds(
    Announce,
    unit=units,
    group=groups,
    boot=u64,
    keys=st.lists(u32, max_size=2).map(tuple),
    name=names,
    version=names,
    role=roles,
    primary=units_or_none,
    macs=st.dictionaries(names, macs.map(mac_text), max_size=16),
    digest=st.text("0123456789abcdef", max_size=64),
    serving=counts,
    resync=u32,
    term=u32,
    hears=st.lists(units, max_size=64).map(tuple),
    missing=st.lists(units, max_size=64).map(tuple),
    adopted=st.lists(units, max_size=64).map(tuple),
    down=st.lists(interfaces, max_size=16).map(tuple),
    synced=st.none() | st.lists(units, max_size=64).map(tuple),
    counters=st.dictionaries(names, counts, max_size=20),
)
adopted = st.lists(units, max_size=64).map(tuple)
boots = st.dictionaries(units, u64)
states = st.builds(
    State, u32, roles, units_or_none, st.booleans(), u32, adopted, u32, units_or_none, boots
)

TOLD = Announce(
    unit=2,
    group=1,
    boot=7,
    name="lab",
    version="0.1.0",
    role="auxiliary",
    primary=1,
    macs={"int": "02:53:59:01:02:01", "ext": "02:53:59:01:02:02"},
    digest="0123456789abcdef",
    serving=3,
    resync=0,
    counters={"syn_without_data": 1},
)
STATE = State(
    boot=9,
    role="primary",
    primary=1,
    balancing=True,
    term=3,
    adopt=(2, 3),
    boots={1: 5, 64: 2**64 - 1},
)
ONE_OF_EACH = [
    control.announce_frames(TOLD)[0],
    control.offer_frames(1, 2, [Offer(1, 0, 1, 2, 0, bytes(12), bytes(12))])[0],
    control.ended_frames(1, 2, [Session(bytes(12), bytes(12))])[0],
    control.census_frames(1, 2, 5, [Counted(bytes(12), bytes(12), 2)])[0],
    control.state_frame(1, 2, STATE),
    control.decided_frames(1, 2, [Decided(1, 2)])[0],
    control.forget_frames(1, 2, [Session(bytes(12), bytes(12))])[0],
    control.census_request_frame(1, 2, 5),
]
READERS: dict[int, Callable[[Message], object]] = {
    control.ANNOUNCE: control.announce,
    control.OFFER: control.offers,
    control.ENDED: control.ended,
    control.CENSUS: control.census,
    control.STATE: control.state,
    control.DECIDED: control.decided,
    control.FORGET: control.forgotten,
}
REASONS = (
    "not_control",
    "control_truncated",
    "control_version",
    "control_kind",
    "control_value",
    "control_body",
    "control_field",
)


def reason(frame: bytes) -> str:
    """Why a frame, or its body, is refused."""
    with pytest.raises(WireError) as caught:
        read(frame)
    return caught.value.reason


def read(frame: bytes) -> object:
    message = control.parse(frame)
    return READERS.get(message.kind, lambda told: told)(message)


def patched(frame: bytes, offset: int, value: int) -> bytes:
    at = offset % len(frame)
    return frame[:at] + bytes((value,)) + frame[at + 1 :]


def test_the_header_as_documented() -> None:
    frame = control.census_request_frame(1, 2, 0xABCD)
    assert frame == bytes.fromhex(
        "025359000001 025359000002 88b5  02 13 01 02  0000 00 00  0000abcd"
    )
    frame = control.decided_frames(3, 4, [Decided(5, 6), Decided(7, 8)])[0]
    assert frame[14:] == bytes.fromhex(
        "02 11 03 04  0002 00 00  00000000  00000005 06 000000  00000007 08 000000"
    )


def test_the_records_as_documented() -> None:
    orig, reply = b"o" * 12, b"r" * 12
    offer = control.offer_frames(1, 2, [Offer(1, 3, 4, 5, 6, orig, reply)])[0]
    assert offer[26:] == bytes.fromhex("00000001 03 04 05 06") + orig + reply
    assert control.ended_frames(1, 2, [Session(orig, reply)])[0][26:] == orig + reply
    assert control.forget_frames(1, 2, [Session(orig, reply)])[0][26:] == orig + reply
    counted = control.census_frames(1, 2, 0, [Counted(orig, reply, 9)])[0]
    assert counted[26:] == orig + reply + b"\x09\0\0\0"


@pytest.mark.parametrize(
    ("records", "make", "reader"),
    [
        (offers, control.offer_frames, control.offers),
        (decideds, control.decided_frames, control.decided),
        (sessions, control.ended_frames, control.ended),
        (sessions, control.forget_frames, control.forgotten),
    ],
)
def test_records_come_back_in_as_few_frames_as_hold_them(records, make, reader) -> None:  # type: ignore[no-untyped-def]
    @given(st.lists(records, max_size=80), groups, units)
    def check(sent: list[object], group: int, unit: int) -> None:
        frames = make(group, unit, iter(sent))
        messages = [control.parse(frame) for frame in frames]
        assert [record for message in messages for record in reader(message)] == sent
        assert all((m.group, m.unit, m.token, m.flags) == (group, unit, 0, 0) for m in messages)
        assert all(len(frame) <= 1514 for frame in frames)
        size = {control.offers: 32, control.decided: 8}.get(reader, 24)
        assert len(frames) == -(-len(sent) // (1488 // size))

    check()


@given(st.lists(counteds, max_size=120), groups, units, u32)
def test_a_census_says_which_frame_is_its_last(
    sent: list[Counted], group: int, unit: int, token: int
) -> None:
    messages = [control.parse(f) for f in control.census_frames(group, unit, token, sent)]
    assert [record for message in messages for record in control.census(message)] == sent
    assert [m.flags for m in messages] == [0] * (len(messages) - 1) + [control.LAST]
    assert all((m.group, m.unit, m.token) == (group, unit, token) for m in messages)


@given(groups, units, u32)
def test_a_census_request(group: int, unit: int, token: int) -> None:
    found = control.parse(control.census_request_frame(group, unit, token))
    assert found == Message(control.CENSUS_REQUEST, group, unit, token, 0, b"")


@given(announces)
def test_announce_comes_back(told: Announce) -> None:
    (frame,) = control.announce_frames(told)
    message = control.parse(frame)
    assert control.announce(message) == told
    assert (message.unit, message.group) == (told.unit, told.group)


@given(states, groups, units)
def test_state_comes_back(told: State, group: int, unit: int) -> None:
    message = control.parse(control.state_frame(group, unit, told))
    assert control.state(message) == told
    assert (message.unit, message.group) == (unit, group)


@pytest.mark.parametrize("frame", ONE_OF_EACH)
def test_padding_is_ignored(frame: bytes) -> None:
    assert control.parse(frame + bytes(20)) == control.parse(frame)
    assert read(frame + b"\xff" * 20) == read(frame)


@pytest.mark.parametrize("frame", ONE_OF_EACH)
def test_every_shorter_frame_is_refused(frame: bytes) -> None:
    for length in range(len(frame)):
        wanted = "not_control" if length < 14 else "control_truncated"
        assert reason(frame[:length]) == wanted


def test_counters_that_do_not_fit_go_into_several_frames() -> None:
    counters = {f"{'x' * 40}_{number}": number for number in range(100)}
    frames = control.announce_frames(replace(TOLD, counters=counters))
    assert all(len(frame) <= 1514 for frame in frames)
    told = [control.announce(control.parse(frame)) for frame in frames]
    assert all(replace(part, counters={}) == replace(TOLD, counters={}) for part in told)
    assert {name: n for part in told for name, n in part.counters.items()} == counters
    assert sum(len(part.counters) for part in told) == 100
    assert len(frames) <= 8


def test_an_announce_that_cannot_fit_is_an_error() -> None:
    for counters in ({}, {"one": 1}):
        with pytest.raises(WireError, match="control_body"):
            control.announce_frames(replace(TOLD, name="x" * 1500, counters=counters))


ANY = ONE_OF_EACH[1]


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (b"", "not_control"),
        (patched(ANY, 12, 8), "not_control"),
        (patched(ANY, 14, 1), "control_version"),
        (patched(ANY, 15, 0), "control_kind"),
        (patched(ANY, 15, 6), "control_kind"),
        (patched(ANY, 16, 0), "control_value"),
        (patched(ANY, 17, 0), "control_value"),
        (patched(ANY, 17, 65), "control_value"),
        (patched(ANY, 19, 2), "control_truncated"),
        (patched(ANY, 18, 255), "control_truncated"),
        (patched(ANY, 30, 65), "control_value"),
        (patched(ANY, 31, 0), "control_value"),
        (patched(ANY, 31, 17), "control_value"),
        (patched(ANY, 32, 0), "control_value"),
        (patched(ANY, 32, 17), "control_value"),
        (patched(ONE_OF_EACH[3], 50, 0), "control_value"),
        (patched(ONE_OF_EACH[5], 30, 0), "control_value"),
        (patched(ONE_OF_EACH[5], 30, 65), "control_value"),
        (patched(ONE_OF_EACH[0], 17, 3), "control_field"),
        (patched(ONE_OF_EACH[0], 16, 2), "control_field"),
    ],
)
def test_what_is_wrong_has_a_name(frame: bytes, wanted: str) -> None:
    assert reason(frame) == wanted


@pytest.mark.parametrize("kind", READERS)
def test_readers_refuse_other_kinds(kind: int) -> None:
    other = control.parse(control.census_request_frame(1, 1, 1))
    with pytest.raises(WireError, match="control_kind"):
        READERS[kind](other)


@given(
    junk
    | st.builds(lambda kind, count, body: header(kind, count) + body, u8, st.integers(0, 9), junk)
    | st.builds(patched, st.sampled_from(ONE_OF_EACH), st.integers(0, 400), u8)
)
def test_any_bytes_are_a_message_or_a_wire_error(frame: bytes) -> None:
    try:
        read(frame)
    except WireError as error:
        seen = error.reason
    else:
        seen = "control_value"
    assert seen in REASONS


def header(kind: int, count: int) -> bytes:
    return ANY[:15] + bytes((kind, 1, 2)) + count.to_bytes(2) + bytes(6)


def map_frame(kind: int, body: bytes) -> bytes:
    return header(kind, len(body)) + body


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | junk,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([control.ANNOUNCE, control.STATE]), anything.map(msgpack.packb) | junk)
def test_any_body_of_a_map_is_a_value_or_a_wire_error(kind: int, body: bytes) -> None:
    assert reason(map_frame(kind, body)) in ("control_body", "control_field")


@given(st.sampled_from(list(asdict(TOLD))), anything)
def test_any_field_of_an_announce_is_itself_or_a_wire_error(name: str, value: object) -> None:
    frame = map_frame(control.ANNOUNCE, msgpack.packb(asdict(TOLD) | {name: value}))
    try:
        found = read(frame)
    except WireError as error:
        assert error.reason == "control_field"  # noqa: PT017
    else:
        same = tuple(value) if isinstance(value, list) else value
        assert asdict(found) == asdict(TOLD) | {name: same}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "change",
    [
        {"unit": 0},
        {"unit": True},
        {"unit": 2.0},
        {"unit": "2"},
        {"group": 256},
        {"boot": 1.5},
        {"boot": -1},
        {"name": "x" * 65},
        {"name": "a\nb"},
        {"name": None},
        {"version": "x" * 33},
        {"role": "Primary"},
        {"role": ["primary"]},
        {"primary": 65},
        {"macs": []},
        {"macs": {"int": "02:53:59:01:02"}},
        {"macs": {"int": 5}},
        {"macs": {"x" * 16: "02:53:59:01:02:01"}},
        {"macs": {f"i{n}": "02:53:59:01:02:01" for n in range(17)}},
        {"digest": "x" * 65},
        {"serving": -1},
        {"serving": 2**63},
        {"resync": None},
        {"keys": [1, 2, 3]},
        {"keys": [2**32]},
        {"keys": None},
        {"down": [17]},
        {"down": [1] * 17},
        {"down": None},
        {"synced": [0]},
        {"synced": [1] * 65},
        {"synced": 0},
        {"counters": {"x": -1}},
        {"counters": {"x": True}},
        {"counters": {"a b\n": 1}},
        {"counters": {"x" * 49: 1}},
        {"counters": {f"c{n}": 1 for n in range(1025)}},
        {"unheard_of": 1},
    ],
)
def test_each_wrong_field_is_refused(change: dict[str, object]) -> None:
    body = msgpack.packb(asdict(TOLD) | change)
    with pytest.raises(WireError, match=f"control_field: .*{next(iter(change))}"):
        read(map_frame(control.ANNOUNCE, body))


def test_fields_as_long_as_they_may_be() -> None:
    longest = {"x" * 48: 2**63 - 1} | {f"c{n}": 0 for n in range(1023)}
    told = replace(TOLD, name="n" * 64, version="v" * 32, digest="d" * 64, counters=longest)
    assert read(map_frame(control.ANNOUNCE, msgpack.packb(asdict(told)))) == told


@pytest.mark.parametrize("name", list(asdict(STATE)))
def test_each_missing_field_is_refused(name: str) -> None:
    told = asdict(STATE)
    del told[name]
    with pytest.raises(WireError, match=f"control_field: missing or unknown: {name}"):
        read(map_frame(control.STATE, msgpack.packb(told)))


@pytest.mark.parametrize("value", [1, None, "true"])
def test_balancing_is_true_or_false(value: object) -> None:
    body = msgpack.packb(asdict(STATE) | {"balancing": value})
    with pytest.raises(WireError, match="control_field: balancing"):
        read(map_frame(control.STATE, body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80\x80",
        b"\xc1",
        b"\x91" * 1200 + b"\xc0",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x90\xc0",
        b"\x81\x91\x01\x02",
        b"\xa1\xff",
        b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        msgpack.packb([1]),
    ],
)
def test_hostile_msgpack_is_refused(body: bytes) -> None:
    assert reason(map_frame(control.STATE, body)) == "control_body"


@pytest.mark.parametrize("depth", [5, 900, 1000, 1020])
@pytest.mark.parametrize("name", list(asdict(STATE)))
def test_what_is_nested_deeply_is_refused_like_anything_else(name: str, depth: int) -> None:
    """It is valid msgpack, and short; to tell of it, it must not be written out (found by fuzzing:
    RecursionError, which would have ended the app).
    """
    table = asdict(STATE) | {name: None}
    body = msgpack.packb(table).replace(
        msgpack.packb(name) + b"\xc0", msgpack.packb(name) + b"\x91" * depth + b"\x01"
    )
    with pytest.raises(WireError, match=f"control_field: {name} ") as caught:
        read(map_frame(control.STATE, body))
    assert len(caught.value.detail) < 100
