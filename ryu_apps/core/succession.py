"""Who is primary after the present one, and how the role passes on: when a primary dies, when it
loses a data link, when an operator or the configuration wants another.

From a primary that lives, the role passes in steps, each confirmed before the next: the heir's
bridge takes what the old one's will pass on; the old one's has the flows of an auxiliary, and
passes on to the heir whatever still comes; the heir's has the primary's. So no two units have the
virtual MACs at once (talk, slide "Virtual MAC": they are "binded on the primary unit"), and nothing
is lost in between: a single segment would hold up its session for TCP's shortest timeout, 0.2 s.

A unit that was primary returns as an auxiliary. The sessions of a unit that can't serve them any
more become the primary's.
"""

from ryu_apps.core import events
from ryu_apps.core.bridges import Passage
from ryu_apps.core.cluster import Change, Member, State, standing
from ryu_apps.core.events import Effect
from ryu_apps.core.formation import Formation
from ryu_apps.core.gratuitous import Gratuitous
from ryu_apps.core.journal import Journal
from ryu_apps.core.liveness import GRACE, Liveness, lives

PATIENCE = 1.0  # seconds in which both bridges must have confirmed what makes them ready
RELAY = 3.0  # seconds from its beginning on in which the old primary passes on what comes
RETRY = 5.0  # seconds until what was broken off is begun again unasked
# Seconds that a primary without a link waits: if a whole switch has died, others have none either.
SETTLE = 0.2
DEADLINE = "drain_deadline"  # of all whys of a rehoming the one that an operator has ordered
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
        """A unit's agent has told of its links, whom it hears, and whether it has heard a rival."""
        self._gratuitous.heard(member, now)
        effects = self._step_back(member, now)
        for other in self._members:
            if other.connection is None:
                effects += self._live_or_die(other, now)
        return effects + self._gratuitous.tick(now)

    def confirmed(self, member: Member, now: float) -> list[Effect]:
        """A bridge has done what it was told: that may have been a step of a promotion."""
        passage = self._bridges.passage
        if not passage or not member.confirmed or passage.old is not self._members.primary:
            return []
        if member is not (passage.old if passage.told else passage.heir):
            return []
        if passage.heir.state is not State.UP:
            return self._break_off(passage, now)
        if passage.told:
            return self.succeed(passage.heir, now)
        passage.told, passage.old.confirmed = True, False
        # Then its agent, as what that passes on needs these flows.
        return [*self._bridges.refresh(passage.old, now), self._formation.told(passage.old)]

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: who is dead, who is to be primary?"""
        effects = self._liveness.tick(self._members, now)
        for member in self._members:
            effects += self._live_or_die(member, now) + self._step_back(member, now)
        effects += self._override(now)
        if passage := self._bridges.passage:
            effects += self._end(passage, now)
        return effects + self._gratuitous.tick(now)

    # -- what is done

    def rehome(self, member: Member, why: str, now: float) -> list[Effect]:
        """The sessions of a unit become the primary's, all by one flow."""
        primary, unit = self._members.primary, member.unit.id
        if primary is None:
            return []
        sessions = self._formation.takeover.begin(primary, unit)
        fields = {"unit": unit, "why": why, "sessions": sessions}
        say = self._journal.note if why == DEADLINE else self._journal.warn
        return [
            *self._bridges.refresh(primary, now),
            *self._formation.share_out(now),
            self._formation.told(primary),
            *say(now, "unit_rehomed", **fields),
        ]

    def promote(self, heir: Member, why: str, now: float) -> list[Effect]:
        """The primary, which lives, steps back for another unit. The rest: `confirmed`."""
        primary = self._members.primary
        if primary is None:
            return []
        self._bridges.passage, self._begun = Passage(primary, heir), now
        heir.confirmed = False
        fields = {"unit": heir.unit.id, "was": primary.unit.id, "why": why}
        line = self._journal.note(now, "promotion", **fields)
        return [*line, self._formation.told(heir), *self._bridges.refresh(heir, now)]

    def succeed(self, heir: Member, now: float) -> list[Effect]:
        """Another unit is primary, and serves all sessions at first."""
        formation, members = self._formation, self._members
        others = [member.unit.id for member in members if member is not heir]
        formation.takeover.begin(heir, *others, flowless=True)
        self._gratuitous.begin(now)
        formation.forgetting.over(heir.unit.id)
        for unit in others:
            formation.forgetting.begin(unit, *(member.unit.id for member in members))
        return [
            # If it was primary before: all packets are to go to the heir's kernel.
            events.Forget(heir.unit.id),
            *formation.appoint(heir, members.term + 1, "primary_promoted", now),
            *self._gratuitous.tick(now),
        ]

    def _end(self, passage: Passage, now: float) -> list[Effect]:
        """Has it been long enough: to get ready, or to pass on what comes?"""
        if passage.old is self._members.primary:
            return self._break_off(passage, now) if now - self._begun >= PATIENCE else []
        if now - self._begun < RELAY:
            return []
        self._bridges.passage = None
        return [*self._bridges.refresh(passage.old, now), *self._bridges.refresh(passage.heir, now)]

    def _break_off(self, passage: Passage, now: float) -> list[Effect]:
        """The heir is gone, or a bridge doesn't confirm: all stays as it was."""
        self._bridges.passage = None
        effects: list[Effect] = []
        for member in (passage.old, passage.heir):
            member.confirmed = False
            effects += self._bridges.refresh(member, now)
        unit = passage.heir.unit.id
        return [*effects, *self._journal.warn(now, "promotion_broken_off", unit=unit)]

    # -- why

    def _live_or_die(self, member: Member, now: float) -> list[Effect]:
        formation = self._formation
        alive, dead = lives(member, self._members, now), member.state is State.DEAD
        if alive and dead:
            if member.connection is None:
                return formation.changed(member, Change.LOST, now)
            ask = self._bridges.ask(member, now)
            return [ask, *formation.changed(member, Change.CONNECTED, now)]
        if alive or (member.announce is None and now - formation.found < GRACE):
            return []
        effects = formation.changed(member, Change.DIED, now)
        if member is self._members.primary:
            self._bridges.passage, heir = None, self._members.heir()
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
        if heir is None or self._bridges.passage:
            return []
        if now - member.since < SETTLE or now - self._begun < RETRY:
            return []
        return self.promote(heir, "link_down", now)

    def _override(self, now: float) -> list[Effect]:
        """A unit that is configured to takes the role from one of lower priority."""
        primary = self._members.primary
        if primary is None or primary.state is not State.UP or self._bridges.passage:
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
        heir = max(above, key=standing, default=None)
        return self.promote(heir, "override", now) if heir else []
