"""What has happened to the cluster: the journal's lines about units and roles, numbered, the last
of them kept.

What became of a single session or packet is not in it, nor what a unit may repeat as often as it
likes: a flood of either would leave no room for the rest. Nothing is suppressed: if all of 64 units
go down in a second, all of it is here.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

from ryu_apps.core.cluster import State

KEPT = 500

EVENTS = frozenset({
    "app_started",
    *(f"unit_{state.value}" for state in State),
    *("unit_refused", "unit_rehomed", "unit_drained", "unit_undrained", "unit_weighted"),
    "method_changed",
    *("primary_elected", "primary_adopted", "primary_promoted"),
    *("promotion", "promotion_broken_off"),
    *("overloaded", "overload_over"),
    *("ha_link_lost", "ha_link_back", "pickup_lost", "pickup_back"),
})  # fmt: skip


class Happening(NamedTuple):
    """One of them; `at` by the core's clock."""

    number: int
    at: float
    warning: bool
    event: str
    fields: Mapping[str, object]


class Chronicle:
    """The last `KEPT`, oldest first. Numbers begin at 1 with each start of the app."""

    def __init__(self) -> None:
        self._kept: deque[Happening] = deque(maxlen=KEPT)
        self._numbers = count(1)

    @property
    def last(self) -> int:
        """The number of the newest; 0 if there is none."""
        return self._kept[-1].number if self._kept else 0

    def add(self, at: float, warning: bool, event: str, fields: Mapping[str, object]) -> None:
        """Keep it, if it is one of `EVENTS`."""
        if event in EVENTS:
            self._kept.append(Happening(next(self._numbers), at, warning, event, fields))

    def after(self, number: int) -> Iterator[Happening]:
        """Those of higher numbers. A number that isn't reached yet is of an app before this one:
        then all.
        """
        known = number if number <= self.last else 0
        return (each for each in self._kept if each.number > known)
