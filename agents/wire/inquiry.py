"""What the app wants to know of one session, and what an agent answers: QUESTION and ANSWER.

    QUESTION   what u8 | 0 u8 * 3 | tuple 12          one record
    ANSWER     a msgpack map, in as many frames as it takes; the last has the flag LAST

The token of the question comes back with its answer. `what` is ENTRY (what does the unit's kernel
have of that tuple, in either direction?) or TRACE (what would become of a SYN with that tuple?). An
agent that is asked too much answers not at all.

Somebody is waiting at a keyboard: so names, and no packing (`agents.wire.control_maps`).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgpack  # type: ignore[import-untyped]

from agents.wire import control
from agents.wire.control import Message
from agents.wire.control_maps import read_map
from agents.wire.errors import WireError

ENTRY, TRACE = 1, 2
MOST_BYTES = 1 << 17  # of one answer
LONGEST = 1 << 14  # characters of a command's output


@dataclass(frozen=True, slots=True)
class Held:
    """What a unit's kernel has of a session. `error` is an errno: 0 if there is an entry, ENOENT if
    there is none, and then all else is empty. Of the entry as in `agents.ctnetlink`.
    """

    error: int
    orig: bytes = b""
    reply: bytes = b""
    status: int = 0
    state: int = 0
    timeout: int = 0
    mark: int = 0
    labels: bytes = bytes(16)
    helper: str = ""
    master: bytes = b""


@dataclass(frozen=True, slots=True)
class Traced:
    """What was found out about a SYN that hasn't come: the interfaces by which it would come and
    leave, by the unit's own routes (empty if by none of the cluster's), `local` if it would go to
    the unit itself, and the commands with what they said.
    """

    came: str = ""
    leaves: str = ""
    local: bool = False
    commands: tuple[tuple[str, str], ...] = ()


def _number(high: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and 0 <= value <= high


def _bytes(*sizes: int) -> Callable[[object], bool]:
    return lambda value: type(value) is bytes and len(value) in sizes


def _text(longest: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and len(value) <= longest


def _is_commands(value: object) -> bool:
    return (
        type(value) is list
        and len(value) <= 8
        and all(type(each) is list and len(each) == 2 for each in value)
        and all(_text(LONGEST)(text) for each in value for text in each)
    )


_U32 = _number(0xFFFFFFFF)
_HELD: Mapping[str, Callable[[object], bool]] = {
    "error": _number(0xFFFF),
    "orig": _bytes(0, 12),
    "reply": _bytes(0, 12),
    "status": _U32,
    "state": _number(0xFF),
    "timeout": _U32,
    "mark": _U32,
    "labels": _bytes(16),
    "helper": _text(32),
    "master": _bytes(0, 12),
}
_TRACED: Mapping[str, Callable[[object], bool]] = {
    "came": _text(15),
    "leaves": _text(15),
    "local": lambda value: type(value) is bool,
    "commands": _is_commands,
}


def question_frame(group: int, unit: int, token: int, what: int, tuple12: bytes) -> bytes:
    """QUESTION for the agent of that unit."""
    record = [(what, tuple12)]
    layout = control.QUESTION_FORMAT
    (frame,) = control.frames(control.QUESTION, group, unit, layout, record, token=token)
    return frame


def question(message: Message) -> tuple[int, bytes]:
    """What is asked, and about which tuple; WireError control_kind, control_value."""
    body = control.body_of(message, control.QUESTION)
    if len(body) != control.QUESTION_FORMAT.size:
        raise WireError("control_value", "not one question")
    what, tuple12 = control.QUESTION_FORMAT.unpack(body)
    if what not in (ENTRY, TRACE):
        raise WireError("control_value", f"question {what}")
    return what, tuple12


def answer_frames(group: int, unit: int, token: int, answer: Held | Traced) -> list[bytes]:
    """ANSWER to the question with that token."""
    packed: bytes = msgpack.packb(asdict(answer))
    return control.part_frames(control.ANSWER, group, unit, token, packed)


def held(body: bytes) -> Held:
    """The answer to ENTRY, put together; WireError control_body, control_field."""
    found = Held(**read_map(body, _HELD))
    if not found.error and not (found.orig and found.reply):
        raise WireError("control_field", "an entry without its tuples")
    return found


def traced(body: bytes) -> Traced:
    """The answer to TRACE, put together; WireError control_body, control_field."""
    found: dict[str, Any] = read_map(body, _TRACED)
    commands = tuple((command, output) for command, output in found.pop("commands"))
    return Traced(**found, commands=commands)
