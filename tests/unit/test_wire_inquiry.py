"""Questions about a session and their answers: there and back, and nothing else is taken."""

import contextlib
from dataclasses import asdict, replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import control, inquiry
from agents.wire.errors import WireError
from agents.wire.inquiry import ENTRY, TRACE, Held, Traced

TUPLE = bytes(range(12))
HELD = Held(0, TUPLE, TUPLE[::-1], 14, 3, 300, 5, bytes(15) + b"\x01", "ftp", TUPLE)
TRACED = Traced("int", "ext", False, (("ip route get", "dev ext\n"), ("trace", "0. priority 50\n")))


def put_together(frames: list[bytes], unit: int = 2) -> bytes:
    messages = [control.parse(frame) for frame in frames]
    assert {(m.kind, m.group, m.unit, m.token) for m in messages} == {(control.ANSWER, 1, unit, 9)}
    assert [m.flags for m in messages] == [0] * (len(frames) - 1) + [control.LAST]
    return b"".join(message.body for message in messages)


@pytest.mark.parametrize("what", [ENTRY, TRACE])
def test_a_question_is_read_as_it_was_asked(what: int) -> None:
    message = control.parse(inquiry.question_frame(1, 2, 9, what, TUPLE))
    assert (message.token, message.unit) == (9, 2)
    assert inquiry.question(message) == (what, TUPLE)


def test_another_question_is_none() -> None:
    message = control.parse(inquiry.question_frame(1, 2, 9, 3, TUPLE))
    with pytest.raises(WireError, match="control_value"):
        inquiry.question(message)


@pytest.mark.parametrize("count", [0, 2])
def test_one_is_asked_at_a_time(count: int) -> None:
    frames = control.frames(
        control.QUESTION, 1, 2, control.QUESTION_FORMAT, [(ENTRY, TUPLE)] * max(1, count)
    )
    message = control.parse(frames[0])
    if not count:
        message = message._replace(body=b"")
    with pytest.raises(WireError, match="control_value"):
        inquiry.question(message)


@pytest.mark.parametrize("answer", [HELD, Held(2)])
def test_an_entry_is_read_as_it_was_told(answer: Held) -> None:
    assert inquiry.held(put_together(inquiry.answer_frames(1, 2, 9, answer))) == answer


@pytest.mark.parametrize("length", [0, 10, 5000])
def test_a_trace_takes_as_many_frames_as_it_must(length: int) -> None:
    answer = replace(TRACED, commands=(("trace", "x" * length),))
    frames = inquiry.answer_frames(1, 2, 9, answer)
    assert len(frames) == 1 + (length + 60) // control.MAX_BODY
    assert inquiry.traced(put_together(frames)) == answer


def test_a_body_that_fills_a_frame_takes_one() -> None:
    assert len(control.part_frames(control.ANSWER, 1, 2, 9, bytes(control.MAX_BODY))) == 1
    assert len(control.part_frames(control.ANSWER, 1, 2, 9, b"")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"error": -1},
        {"error": True},
        {"orig": b"short"},
        {"reply": ""},
        {"status": 1 << 32},
        {"labels": bytes(8)},
        {"helper": "x" * 33},
        {"orig": b""},
    ],
)
def test_an_entry_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="control_field"):
        inquiry.held(msgpack.packb(asdict(HELD) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"came": "x" * 16},
        {"local": 1},
        {"commands": "ab"},
        {"commands": [["a"]]},
        {"commands": ["ab"]},
        {"commands": [["a", 1]]},
        {"commands": [["a", "b"]] * 9},
        {"commands": [["a", "x" * (inquiry.LONGEST + 1)]]},
    ],
)
def test_a_trace_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="control_field"):
        inquiry.traced(msgpack.packb(asdict(TRACED) | changes))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_answer_or_an_error(body: bytes) -> None:
    for read in (inquiry.held, inquiry.traced):
        with contextlib.suppress(WireError):
            read(body)
