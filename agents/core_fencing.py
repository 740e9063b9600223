"""Two primaries at once: which of the two is the old one, and that it falls silent.

"Virtual mac address(es) are binded on the primary unit" (talk, slide "Virtual MAC"). A primary that
hears one of them from outside, as the source of ARP, has a rival. (A row of a primary's pipeline
gives such frames to the agent, so that no app is needed to see them. An agent that was started anew
while the app is away doesn't know its role, but by such a frame that its bridge is a primary's.)
The app makes a primary and tells it; so
the one that doesn't hear the app is the old one, cut off when it was replaced. It fences itself: no
NIC of it that carries data is up until it hears the app again, which then has given its bridge the
flows of its true role. If the app is heard, there is nothing to do here: it is told that there is a
rival, and has the primary speak up.
"""

from agents.core_facts import SILENT, Desk, Facts
from agents.outcomes import Outcome

FRESH = 1.5  # seconds in which a rival that was heard counts; a new primary speaks up every second
LIFT = 0.5  # seconds from the app's first word to the last NIC: its flows are on their way as well


class Fencing:
    """Whether this unit has fenced itself. `fenced`: it had, before this agent was started."""

    def __init__(self, facts: Facts, desk: Desk, fenced: bool) -> None:
        self._desk = desk
        self._virtual_macs = frozenset(facts.virtual_macs.values())
        self._rival = float("-inf")  # when it was heard last
        self._back = float("inf")  # since when the app is heard again
        self._told = float("-inf")  # when it was heard last
        self.fenced = fenced

    def is_rival(self, frame: bytes) -> bool:
        """Is this frame, ARP, from a virtual MAC?"""
        return frame[6:12] in self._virtual_macs

    def heard(self, now: float) -> Outcome:
        """A rival is there."""
        self._rival = now
        return Outcome.RIVAL_HEARD

    def told(self, now: float) -> None:
        """The app has spoken. Its first word after a silence isn't enough."""
        if now - self._told > SILENT:
            self._back = now
        self._told = now
        if self.fenced and now - self._back >= LIFT:
            self.fenced = False
            self._desk.counters[Outcome.FENCE_LIFTED] += 1

    def tick(self, now: float) -> None:
        """Is it time to fall silent?"""
        desk = self._desk
        away = not desk.app_speaks(now)
        if away and desk.role() != "auxiliary" and now - self._rival <= FRESH and not self.fenced:
            self.fenced = True
            desk.counters[Outcome.FENCED] += 1
