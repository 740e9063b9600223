"""Sessions whose handshake isn't over: others hear of each before its SYN goes out.

Session pickup tells of a session once it is established, a moment after its client takes it for so.
If the primary dies in that moment, the client goes on with a session that no other kernel knows.
So the primary's agent tells the other units of a session first and lets its SYN go then: in that
order, by one frame on the HA link, and not acknowledged. Who is about to be primary makes entries
of what it has heard of lately, and of what it hears from then on; those that session pickup has
brought meanwhile are there already.

A unit may hear of a session whose tuple was that of one it served, and that another unit is to have
(it was drained, say). Its own entry of the old one is in TIME_WAIT; when that ran out, session
pickup would tell the end of the tuple, and all units would remove the new session's entries. So it
gives its entry up, as in `agents.core_forfeiting`.

It may also be the primary's own before it whose end session pickup tells just now, or that of a
unit that was primary: with another sender nothing says which of the two comes first, the end of the
old session or the beginning of the new. So for some moments no unit lets an entry of the tuple go
for that (`agents.core_serving`).

Nothing here asks whether a handshake came to its end.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from agents.core_facts import Desk, Facts, Steps
from agents.core_forfeiting import demotion
from agents.core_serving import Made, Serving
from agents.ctnetlink import CONFIRMED, SEEN_REPLY, SYN_RECV, Create, Entry, Get
from agents.outcomes import Outcome
from agents.wire import peer
from agents.wire.labels import relabelled, unit_of, with_unit
from agents.wire.peer import Beginning

REMEMBERED = 5.0  # seconds: a client whose handshake takes longer sends its SYN again meanwhile
MOST_REMEMBERED = 1 << 16  # sessions; the oldest are forgotten first
ENTRY_TIME = 60  # seconds that an entry lives whose session isn't heard of again


class Beginnings:
    """What the primary has told."""

    def __init__(self, facts: Facts, desk: Desk, serving: Serving) -> None:
        self._facts = facts
        self._all = facts.link_to_all
        self._unit = facts.unit
        self._desk = desk
        self._serving = serving
        self._heard: deque[tuple[float, Beginning]] = deque(maxlen=MOST_REMEMBERED)

    def frames(self) -> list[bytes]:
        """What others are to hear before anything else is written."""
        if not self._desk.begun:
            return []
        begun, self._desk.begun = self._desk.begun, []
        return peer.begun_frames(self._all, begun)

    def heard(self, records: Iterable[Beginning], now: float) -> Iterator[Steps]:
        """The primary has told of these; what is to be given up for them."""
        while self._heard and now - self._heard[0][0] > REMEMBERED:
            self._heard.popleft()
        for record in records:
            self._desk.counters[Outcome.BEGUN] += 1
            if self._desk.succeeds(self._unit):
                yield self._make(record, now)
            else:
                self._heard.append((now, record))
            unit = unit_of(record.labels)
            if unit == self._unit:
                continue
            self._serving.begins(Made(self._entry(record), b""), now)
            if record.orig in self._serving.sessions:
                yield self._give_up(record.orig, unit)

    def told(self, now: float) -> Iterator[Steps]:
        """The app has spoken. If this unit is primary now or about to be, its kernel is to know
        them, before their packets come.
        """
        if not self._heard or not self._desk.succeeds(self._unit):
            return
        heard, self._heard = self._heard, deque(maxlen=MOST_REMEMBERED)
        for since, record in heard:
            if now - since <= REMEMBERED:
                yield self._make(record, now)

    def _give_up(self, orig: bytes, unit: int) -> Steps:
        """That tuple is another unit's session's."""
        self._serving.drop(orig)
        entry = yield Get(orig)
        if isinstance(entry, Entry) and unit_of(entry.labels) == self._unit:
            yield demotion(entry, *with_unit(unit))
        return Outcome.BEGUN_ELSEWHERE

    def _make(self, begun: Beginning, now: float) -> Steps:
        # Refused above all because it is there: session pickup has brought it.
        entry = self._entry(begun)
        if (yield Create(entry, liberal=True)):
            return Outcome.BEGUN_HELD
        if self._desk.role() == "primary":
            self._serving.take_on(entry, now)
        return Outcome.BEGUN_MADE

    def _entry(self, begun: Beginning) -> Entry:
        own = self._desk.role() == "primary"  # all others' sessions are its own by then
        labels = relabelled(begun.labels, *self._facts.own_labels) if own else begun.labels
        return Entry(
            begun.orig,
            begun.reply,
            CONFIRMED | SEEN_REPLY,
            SYN_RECV,
            ENTRY_TIME,
            begun.mark,
            labels,
            begun.helper,
            begun.master,
        )
