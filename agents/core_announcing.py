"""An auxiliary's part in related sessions: what a session announces, the primary expects first.

The kernel of the unit that serves a session with a helper reads what it announces (FTP's PORT and
`227 Entering Passive Mode`, IRC's DCC), translates it, and expects the connection that follows.
But that comes to the primary. So packets of such sessions leave the kernel through here: one that
made the kernel expect something waits until the primary's kernel expects it, too, and so do those
behind it. That makes it certain, where telling ahead would be a race (docs/adr/0015).

Nothing is lost by it: what is dropped here TCP sends again, and the kernel reads it again.

When another unit becomes primary, its kernel is to expect what the one before did: all is asked of
it that this unit's kernel still expects.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agents.core_facts import Desk, Facts, Steps
from agents.ctexpect import Expect, Expected, GetExpectation, Unexpect
from agents.ctnetlink import (
    CONFIRMED,
    SYN_SENT,
    Create,
    Entry,
    Get,
    Readjust,
    Request,
    Result,
)
from agents.outcomes import Outcome
from agents.wire import peer
from agents.wire.errors import WireError
from agents.wire.packet import inverse, readdress, segment_tuple, sequence_of
from agents.wire.peer import Answer, Ask, Expectation, Withdrawn

MAX_HELD = 4096  # packets, of all sessions
MAX_ASKED = 4096
MAX_OPEN = 4096  # that this unit's kernel expects; the oldest are forgotten first
AGAIN = 0.1  # seconds until an ask is repeated
PATIENCE = 1.0  # seconds until the announcement goes without an answer
# Seconds in which a session's packets are dropped, if what it announced was refused before that
# packet came: the bridge may take longer than the primary's answer. TCP sends again after 0.2 s.
SPOILED = 0.15
DOUBT = 1.0  # seconds in which any packet may be an announcement, after events were lost
RESERVED = 300  # seconds that a port stays reserved: as long as the kernel expects (its helpers)

_ENDS = {Answer.EXPECTED: Outcome.ANNOUNCED}  # any other: the primary can't expect it


@dataclass(slots=True)
class _Asked:
    """What the primary was asked to expect; when first, and when it is asked again."""

    expectation: Expectation
    since: float
    again: float


@dataclass(slots=True)
class _Hold:
    """A session's packets that wait, in order, and the asks that they wait for."""

    frames: list[bytes] = field(default_factory=list)
    asks: set[int] = field(default_factory=set)


class Announcing:
    """What the primary is asked to expect, and the packets that wait for it."""

    def __init__(self, facts: Facts, desk: Desk) -> None:
        self._facts = facts
        self._desk = desk
        self._next_id = facts.first_id
        self._asked: dict[int, _Asked] = {}
        # What sessions of this unit's have announced, by master, tuple12 and protocol. What a unit
        # was asked that has become primary is its affair: all sessions are.
        self._open: dict[tuple[bytes, bytes, int], Expectation] = {}
        self._held: dict[bytes, _Hold] = {}  # by the session's orig tuple
        self._looked_up = 0  # packets whose session is being looked up: none may overtake them
        self._doubt_until = float("-inf")
        # Sessions whose announcement was refused before its packet came here, and until when.
        self._spoiled: dict[bytes, float] = {}

    def events(self, events: Sequence[Expected], lost: bool, now: float) -> None:
        """What this unit's kernel began to expect, and what it no more does; to be told before the
        packets that were read before these events. `lost`: there was more.
        """
        asks = self._desk.role() != "primary"  # else its kernel is where connections are expected
        if lost and asks:
            self._desk.counters[Outcome.EVENTS_LOST] += 1
            self._doubt_until = now + DOUBT
        # The last word on each counts: what is announced again goes, and is made anew.
        for each in {each.expectation[:2]: each for each in events}.values():
            key = _key(each.expectation)
            known = key in self._open
            self.came(each.expectation)
            if each.made:
                self._open[key] = each.expectation
            if asks and each.made:
                self._ask(each.expectation, now)
            elif asks and known:
                self._withdraw(each.expectation)
        while len(self._open) > MAX_OPEN:
            del self._open[next(iter(self._open))]

    def came(self, expectation: Expectation) -> None:
        """It isn't expected any more, and nobody needs to hear of that."""
        self._open.pop(_key(expectation), None)

    def moved(self, now: float) -> Iterator[Steps]:
        """Another unit is primary."""
        if self._desk.role() != "primary":
            for expectation in list(self._open.values()):
                yield self._ask_anew(expectation, now)

    def _ask_anew(self, expectation: Expectation, now: float) -> Steps:
        """What is still asked of the one before goes to the next, when it is asked again."""
        present = yield GetExpectation(expectation.tuple12, expectation.protocol)
        self.came(expectation)
        if present != expectation:
            return Outcome.ANNOUNCED_OVER
        if all(asked.expectation != expectation for asked in self._asked.values()):
            self._ask(expectation, now)
        return Outcome.ANNOUNCED_ANEW

    def leaving(self, frame: bytes, interface: int, now: float) -> Steps:
        """A packet of a session with a helper left the kernel by that interface."""
        out = readdress(frame, frame[:6], self._facts.own_macs[interface])
        if now < self._doubt_until:
            return Outcome.HELPER_DOUBTED
        if self._held or self._looked_up or self._spoiled:
            try:
                tuple12 = segment_tuple(frame)
            except WireError:
                self._desk.frames.append(out)
                return Outcome.HELPER_UNREAD
            self._looked_up += 1
            entry = yield Get(inverse(tuple12))
            self._looked_up -= 1
            hold = self._held.get(entry.orig) if isinstance(entry, Entry) else None
            if isinstance(entry, Entry) and now < self._spoiled.get(entry.orig, now):
                yield from _as_before(entry, [frame])
                return Outcome.HELPER_DOUBTED
            if hold:
                if sum(len(each.frames) for each in self._held.values()) >= MAX_HELD:
                    return Outcome.HELPER_FULL
                hold.frames.append(out)
                return Outcome.HELPER_HELD
        self._desk.frames.append(out)
        return Outcome.HELPER_PASSED

    def answered(self, ask_id: int, answer: Answer, now: float) -> Steps:
        """The primary's agent has done what it was asked, or has not."""
        asked = self._asked.pop(ask_id, None)
        if asked is None:
            return Outcome.ANNOUNCED_LATE
        if answer is Answer.TAKEN:
            return (yield from self._give_way(asked.expectation, now))
        self._settle(asked.expectation.master, ask_id)
        return _ENDS.get(answer, Outcome.ANNOUNCED_REFUSED)

    def tick(self, now: float) -> None:
        """Asks that wait for an answer: again, or no more."""
        self._spoiled = {orig: until for orig, until in self._spoiled.items() if now < until}
        alone = self._desk.role() == "primary"
        for ask_id, asked in list(self._asked.items()):
            if alone or now - asked.since >= PATIENCE:
                del self._asked[ask_id]
                self._settle(asked.expectation.master, ask_id)
                self._desk.counters[Outcome.ANNOUNCED_UNHEARD] += 1
            elif now >= asked.again:
                asked.again = now + AGAIN
                self._tell(ask_id, asked.expectation)

    def next_ask(self) -> float | None:
        """When an ask is to be repeated, or given up."""
        return min([asked.again for asked in self._asked.values()]) if self._asked else None

    def _ask(self, expectation: Expectation, now: float) -> None:
        if len(self._asked) >= MAX_ASKED:
            self._doubt_until = max(self._doubt_until, now + AGAIN)
            return
        ask_id = self._next_id
        self._next_id = ask_id + 1 & 0xFFFFFFFF
        self._asked[ask_id] = _Asked(expectation, now, now + AGAIN)
        self._held.setdefault(expectation.master, _Hold()).asks.add(ask_id)
        self._tell(ask_id, expectation)

    def _tell(self, ask_id: int, expectation: Expectation) -> None:
        for link in self._to_primary():
            self._desk.frames += peer.expect_frames(link, [Ask(ask_id, expectation)])

    def _withdraw(self, expectation: Expectation) -> None:
        """It timed out, or its session is over; what this agent removes isn't told here."""
        for ask_id, asked in list(self._asked.items()):
            if asked.expectation[:2] == expectation[:2]:
                del self._asked[ask_id]
                self._settle(expectation.master, ask_id)
        gone = Withdrawn(expectation.master, expectation.tuple12, expectation.protocol)
        for link in self._to_primary():
            self._desk.frames += peer.withdraw_frames(link, [gone])

    def _to_primary(self) -> Iterator[peer.Link]:
        told = self._desk.told
        if told and told.primary in self._facts.peers:
            yield self._facts.link(told.primary)

    def _settle(self, master: bytes, ask_id: int) -> None:
        """One ask less that the session's packets wait for; after the last they go."""
        hold = self._held[master]
        hold.asks.discard(ask_id)
        if not hold.asks:
            del self._held[master]
            self._desk.frames += hold.frames

    def _give_way(self, expectation: Expectation, now: float) -> Steps:
        """The primary expects the same for another session: this one must announce another port.

        The announcement is dropped, and what it named is reserved here by an expectation of an
        entry that no packet can have (its source port is 0). TCP sends the announcement again, and
        the kernel finds the port in use (nf_nat_exp_find_port()).
        """
        hold = self._held.pop(expectation.master)
        if not hold.frames:
            self._spoiled[expectation.master] = now + SPOILED
        for ask_id in hold.asks:
            self._asked.pop(ask_id, None)
        yield Unexpect(expectation.tuple12, expectation.protocol)
        master = yield Get(expectation.master)
        if isinstance(master, Entry):
            yield from _as_before(master, hold.frames)
            orig = expectation.tuple12[:8] + b"\0\0" + expectation.tuple12[10:]
            keeper = Entry(orig, inverse(orig), CONFIRMED, SYN_SENT, RESERVED, helper=master.helper)
            yield Create(keeper)
            yield Expect(expectation._replace(master=orig))
        return Outcome.ANNOUNCED_TAKEN


def _key(expectation: Expectation) -> tuple[bytes, bytes, int]:
    return *expectation[:2], expectation.protocol


def _as_before(master: Entry, frames: Iterable[bytes]) -> Generator[Request, Result, None]:
    """For a packet that will never arrive the kernel may have made its stream longer or shorter.

    It does so once for a sequence number (nf_ct_seqadj_set()): were that left, and the announcement
    that takes its place had another length, all that follows would be numbered wrong. A packet
    leaves with what was added before it.
    """
    for frame in frames:
        reply = segment_tuple(frame) == inverse(master.orig)
        added = master.adjusted_reply if reply else master.adjusted
        if added and sequence_of(frame) == added.position + added.before & 0xFFFFFFFF:
            yield Readjust(master.orig, reply, added._replace(after=added.before))
            return
