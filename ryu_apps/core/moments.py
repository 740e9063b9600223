"""Two clocks, side by side: the core's, which only goes forward, and the one on the wall.

The core knows its own alone. Whoever asks it what to tell the world says what that is by the other.
"""

from typing import NamedTuple


class Moment(NamedTuple):
    """The same moment by both: seconds of the core's clock, and since the epoch."""

    now: float
    epoch: float

    def date(self, at: float) -> float:
        """When that was, or will be, by the clock on the wall; to the millisecond."""
        return round(self.epoch + at - self.now, 3)
