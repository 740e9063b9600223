"""Gives up this unit's sessions: another unit serves them by now, whether this one knew or not.

While it didn't hear, the app moved its sessions to the primary. Its entries of them are stale, but
must not go as those of ended sessions go: that would be told to all units. So they become copies of
the primary's, in a state that isn't told; then conntrackd, which takes them for this unit's own, is
started again. The counterpart is `agents.core_adopting`.
"""

import errno
from collections.abc import Iterable, Iterator

from agents.core_facts import Desk, Facts, Steps
from agents.core_serving import Serving
from agents.ctnetlink import NO_LABELS, SYN_RECV, Entry, Update
from agents.outcomes import Outcome
from agents.wire.labels import unit_of, with_unit

UNRENEWED = 600  # seconds that such a copy lives, unless it is told again


def demotion(entry: Entry, labels: bytes = NO_LABELS, mask: bytes = NO_LABELS) -> Update:
    """What makes an entry such a copy, its labels changed or not."""
    return Update(entry.orig, labels, mask, entry.status, UNRENEWED, SYN_RECV)


class Forfeiting:
    """A walk through all entries for each time that the app says so."""

    def __init__(self, facts: Facts, desk: Desk, serving: Serving) -> None:
        self._facts = facts
        self._desk = desk
        self._serving = serving
        self._walking = 0
        self.done = 0

    def told(self) -> bool:
        """The app has spoken; True if a walk is to begin, from the first entry on."""
        wanted = self._desk.told.forfeit if self._desk.told else 0
        if wanted in (0, self.done, self._walking):
            return False
        self._walking = wanted
        return True

    def failed(self) -> None:
        """The walk broke off: the next word of the app begins another."""
        self._walking = 0

    def entries(self, entries: Iterable[Entry], last: bool) -> Iterator[Steps]:
        """A piece of the walk."""
        told = self._desk.told
        if not self._walking or told is None:
            return
        for entry in entries:
            if self._facts.forwarded(entry):
                yield self._forfeit(entry, told.primary)
        if last:
            self.done, self._walking = self._walking, 0
            self._desk.restart_pickup = True

    def _forfeit(self, entry: Entry, primary: int) -> Steps:
        """The primary's from now on, if it was this unit's own, or names no unit."""
        own = unit_of(entry.labels) in (0, self._facts.unit)
        labels, mask = with_unit(primary) if own and primary else (NO_LABELS, NO_LABELS)
        result = yield demotion(entry, labels, mask)
        self._serving.drop(entry.orig)
        if result == errno.ENOENT:
            return Outcome.FORFEIT_GONE
        return Outcome.FORFEIT_REFUSED if result else Outcome.FORFEITED
