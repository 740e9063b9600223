"""What the app and the primary's agent can't decide, or may not: the primary serves it alone.

Three things bound what a flood of SYNs costs, and beyond each the primary serves: how many sessions
a second are shared out (`ryu_apps.core.budget`), how many offers wait at its
agent and for how long (`agents.core_primary`), and how many sessions the app remembers
(`sessions.MOST_SESSIONS`). That it does so is told once when it begins and once when it is over,
and is in the status meanwhile. No session is refused for any of it.
"""

from collections.abc import Callable

from ryu_apps.core.cluster import Members
from ryu_apps.core.events import Effect
from ryu_apps.core.journal import Journal

A_FEW = 20  # sessions in a second that aren't told: a change of roles makes some
OVER = 5.0  # seconds without any, until it is over
_LOOK = 1.0  # seconds


class Overload:
    """Why the primary serves alone at the moment, beside its share."""

    def __init__(self, members: Members, journal: Journal) -> None:
        self._members = members
        self._journal = journal
        self._seen: dict[str, int] = {}
        self._agent: tuple[int, int] | None = None
        self._looked = float("-inf")
        self._since: dict[str, tuple[float, float, int]] = {}  # began, last, sessions
        self.causes: dict[str, Callable[[], int]] = {
            "budget": lambda: journal.counters["decided_over_budget"],
            "undecided": self._undecided,
            "full": lambda: journal.counters["sessions_full"],
        }

    @property
    def why(self) -> tuple[str, ...]:
        """Those of `causes` that hold now."""
        return tuple(cause for cause in self.causes if cause in self._since)

    def tick(self, now: float) -> list[Effect]:
        """What has begun, and what is over."""
        if now - self._looked < _LOOK:
            return []
        self._looked = now
        effects: list[Effect] = []
        for cause, count in self.causes.items():
            total = count()
            grown = max(0, total - self._seen.get(cause, total))
            self._seen[cause] = total
            effects += self._told(cause, grown, now)
        return effects

    def _told(self, cause: str, grown: int, now: float) -> list[Effect]:
        began, last, sessions = self._since.get(cause, (now, now, 0))
        if cause not in self._since and grown > A_FEW:
            self._since[cause] = now, now, grown
            return [*self._journal.warn(now, "overloaded", why=cause)]
        if cause not in self._since:
            return []
        if grown:
            self._since[cause] = began, now, sessions + grown
        elif now - last >= OVER:
            del self._since[cause]
            fields = {"why": cause, "sessions": sessions, "seconds": round(last - began)}
            return [*self._journal.note(now, "overload_over", **fields)]
        return []

    def _undecided(self) -> int:
        """By the primary's agent; another agent's count is no growth."""
        primary = self._members.primary
        if primary is None or primary.announce is None:
            return self._seen.get("undecided", 0)
        agent = primary.unit.id, primary.announce.boot
        names = ("released_full", "released_undecided")
        total = sum(primary.counters.get(name, 0) for name in names)
        if agent != self._agent:
            self._agent, self._seen["undecided"] = agent, total
        return total
