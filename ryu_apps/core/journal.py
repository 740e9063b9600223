"""Outcomes: each is counted under its name, and told in the log at most so many times a second.

The name of an outcome is the word in the log, the name of the counter and what the tests expect.
Names are ours alone (never taken from a packet), so there is a bounded number of them.
"""

from collections import Counter

from agents.wire.log_line import Pace
from ryu_apps.core.chronicle import Chronicle
from ryu_apps.core.events import Line


class Journal:
    """Counts outcomes, and says which of them to write down. What is told of the cluster itself is
    kept, too.
    """

    def __init__(self) -> None:
        self.chronicle = Chronicle()
        self.counters: Counter[str] = Counter()
        self._pace = Pace()

    def note(self, now: float, outcome: str, **fields: object) -> list[Line]:
        """Count; the line to write, if it isn't one too many."""
        return self._tell(now, False, outcome, fields)

    def warn(self, now: float, outcome: str, **fields: object) -> list[Line]:
        """The same, as a warning."""
        return self._tell(now, True, outcome, fields)

    def admits(self, now: float, outcome: str) -> bool:
        """Count; may a line be written? (For the fast path, that would spare itself the
        wording.)
        """
        self.counters[outcome] += 1
        return self._pace.admits(now, outcome)

    def line(self, outcome: str, **fields: object) -> Line:
        """A line that was admitted."""
        return Line(False, outcome, self._pace.told(outcome, fields))

    def _tell(
        self, now: float, warning: bool, outcome: str, fields: dict[str, object]
    ) -> list[Line]:
        self.chronicle.add(now, warning, outcome, fields)
        if not self.admits(now, outcome):
            return []
        return [self.line(outcome, **fields)._replace(warning=warning)]
