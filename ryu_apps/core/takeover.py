"""Whose sessions are served by another unit now, and how that ends.

A unit that has died leaves sessions behind, and the primary's kernel has an entry for each of them.
One flow, the unit's row in table 3, sends all their packets there, however many they are. Then the
primary's agent makes the entries its own, and when it has, the sessions are the primary's like any
other: their flows go, some at a time, and when they have, the unit may be given new ones.

A new primary serves everything at first: its bridge has no session flow, so all packets go to its
kernel, and its agent makes the sessions of all units its own.

A unit that lost its sessions and lives, or comes back, is told to forfeit them: it would take its
entries for its own still. Until it has, it gets no new ones.
"""

from collections.abc import Iterator
from itertools import count

from ryu_apps.core.cluster import Member, Members
from ryu_apps.core.events import Effect
from ryu_apps.core.forgetting import Forgetting
from ryu_apps.core.sessions import Sessions


class Takeover:
    """Units whose sessions the primary is making its own. `boot` (u32) is the app's."""

    def __init__(
        self, members: Members, sessions: Sessions, forgetting: Forgetting, boot: int
    ) -> None:
        self._members = members
        self._sessions = sessions
        self._forgetting = forgetting
        self.units: set[int] = set()
        self._adopted: set[int] = set()  # of them: the entries are the primary's own
        self._flowless: set[int] = set()  # of them: the primary's bridge has none of their flows
        self._forfeits: dict[int, int] = {}
        # Not what an app before this one has told.
        self._tokens: Iterator[int] = (1 + (boot + n) % 0xFFFFFFFF for n in count())

    @property
    def homes(self) -> dict[int, int]:
        """Where the sessions of these units are served."""
        return dict.fromkeys(self.units, self._members.primary_id)

    @property
    def adopting(self) -> set[int]:
        """The units whose entries the primary's agent is still to make its own."""
        return self.units - self._adopted

    def begin(self, home: Member, *units: int, flowless: bool = False) -> int:
        """These units' sessions become the primary's (`home`, from now on); how many they are.
        `flowless`: its bridge has no flows of them.
        """
        self.units = (self.units | set(units)) - {home.unit.id}
        self._adopted -= set(units)
        self._flowless = self.units & set(units) if flowless else self._flowless - set(units)
        self._forfeits |= {unit: next(self._tokens) for unit in units if unit != home.unit.id}
        self._forfeits.pop(home.unit.id, None)
        moved = {unit: self._sessions.move(unit, home.unit.id) for unit in units}
        for unit, sessions in moved.items():
            if not flowless:
                self._forgetting.moved(unit, sessions)
        return sum(map(len, moved.values()))

    def forfeit(self, unit: int) -> int:
        """What an agent is told of this: not 0 if its unit is to give up its sessions."""
        return self._forfeits.get(unit, 0)

    @property
    def unsettled(self) -> set[int]:
        """Units that have had sessions which are not all elsewhere yet."""
        return self.units | self._forfeits.keys()

    def heard(self, member: Member) -> bool:
        """An agent has announced itself: what it has done of this is over with. True if a unit's
        sessions are settled by that.
        """
        announce, unit = member.announce, member.unit.id
        assert announce  # it is why this is called
        forfeited = self._forfeits.get(unit) == announce.forfeited
        if forfeited:
            del self._forfeits[unit]
        if member is self._members.primary:
            done = self.adopting & set(announce.adopted)
            self._adopted |= done
            self._forgetting.begin(unit, *sorted(done - self._flowless))
        return self._settle() or forfeited

    def tick(self) -> tuple[list[Effect], bool]:
        """Some more flows go. True if a unit's sessions are settled by that."""
        effects, finished = self._forgetting.tick()
        primary = self._members.primary_id
        self._flowless |= {unit for bridge, unit in finished if bridge == primary} & self.units
        return effects, self._settle()

    def _settle(self) -> bool:
        settled = self._adopted & self._flowless
        self.units -= settled
        self._adopted -= settled
        self._flowless -= settled
        return bool(settled)
