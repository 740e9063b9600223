"""What an operator asks of the cluster: drain a unit, undrain it, promote it, give it another
weight; share sessions out by another method.

A unit that is drained gets no new sessions and keeps those that it has, until they end or the
deadline comes; what is left then becomes the primary's, as if the unit had died, and nothing is
reset. Weights and the method are about new sessions only: those that run stay where they are. All
of it can be taken back, and is forgotten when the app is restarted: then the file holds again.

A unit that is promoted is primary from then on. State before address: it must hold the sessions of
all others first.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ryu_apps.core.cluster import Member, State
from ryu_apps.core.events import Effect
from ryu_apps.core.formation import Formation
from ryu_apps.core.journal import Journal
from ryu_apps.core.succession import DEADLINE, Succession

DRAIN, UNDRAIN, PROMOTE, WEIGHT = "drain", "undrain", "promote", "weight"


class Order(NamedTuple):
    """What is asked of a unit; `deadline` is in seconds from now, None for none, and of a drain
    only; `force`, of a promotion only: even if sessions are lost; `weight`, of the order of that
    name.
    """

    verb: str
    unit: int
    deadline: float | None = None
    force: bool = False
    weight: int = 0


class Method(NamedTuple):
    """What is asked of the whole cluster: a name in METHODS."""

    method: str


class Refusal(Exception):
    """Why an order isn't carried out, for the operator to read."""


class NoSuch(Refusal):
    """There is no such unit, or no such order."""


class Orders:
    """Carries out orders, and keeps their deadlines."""

    def __init__(self, formation: Formation, succession: Succession, journal: Journal) -> None:
        self._formation = formation
        self._succession = succession
        self._journal = journal
        self._deadlines: dict[int, float] = {}

    def give(self, order: Order | Method, now: float) -> list[Effect]:
        """What is to be done. Refusal if it can't be; then nothing has changed."""
        if isinstance(order, Method):
            return self._share_by(order.method, now)
        member = self._formation.members.get(order.unit)
        if member is None:
            known = ", ".join(str(each.unit.id) for each in self._formation.members)
            raise NoSuch(f"there is no unit {order.unit}; there are {known}")
        if order.verb == DRAIN:
            return self._drain(member, order.deadline, now)
        if order.verb == PROMOTE:
            return self._promote(member, order.force, now)
        if order.verb == WEIGHT:
            return self._weigh(member, order.weight, now)
        return self._undrain(member, now)

    def tick(self, now: float) -> list[Effect]:
        """What is due: sessions of drained units that must move now."""
        effects: list[Effect] = []
        for unit in [unit for unit, at in self._deadlines.items() if at <= now]:
            del self._deadlines[unit]
            member = self._formation.members.get(unit)
            if member and member is not self._formation.members.primary:
                effects += self._succession.rehome(member, DEADLINE, now)
        return effects

    def left(self, unit: int, now: float) -> float | None:
        """Seconds until a drained unit's sessions move; None if there is no deadline, or it has
        become primary: from there they move nowhere.
        """
        at = self._deadlines.get(unit)
        if at is None or unit == self._formation.members.primary_id:
            return None
        return max(0.0, at - now)

    def _drain(self, member: Member, deadline: float | None, now: float) -> list[Effect]:
        unit = member.unit.id
        if deadline is not None and member is self._formation.members.primary:
            raise Refusal(
                f"unit {unit} is primary: sessions move to the primary, not away from it; "
                "promote another first ('synod promote UNIT'), or drain without a deadline"
            )
        member.drained = True
        self._deadlines.pop(unit, None)
        if deadline is not None:
            self._deadlines[unit] = now + deadline
        line = self._journal.note(now, "unit_drained", unit=unit, deadline=deadline)
        return [*line, *self._formation.share_out(now), *self.tick(now)]

    def _weigh(self, member: Member, weight: int, now: float) -> list[Effect]:
        members = self._formation.members
        if not weight and not any(each.weight for each in members if each is not member):
            raise Refusal("all units would have weight 0, so none could be given a session")
        before, member.weight = member.weight, weight
        fields = {"unit": member.unit.id, "weight": weight, "was": before}
        line = self._journal.note(now, "unit_weighted", **fields)
        return [*line, *self._formation.share_out(now)]

    def _share_by(self, method: str, now: float) -> list[Effect]:
        fields = {"method": method, "was": self._formation.method}
        line = self._journal.note(now, "method_changed", **fields)
        return [*line, *self._formation.share_by(method, now)]

    def _promote(self, member: Member, force: bool, now: float) -> list[Effect]:
        reason = next(self._obstacles(member), "") or ("" if force else self._loss(member))
        if reason:
            raise Refusal(reason)
        return self._succession.promote(member, "order", now)

    def _obstacles(self, heir: Member) -> Iterator[str]:
        """Why that unit can't be primary."""
        formation, unit = self._formation, heir.unit.id
        primary, passage = formation.members.primary, formation.bridges.passage
        if heir is primary:
            yield f"unit {unit} is primary already"
        if heir.state is State.DEGRADED:
            yield f"unit {unit} has no link on {', '.join(formation.links_down(heir))}"
        if heir.state is not State.UP:
            yield f"unit {unit} is {heir.state.value}, not up"
        if heir.drained:
            yield f"unit {unit} is drained: 'synod undrain {unit}' first"
        if primary is None or primary.connection is None:
            yield (
                f"unit {formation.members.primary_id} is primary, and cannot be told to step back: "
                "its bridge is not connected"
            )
        if passage:
            yield f"unit {passage.heir.unit.id} is just becoming primary: wait a few seconds"

    def _loss(self, heir: Member) -> str:
        """Which sessions would be lost; empty if none."""
        unit, lacking = heir.unit.id, self._formation.members.lacks(heir)
        if lacking is None:
            return (
                "session pickup is off: the sessions that other units serve would be lost; "
                "--force does it all the same"
            )
        if not lacking:
            return ""
        others = ", ".join(map(str, lacking))
        return (
            f"unit {unit} does not hold the sessions of unit {others} yet: they would be lost; "
            "--force does it all the same"
        )

    def _undrain(self, member: Member, now: float) -> list[Effect]:
        unit = member.unit.id
        if not member.drained:
            raise Refusal(f"unit {unit} is not drained")
        member.drained = False
        self._deadlines.pop(unit, None)
        return [
            *self._journal.note(now, "unit_undrained", unit=unit),
            *self._formation.share_out(now),
        ]
