"""Keepalives on the HA link: which other units are there.

The talk: the units are "connected via dedicated link used for heartbeat and keep-alive" (slide "HA
Cluster"). An agent says that it is there and tells the app whom it hears; what silence means only
the app says, which has the OpenFlow connections as its second witness.
"""

from agents.core_facts import Desk, Facts
from agents.wire import peer
from agents.wire.ports import ha_group

KEEPALIVE = 0.02  # seconds between two
# A unit unheard for so long is missing: to be told, but by itself a sign of a busy machine only.
MISSING = 0.07
SILENT = 0.25  # a unit unheard for so long isn't heard any more


class Hearing:
    """When each of the other units was heard last."""

    def __init__(self, facts: Facts, desk: Desk, now: float) -> None:
        self._desk = desk
        cluster = facts.cluster
        own = facts.ha_macs[facts.unit]
        link = peer.Link(cluster.group, facts.unit, own, ha_group(cluster.group))
        self._frame = peer.keepalive_frame(link)
        self._heard: dict[int, float] = {}
        self._next = now
        self.units: tuple[int, ...] = ()
        self.missing: tuple[int, ...] = ()  # of these units

    def heard(self, unit: int, now: float) -> None:
        """A keepalive came from that unit."""
        self._heard[unit] = now

    def tick(self, now: float) -> bool:
        """Say that this unit is there; True if another is heard anew, is missing, or no more."""
        if now >= self._next:
            self._next = now + KEEPALIVE
            self._desk.frames.append(self._frame)
        before = self.units, self.missing
        self.units = tuple(sorted(u for u, at in self._heard.items() if now - at <= SILENT))
        self.missing = tuple(u for u in self.units if now - self._heard[u] > MISSING)
        return (self.units, self.missing) != before

    def next_keepalive(self) -> float:
        """When the next is due."""
        return self._next
