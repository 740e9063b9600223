"""Which sessions this unit serves, and when they end.

A session has ended when conntrack destroys its entry: there is no other idea of its end. Pure: the
shell brings destroyed entries, and takes away what is to be told to the app.

Of some the app doesn't know: those that aren't to be balanced, and those that it wasn't asked of,
until a census tells of them. They are served, renewed and passed on like all others.
"""

from collections import deque
from collections.abc import Container, Iterator
from typing import NamedTuple

from agents.core_facts import Desk, Facts, Steps
from agents.ctnetlink import SYN_RECV, Create, Entry, Get, Update
from agents.outcomes import Outcome
from agents.wire.control import Session
from agents.wire.labels import unit_of

# The app takes the end of a session younger than 2 s for that of a predecessor with the same ports
# (a refused one ends at once: its entry goes with the RST). So no end is told sooner than this.
SETTLED = 2.5
RESTORED_TIME = 120  # seconds that an entry made again lives until a packet comes, or it is told
MOST_MADE = 1 << 16  # of the last seconds; the oldest are forgotten first
LATELY = 1.0  # seconds: session pickup has told an end to all by then


class Made(NamedTuple):
    """An entry that was made for a session, and the SYN that came to the kernel after it; b"" if
    the kernel made it itself, or had it from session pickup.
    """

    entry: Entry
    syn: bytes


class Serving:
    """The sessions by orig tuple, each with the time it was last opened; the ends not told yet."""

    def __init__(self, facts: Facts, desk: Desk) -> None:
        self._facts = facts
        self._desk = desk
        self.sessions: dict[bytes, float] = {}
        self.untold: set[bytes] = set()  # of these: the app doesn't know of them
        self.ended: list[Session] = []
        self._settling: deque[tuple[float, Session]] = deque()
        self._doubted: deque[tuple[float, Session]] = deque()
        self.noted: set[bytes] | None = None  # orig tuples destroyed while a census is taken
        # In the order in which they were.
        self._made: dict[bytes, tuple[float, Made]] = {}
        self._gone: dict[bytes, float] = {}
        self._lost: list[Made] = []

    def add(self, orig: bytes, now: float, made: Made | None = None) -> None:
        """This unit serves the session, from now on or again; `made`: what was made for it."""
        self.sessions[orig] = now
        self.untold.discard(orig)
        if made:
            self.begins(made, now)

    def keep(self, orig: bytes, now: float) -> None:
        """This unit serves the session, and the app isn't asked of it."""
        if orig not in self.sessions:
            self.sessions[orig] = now
            self.untold.add(orig)

    def take_on(self, entry: Entry, now: float) -> None:
        """This unit serves the session in place of another."""
        (self.add if self._facts.selected(entry) else self.keep)(entry.orig, now)

    def counted(self, entry: Entry, now: float) -> None:
        """A census has found that this unit serves the session, and tells of it if it is one to
        balance.
        """
        self.sessions.setdefault(entry.orig, now)
        tell = self.untold.discard if self._facts.selected(entry) else self.untold.add
        tell(entry.orig)

    def drop(self, orig: bytes) -> None:
        """This unit serves the session no more, if it did."""
        self.sessions.pop(orig, None)
        self.untold.discard(orig)

    def drop_others(self, found: Container[bytes], since: float) -> None:
        """Nor any but these, of what it has served since before that."""
        self.sessions = {
            orig: at for orig, at in self.sessions.items() if orig in found or at >= since
        }
        self.untold &= self.sessions.keys()

    def begins(self, made: Made, now: float) -> None:
        """A session begins, here or at another unit: until it has settled, its entry isn't to go
        for one before it.
        """
        orig = made.entry.orig
        self._made.pop(orig, None)
        self._made[orig] = now, made
        if len(self._made) > MOST_MADE:
            del self._made[next(iter(self._made))]

    def restore(self, gone: Entry) -> bool:
        """Its entry was removed as that of the session before it, whose end was told late: it is
        to be made again. False if it isn't as young as that.
        """
        _, made = self._made.get(gone.orig, (0, None))
        if made is None or made.entry.reply != gone.reply:
            return False
        if made.syn and gone.orig not in self.sessions:
            return False
        self._lost.append(made)
        return True

    def knows_better(self, orig: bytes, now: float) -> bool:
        """Whether this unit serves the session, whatever unit its entry names: as the primary, and
        as long as no other is about to be. What it hands over isn't among its own any more.
        """
        desk = self._desk
        alone = desk.app_decides(now) and desk.told is not None and not desk.told.heir
        return alone and orig in self.sessions

    def label(self, orig: bytes) -> Steps:
        """Its entry names this unit from now on."""
        result = yield Update(orig, *self._facts.own_labels)
        return Outcome.LABEL_REFUSED if result else Outcome.LABELLED

    def ended_lately(self, orig: bytes, now: float) -> bool:
        """Whether this unit has just served another session of that tuple."""
        return now - self._gone.get(orig, float("-inf")) < LATELY

    def destroyed(self, orig: bytes, reply: bytes, now: float) -> None:
        """Its entry is gone; nothing if this unit didn't serve it."""
        if self.noted is not None:
            self.noted.add(orig)
        since, told = self.sessions.get(orig), orig not in self.untold
        if since is None:
            return
        self.drop(orig)
        self._is_gone(orig, now)
        if not told:
            return
        if now - since < SETTLED:
            self.farewell(orig, reply, now)
        else:
            self.ended.append(Session(orig, reply))
            self._desk.counters[Outcome.ENDED] += 1

    def removed(self, orig: bytes, reply: bytes, now: float) -> None:
        """Session pickup has removed its entry: the session may be over, and another entry may have
        been put in its place. It stays this unit's until that is looked at.
        """
        if self.noted is not None:
            self.noted.add(orig)
        if orig in self.sessions:
            self._is_gone(orig, now)
            self._doubted.append((now + SETTLED, Session(orig, reply)))

    def _is_gone(self, orig: bytes, now: float) -> None:
        """The last to go is the last to be forgotten."""
        self._gone.pop(orig, None)
        self._gone[orig] = now

    def farewell(self, orig: bytes, reply: bytes, now: float) -> None:
        """Tell the app of the end once that counts, unless the session is served again by then."""
        self._settling.append((now + SETTLED, Session(orig, reply)))

    def settle(self, now: float) -> Iterator[Steps]:
        """Tell the ends whose time has come, and make again what is to be."""
        lost, self._lost = self._lost, []
        for made in lost:
            yield self._restore(made)
        while self._settling and self._settling[0][0] <= now:
            _, session = self._settling.popleft()
            if session.orig in self.sessions:
                self._desk.counters[Outcome.ENDED_REUSED] += 1
            else:
                yield self._farewell(session, now)
        while self._doubted and self._doubted[0][0] <= now:
            yield self._look(self._doubted.popleft()[1], now)
        while self._made:
            orig, (since, _) = next(iter(self._made.items()))
            if now - since < SETTLED:
                break
            del self._made[orig]
        while self._gone:
            orig, since = next(iter(self._gone.items()))
            if now - since < LATELY:
                break
            del self._gone[orig]

    def _restore(self, made: Made) -> Steps:
        """In the state after an answer, as there may have been one; not assured, as the packet that
        makes it so has its labels told (`agents.nft`). The SYN may have met no entry, and be lost.
        """
        again = made.entry._replace(state=SYN_RECV, timeout=RESTORED_TIME)
        if (yield Create(again, liberal=True)):
            return Outcome.RESTORE_REFUSED
        if made.syn:
            self._desk.frames.append(made.syn)
        return Outcome.RESTORED

    def _farewell(self, session: Session, now: float) -> Steps:
        """Its end, if it has one: what was destroyed may have been an entry of the same tuple that
        had run out, at the moment when the session's own was looked for (nf_ct_gc_expired()).
        """
        entry = yield Get(session.orig)
        if isinstance(entry, Entry) and (entry.orig, entry.reply) == session:
            unit = unit_of(entry.labels)
            if unit == self._facts.unit:
                self.sessions[session.orig] = now
                return Outcome.ENDED_REUSED
            if unit == self._primary():
                return Outcome.ENDED_MOVED
        self.ended.append(session)
        return Outcome.ENDED

    def _look(self, session: Session, now: float) -> Steps:
        """What session pickup has made of it. It has no end if it was made the primary's: other
        units hear of that by the entry's being made anew. Nor has it one at the primary, whatever
        unit the new entry names: one that has lost it to the primary, and told of it too late.
        """
        orig = session.orig
        entry = yield Get(orig)
        if orig not in self.sessions:
            return Outcome.ENDED_MOVED  # handed over, or given up, meanwhile
        unit, same = -1, False
        if isinstance(entry, Entry) and entry.orig == orig:
            unit, same = unit_of(entry.labels), entry.reply == session.reply
        own = unit == self._facts.unit
        if same and (own or self._desk.role() == "primary"):
            if own or not self.knows_better(orig, now):
                return Outcome.ENDED_REUSED  # another's: a census, or a renewal, looks again
            return (yield from self.label(orig))
        told = orig not in self.untold
        if not own:  # else another session of that tuple goes on here
            self.drop(orig)
        if same and unit == self._primary():
            return Outcome.ENDED_MOVED
        if told:
            self.ended.append(session)
        return Outcome.ENDED

    def _primary(self) -> int:
        return self._desk.told.primary if self._desk.told else 0

    def next_end(self) -> float | None:
        """When the next end is to be told, or looked for."""
        return min((each[0][0] for each in (self._settling, self._doubted) if each), default=None)
