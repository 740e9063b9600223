"""Whether session pickup works: a canary, an entry that each unit has and the others must see.

Each unit keeps one for itself in its own kernel and changes its mark every second; conntrackd is to
bring it to all others like that of any session. Where the mark stands still, nothing comes any
more, whatever the processes and sockets look like. It stands still, too, while a unit has sessions
to tell again since something may have been missed (`agents.core_renewing`): who sees it change has
them. Its addresses are those of the HA link, where no session is.
"""

from collections.abc import Iterator

from agents.config import Cluster
from agents.core_facts import Facts, Steps
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    Create,
    Entry,
    Get,
    Update,
)
from agents.outcomes import Outcome
from agents.wire.packet import inverse

INTERVAL = 1.0  # seconds between two changes
LOOK = 0.5  # seconds between two looks at the others'
STILL = 3.0  # seconds that a mark may stay as it is
LIFE = 5  # seconds that the entry lives when its unit doesn't

_PORT = 5359
_STATUS = CONFIRMED | SEEN_REPLY | ASSURED


def canary(cluster: Cluster, unit: int) -> bytes:
    """tuple12 of a unit's canary."""
    address = cluster.unit(unit).ha_address.ip.packed
    return address * 2 + _PORT.to_bytes(2) + unit.to_bytes(2)


class Canary:
    """This unit's, and when those of the others were seen to change."""

    def __init__(self, facts: Facts, now: float) -> None:
        self._own = canary(facts.cluster, facts.unit)
        self._others = {unit: canary(facts.cluster, unit) for unit in facts.peers}
        self._marks: dict[int, int] = {}
        self._changed: dict[int, float] = {}
        self._mark = facts.first_id
        self._sing_at = self._look_at = now

    def tick(self, told: bool, now: float) -> Iterator[Steps]:
        """Change the own one, if all sessions have been `told`; look at the others', as is due."""
        if now >= self._sing_at:
            self._sing_at = now + INTERVAL
            if told:
                self._mark = self._mark + 1 & 0xFFFFFFFF
                yield self._sing()
        if now >= self._look_at:
            self._look_at = now + LOOK
            for unit, tuple12 in self._others.items():
                yield self._look(unit, tuple12, now)

    def seen(self, now: float) -> tuple[int, ...]:
        """The units whose sessions come here."""
        return tuple(sorted(u for u, at in self._changed.items() if now - at < STILL))

    def next_turn(self) -> float:
        """When `tick` has something to do next."""
        return min(self._sing_at, self._look_at)

    def _sing(self) -> Steps:
        update = Update(self._own, status=_STATUS, timeout=LIFE, mark=self._mark)
        if (yield update):
            entry = Entry(
                self._own, inverse(self._own), _STATUS, ESTABLISHED, LIFE, mark=self._mark
            )
            if (yield Create(entry, liberal=True)):
                return Outcome.CANARY_REFUSED
        return Outcome.CANARY

    def _look(self, unit: int, tuple12: bytes, now: float) -> Steps:
        entry = yield Get(tuple12)
        # The first mark may be a dead bird's.
        if isinstance(entry, Entry) and self._marks.get(unit) != entry.mark:
            if unit in self._marks:
                self._changed[unit] = now
            self._marks[unit] = entry.mark
        return Outcome.CANARY
