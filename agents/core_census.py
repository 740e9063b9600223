"""Censuses: when the app is to ask for one, and how fast what it has asked for goes out.

The app compares its sessions with a unit's when there is reason to doubt them (docs/adr/0009). The
agent gives such a reason by a number in its announcements that grows: when events got lost, and
when sessions began of which the app heard nothing. Both can be because the app is behind; and who
is behind isn't to be told all that lives as well (docs/adr/0020).
"""

from collections import deque
from collections.abc import Iterable

from agents.core_primary import Primary
from agents.core_serving import Serving
from agents.ctnetlink import Entry
from agents.wire import control

# At a time, and one to an app that is behind: the bridge's queue to the agent's port isn't long.
FRAMES = 16
# Seconds between them: 42,000 sessions a second. The app takes in 65,000 (measured); what is more
# would only stand before the offers that come meanwhile.
PAUSE = 0.02
CALL_PAUSE = 2.0  # seconds between two calls for a census, however much is lost

_MISSED = (control.CENSUS, control.ENDED)  # what the app has to hear


class Censuses:
    """A unit's."""

    def __init__(self, serving: Serving, primary: Primary, now: float) -> None:
        self._serving = serving
        self._primary = primary
        self.calls = 0  # as announced
        self._doubt = False
        self._call_at = now
        self._frames: deque[bytes] = deque()
        self._send_at = now

    def doubt(self) -> None:
        """The app may have heard too little."""
        self._doubt = True

    def asked(self, token: int, now: float) -> None:
        """The app asks for one: a dump is to begin. One on its way is given up."""
        self._frames.clear()
        self._serving.start_census(token, now)

    def dumped(self, entries: Iterable[Entry], last: bool, now: float) -> None:
        """A piece of the dump."""
        self._frames.extend(self._serving.count(entries, last, now))

    def undumped(self) -> None:
        """The dump failed."""
        self._serving.end_census()
        self._doubt = True

    def unwritten(self, kind: int) -> None:
        """A frame of that kind didn't get out. If it is one that must, the census starts over."""
        if kind in _MISSED:
            self._frames.clear()
            self._doubt = True

    def announcing(self, now: float) -> None:
        """The unit is about to announce itself: if it has doubts, the app is to ask."""
        self._doubt |= self._primary.rejoins(now)
        may = now >= self._call_at and not self._primary.behind(now)
        on_its_way = self._serving.counting or self._frames
        if self._doubt and may and not on_its_way:
            self.calls, self._doubt = self.calls + 1, False
            self._call_at = now + CALL_PAUSE

    def next_turn(self) -> float | None:
        """When the next frames are due."""
        return self._send_at if self._frames else None

    def take(self, now: float) -> list[bytes]:
        """Frames to write now."""
        if not self._frames or now < self._send_at:
            return []
        self._send_at = now + PAUSE
        most = 1 if self._primary.behind(now) else FRAMES
        return [self._frames.popleft() for _ in range(min(most, len(self._frames)))]
