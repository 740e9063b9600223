"""Sessions of a whole unit that are to go from bridges' session tables: a few at a time.

Deleting a flow takes a switch microseconds, and it forwards nothing meanwhile (its userspace
datapath's main thread does both; measured: 20,000 flows deleted at once held all packets up for
100 ms). So what nobody waits for is spread over some seconds. Nothing here knows why they go, or
what may happen once they have.

Flows go by their cookies, part after part. A connection tracker has no such index: an entry goes by
its tuple, so of what a primary is to forget each session is kept here until it has gone. A bridge
that is no primary's any more has no use for any entry, and loses them all at once (measured: 35 ms
for 100,000).
"""

from collections import deque
from collections.abc import Iterable

from agents.config import Cluster
from agents.wire.packet import inverse
from ryu_apps.core.cluster import Members
from ryu_apps.core.events import Effect, Forget, ForgetParts, Settle
from ryu_apps.core.flows import PARTS
from ryu_apps.core.sessions import Sessions

AT_ONCE = 8  # parts of one unit's sessions deleted from a bridge in each tick
ENTRIES_AT_ONCE = 1000  # sessions, where they are entries (measured: 2 µs for each entry)

Moved = list[tuple[bytes, bytes]]  # orig and reply of sessions
Step = Forget | ForgetParts | Moved


class Forgetting:
    """Whose sessions are going from which bridge, and what is left to do of that."""

    def __init__(self, cluster: Cluster, members: Members, sessions: Sessions) -> None:
        self._by_entries = cluster.session_table == "conntrack"
        self._members = members
        self._sessions = sessions
        self._left: dict[tuple[int, int], deque[Step]] = {}  # by bridge, and whose they are
        self._moved: dict[int, Moved] = {}  # by the unit that the primary's bridge has them under
        # By bridge, of those that are no primary's: whose sessions it was told to forget.
        self._told: dict[int, set[int]] = {}

    def moved(self, unit: int, sessions: Moved) -> None:
        """These sessions have become the primary's, whose bridge has them as that unit's still."""
        if not self._by_entries:
            return
        self._moved.setdefault(unit, []).extend(sessions)
        going = self._left.get((self._members.primary_id, unit))
        if going is not None:
            going += _chunks(sessions)

    def begin(self, bridge: int, *units: int) -> None:
        """The sessions of these units are to go from that bridge; those that are going already go
        on doing so.
        """
        for unit in units:
            if (bridge, unit) not in self._left:
                self._left[bridge, unit] = self._steps(bridge, unit)

    def again(self, bridge: int) -> None:
        """The bridge has connected anew: who knows what it was told? (A primary that is cut off is
        replaced while its connection still seems to be there.)
        """
        if bridge != self._members.primary_id:
            self.begin(bridge, *self._told.pop(bridge, ()))
        self._left |= {key: self._steps(*key) for key in self._left if key[0] == bridge}

    def over(self, bridge: int) -> None:
        """That bridge, which is the primary's from now on, has lost all its sessions at once."""
        self._left = {key: left for key, left in self._left.items() if key[0] != bridge}
        self._moved = {}
        self._told.pop(bridge, None)

    def tick(self) -> tuple[list[Effect], list[tuple[int, int]]]:
        """What is to be done now, and of whom that is the last: (bridge, whose)."""
        effects: list[Effect] = []
        finished: list[tuple[int, int]] = []
        firsts = {bridge: (unit, left) for (bridge, unit), left in reversed(self._left.items())}
        for bridge, (unit, left) in firsts.items():
            member = self._members.get(bridge)
            if member is None or member.connection is None:
                continue
            if left:
                effects.append(self._effect(bridge, left.popleft()))
            if not left:
                finished.append((bridge, unit))
        for bridge, unit in finished:
            del self._left[bridge, unit]
            if bridge == self._members.primary_id:
                self._moved.pop(unit, None)
            else:
                self._told.setdefault(bridge, set()).add(unit)
        return effects, finished

    def _steps(self, bridge: int, unit: int) -> deque[Step]:
        if not self._by_entries:
            starts = range(0, PARTS, AT_ONCE)
            return deque(ForgetParts(bridge, unit, range(at, at + AT_ONCE)) for at in starts)
        if bridge != self._members.primary_id:
            return deque([Forget(bridge)])
        return deque(_chunks(self._moved.get(unit, [])))

    def _effect(self, bridge: int, step: Step) -> Effect:
        if not isinstance(step, list):
            return step
        gone = [tuple12 for orig, reply in step for tuple12 in self._gone(orig, reply)]
        return Settle(bridge, gone, [], [])

    def _gone(self, orig: bytes, reply: bytes) -> Iterable[bytes]:
        """The tuples of a session that moved, but for what belongs to one that was decided since.
        (Of a session without NAT both directions are one entry.)
        """
        session = self._sessions.get(orig)
        if session is None or session.unit == self._members.primary_id:
            return orig, reply
        return () if reply in (session.reply, inverse(orig)) else (reply,)


def _chunks(sessions: Moved) -> list[Step]:
    starts = range(0, len(sessions), ENTRIES_AT_ONCE)
    return [sessions[start : start + ENTRIES_AT_ONCE] for start in starts]
