"""By what method sessions were given to units, and when that changed: so that of a session, of
which only the time of its decision is kept, one can say afterwards why it is where it is.

Bounded: what is older than the last changes is unknown, and is said to be.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ryu_apps.core.methods import Shares

MOST = 256  # changes


class Regime(NamedTuple):
    """What holds from a time on: the method, among whom it chooses (unit, weight), who is primary,
    and the units whose sessions have become the primary's.
    """

    since: float
    method: str
    shares: Shares
    primary: int
    rehomed: frozenset[int] = frozenset()


class Move(NamedTuple):
    """All sessions of `source` became those of `target`."""

    at: float
    source: int
    target: int


class Regimes:
    """The last regimes, in order."""

    def __init__(self) -> None:
        self._regimes: deque[Regime] = deque(maxlen=MOST)

    def note(self, regime: Regime) -> None:
        """It holds from now on; what is as it was is nothing new."""
        if not self._regimes or self._regimes[-1][1:] != regime[1:]:
            self._regimes.append(regime)

    def now(self) -> Regime | None:
        """What holds now."""
        return self._regimes[-1] if self._regimes else None

    def at(self, time: float) -> Regime | None:
        """What held then; None if that is longer ago than is known."""
        return next((each for each in reversed(self._regimes) if each.since <= time), None)

    def moves(self, after: float) -> Iterator[Move]:
        """Who took over whose sessions after that time."""
        before: Regime | None = None
        for each in self._regimes:
            if before and each.since > after:
                moved = each.rehomed - before.rehomed - {each.primary}
                if each.primary != before.primary:
                    moved |= {unit for unit, _ in before.shares} - {each.primary}
                    moved |= {before.primary}
                yield from (Move(each.since, unit, each.primary) for unit in sorted(moved))
            before = each
