"""Which start of another unit's agent to believe, where nobody else can say.

A seal's epoch is new with each start of an agent, so that what an agent before has sealed can't be
sent again. Which one is a unit's present epoch the app says, which each agent tells. While the app
is away, agents that are started anew have to be believed all the same: an agent that sees a seal of
an epoch that it doesn't know asks, with its keepalives, for a number that it has never used; the
answer has a seal of that epoch, and who gives it is there now.
"""

from typing import NamedTuple

from agents.core_facts import Facts
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.errors import WireError
from agents.wire.peer import Asked, Question
from agents.wire.seal import Opener

PATIENCE = 1.0  # seconds that an answer may take; then another number is asked for, if at all
_MOST = 60  # asks, and answers, in one keepalive: it is one frame


class _Ask(NamedTuple):
    epoch: int
    nonce: int
    since: float


class Vouching:
    """What this unit asks others, and what it was asked."""

    def __init__(self, facts: Facts, opener: Opener) -> None:
        self._unit = facts.unit
        self._opener = opener
        self._nonce = facts.boot  # each start's own, and counted: none comes twice
        self._asks: dict[int, _Ask] = {}  # by unit
        self._answers: dict[int, int] = {}

    def records(self, now: float) -> list[Question]:
        """What the next keepalive says. An ask is repeated until it is answered."""
        foreign = self._opener.foreign
        for unit, ask in list(self._asks.items()):
            if unit not in foreign or now - ask.since >= PATIENCE:
                del self._asks[unit]
                foreign.pop(unit, None)
        for unit, epoch in foreign.items():
            if unit not in self._asks:
                self._nonce = self._nonce + 1 & 0xFFFFFFFF_FFFFFFFF
                self._asks[unit] = _Ask(epoch, self._nonce, now)
        asks = [Question(unit, Asked.ASK, ask.nonce) for unit, ask in self._asks.items()]
        answers = [Question(unit, Asked.ANSWER, nonce) for unit, nonce in self._answers.items()]
        self._answers.clear()
        return asks[:_MOST] + answers[:_MOST]

    def open(self, frame: bytes, message: control.Message) -> None:
        """Returns if that unit's agent, as it is now, has made this frame. WireError as
        `agents.wire.peer.open_seal`, and control_value.
        """
        try:
            peer.open_seal(frame, message, self._opener)
        except WireError as error:
            if error.reason != Outcome.SEAL_EPOCH or message.kind != control.KEEPALIVE:
                raise
            if not self._shown(message.unit, self._heard(message)):
                raise
            peer.open_seal(frame, message, self._opener)
        else:
            if message.kind == control.KEEPALIVE:
                self._heard(message)

    def _heard(self, message: control.Message) -> list[Question]:
        """What is asked is answered, even if the asking should be an old one: an answer tells
        nobody more than that this agent is there.
        """
        questions = peer.questions(message)
        for unit, asked, nonce in questions:
            if unit == self._unit and asked is Asked.ASK:
                self._answers[message.unit] = nonce
        return questions

    def _shown(self, unit: int, questions: list[Question]) -> bool:
        """Whether among these is the answer; the epoch is believed then."""
        ask, epoch = self._asks.get(unit), self._opener.foreign[unit]
        if ask is None or ask.epoch != epoch:
            return False
        if Question(self._unit, Asked.ANSWER, ask.nonce) not in questions:
            return False
        del self._asks[unit]
        self._opener.learn(unit, epoch)
        return True
