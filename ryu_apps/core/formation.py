"""How units become a cluster: their bridges are brought up to date, they get roles, sessions are
shared out among those that are up.

Formed here is who may serve, and which static flows each bridge has; nothing here knows of a single
session or reads a frame.
"""

import math
from itertools import count

from agents.config import Cluster
from agents.wire import control, ports
from agents.wire.control import Announce
from ryu_apps.core import events
from ryu_apps.core.bridges import Bridge
from ryu_apps.core.cluster import Change, Member, Members, Role, State
from ryu_apps.core.events import Effect
from ryu_apps.core.flows import Flow
from ryu_apps.core.gratuitous import PAUSES, announcements
from ryu_apps.core.journal import Journal
from ryu_apps.core.liveness import GRACE, Liveness, lives
from ryu_apps.core.pipeline import desired
from ryu_apps.core.sessions import Sessions
from ryu_apps.core.takeover import Takeover

LATE = 0.5  # seconds between two ticks that say: it was the app itself that was held up
RETRY = 1.0  # seconds until flows that were refused are tried again
UNANSWERED = 5.0  # seconds until a bridge that doesn't answer is asked again
POLL = 2.0  # seconds between two readings of the drop counters
BATCH = 1000  # sessions restored by one effect


class Formation:
    """Units, bridges and roles of one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        boot: int,
        sessions: Sessions,
        journal: Journal,
        tokens: "count[int]",
    ) -> None:
        self.cluster = cluster
        self.boot = boot
        self.members = Members(cluster)
        self.takeover = Takeover(self.members, sessions, boot)
        self.diverting = False  # SYNs that leave the primary's kernel go to its agent
        self._sessions = sessions
        self._journal = journal
        self._bridges = {unit.id: Bridge(unit.id, tokens) for unit in cluster.units}
        self._liveness = Liveness()
        self._ticked = math.inf
        self._polled = -math.inf
        self._found = math.inf  # when the cluster was formed, or found
        self._gratuitous: list[float] = []  # when the virtual MACs are to be announced

    # -- what a switch says

    def connected(self, event: events.Connected, member: Member, now: float) -> list[Effect]:
        """A bridge has connected; if it was connected before, that one is over."""
        member.connection, member.synced, member.answered = event.connection, False, now
        ask = self._bridges[event.unit].ask(now)
        return [ask, *self._changed(member, Change.CONNECTED, now)]

    def lost(self, event: events.Lost, member: Member, now: float) -> list[Effect]:
        """A bridge's connection has ended."""
        member.connection, member.synced = None, False
        return self._changed(member, Change.LOST, now)

    def static_flows(self, event: events.StaticFlows, member: Member, now: float) -> list[Effect]:
        """A bridge has told which static flows it has."""
        bridge = self._bridges[event.unit]
        if event.token != bridge.awaited:
            return []
        effects = self._bring(member, event.cookies, now)
        return effects if event.cookies else effects + self._restore(member)

    def confirmed(self, event: events.Confirmed, member: Member, now: float) -> list[Effect]:
        """A bridge has done what it was told."""
        bridge = self._bridges[event.unit]
        if event.token != bridge.awaited or bridge.refused:
            return []
        member.synced = True
        return self._ready(member, now)

    def refused(self, event: events.Refused, member: Member, now: float) -> list[Effect]:
        """A bridge has refused something: if a static flow, the unit isn't ready."""
        fields = {"unit": event.unit, "detail": event.detail}
        if event.token in (events.SESSION_TOKEN, events.COUNT_TOKEN):
            return [*self._journal.warn(now, "message_refused", **fields)]
        self._bridges[event.unit].refused = True
        return [*self._journal.warn(now, "flow_refused", **fields)]

    def answered(self, _event: events.Pong, member: Member, now: float) -> list[Effect]:
        """A bridge is there."""
        member.answered = now
        return []

    def counted(self, event: events.Counted, member: Member, now: float) -> list[Effect]:
        """A bridge has told how often a flow was used."""
        flow = self._bridges[event.unit].wanted.get(event.cookie)
        if flow:
            member.drops[flow.name] = event.packets
        return []

    # -- what an agent says, and the clock

    def announced(self, member: Member, announce: Announce, now: float) -> list[Effect]:
        """A unit's agent is there: that may settle who is primary, and make the unit ready."""
        member.hear(announce, now)
        claimed = self.members.claimed(announce)
        if claimed:
            self._found = min(self._found, now)
            effects = self._appoint(claimed, announce.term, "primary_adopted", now)
        else:
            effects = self._form(now)
        settled, finished = self.takeover.heard(member)
        if settled:
            effects += [*finished, *self.share_out(now), *self._refresh(member, now)]
        return effects + self._ready(member, now)

    def told(self, member: Member) -> events.Send:
        """What a unit's agent is told of the cluster and its own part in it."""
        members, adopt = self.members, self.takeover.units if member is self.members.primary else ()
        state = control.State(
            self.boot,
            member.role.value,
            members.primary_id,
            self.diverting,
            members.term,
            tuple(sorted(adopt)),
            self.takeover.forfeit(member.unit.id),
        )
        frame = control.state_frame(self.cluster.group, member.unit.id, state)
        return events.Send(member.unit.id, ports.SYNOD, frame)

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: who has fallen silent, what has remained unanswered?"""
        held_up, self._ticked = now - self._ticked, now
        effects: list[Effect] = []
        for member in self.members:
            if held_up > LATE:
                member.heard += held_up
                member.answered += held_up
            if not member.audible(now):
                effects += self._changed(member, Change.QUIET, now)
            bridge = self._bridges[member.unit.id]
            patience = RETRY if bridge.refused else UNANSWERED
            unsettled = bridge.refused or not member.synced
            if member.connection and unsettled and now - bridge.since >= patience:
                effects.append(bridge.ask(now))
        effects += self._liveness.tick(self.members, now)
        for member in self.members:
            effects += self._live_or_die(member, now)
        return effects + self._form(now) + self._poll(now) + self._announce_macs(now)

    # -- bridges

    def _desired(self, member: Member) -> tuple[Flow, ...]:
        diverting = self.diverting and member is self.members.primary
        primary = self.members.primary_id
        homes = self.takeover.homes
        unit = member.unit.id
        return desired(self.cluster, unit, member.role, primary, diverting=diverting, homes=homes)

    def _bring(self, member: Member, present: frozenset[int], now: float) -> list[Effect]:
        keep = member.role is Role.NONE  # an app that was just started doesn't know better yet
        bridge = self._bridges[member.unit.id]
        install = bridge.bring(self._desired(member), present, now, keep=keep)
        fields = {"add": len(install.add), "delete": len(install.delete)}
        return [install, *self._journal.note(now, "flows", unit=member.unit.id, **fields)]

    def _refresh(self, member: Member, now: float) -> list[Effect]:
        """Bring a bridge up to date that has told what it has. (Else it is about to.)"""
        present = self._bridges[member.unit.id].installed
        if member.connection is None or present is None:
            return []
        return self._bring(member, present, now)

    def _restore(self, member: Member) -> list[Effect]:
        """The flows of all sessions, for a primary's bridge that was found empty."""
        if member is not self.members.primary:
            return []
        known = [
            (session.unit, orig, session.reply)
            for other in self.members
            if other is not member
            for orig, session in self._sessions.of(other.unit.id)
        ]
        starts = range(0, len(known), BATCH)
        return [
            events.Settle(member.unit.id, [], known[start : start + BATCH], []) for start in starts
        ]

    def _poll(self, now: float) -> list[Effect]:
        if now - self._polled < POLL:
            return []
        self._polled = now
        return [
            events.AskCount(member.unit.id, flow.cookie)
            for member in self.members
            if member.synced
            for flow in self._bridges[member.unit.id].wanted.values()
            if flow.drops
        ]

    # -- states and roles

    def _changed(self, member: Member, change: Change, now: float) -> list[Effect]:
        """A change and its consequences: who may be given sessions, and whether SYNs are
        diverted.
        """
        before = member.state
        if not member.change(change):
            return []
        fields = {"unit": member.unit.id, "role": member.role.value, "was": before.value}
        line = self._journal.note(now, f"unit_{member.state.value}", **fields)
        return [*line, *self.share_out(now)]

    def share_out(self, now: float) -> list[Effect]:
        """Sessions go to the units that are up, not drained, and whose old ones are settled."""
        primary = self.members.primary
        if primary is None:
            return []
        unsettled = self.takeover.unsettled
        up = [each for each in self.members.up() if each.unit.id not in unsettled]
        shares = tuple(
            (each.unit.id, each.unit.weight) for each in up if each.unit.weight and not each.drained
        )
        ids = frozenset(each.unit.id for each in up)
        self._sessions.serve_with(primary.unit.id, ids, shares)
        others = any(unit != primary.unit.id for unit, _ in shares)
        before, self.diverting = self.diverting, others and primary.state is State.UP
        return self._refresh(primary, now) if self.diverting != before else []

    def _ready(self, member: Member, now: float) -> list[Effect]:
        if member.role is Role.NONE or not member.synced or not member.audible(now):
            return []
        return self._changed(member, Change.READY, now)

    def _form(self, now: float) -> list[Effect]:
        elected = self.members.elect(now)
        if elected is None:
            return []
        self._found = now
        return self._appoint(elected, 1, "primary_elected", now)

    def _appoint(self, primary: Member, term: int, how: str, now: float) -> list[Effect]:
        """Roles for all; their flows are brought, and have to be confirmed, even if none
        changes.
        """
        self.members.appoint(primary, term)
        fields = {"unit": primary.unit.id, "term": term}
        effects: list[Effect] = [*self._journal.note(now, how, **fields)]
        effects += self.share_out(now)
        for member in self.members:
            effects += self._refresh(member, now)
        return effects + [self.told(member) for member in self.members if member.connection]

    # -- who dies, and what then

    def _live_or_die(self, member: Member, now: float) -> list[Effect]:
        alive, dead = lives(member, self.members, now), member.state is State.DEAD
        if alive and dead:
            if member.connection is None:
                return self._changed(member, Change.LOST, now)
            ask = self._bridges[member.unit.id].ask(now)
            return [ask, *self._changed(member, Change.CONNECTED, now)]
        if alive or now - self._found < GRACE:
            return []
        effects = self._changed(member, Change.DIED, now)
        if member is self.members.primary:
            heir = self.members.heir()
            return effects + (self.succeed(heir, now) if heir else [])
        return effects if dead else effects + self.rehome(member, "unit_died", now)

    def rehome(self, member: Member, why: str, now: float) -> list[Effect]:
        """The sessions of a unit become the primary's, all by one flow."""
        primary, unit = self.members.primary, member.unit.id
        if primary is None:
            return []
        sessions = self.takeover.begin(primary, unit)
        fields = {"unit": unit, "why": why, "sessions": sessions}
        return [
            *self._refresh(primary, now),
            *self.share_out(now),
            self.told(primary),
            *self._journal.note(now, "unit_rehomed", **fields),
        ]

    def succeed(self, heir: Member, now: float) -> list[Effect]:
        """Another unit is primary, and serves all sessions at first."""
        others = (member.unit.id for member in self.members if member is not heir)
        self.takeover.begin(heir, *others)
        self._gratuitous = [now + pause for pause in PAUSES]
        return [
            # No bridge has a session's flow any more: all packets go to the heir's kernel.
            *(events.Forget(member.unit.id, 0) for member in self.members if member.connection),
            *self._appoint(heir, self.members.term + 1, "primary_promoted", now),
            *self._announce_macs(now),
        ]

    def _announce_macs(self, now: float) -> list[Effect]:
        if not self._gratuitous or now < self._gratuitous[0]:
            return []
        del self._gratuitous[0]
        return [*announcements(self.cluster, self.members.primary_id)]
