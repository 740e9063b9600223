"""Renews what other units hold of this unit's sessions: tells the kernel's listeners of each again.

conntrackd tells a change once, by multicast and without an answer (docs/adr/0016): what got lost,
what a unit missed that wasn't there, and bytes that a helper has added since would never come. An
update that changes nothing makes the kernel tell the whole entry again. All in turn, a few at a
time; from the first on when another unit is heard anew, and when a first census has found them all.

A unit that was cut off may have more to tell of sessions that were the primary's by the time
it came back: conntrackd sends what waits as soon as it can, before it is started again, and the
primary's entry names that unit then. The primary puts it right: when that unit's session pickup is
heard again, and some seconds after the unit was heard anew, and after its sessions were made the
primary's own.
"""

from collections import deque
from collections.abc import Iterator

from agents.core_facts import Facts, Steps
from agents.core_serving import Serving
from agents.ctnetlink import OVER, Entry, Get, Update
from agents.outcomes import Outcome
from agents.wire.labels import unit_of

ROUND = 60.0  # seconds between the beginnings of two rounds, unless one takes longer
LATE = 3.0  # within these a unit has told what it had still to tell of sessions that it has lost
AT_ONCE = 64
PAUSE = 0.05  # seconds between so many


class Renewing:
    """Whose turn it is."""

    def __init__(self, facts: Facts, serving: Serving, now: float) -> None:
        self._unit = facts.unit
        self._serving = serving
        self._due: deque[bytes] = deque()
        self._round_at = now
        self._more_at: list[float] = []  # rounds besides, not in order
        self._next = now
        self._known = False  # which sessions there are
        self.told = False  # all, since something may have been missed

    def begin(self, now: float) -> None:
        """A unit may have missed something: all anew."""
        self._round_at = self._next = now
        self._due.clear()
        self.told = False

    def know(self, now: float) -> None:
        """A census has found all that this unit serves. What of it was told while its agent wasn't
        there nobody knows.
        """
        if not self._known:
            self._known = True
            self.begin(now)

    def again(self, at: float) -> None:
        """All anew from then on, though nobody has missed anything."""
        self._more_at.append(at)
        self._next = min(self._next, at)

    def late(self, now: float) -> None:
        """A unit has just lost sessions, or come back: it may have things to tell of them yet."""
        self.again(now + LATE)

    def tick(self, now: float) -> Iterator[Steps]:
        """Those whose turn it is."""
        if now < self._next:
            return
        if not self._due and now >= self._round():
            self._round_at = now + ROUND
            self._more_at = [at for at in self._more_at if at > now]
            self._due.extend(self._serving.sessions)
        for _ in range(min(AT_ONCE, len(self._due))):
            yield self._renew(self._due.popleft(), now)
        self.told |= self._known and not self._due
        self._next = now + PAUSE if self._due else self._round()

    def _round(self) -> float:
        """When the next one begins."""
        return min([self._round_at, *self._more_at])

    def next_turn(self) -> float:
        """When `tick` has something to do next."""
        return self._next

    def _renew(self, orig: bytes, now: float) -> Steps:
        """Told again is what is this unit's: who has a copy would tell others what isn't so any
        more, and they would put that in the place of what is. Nor is a session that is over: the
        tuple may be another's before that comes.
        """
        entry = yield Get(orig)
        if not isinstance(entry, Entry) or entry.state in OVER:
            return Outcome.RENEW_GONE
        if unit_of(entry.labels) != self._unit:
            if not self._serving.knows_better(orig, now):
                return Outcome.RENEW_GONE
            return (yield from self._serving.label(orig))
        result = yield Update(orig)
        return Outcome.RENEW_GONE if result else Outcome.RENEWED
