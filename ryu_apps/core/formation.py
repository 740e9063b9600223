"""How units become a cluster: they connect, announce themselves, get roles, and sessions are shared
out among those that are up.

Formed here is who may serve, and that each bridge has the flows of its unit's role
(`ryu_apps.core.bridges`); nothing here knows of a single session or reads a frame. Who is primary
after the first one: `ryu_apps.core.succession`.
"""

import math
from itertools import count

from agents.config import Cluster
from agents.wire import control, ports
from agents.wire.control import Announce
from ryu_apps.core import events
from ryu_apps.core.bridges import Bridges
from ryu_apps.core.cluster import Change, Member, Members, Role, State
from ryu_apps.core.events import Effect
from ryu_apps.core.forgetting import Forgetting
from ryu_apps.core.journal import Journal
from ryu_apps.core.liveness import GRACE
from ryu_apps.core.methods import METHODS
from ryu_apps.core.regimes import Regime, Regimes
from ryu_apps.core.sessions import Sessions
from ryu_apps.core.takeover import Takeover

LESS = (State.DOWN, State.DEAD, State.SILENT, State.DEGRADED)  # who watches should know of it
PATIENCE = 10.0  # seconds that a unit which joins may take to hold the others' sessions
LATE = 0.5  # seconds between two ticks that say: it was the app itself that was held up


class Formation:
    """Units and roles of one cluster."""

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
        self.method = cluster.method  # that of the file, until an operator names another
        self.members = members = Members(cluster)
        self.forgetting = Forgetting(cluster, members, sessions)
        self.takeover = Takeover(members, sessions, self.forgetting, boot)
        self.bridges = Bridges(cluster, members, sessions, self.takeover, journal, tokens=tokens)
        self.regimes = Regimes()
        self.found = math.inf  # when the cluster was formed, or found
        self.taken_over = -math.inf  # when it was found, as it ran already
        self._sessions = sessions
        self._journal = journal
        self._ticked = math.inf

    # -- what a switch says

    def connected(self, event: events.Connected, member: Member, now: float) -> list[Effect]:
        """A bridge has connected; if it was connected before, that one is over."""
        member.connection, member.confirmed, member.answered = event.connection, False, now
        self.forgetting.again(event.unit)
        return [self.bridges.ask(member, now), *self.changed(member, Change.CONNECTED, now)]

    def lost(self, event: events.Lost, member: Member, now: float) -> list[Effect]:
        """A bridge's connection has ended."""
        member.connection, member.confirmed = None, False
        return self.changed(member, Change.LOST, now)

    def confirmed(self, event: events.Confirmed, member: Member, now: float) -> list[Effect]:
        """A bridge has done what it was told."""
        self.bridges.confirmed(event, member)
        return self._ready(member, now)

    def answered(self, _event: events.Pong, member: Member, now: float) -> list[Effect]:
        """A bridge is there."""
        member.answered = now
        return []

    # -- what an agent says, and the clock

    def announced(self, member: Member, announce: Announce, now: float) -> list[Effect]:
        """A unit's agent is there: that may settle who is primary, and make the unit ready."""
        member.hear(announce, now)
        claimed = self.members.claimed(announce)
        if claimed:
            self.found, self.taken_over = min(self.found, now), now
            effects = self.appoint(claimed, announce.term, "primary_adopted", now)
        else:
            effects = self._form(now)
        if self.takeover.heard(member):
            effects += self._settled(now)
        return effects + self._ready(member, now)

    def _settled(self, now: float) -> list[Effect]:
        """A unit that had lost its sessions may be given new ones."""
        primary = self.members.primary
        return self.share_out(now) + (self.bridges.refresh(primary, now) if primary else [])

    def told(self, member: Member) -> events.Send:
        """What a unit's agent is told of the cluster and its own part in it."""
        members, takeover = self.members, self.takeover
        adopt = takeover.adopting if member is members.primary else ()
        passage = self.bridges.passage
        heir = passage.heir.unit.id if passage and passage.heir is not members.primary else 0
        state = control.State(
            self.boot,
            member.role.value,
            members.primary_id,
            self.bridges.diverting,
            members.term,
            tuple(sorted(adopt)),
            takeover.forfeit(member.unit.id),
            heir,
            {each.unit.id: each.announce.boot for each in members if each.announce},
        )
        frame = control.state_frame(self.cluster.group, member.unit.id, state)
        return events.Send(member.unit.id, ports.SYNOD, frame)

    def told_others(self, member: Member) -> list[Effect]:
        """All others are told, too, as a unit's agent is another: what it sends them they shall
        believe. Not an agent that this app hasn't heard: it may have something to tell first.
        """
        if not self.members.primary:
            return []
        others = (each for each in self.members if each is not member and each.connection)
        return [self.told(each) for each in others if each.announce]

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: who has fallen silent, what has remained unanswered?"""
        held_up, self._ticked = now - self._ticked, now
        effects: list[Effect] = []
        for member in self.members:
            if held_up > LATE:
                member.heard += held_up
                member.answered += held_up
            if not member.audible(now):
                effects += self.changed(member, Change.QUIET, now)
        gone, settled = self.takeover.tick()
        effects += gone + (self._settled(now) if settled else [])
        return effects + self.bridges.tick(now) + self._form(now)

    # -- states and roles

    def changed(self, member: Member, change: Change, now: float) -> list[Effect]:
        """A change and its consequences: who may be given sessions, and whether SYNs are
        diverted.
        """
        before = member.state
        if not member.change(change, now):
            return []
        fields: dict[str, object] = {"unit": member.unit.id, "role": member.role.value}
        fields["was"] = before.value
        if member.state is State.DEGRADED:
            fields["down"] = ",".join(self.links_down(member))
        say = self._journal.warn if member.state in LESS else self._journal.note
        line = say(now, f"unit_{member.state.value}", **fields)
        return [*line, *self.share_out(now)]

    def links_down(self, member: Member) -> tuple[str, ...]:
        """The interfaces of a unit whose NIC has no link, by name."""
        down = member.announce.down if member.announce else ()
        return tuple(each.name for each in self.cluster.interfaces if each.index in down)

    def share_out(self, now: float) -> list[Effect]:
        """Sessions go to the units that are up, not drained, and whose old ones are settled."""
        primary = self.members.primary
        if primary is None:
            return []
        unsettled = self.takeover.unsettled
        up = [each for each in self.members.up() if each.unit.id not in unsettled]
        shares = tuple(
            (each.unit.id, each.weight) for each in up if each.weight and not each.drained
        )
        ids = frozenset(each.unit.id for each in up)
        self._sessions.serve_with(primary.unit.id, ids, shares)
        rehomed = frozenset(self.takeover.units)
        regime = Regime(now, self.method, shares, primary.unit.id, rehomed)
        self.regimes.note(regime)
        others = any(unit != primary.unit.id for unit, _ in shares)
        bridges = self.bridges
        before, bridges.diverting = bridges.diverting, others and primary.state is State.UP
        return bridges.refresh(primary, now) if bridges.diverting != before else []

    def share_by(self, method: str, now: float) -> list[Effect]:
        """From now on new sessions are shared out by that method; those that run stay."""
        self.method = method
        self._sessions.choose_by(METHODS[method])
        return self.share_out(now)

    def appoint(self, primary: Member, term: int, how: str, now: float) -> list[Effect]:
        """Roles for all; their flows are brought, and have to be confirmed, even if none
        changes.
        """
        self.members.appoint(primary, term)
        fields = {"unit": primary.unit.id, "term": term}
        effects: list[Effect] = [*self._journal.note(now, how, **fields)]
        effects += self.share_out(now)
        # The primary first: until it has its flows nobody has the virtual MACs.
        for member in sorted(self.members, key=lambda each: each is not primary):
            effects += self.bridges.refresh(member, now)
        return effects + [self.told(member) for member in self.members if member.connection]

    def _ready(self, member: Member, now: float) -> list[Effect]:
        told = member.announce
        if member.role is Role.NONE or not member.confirmed or not member.audible(now) or not told:
            return []
        if member.state is State.JOINING and not self._holds_all(member, now):
            return []
        return self.changed(member, Change.UNLINKED if told.down else Change.READY, now)

    def _holds_all(self, member: Member, now: float) -> bool:
        """Whether a unit that joins has given up its own sessions that are others' by now, and
        holds those of the units that live. The latter isn't asked of the primary, nor while the
        cluster forms, and neither for ever: a unit that nobody can tell of sessions still serves
        its own.
        """
        if now - member.since >= PATIENCE:
            return True
        if self.takeover.forfeit(member.unit.id):
            return False
        forms = now - self.found < GRACE or member is self.members.primary
        return forms or not self.members.lacks(member)

    def _form(self, now: float) -> list[Effect]:
        elected = self.members.elect(now)
        if elected is None:
            return []
        self.found = now
        return self.appoint(elected, 1, "primary_elected", now)
