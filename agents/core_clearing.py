"""A SYN whose tuple another unit still has an entry for waits until that unit has forgotten it.

The SYN met the entry of a session before it, as that of an auxiliary's stays until its end is told,
and was taken for one of its packets. The auxiliary still has that entry, and for some moments
packets of the new session may come to it (a cached flow is followed until the switch has
revalidated). It would translate them to the old session's client, whose reset ends the new one. So
it forgets first.
"""

from collections.abc import Iterator

from agents.core_facts import Desk, Facts, Steps
from agents.core_offered import Offered, as_it_came
from agents.outcomes import Outcome
from agents.wire import control, peer

CLEAR_TIME = 0.2  # seconds that a SYN waits until another unit has forgotten its tuple


class Clearing:
    """SYNs that wait for that."""

    def __init__(self, facts: Facts, desk: Desk) -> None:
        self._facts = facts
        self._desk = desk
        self._next_id = facts.first_id
        self._waiting: dict[int, Offered] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, offered: Offered, unit: int) -> Outcome:
        """That unit is asked to forget the tuple."""
        clear_id, entry = self._next_id, offered.entry
        self._next_id = clear_id + 1 & 0xFFFFFFFF
        self._waiting[clear_id] = offered
        if unit in self._facts.peers:
            record = peer.Clear(clear_id, entry.orig, entry.reply)
            self._desk.frames += peer.clear_frames(self._facts.link(unit), [record])
        return Outcome.REOPENING

    def cleared(self, clear_id: int) -> Steps:
        """It has forgotten."""
        offered = self._waiting.pop(clear_id, None)
        if offered is None:
            return Outcome.CLEARED_LATE
        return (yield from self._reopen(offered, Outcome.REOPENED))

    def expire(self, now: float) -> Iterator[Steps]:
        """SYNs that have waited for too long go all the same."""
        while self._waiting:
            clear_id, offered = next(iter(self._waiting.items()))
            if now - offered.time < CLEAR_TIME:
                break
            del self._waiting[clear_id]
            yield self._reopen(offered, Outcome.REOPENED_UNCLEARED)

    def next_expiry(self) -> float | None:
        """When the oldest SYN will have waited for too long."""
        oldest = next(iter(self._waiting.values()), None)
        return oldest.time + CLEAR_TIME if oldest else None

    def _reopen(self, offered: Offered, outcome: Outcome) -> Steps:
        """Without the old entry the kernel sees what the SYN is: translated, marked and routed as
        was announced.
        """
        own = self._facts.own_macs[offered.interface]
        return as_it_came(self._desk, offered, own, control.ETH_SRC, outcome)
