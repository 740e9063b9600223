"""What the app asks agents and bridges on an operator's behalf, and the answers as they come.

One question is open at a time, and nothing waits here: whoever asked looks whether it is done, and
goes on without what hasn't come in time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from agents.wire import control, inquiry, ports
from agents.wire.errors import WireError
from agents.wire.inquiry import Held, Traced
from ryu_apps.core import events
from ryu_apps.core.events import Effect, Seen
from ryu_apps.core.flows import Flow

T = TypeVar("T")


@dataclass(slots=True)
class Question(Generic[T]):
    """One to some: units, or the places of flows or tuples in a list. `read` makes a value of what
    an agent answers; a bridge's answers are values.
    """

    token: int
    asked: frozenset[int]
    read: Callable[[bytes], T] | None = None
    answers: dict[int, T] = field(default_factory=dict)
    tuples: tuple[bytes, ...] = ()
    parts: dict[int, bytes] = field(default_factory=dict)  # of answers, by unit

    @property
    def done(self) -> bool:
        """All have answered."""
        return self.answers.keys() == self.asked


class Questions:
    """Asks, and takes the answers."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._number = 0
        self._open: Question[Any] | None = None

    def entries(self, units: Iterable[int], t12: bytes) -> tuple[Question[Held], list[Effect]]:
        """What do these units' kernels have of that tuple?"""
        question = Question(self._token(), frozenset(units), inquiry.held)
        return question, self._ask_agents(question, inquiry.ENTRY, t12)

    def trace(self, unit: int, t12: bytes) -> tuple[Question[Traced], list[Effect]]:
        """What would become of a SYN on that unit?"""
        question = Question(self._token(), frozenset((unit,)), inquiry.traced)
        return question, self._ask_agents(question, inquiry.TRACE, t12)

    def flows(self, unit: int, flows: list[Flow]) -> tuple[Question[Seen | None], list[Effect]]:
        """What have these flows of a bridge seen? None of one that isn't there."""
        places = frozenset(range(len(flows)))
        self._open = question = Question[Seen | None](self._token(), places)
        return question, [events.AskFlow(unit, question.token, flow) for flow in flows]

    def marks(self, unit: int, *tuples: bytes) -> tuple[Question[int], list[Effect]]:
        """With what marks does that bridge's connection tracker have these?"""
        places = frozenset(range(len(tuples)))
        self._open = question = Question[int](self._token(), places, tuples=tuples)
        return question, [events.AskMark(unit, each) for each in tuples]

    def answered(self, message: control.Message) -> list[Effect]:
        """An agent answers, in one part or in several. WireError answer_stale, answer_long, and
        those of `agents.wire.inquiry`.
        """
        question, unit = self._open, message.unit
        if question is None or question.token != message.token or unit not in question.asked:
            raise WireError("answer_stale")
        if question.read is None:
            raise WireError("answer_stale", "a bridge is asked")
        whole = question.parts.get(unit, b"") + control.body_of(message, control.ANSWER)
        if len(whole) > inquiry.MOST_BYTES:
            raise WireError("answer_long", f"{len(whole)} bytes")
        question.parts[unit] = whole
        if message.flags & control.LAST:
            question.answers[unit] = question.read(whole)
        return []

    def looked(self, event: events.Looked) -> list[Effect]:
        """A bridge answers: it does so in the order in which it was asked."""
        question = self._open
        if question and question.token == event.token:
            question.answers[len(question.answers)] = event.seen
        return []

    def marked(self, event: events.Marked) -> list[Effect]:
        """A bridge has looked a tuple up. (A packet carries no token.)"""
        question = self._open
        if question and event.tuple12 in question.tuples:
            question.answers[question.tuples.index(event.tuple12)] = event.mark
        return []

    def _token(self) -> int:
        """Unlike all tokens of what the app asks for itself."""
        self._number = (self._number + 1) % events.QUESTION
        return events.QUESTION | self._number

    def _ask_agents(self, question: Question[Any], what: int, t12: bytes) -> list[Effect]:
        self._open = question
        frame, group, token = inquiry.question_frame, self._group, question.token
        return [
            events.Send(unit, ports.SYNOD, frame(group, unit, token, what, t12))
            for unit in sorted(question.asked)
        ]
