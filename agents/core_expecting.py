"""The primary's part in related sessions: its kernel expects what sessions of auxiliaries announce.

So the first packet of the connection that follows finds here what it would find on a single
gateway: it is `related`, translated as was announced, and its entry names the session that has
announced it, by which `agents.core_primary` knows the unit. The talk: "expected connections (like
FTP Data) will use master connection's cnodeid" (slide "ipt_LB.ko").

Two units may announce the same: the primary is the place where one of them is told to give way.
"""

import errno
from collections.abc import Generator

from agents.core_facts import Desk, Facts, Steps
from agents.ctexpect import Expect, GetExpectation, Unexpect
from agents.ctnetlink import Entry, Get, Request, Result
from agents.outcomes import Outcome
from agents.wire import peer
from agents.wire.labels import unit_of
from agents.wire.peer import Answer, Answered, Ask, Expectation, Withdrawn

_OUTCOMES = {
    Answer.EXPECTED: Outcome.EXPECTED,
    Answer.TAKEN: Outcome.EXPECT_TAKEN,
    Answer.NO_MASTER: Outcome.EXPECT_NO_MASTER,
    Answer.REFUSED: Outcome.EXPECT_REFUSED,
}


class Expecting:
    """What is done with what other units' agents ask."""

    def __init__(self, facts: Facts, desk: Desk) -> None:
        self._facts = facts
        self._desk = desk

    def expect(self, unit: int, ask: Ask) -> Steps:
        """A session of that unit has announced a connection."""
        if self._desk.role() != "primary":
            return Outcome.EXPECT_NOT_PRIMARY  # it will be asked again, or another will be
        answer = yield from self._expect(unit, ask.expectation)
        answered = [Answered(ask.ask_id, answer)]
        self._desk.frames += peer.expected_frames(self._facts.link(unit), answered)
        return _OUTCOMES[answer]

    def withdraw(self, record: Withdrawn) -> Steps:
        """What a session has announced will not come, or has come."""
        present = yield GetExpectation(record.tuple12, record.protocol)
        if not isinstance(present, Expectation) or present.master != record.master:
            return Outcome.WITHDRAW_UNKNOWN
        yield Unexpect(record.tuple12, record.protocol)
        return Outcome.WITHDRAWN

    def _expect(self, unit: int, expectation: Expectation) -> Generator[Request, Result, Answer]:
        master = yield Get(expectation.master)
        if not isinstance(master, Entry) or master.orig != expectation.master:
            return Answer.NO_MASTER
        if unit_of(master.labels) != unit:
            return Answer.NO_MASTER
        result = yield Expect(expectation)
        if not result:
            return Answer.EXPECTED
        if result not in (errno.EEXIST, errno.EBUSY):
            return Answer.REFUSED
        # Asked again, or announced again: the same is no other.
        present = yield GetExpectation(expectation.tuple12, expectation.protocol)
        return Answer.EXPECTED if present == expectation else Answer.TAKEN
