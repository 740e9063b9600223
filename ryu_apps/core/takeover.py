"""Whose sessions are served by another unit now, and how that ends.

A unit that has died leaves sessions behind, and the primary's kernel has an entry for each of them.
One flow, the unit's row in table 3, sends all their packets there, however many they are. Then the
primary's agent makes the entries its own, and when it has, the sessions are the primary's like any
other: their flows go by one flow-mod, and the unit may be given new ones.

A new primary serves everything at first: its bridge has no session flow, so all packets go to its
kernel, and its agent makes the sessions of all units its own.
"""

from ryu_apps.core.cluster import Member, Members
from ryu_apps.core.events import Effect, Forget
from ryu_apps.core.sessions import Sessions


class Takeover:
    """Units whose sessions the primary is making its own."""

    def __init__(self, members: Members, sessions: Sessions) -> None:
        self._members = members
        self._sessions = sessions
        self.units: set[int] = set()

    @property
    def homes(self) -> dict[int, int]:
        """Where the sessions of these units are served."""
        return dict.fromkeys(self.units, self._members.primary_id)

    def begin(self, home: Member, *units: int) -> int:
        """These units' sessions become the primary's (`home`, from now on); how many they are."""
        self.units = (self.units | set(units)) - {home.unit.id}
        return sum(self._sessions.move(unit, home.unit.id) for unit in units)

    def adopted(self, member: Member) -> list[Effect]:
        """An agent has announced itself: what the primary's has made its own is over with."""
        if member is not self._members.primary or not member.announce:
            return []
        done = self.units & set(member.announce.adopted)
        self.units -= done
        return [Forget(member.unit.id, unit) for unit in sorted(done)]
