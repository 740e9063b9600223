"""Makes another unit's sessions this one's: when that unit has died, or was told to step back.

Its entries are here already: the primary has one for every session from the SYN on, and other units
have what is replicated. What is left to do is to label them as this unit's own, and to give them
the time that an established session may be idle (the primary's entries for others' sessions have
none: docs/adr/0005). Their packets come here meanwhile: a flow sees to that, not this module.
"""

from collections.abc import Iterable, Iterator

from agents.core_beginnings import ENTRY_TIME
from agents.core_facts import Desk, Facts, Steps
from agents.core_serving import Serving
from agents.ctnetlink import ASSURED, ESTABLISHED, SEEN_REPLY, SYN_RECV, Entry, Update
from agents.outcomes import Outcome
from agents.wire.labels import unit_of


class Adopting:
    """Whose sessions are being made this unit's own, in one walk through all entries."""

    def __init__(self, facts: Facts, desk: Desk, serving: Serving) -> None:
        self._facts = facts
        self._desk = desk
        self._serving = serving
        self._walking: frozenset[int] = frozenset()
        self.done: frozenset[int] = frozenset()

    def told(self) -> bool:
        """The app has spoken; True if a walk is to begin, from the first entry on."""
        wanted = frozenset(self._desk.told.adopt if self._desk.told else ())
        self.done &= wanted
        if wanted - self.done == self._walking:
            return False
        self._walking = wanted - self.done
        return bool(self._walking)

    def failed(self) -> None:
        """The walk broke off: the next word of the app begins another."""
        self._walking = frozenset()

    def entries(
        self, entries: Iterable[Entry], last: bool, established: int, now: float
    ) -> Iterator[Steps]:
        """A piece of the walk; `established`: seconds that such a session may be idle."""
        if not self._walking:
            return
        for entry in entries:
            if unit_of(entry.labels) in self._walking and self._facts.forwarded(entry):
                yield self._adopt(entry, established, now)
        if last:
            self.done |= self._walking
            self._walking = frozenset()

    def _adopt(self, entry: Entry, established: int, now: float) -> Steps:
        labels, mask = self._facts.own_labels
        # One that was made of what the primary before has told (`agents.core_beginnings`) may be
        # over already: it lives on if a packet comes.
        young = entry.state == SYN_RECV and entry.timeout <= ENTRY_TIME
        if entry.state in (SYN_RECV, ESTABLISHED) and not young:
            status = entry.status | SEEN_REPLY | ASSURED
            result = yield Update(entry.orig, labels, mask, status, established)
        else:
            result = yield Update(entry.orig, labels, mask)
        if result:
            return Outcome.ADOPT_REFUSED
        self._serving.take_on(entry, now)
        return Outcome.ADOPTED
