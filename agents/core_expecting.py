"""The primary's part in related sessions: its kernel expects what sessions of auxiliaries announce.

So the first packet of the connection that follows finds here what it would find on a single
gateway: it is `related`, translated as was announced, and its entry names the session that has
announced it, by which `agents.core_primary` knows the unit. The talk: "expected connections (like
FTP Data) will use master connection's cnodeid" (slide "ipt_LB.ko").

Two units may announce the same: the primary is the place where one of them is told to give way.

Session pickup puts another entry in the place of a session's when it first tells of it
(external_inject_ct_new()), and a kernel forgets what a session expects with its entry
(nf_ct_remove_expectations()). That may be late, on a busy machine. Both are there again some
milliseconds later: the entry by conntrackd, what it expected by this module, which remembers it
until it comes or is withdrawn.
"""

import errno
from collections.abc import Generator, Iterator
from typing import NamedTuple

from agents.core_facts import Desk, Facts, Steps
from agents.ctexpect import PERMANENT, Expect, GetExpectation, Unexpect
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

REMEMBERED = 300.0  # seconds: as long as the kernel expects (the policies of its helpers)
MOST_REMEMBERED = 4096  # sessions; the oldest are forgotten first
AGAIN = 0.002  # seconds until it is tried again whether an entry is there again
PATIENCE = 0.25  # seconds in which it is there again, or its session is over


class _Session(NamedTuple):
    """What a session of another unit has announced, by tuple12 and protocol, since it last did."""

    since: float
    expected: dict[tuple[bytes, int], Expectation]


class Expecting:
    """What is done with what other units' agents ask."""

    def __init__(self, facts: Facts, desk: Desk) -> None:
        self._facts = facts
        self._desk = desk
        self._sessions: dict[bytes, _Session] = {}  # by orig tuple, the oldest first
        self._replaced: dict[bytes, float] = {}  # whose entry went for another; since when
        self._next = 0.0

    def expect(self, unit: int, ask: Ask, now: float) -> Steps:
        """A session of that unit has announced a connection."""
        if self._desk.role() != "primary":
            return Outcome.EXPECT_NOT_PRIMARY  # it will be asked again, or another will be
        answer = yield from self._expect(unit, ask.expectation)
        if answer is None:
            return Outcome.EXPECT_WAITS  # it will be asked again
        if answer is Answer.EXPECTED:
            self._remember(ask.expectation, now)
        answered = [Answered(ask.ask_id, answer)]
        self._desk.frames += peer.expected_frames(self._facts.link(unit), answered)
        return _OUTCOMES[answer]

    def withdraw(self, record: Withdrawn) -> Steps:
        """What a session has announced will not come, or has come."""
        self._drop(record.master, record.tuple12, record.protocol)
        present = yield GetExpectation(record.tuple12, record.protocol)
        if not isinstance(present, Expectation) or present.master != record.master:
            return Outcome.WITHDRAW_UNKNOWN
        yield Unexpect(record.tuple12, record.protocol)
        return Outcome.WITHDRAWN

    def _expect(
        self, unit: int, expectation: Expectation
    ) -> Generator[Request, Result, Answer | None]:
        """None if the session has no entry, as for the moment in which it gets another."""
        master = yield Get(expectation.master)
        if not isinstance(master, Entry):
            return None
        if master.orig != expectation.master:
            return Answer.NO_MASTER
        # This unit's, if it has become primary since: then all are.
        if unit_of(master.labels) not in (unit, self._facts.unit):
            return Answer.NO_MASTER
        result = yield Expect(expectation)
        if not result:
            return Answer.EXPECTED
        if result not in (errno.EEXIST, errno.EBUSY):
            return Answer.REFUSED
        # Asked again, or announced again: the same is no other.
        present = yield GetExpectation(expectation.tuple12, expectation.protocol)
        return Answer.EXPECTED if present == expectation else Answer.TAKEN

    def came(self, entry: Entry) -> Generator[Request, Result, None]:
        """A session came that its entry's master had announced. If it came just before the kernel
        was made to expect it again, it would be expected once more.
        """
        for expectation in list(self._expected_by(entry.master).values()):
            if _where(expectation.tuple12) != _where(entry.orig):
                continue
            self._drop(entry.master, expectation.tuple12, expectation.protocol)
            again = yield GetExpectation(entry.orig)
            if isinstance(again, Expectation) and _is_once(again, entry.master):
                yield Unexpect(entry.orig)

    def ended(self, orig: bytes) -> None:
        """Its entry is gone for good, and what it expected with it."""
        self._sessions.pop(orig, None)
        self._replaced.pop(orig, None)

    def replaced(self, orig: bytes, now: float) -> bool:
        """Session pickup has removed its entry: another is put there, unless the session is over.
        True if there is more to do for it than that.
        """
        if not self._expected_by(orig):
            return False
        self._replaced[orig] = self._next = now
        return True

    def tick(self, now: float) -> Iterator[Steps]:
        """Have the kernel expect again what it has forgotten with an entry, if there is another."""
        if not self._replaced or now < self._next:
            return
        self._next = now + AGAIN
        for orig, since in list(self._replaced.items()):
            if now - since >= PATIENCE or self._desk.role() != "primary":
                self.ended(orig)
            else:
                yield self._again(orig)

    def next_turn(self) -> float | None:
        """When `tick` has something to do next."""
        return self._next if self._replaced else None

    def _again(self, orig: bytes) -> Steps:
        for key in list(self._expected_by(orig)):
            expectation = self._expected_by(orig).get(key)  # withdrawn between two answers
            if expectation and (yield Expect(expectation)) == errno.ENOENT:
                return Outcome.EXPECT_WAITS
        self._replaced.pop(orig, None)
        return Outcome.EXPECTED_AGAIN

    def _expected_by(self, orig: bytes) -> dict[tuple[bytes, int], Expectation]:
        session = self._sessions.get(orig)
        return session.expected if session else {}

    def _remember(self, expectation: Expectation, now: float) -> None:
        """The last to announce is the last to be forgotten."""
        master = expectation.master
        _, expected = self._sessions.pop(master, (now, {}))
        expected[expectation.tuple12, expectation.protocol] = expectation
        self._sessions[master] = _Session(now, expected)
        sessions = self._sessions
        while (
            len(sessions) > MOST_REMEMBERED
            or now - next(iter(sessions.values())).since > REMEMBERED
        ):
            self.ended(next(iter(sessions)))

    def _drop(self, master: bytes, tuple12: bytes, protocol: int) -> None:
        expected = self._expected_by(master)
        expected.pop((tuple12, protocol), None)
        if not expected:
            self.ended(master)


def _where(tuple12: bytes) -> tuple[bytes, bytes]:
    """The address and the port that a first packet goes to."""
    return tuple12[4:8], tuple12[10:]


def _is_once(expectation: Expectation, master: bytes) -> bool:
    """Whether it is that session's, and for one connection only."""
    return expectation.master == master and not expectation.flags & PERMANENT
