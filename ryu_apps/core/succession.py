"""Who is primary after the present one, and how the role passes on: when a primary dies, when it
loses a data link, when an operator or the configuration wants another.

From a primary that lives, the role passes in two steps. First its own bridge is given the flows of
an auxiliary, and confirms them; only then the heir's gets the primary's. So no two units have the
virtual MACs at once (talk, slide "Virtual MAC": they are "binded on the primary unit"). A unit that
was primary returns as an auxiliary. The sessions of a unit that can't serve them any more become
the primary's.
"""

from ryu_apps.core import events
from ryu_apps.core.cluster import Change, Member, State
from ryu_apps.core.events import Effect
from ryu_apps.core.formation import Formation
from ryu_apps.core.gratuitous import Gratuitous
from ryu_apps.core.journal import Journal
from ryu_apps.core.liveness import GRACE, Liveness, lives

PATIENCE = 1.0  # seconds in which the old primary's bridge must confirm that it has stepped back
RETRY = 5.0  # seconds until what was broken off is begun again unasked
# Seconds that a primary without a link waits: if a whole switch has died, others have none either.
SETTLE = 0.2
HOLD = 10.0  # seconds that a unit must have been up until it takes the role by its priority


class Succession:
    """Deaths and promotions of one cluster."""

    def __init__(self, formation: Formation, sessions_of: dict[int, int], journal: Journal) -> None:
        self._formation = formation
        self._members = formation.members
        self._bridges = formation.bridges
        self._live = sessions_of
        self._journal = journal
        self._liveness = Liveness()
        self._gratuitous = Gratuitous(formation.cluster, formation.members)
        self._begun = float("-inf")  # when the primary was last told to step back

    # -- what happens

    def announced(self, member: Member, now: float) -> list[Effect]:
        """A unit's agent has told of its links, and whether it has heard a rival."""
        self._gratuitous.heard(member, now)
        return self._step_back(member, now) + self._gratuitous.tick(now)

    def confirmed(self, member: Member, now: float) -> list[Effect]:
        """A bridge has done what it was told: if that was to step back, the heir is next."""
        heir = self._bridges.heir
        if heir is None or member is not self._members.primary or not member.confirmed:
            return []
        if heir.state is not State.UP:
            return self._break_off(member, now)
        return self.succeed(heir, now)

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: who is dead, who is to be primary?"""
        effects = self._liveness.tick(self._members, now)
        for member in self._members:
            effects += self._live_or_die(member, now) + self._step_back(member, now)
        primary = self._members.primary
        if primary and self._bridges.heir and now - self._begun >= PATIENCE:
            effects += self._break_off(primary, now)
        return effects + self._override(now) + self._gratuitous.tick(now)

    # -- what is done

    def rehome(self, member: Member, why: str, now: float) -> list[Effect]:
        """The sessions of a unit become the primary's, all by one flow."""
        primary, unit = self._members.primary, member.unit.id
        if primary is None:
            return []
        sessions = self._formation.takeover.begin(primary, unit)
        fields = {"unit": unit, "why": why, "sessions": sessions}
        return [
            *self._bridges.refresh(primary, now),
            *self._formation.share_out(now),
            self._formation.told(primary),
            *self._journal.note(now, "unit_rehomed", **fields),
        ]

    def promote(self, heir: Member, why: str, now: float) -> list[Effect]:
        """The primary, which lives, steps back for another unit. The rest: `confirmed`."""
        primary = self._members.primary
        if primary is None:
            return []
        self._bridges.heir, self._begun = heir, now
        primary.confirmed = False
        fields = {"unit": heir.unit.id, "was": primary.unit.id, "why": why}
        line = self._journal.note(now, "promotion", **fields)
        return [*line, *self._bridges.refresh(primary, now)]

    def succeed(self, heir: Member, now: float) -> list[Effect]:
        """Another unit is primary, and serves all sessions at first."""
        formation, members = self._formation, self._members
        self._bridges.heir = None
        others = (member.unit.id for member in members if member is not heir)
        formation.takeover.begin(heir, *others)
        self._gratuitous.begin(now)
        return [
            # No bridge has a session's flow any more: all packets go to the heir's kernel.
            *(events.Forget(member.unit.id, 0) for member in members if member.connection),
            *formation.appoint(heir, members.term + 1, "primary_promoted", now),
            *self._gratuitous.tick(now),
        ]

    def _break_off(self, primary: Member, now: float) -> list[Effect]:
        """The heir is gone, or the primary's bridge doesn't confirm: all stays as it was."""
        heir, self._bridges.heir = self._bridges.heir, None
        primary.confirmed = False
        unit = heir.unit.id if heir else 0
        line = self._journal.warn(now, "promotion_broken_off", unit=unit)
        return [*line, *self._bridges.refresh(primary, now)]

    # -- why

    def _live_or_die(self, member: Member, now: float) -> list[Effect]:
        formation = self._formation
        alive, dead = lives(member, self._members, now), member.state is State.DEAD
        if alive and dead:
            if member.connection is None:
                return formation.changed(member, Change.LOST, now)
            ask = self._bridges.ask(member, now)
            return [ask, *formation.changed(member, Change.CONNECTED, now)]
        if alive or now - formation.found < GRACE:
            return []
        effects = formation.changed(member, Change.DIED, now)
        if member is self._members.primary:
            heir = self._members.heir()
            return effects + (self.succeed(heir, now) if heir else [])
        return effects if dead else effects + self.rehome(member, "unit_died", now)

    def _step_back(self, member: Member, now: float) -> list[Effect]:
        """A unit without a data link serves nothing that another can serve."""
        if member.state is not State.DEGRADED:
            return []
        if member is not self._members.primary:
            left = self._live[member.unit.id]
            return self.rehome(member, "link_down", now) if left else []
        heir = self._members.heir()
        if heir is None or self._bridges.heir:
            return []
        if now - member.since < SETTLE or now - self._begun < RETRY:
            return []
        return self.promote(heir, "link_down", now)

    def _override(self, now: float) -> list[Effect]:
        """A unit that is configured to takes the role from one of lower priority."""
        primary = self._members.primary
        if primary is None or primary.state is not State.UP or self._bridges.heir:
            return []
        if now - self._begun < RETRY:
            return []
        above = [
            member
            for member in self._members.up()
            if member.unit.override
            and member.unit.priority > primary.unit.priority
            and not member.drained
            and self._members.lacks(member) == ()
            and now - member.since >= HOLD
        ]
        heir = max(above, key=lambda member: (member.unit.priority, -member.unit.id), default=None)
        return self.promote(heir, "override", now) if heir else []
