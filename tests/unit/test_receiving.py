"""What a switch says is handed on in its order, whatever blocks it comes in; all but agents' frames
by Ryu's own loop.
"""

import struct
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ryu", reason="Ryu is not installed")

import ryu.base.app_manager  # noqa: F401 - before the controller: see ryu_apps.receiving
from ryu.controller import controller
from ryu.exception import OFPUnknownVersion
from ryu.lib import hub

from agents.wire.ports import SYNOD
from ryu_apps import receiving
from ryu_apps.receiving import BLOCK, Sieve

ECHO_REPLY, PACKET_IN, BARRIER_REPLY = 3, 10, 21
FRAME = bytes(12) + b"\x88\xb5" + bytes(50)
Said = list[tuple[Any, ...]]


def message(kind: int, body: bytes = b"", xid: int = 0) -> bytes:
    """An OpenFlow 1.3 message."""
    return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body


def packet_in(
    frame: bytes,
    *,
    port: int = SYNOD,
    buffer: int = 0xFFFFFFFF,
    total: int | None = None,
    more: bytes = b"",
) -> bytes:
    """A frame that a flow sends to the controller; `more` OXM fields behind that of the port."""
    fields = struct.pack("!II", 0x80000004, port) + more
    match = struct.pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    length = len(frame) if total is None else total
    head = struct.pack("!IHBBQ", buffer, length, 1, 0, 0x5359_01_00_12345678)
    return message(PACKET_IN, head + match + b"\0\0" + frame)


class Script:
    """A socket that has these bytes to read, one block at a time; an error is raised."""

    def __init__(self, *blocks: bytes | Exception) -> None:
        self.blocks = list(blocks)
        self.reads: list[int] = []
        self.shut = False
        self.closed = False

    def recv(self, most: int) -> bytes:
        self.reads.append(most)
        block = self.blocks.pop(0) if self.blocks else b""
        if isinstance(block, Exception):
            raise block
        if len(block) > most:
            self.blocks.insert(0, block[most:])
        return block[:most]

    def shutdown(self, _how: int) -> None:
        self.shut = True

    def close(self) -> None:
        self.closed = True

    def setsockopt(self, *_: int) -> None: ...

    def settimeout(self, _seconds: float) -> None: ...


class Brick:
    """Where Ryu's loop sends its events."""

    def __init__(self, said: Said) -> None:
        self.said = said

    def send_event_to_observers(self, event: Any, _state: str) -> None:
        found = event.msg
        data = bytes(found.data) if found.msg_type == PACKET_IN else b""
        self.said.append(("ryu", found.msg_type, found.xid, data))

    def get_handlers(self, _event: Any) -> list[Any]:
        return []


def by_loop(socket: Any, said: Said) -> Any:
    """Run Ryu's own loop on that socket, until its end; the datapath."""
    datapath = controller.Datapath(socket, ("switch", 0))
    datapath.set_version(4)
    datapath.ofp_brick = Brick(said)
    datapath._recv_loop()
    return datapath


def sifted(*blocks: bytes | Exception, taking: bool = True) -> Said:
    """What is handed on of these blocks: ("take", frames), or ("ryu", type, xid, data)."""
    said: Said = []
    sieve = Sieve(Script(*blocks))
    if taking:
        sieve.take = lambda frames: said.append(("take", frames))
    by_loop(sieve, said)
    return said


def by_ryu(*blocks: bytes) -> Said:
    """What Ryu alone makes of them."""
    said: Said = []
    by_loop(Script(*blocks), said)
    return said


def one_by_one(said: Said) -> Said:
    """The same with a frame a `take`."""
    found: Said = []
    for each in said:
        found += [("take", frame) for frame in each[1]] if each[0] == "take" else [each]
    return found


def split(data: bytes, places: Iterable[int]) -> list[bytes]:
    at = sorted({0, len(data)} | {place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in pairwise(at)]


def test_all_is_handed_on_in_its_order() -> None:
    block = b"".join(
        (
            message(ECHO_REPLY, xid=1),
            packet_in(FRAME + b"a"),
            packet_in(FRAME + b"b"),
            message(BARRIER_REPLY, xid=2),
            message(ECHO_REPLY, b"x" * 100, xid=3),
            packet_in(FRAME + b"c"),
        )
    )
    assert sifted(block) == [
        ("ryu", ECHO_REPLY, 1, b""),
        ("take", [FRAME + b"a", FRAME + b"b"]),
        ("ryu", BARRIER_REPLY, 2, b""),
        ("ryu", ECHO_REPLY, 3, b""),
        ("take", [FRAME + b"c"]),
    ]


messages = st.one_of(
    st.builds(packet_in, st.binary(max_size=90)),
    st.builds(packet_in, st.binary(max_size=90), port=st.integers(1, 300)),
    st.builds(message, st.just(ECHO_REPLY), st.binary(max_size=90), st.integers(0, 9)),
    st.builds(message, st.just(BARRIER_REPLY), st.just(b""), st.integers(0, 9)),
)


@given(st.lists(messages, max_size=12), st.lists(st.integers(0, 2000), max_size=12))
def test_where_a_read_ends_changes_nothing(said: list[bytes], places: list[int]) -> None:
    whole = b"".join(said)
    assert one_by_one(sifted(*split(whole, places))) == one_by_one(sifted(whole))


@given(st.lists(messages, max_size=12), st.lists(st.integers(0, 2000), max_size=12))
def test_what_is_taken_is_what_ryu_would_have_given(said: list[bytes], places: list[int]) -> None:
    found = [
        ("ryu", PACKET_IN, 0, each[1]) if each[0] == "take" else each
        for each in one_by_one(sifted(*split(b"".join(said), places)))
    ]
    assert found == by_ryu(b"".join(said))


def test_a_message_may_come_byte_by_byte() -> None:
    data = message(ECHO_REPLY, xid=1) + packet_in(FRAME) + message(BARRIER_REPLY, xid=2)
    assert sifted(*(data[at : at + 1] for at in range(len(data)))) == [
        ("ryu", ECHO_REPLY, 1, b""),
        ("take", [FRAME]),
        ("ryu", BARRIER_REPLY, 2, b""),
    ]


def test_the_frames_of_a_block_are_taken_together() -> None:
    frames = [FRAME + bytes((number,)) for number in range(100)]
    data = b"".join(map(packet_in, frames))
    assert sifted(data[:-1], data[-1:]) == [("take", frames[:-1]), ("take", frames[-1:])]


def test_blocks_are_read_as_large_as_they_come() -> None:
    script = Script(packet_in(FRAME) * 1000)
    sieve = Sieve(script)
    sieve.take = lambda frames: None
    assert sieve.recv(8) == b""
    assert set(script.reads) == {BLOCK}


@pytest.mark.parametrize(
    "unusual",
    [
        packet_in(FRAME, port=1),
        packet_in(FRAME, port=int.from_bytes(SYNOD.to_bytes(4, "little"), "big")),
        packet_in(FRAME, more=struct.pack("!IQ", 0x80000408, 7)),  # metadata
        packet_in(FRAME, more=struct.pack("!II", 0x00010004, 7)),  # reg0
        packet_in(FRAME, buffer=5),
        packet_in(FRAME, total=len(FRAME) - 1),
        packet_in(FRAME, total=1500),
    ],
    ids=["port", "order", "metadata", "register", "buffered", "padded", "cut"],
)
def test_an_unusual_packet_in_goes_the_ordinary_way(unusual: bytes) -> None:
    (alone,) = by_ryu(unusual)
    assert sifted(packet_in(FRAME) + unusual + packet_in(FRAME)) == [
        ("take", [FRAME]),
        alone,
        ("take", [FRAME]),
    ]


def test_until_somebody_takes_them_frames_go_the_ordinary_way() -> None:
    assert sifted(packet_in(FRAME), taking=False) == [("ryu", PACKET_IN, 0, FRAME)]


def test_taking_may_begin_between_two_messages() -> None:
    said: Said = []
    sieve = Sieve(Script(packet_in(FRAME) + message(BARRIER_REPLY, xid=5) + packet_in(FRAME)))

    class Beginning(Brick):
        def send_event_to_observers(self, event: Any, state: str) -> None:
            super().send_event_to_observers(event, state)
            if event.msg.msg_type == BARRIER_REPLY:
                sieve.take = lambda frames: said.append(("take", frames))

    datapath = controller.Datapath(sieve, ("switch", 0))
    datapath.set_version(4)
    datapath.ofp_brick = Beginning(said)
    datapath._recv_loop()
    assert said == [
        ("ryu", PACKET_IN, 0, FRAME),
        ("ryu", BARRIER_REPLY, 5, b""),
        ("take", [FRAME]),
    ]


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_length_that_is_none_is_what_it_is_to_ryu(length: int) -> None:
    odd = struct.pack("!BBHI", 4, BARRIER_REPLY, length, 9)
    data = odd + message(ECHO_REPLY, xid=1)
    assert sifted(data) == by_ryu(data)
    assert [each[1] for each in by_ryu(data)] == [BARRIER_REPLY, ECHO_REPLY]


def test_what_is_longer_than_it_says_it_is_waited_for_and_ends_with_the_connection() -> None:
    huge = struct.pack("!BBHI", 4, ECHO_REPLY, 0xFFFF, 3) + bytes(0xFFFF - 8)
    assert sifted(huge[:40000], huge[40000:]) == [("ryu", ECHO_REPLY, 3, b"")]
    assert sifted(packet_in(FRAME), huge[:60000]) == [("take", [FRAME])]


def test_lengths_are_read_in_the_networks_byte_order() -> None:
    data = bytearray(message(ECHO_REPLY, bytes(8)))  # 0x0010
    assert sifted(bytes(data)) == [("ryu", ECHO_REPLY, 0, b"")]
    data[2], data[3] = data[3], data[2]  # 0x1000: the rest never comes
    assert sifted(bytes(data)) == by_ryu(bytes(data)) == []


def test_another_version_ends_the_connection_as_with_ryu_alone() -> None:
    foreign = b"\x63" + packet_in(FRAME)[1:]
    for run in (by_ryu, sifted):
        with pytest.raises(OFPUnknownVersion):
            run(foreign)


@pytest.mark.parametrize("error", [TimeoutError(), controller.ssl.SSLError()])
def test_a_read_that_takes_long_loses_nothing(error: Exception) -> None:
    data = packet_in(FRAME)
    assert sifted(data[:50], error, data[50:]) == [("take", [FRAME])]


def test_an_error_ends_the_connection() -> None:
    script = Script(packet_in(FRAME), ConnectionResetError(), packet_in(FRAME))
    by_loop(Sieve(script), [])
    assert script.closed
    assert len(script.blocks) == 1


def test_nothing_is_read_once_ryu_has_done_with_it() -> None:
    script = Script(packet_in(FRAME), packet_in(FRAME))
    sieve = Sieve(script)
    taken: list[list[bytes]] = []

    def take(frames: list[bytes]) -> None:
        taken.append(frames)
        datapath.close()

    datapath = controller.Datapath(sieve, ("switch", 0))
    sieve.take = take
    datapath._recv_loop()
    assert taken == [[FRAME]]
    assert script.shut
    assert script.closed


def test_everybody_else_has_a_turn_before_each_block() -> None:
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            hub.sleep(0)

    thread = hub.spawn(other)
    sieve = Sieve(Script(*[packet_in(FRAME)] * 50))
    sieve.take = lambda frames: None
    assert sieve.recv(8) == b""
    hub.kill(thread)
    assert turns >= 50


def test_ryu_serves_switches_through_a_sieve(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[Any, Any]] = []

    def serve(socket: Any, address: Any) -> None:
        served.append((socket, address))

    monkeypatch.setattr(controller, "datapath_connection_factory", serve)
    receiving.sift()
    script = Script()
    server: Callable[[Any, Any], None] = controller.datapath_connection_factory
    server(script, ("switch", 6653))
    ((sieve, address),) = served
    assert isinstance(sieve, Sieve)
    assert sieve.close == script.close
    assert address == ("switch", 6653)
