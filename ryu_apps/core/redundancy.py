"""What a cluster lacks while it works, and would need when the next thing fails: HA links over
which units that are up hear each other, and session pickup.

Nobody is dead for want of either, and nothing is reset; but who watches should know. What it says
is told once when it becomes so and once when it is over, and is in the status meanwhile. It isn't
over if a unit has gone meanwhile: then it is told anew once that is there again.
"""

from collections.abc import Callable

from ryu_apps.core.cluster import THERE, Member, Members
from ryu_apps.core.events import Effect
from ryu_apps.core.journal import Journal

SETTLE = 1.0  # seconds; what lasts no longer isn't told: units come and go one word after another


def unheard(member: Member, members: Members) -> tuple[int, ...]:
    """The units whose keepalives that one lacks on the HA link, of those that are there."""
    if member.state not in THERE or not member.announce:
        return ()
    others = (other for other in members if other is not member and other.state in THERE)
    hears = member.announce.hears
    return tuple(other.unit.id for other in others if other.unit.id not in hears)


def unheld(member: Member, members: Members) -> tuple[int, ...]:
    """The units that are there and whose sessions that one lacks; none if pickup is off."""
    return (members.lacks(member) or ()) if member.state in THERE else ()


def _named(units: tuple[int, ...]) -> str:
    return ",".join(map(str, units))


class Redundancy:
    """What each unit lacks, as told last."""

    def __init__(self, members: Members, journal: Journal) -> None:
        self._members = members
        self._journal = journal
        self._told: dict[tuple[str, int], tuple[int, ...]] = {}
        # What it is now, and since when, if that isn't what was told.
        self._new: dict[tuple[str, int], tuple[tuple[int, ...], float]] = {}

    def tick(self, now: float) -> list[Effect]:
        """What has changed, and stayed so."""
        return self._lines("ha_link", unheard, now) + self._lines("pickup", unheld, now)

    def _lines(
        self, what: str, lacking: Callable[[Member, Members], tuple[int, ...]], now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        for member in self._members:
            key, found = (what, member.unit.id), lacking(member, self._members)
            told = self._told.get(key, ())
            since = self._since(key, found, told, now)
            if found == told or now - since < SETTLE:
                continue
            self._told[key] = found
            unit = member.unit.id
            if set(found) - set(told):
                effects += self._journal.warn(now, f"{what}_lost", unit=unit, of=_named(found))
            if back := self._back(member, told, found):
                effects += self._journal.note(now, f"{what}_back", unit=unit, of=_named(back))
        return effects

    def _back(
        self, member: Member, told: tuple[int, ...], found: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Those that it lacks no more. What is gone isn't lacking, nor is it back."""
        there = {each.unit.id for each in self._members if each.state in THERE}
        if member.unit.id not in there:
            return ()
        return tuple(unit for unit in told if unit not in found and unit in there)

    def _since(
        self, key: tuple[str, int], found: tuple[int, ...], told: tuple[int, ...], now: float
    ) -> float:
        """Since when it has been what it is."""
        if found == told:
            self._new.pop(key, None)
            return now
        before, since = self._new.get(key, (told, now))
        if before != found:
            since = now
        self._new[key] = found, since
        return since
