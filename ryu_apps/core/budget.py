"""How many new sessions a second are shared out (`limits.decisions` of the cluster's file). What is
beyond the primary serves: it costs no hand-over, no flows, and no other unit anything.
"""


class Budget:
    """So many a second, and a second's worth at once; a rate of 0 is no limit."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left, self._at = float(rate), float("-inf")

    def take(self, now: float) -> bool:
        """One more; False if it is one too many."""
        if not self._rate:
            return True
        if now > self._at:
            self._left = min(float(self._rate), self._left + (now - self._at) * self._rate)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
