"""Keepalives on the HA link: which other units are there.

The talk: the units are "connected via dedicated link used for heartbeat and keep-alive" (slide "HA
Cluster"). An agent says that it is there and tells the app whom it hears; what silence means only
the app says, which has the OpenFlow connections as its second witness.
"""

from agents.core_facts import Desk, Facts
from agents.core_vouching import Vouching
from agents.wire import peer

KEEPALIVE = 0.02  # seconds between two
# A unit unheard for so long is missing: to be told, but by itself a sign of a busy machine only.
MISSING = 0.07
SILENT = 0.25  # a unit unheard for so long isn't heard any more


class Hearing:
    """When each of the other units was heard last."""

    def __init__(self, facts: Facts, desk: Desk, vouching: Vouching, now: float) -> None:
        self._desk = desk
        self._link = facts.link_to_all
        self._vouching = vouching
        self._heard: dict[int, float] = {}
        self._next = now
        self.units: tuple[int, ...] = ()
        self.missing: tuple[int, ...] = ()  # of these units
        self._apart: set[int] = set()

    def heard(self, unit: int, hears_app: bool, now: float) -> bool:
        """A keepalive came from that unit, which hears the app itself or doesn't. Whether that is
        news.
        """
        anew = unit not in self.units or unit in self.missing
        turned = hears_app == (unit in self._apart)
        self._heard[unit] = now
        (self._apart.discard if hears_app else self._apart.add)(unit)
        return anew or turned

    def reaches_app(self, unit: int) -> bool:
        """Whether that unit is heard, and hears the app."""
        return unit in self.units and unit not in self._apart

    def tick(self, now: float) -> bool:
        """Say that this unit is there; True if another is heard anew, is missing, or no more."""
        if now >= self._next:
            self._next = now + KEEPALIVE
            hears_app, records = self._desk.app_speaks(now), self._vouching.records(now)
            frame = peer.keepalive_frame(self._link, hears_app=hears_app, records=records)
            self._desk.frames.append(frame)
        before = self.units, self.missing
        self.units = tuple(sorted(u for u, at in self._heard.items() if now - at <= SILENT))
        self.missing = tuple(u for u in self.units if now - self._heard[u] > MISSING)
        return (self.units, self.missing) != before

    def next_keepalive(self) -> float:
        """When the next is due."""
        return self._next
