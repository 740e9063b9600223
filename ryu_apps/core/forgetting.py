"""Session flows that are to go from bridges, of a whole unit: a few parts at a time.

Deleting a flow takes a switch microseconds, and it forwards nothing meanwhile (its userspace
datapath's main thread does both; measured: 20,000 flows deleted at once held all packets up for
100 ms). So what nobody waits for is spread over some seconds. Nothing here knows why they go, or
what may happen once they have.
"""

from ryu_apps.core.cluster import Members
from ryu_apps.core.events import Effect, ForgetParts
from ryu_apps.core.flows import PARTS

AT_ONCE = 8  # parts of one unit's sessions deleted from a bridge in each tick


class Forgetting:
    """Whose flows are being deleted from which bridge, and how far that is."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._next: dict[tuple[int, int], int] = {}  # (bridge, whose) -> the part to go next

    def begin(self, bridge: int, *units: int) -> None:
        """The flows of these units' sessions are to go from that bridge; those that are going
        already go on doing so.
        """
        for unit in units:
            self._next.setdefault((bridge, unit), 0)

    def again(self, bridge: int) -> None:
        """The bridge has connected anew: who knows what it was told?"""
        self._next |= dict.fromkeys((key for key in self._next if key[0] == bridge), 0)

    def over(self, bridge: int) -> None:
        """All session flows of that bridge have gone at once."""
        self._next = {key: part for key, part in self._next.items() if key[0] != bridge}

    def tick(self) -> tuple[list[Effect], list[tuple[int, int]]]:
        """What is to be deleted now, and of whom that is the last: (bridge, whose)."""
        effects: list[Effect] = []
        finished: list[tuple[int, int]] = []
        firsts = {bridge: (unit, part) for (bridge, unit), part in reversed(self._next.items())}
        for bridge, (unit, part) in firsts.items():
            member = self._members.get(bridge)
            if member is None or member.connection is None:
                continue
            parts = range(part, min(part + AT_ONCE, PARTS))
            effects.append(ForgetParts(bridge, unit, parts))
            self._next[bridge, unit] = parts.stop
            if parts.stop == PARTS:
                finished.append((bridge, unit))
        for key in finished:
            del self._next[key]
        return effects, finished
