"""Censuses: when the app is to ask for one, what is in it, and how fast it goes out; and how fast
the ends of sessions do, of which a census finds what can't be told.

The app compares its sessions with a unit's when there is reason to doubt them (docs/adr/0009). Of
those that aren't to be balanced it isn't told. The agent gives such a reason by a number in its
announcements that grows: when events got lost, and when sessions began of which the app heard
nothing. Both can be because the app is behind; and who is behind isn't to be told all that lives as
well (docs/adr/0020).

A unit counts the sessions that it serves; the primary, which has an entry for each, all of the
cluster. Nothing here asks the kernel: pieces of a dump are brought.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from agents.core_facts import Desk, Facts, Steps
from agents.core_primary import Primary
from agents.core_serving import Serving
from agents.ctnetlink import SYN_SENT, Entry
from agents.wire import control
from agents.wire.control import Counted, Session
from agents.wire.labels import unit_of

# At a time, and one to an app that is behind: the bridge's queue to the agent's port isn't long.
FRAMES = 16
# Seconds between them: 42,000 sessions a second. The app takes in 65,000 (measured); what is more
# would only stand before the offers that come meanwhile.
PAUSE = 0.02
CALL_PAUSE = 2.0  # seconds between two calls for a census, however much is lost
# Ends at a time: as many frames. They may have gathered while the app was away.
ENDS = FRAMES * (control.MAX_BODY // control.SESSION_FORMAT.size)
# Ends that may wait. Told within a second: if a session has the tuple again, the app takes its end
# for that of the one before for two (YOUNG of ryu_apps/core/sessions.py).
MOST_ENDED = 1 << 15

_MISSED = (control.CENSUS, control.ENDED)  # what the app has to hear


class _Census:
    """One on its way: what it found, and which entries have gone meanwhile."""

    def __init__(self, token: int, began: float) -> None:
        self.token = token
        self.began = began
        self.found: list[Counted] = []
        self.present: set[bytes] = set()  # what is there, to be told or not
        self.gone: set[bytes] = set()


class Censuses:
    """A unit's."""

    def __init__(
        self, facts: Facts, desk: Desk, serving: Serving, primary: Primary, now: float
    ) -> None:
        self._facts = facts
        self._desk = desk
        self._serving = serving
        self._primary = primary
        self._census: _Census | None = None
        self.taken = False  # one, since the agent began
        self.calls = 0  # as announced
        self._doubt = False
        self._call_at = now
        self._frames: deque[bytes] = deque()
        self._send_at = self._end_at = now

    def doubt(self) -> None:
        """The app may have heard too little."""
        self._doubt = True

    def asked(self, token: int, now: float) -> None:
        """The app asks for one: a dump is to begin. One on its way is given up."""
        self._frames.clear()
        self._census = _Census(token, now)
        self._serving.noted = self._census.gone

    def dumped(self, entries: Iterable[Entry], last: bool, now: float) -> Iterator[Steps]:
        """A piece of the dump. What a primary finds that names no unit is its own: it began while
        SYNs weren't shown to the agent. So is what names another, which served it before, against
        the primary's knowledge. Both get its label.
        """
        census = self._census
        if census is None:
            return
        everyone, own = self._desk.role() == "primary", self._facts.unit
        for entry in entries:
            if not self._facts.forwarded(entry):
                continue
            unit = unit_of(entry.labels)
            if everyone and unit != own and self._is_stray(entry, unit, now):
                yield self._serving.label(entry.orig)
                unit = own
            counted = unit in self._facts.peers and everyone
            if unit == own:
                counted = self._serves(entry, census, now)
            if not counted:
                continue
            census.present.add(entry.orig)
            if self._facts.selected(entry):
                census.found.append(Counted(entry.orig, entry.reply, unit))
        if last:
            self._close(census)

    def _is_stray(self, entry: Entry, unit: int, now: float) -> bool:
        """At the primary, of what doesn't name it."""
        own = not unit or self._serving.knows_better(entry.orig, now)
        return own and entry.state > SYN_SENT

    def _serves(self, entry: Entry, census: _Census, now: float) -> bool:
        """Unless it has ended: what was destroyed while the dump went on may yet come in a piece
        of it.
        """
        if entry.orig in census.gone and entry.orig not in self._serving.sessions:
            return False
        self._serving.counted(entry, now)
        return True

    def _close(self, census: _Census) -> None:
        """What began before the dump and isn't in it has ended unheard. The app sees that, too."""
        self._forget()
        self.taken = True
        self._serving.drop_others(census.present, census.began)
        group, unit = self._facts.cluster.group, self._facts.unit
        self._frames.extend(control.census_frames(group, unit, census.token, census.found))

    def _forget(self) -> None:
        self._census = self._serving.noted = None

    def undumped(self) -> None:
        """The dump failed."""
        self._forget()
        self._doubt = True

    def unwritten(self, kind: int) -> None:
        """A frame of that kind didn't get out. If it is one that must, the census starts over."""
        if kind in _MISSED:
            self._frames.clear()
            self._doubt = True

    def announcing(self, now: float) -> None:
        """The unit is about to announce itself: if it has doubts, the app is to ask."""
        self._doubt |= self._primary.rejoins(now)
        if len(self._serving.ended) > MOST_ENDED:
            self._serving.ended.clear()
            self._doubt = True
        may = now >= self._call_at and not self._primary.behind(now)
        on_its_way = self._census or self._frames
        if self._doubt and may and not on_its_way:
            self.calls, self._doubt = self.calls + 1, False
            self._call_at = now + CALL_PAUSE

    def next_turn(self) -> float | None:
        """When the next frames are due."""
        return self._send_at if self._frames else None

    def ends(self, now: float) -> list[Session]:
        """Ends to tell now. For the rest there is time when the next keepalive is due."""
        if now < self._end_at:
            return []
        ended = self._serving.ended
        told, self._serving.ended = ended[:ENDS], ended[ENDS:]
        if self._serving.ended:
            self._end_at = now + PAUSE
        return told

    def take(self, now: float) -> list[bytes]:
        """Frames to write now."""
        if not self._frames or now < self._send_at:
            return []
        self._send_at = now + PAUSE
        most = 1 if self._primary.behind(now) else FRAMES
        return [self._frames.popleft() for _ in range(min(most, len(self._frames)))]
