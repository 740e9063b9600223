"""How many new sessions each unit was given in each of the last seconds.

Read off counters that somebody else keeps, once a second; so it costs the same however many
sessions there are. If no tick comes for some seconds, the first of them is given all that happened.
"""

import math
from collections import deque
from collections.abc import Mapping
from itertools import pairwise

KEPT = 300  # seconds
RATE = 10  # seconds, of what is told as sessions per second
SHARE = 60  # seconds, of what is told as a unit's share


class History:
    """`served` counts the sessions that each unit was given since the app was started."""

    def __init__(self, served: Mapping[int, int]) -> None:
        self._served = served
        self._places = {unit: place for place, unit in enumerate(served)}
        # The counters at the end of each second.
        self._ends = deque([tuple(served.values())], maxlen=KEPT + 1)
        self._end: int | None = None

    def tick(self, now: float) -> None:
        """Time has passed."""
        end = math.floor(now)
        seconds = end - self._end if self._end is not None else 0
        self._ends += [tuple(self._served.values())] * min(seconds, KEPT + 1)
        self._end = end

    def end(self, now: float) -> float:
        """When the last of the seconds ended."""
        return now if self._end is None else self._end

    def seconds(self, unit: int) -> list[int]:
        """New sessions of that unit in each second, oldest first; 0 before the app's start."""
        place = self._places[unit]
        ends = [end[place] for end in self._ends]
        grown = [after - before for before, after in pairwise(ends)]
        return [0] * (KEPT - len(grown)) + grown

    def per_second(self, unit: int) -> float:
        """Of the last seconds."""
        return self._grown(RATE)[self._places[unit]] / RATE

    def share(self, unit: int) -> float | None:
        """That unit's part of the last minute's new sessions, 0 to 1; None if there were none."""
        grown = self._grown(SHARE)
        return round(grown[self._places[unit]] / sum(grown), 4) if any(grown) else None

    def _grown(self, seconds: int) -> list[int]:
        """Of each unit, in the last so many seconds."""
        first = self._ends[max(0, len(self._ends) - 1 - seconds)]
        return [after - before for before, after in zip(first, self._ends[-1], strict=True)]
