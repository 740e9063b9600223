"""The app's mind: every event goes in here, every effect comes out. No sockets, no clock, no Ryu.

    handle(event, now) -> effects        now: seconds of a clock that only goes forward

Whatever bytes a unit sends, the answer is effects: what can't be read is a `WireError`, whose
reason is counted and logged. What is raised beside that is an error of ours, and nobody catches it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import agents
from agents.config import Cluster
from agents.wire import control, ports, routed_arp
from agents.wire.errors import WireError
from ryu_apps.core import events, pipeline
from ryu_apps.core.arp import RoutedArp
from ryu_apps.core.budget import Budget
from ryu_apps.core.census import Surveys
from ryu_apps.core.cluster import Member
from ryu_apps.core.events import Effect, Event, FrameIn, FramesIn
from ryu_apps.core.formation import Formation
from ryu_apps.core.history import History
from ryu_apps.core.journal import Journal
from ryu_apps.core.listing import ends
from ryu_apps.core.methods import METHODS
from ryu_apps.core.orders import Method, Order, Orders
from ryu_apps.core.overload import Overload
from ryu_apps.core.questions import Questions
from ryu_apps.core.redundancy import Redundancy
from ryu_apps.core.renewal import Renewal
from ryu_apps.core.sessions import Sessions
from ryu_apps.core.succession import Succession

_ARP = routed_arp.ETHERTYPE.to_bytes(2)
MOST_OWED = 1 << 17  # ends; flows of what is beyond go when they have been idle


class Controller:
    """A cluster, as its app sees it. `boot` (u32) is new with each start of the app."""

    def __init__(self, cluster: Cluster, boot: int) -> None:
        units = tuple(unit.id for unit in cluster.units)
        tokens = count(events.PING_TOKEN + 1)
        self.cluster = cluster
        self.boot = boot
        self.began = 0.0
        self.journal = Journal()
        budget = Budget(cluster.limits.decisions)
        self.sessions = Sessions(METHODS[cluster.method], units, budget)
        self.history = History(self.sessions.served)
        self.formation = Formation(cluster, boot, self.sessions, self.journal, tokens)
        self.members = self.formation.members
        self.succession = Succession(self.formation, self.sessions.live, self.journal)
        self.orders = Orders(self.formation, self.succession, self.journal)
        self._redundancy = Redundancy(self.members, self.journal)
        self.overload = Overload(self.members, self.journal)
        self._renewal = Renewal(cluster, self.members, self.sessions)
        self._surveys = Surveys(cluster, self.sessions, self.journal, tokens)
        self._arp = RoutedArp(cluster)
        # What has ended while the primary's bridge wasn't connected: it hears of that once it is.
        self._owed: deque[control.Session] = deque(maxlen=MOST_OWED)
        self.questions = Questions(cluster.group)
        self._handlers: dict[type[Any], Callable[[Any, Member, float], list[Effect]]] = {
            events.Lost: self.formation.lost,
            events.StaticFlows: self.formation.bridges.static_flows,
            events.Confirmed: self._confirmed,
            events.Refused: self.formation.bridges.refused,
            events.Counted: self.formation.bridges.counted,
            events.Metered: self.formation.bridges.metered,
            events.Pong: self.formation.answered,
            events.Marked: lambda event, _member, _now: self.questions.marked(event),
            events.Looked: lambda event, _member, _now: self.questions.looked(event),
            events.FrameIn: self._frame_in,
            events.FramesIn: self._frames_in,
        }
        self._frames: dict[int, Callable[[Member, control.Message, float], list[Effect]]] = {
            control.ANNOUNCE: self._announce,
            control.ENDED: self._ended,
            control.CENSUS: self._census,
            control.ANSWER: lambda _member, message, _now: self.questions.answered(message),
        }

    def start(self, now: float) -> list[Effect]:
        """The app begins."""
        cluster, self.began = self.cluster, now
        fields = {"boot": self.boot, "version": agents.__version__, "units": len(cluster.units)}
        return [*self.journal.note(now, "app_started", method=cluster.method, **fields)]

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What is to be done now, in order."""
        if isinstance(event, events.Tick):
            return self._tick(now)
        member = self.members.get(event.unit)
        if member is None:
            return [*self.journal.warn(now, "unit_unknown", unit=event.unit)]
        if isinstance(event, events.Connected):
            return self._connected(event, member, now)
        if event.connection != member.connection:
            return [*self.journal.note(now, "connection_replaced", unit=event.unit)]
        return self._handlers[type(event)](event, member, now)

    def give(self, order: Order | Method, now: float) -> list[Effect]:
        """What an operator's order makes to be done, in order. Refusal if it can't be."""
        return self.orders.give(order, now)

    def _tick(self, now: float) -> list[Effect]:
        effects = self.formation.tick(now) + self.succession.tick(now) + self.orders.tick(now)
        effects += self._surveys.tick(self.members, now) + self._redundancy.tick(now)
        effects += self.overload.tick(now)
        effects += self._renewal.tick(now)
        self.history.tick(now)
        self.journal.counters["routed_arp_unanswered"] += self._arp.expire(now)
        return effects

    def _confirmed(self, event: events.Confirmed, member: Member, now: float) -> list[Effect]:
        effects = self.formation.confirmed(event, member, now)
        return effects + self.succession.confirmed(member, now)

    # -- frames

    def _frame_in(self, event: FrameIn, member: Member, now: float) -> list[Effect]:
        if event.port == ports.SYNOD:
            return self._agent_frames([event.frame], member, now)
        return self._arp_in(event.frame, event.port, member, now)

    def _frames_in(self, event: FramesIn, member: Member, now: float) -> list[Effect]:
        return self._agent_frames(event.frames, member, now)

    def _agent_frames(self, frames: Iterable[bytes], member: Member, now: float) -> list[Effect]:
        """One by one, but what they offer in a row is decided together."""
        effects: list[Effect] = []
        offered: list[control.Offer] = []
        unit, group = member.unit.id, self.cluster.group
        for frame in frames:
            try:
                message = control.parse(frame)
                if message.unit != unit or message.group != group:
                    effects += self._stranger(member, message, now)
                elif message.kind == control.OFFER:
                    if member is not self.members.primary:
                        raise WireError("offer_not_primary")
                    offered += control.offers(message)
                else:
                    effects += self._decide(unit, offered, now)
                    offered = []
                    effects += self._other(member, message, now)
            except WireError as error:
                if error.reason == "not_control" and frame[12:14] == _ARP:
                    effects += self._arp_in(frame, ports.SYNOD, member, now)
                else:
                    effects += self._unreadable(error, ports.SYNOD, member, now)
        return effects + self._decide(unit, offered, now)

    def _other(self, member: Member, message: control.Message, now: float) -> list[Effect]:
        handler = self._frames.get(message.kind)
        if handler is None:
            raise WireError("control_direction", f"kind {message.kind}")
        return handler(member, message, now)

    def _unreadable(self, error: WireError, port: int, member: Member, now: float) -> list[Effect]:
        fields = {"unit": member.unit.id, "port": port, "detail": error.detail}
        return [*self.journal.warn(now, error.reason, **fields)]

    def _stranger(self, member: Member, message: control.Message, now: float) -> list[Effect]:
        """A frame that names another unit than the bridge it came from, or another cluster."""
        outcome = "unit_mismatch" if message.group == self.cluster.group else "group_mismatch"
        refused = message.kind == control.ANNOUNCE
        effects = self._refuse(member, outcome, now) if refused else []
        fields = {"told_group": message.group, "told_unit": message.unit}
        return [*effects, *self.journal.warn(now, outcome, unit=member.unit.id, **fields)]

    def _refuse(self, member: Member, why: str, now: float) -> list[Effect]:
        """Its announcement isn't taken. It repeats that, and this is told once."""
        before, member.refusal = member.refusal, why
        if before == why:
            return []
        return [*self.journal.warn(now, "unit_refused", unit=member.unit.id, why=why)]

    def _arp_in(self, frame: bytes, port: int, member: Member, now: float) -> list[Effect]:
        """What a neighbour of the primary's answers; or what another unit asks, told by the
        primary's agent.
        """
        try:
            arp = routed_arp.parse(frame)
        except WireError as error:
            return self._unreadable(error, port, member, now)
        unit, outcome, address = member.unit.id, "arp_unexpected", arp.tpa
        sends: list[events.Send] = []
        if member is self.members.primary:
            if port == ports.SYNOD and arp.op == routed_arp.ROUTED_REQUEST:
                outcome, sends = self._arp.request(unit, arp, now)
            elif arp.op == routed_arp.REPLY:
                outcome, sends = self._arp.reply(unit, port, arp, now)
                address = arp.spa
        fields = {"address": ".".join(map(str, address)), "port": port}
        return [*sends, *self.journal.note(now, outcome, unit=unit, **fields)]

    def _announce(self, member: Member, message: control.Message, now: float) -> list[Effect]:
        """Answered by STATE at once; an agent that is refused isn't answered, and so stays
        alone.
        """
        announce = control.announce(message)
        refusal = self.members.refusal(announce)
        if refusal:
            effects = self._refuse(member, refusal, now)
            return [*effects, *self.journal.warn(now, refusal, unit=member.unit.id)]
        adopting = self.formation.takeover.adopting
        known = member.announce and member.announce.boot == announce.boot
        effects = self.formation.announced(member, announce, now)
        # Before it hears that it may hand sessions over to them.
        effects += [] if known else self.formation.told_others(member)
        adopted = adopting - self.formation.takeover.adopting
        effects += [*self.succession.announced(member, now), self.formation.told(member)]
        if not self.members.primary:
            return effects
        if adopted:
            self._surveys.doubt(member.unit.id)
        return effects + self._surveys.announced(announce, now)

    def _decide(self, primary: int, offers: list[control.Offer], now: float) -> list[Effect]:
        """All of these, in their order; the agent is told last of all, in as few frames as can
        be.
        """
        if not offers:
            return []
        settles: list[Effect] = []
        deleted: list[bytes] = []
        added: list[tuple[int, bytes, bytes]] = []
        decided: list[control.Decided] = []
        lines: list[events.Line] = []
        inherits = self._inherits_flows(now)
        for offer_id, known, _, _, _, orig, reply in offers:
            unit, outcome, stale = self.sessions.decide(orig, reply, known, now)
            if inherits and unit == primary:
                stale = orig, reply
            if stale and added:  # a Settle deletes first, and this may be of what it adds
                settles.append(events.Settle(primary, deleted, added, []))
                deleted, added = [], []
            deleted += stale
            if unit != primary:
                added.append((unit, orig, reply))
            decided.append(control.Decided(offer_id, unit))
            if self.journal.admits(now, outcome):
                lines.append(self.journal.line(outcome, session=_text(orig), unit=unit))
        frames = control.decided_frames(self.cluster.group, primary, decided)
        return [*settles, events.Settle(primary, deleted, added, frames), *lines]

    def _inherits_flows(self, now: float) -> bool:
        """Whether there may be flows of sessions that nobody knows any more: their ends were told
        to an app that was about to die. Until they go by themselves, a session of the primary's
        that has such a tuple again would be sent to the unit that served the one before.
        """
        lately = now - self.formation.taken_over < pipeline.FIN_SECONDS
        return lately and self.cluster.session_table == "flows"

    def _ended(self, member: Member, message: control.Message, now: float) -> list[Effect]:
        return self._end(member, control.ended(message), now)

    def _census(self, member: Member, message: control.Message, now: float) -> list[Effect]:
        effects, ended = self._surveys.answered(message, self.members.primary_id, now)
        return effects + self._end(member, ended, now)

    def _end(self, member: Member, ended: Iterable[control.Session], now: float) -> list[Effect]:
        """These sessions the unit serves no more: their flows and the primary's entries go."""
        unit, primary = member.unit.id, self.members.primary_id
        gone: list[control.Session] = []
        lines: list[events.Line] = []
        for session in ended:
            outcome = self.sessions.end(unit, session.orig, session.reply, now)
            if outcome not in ("ended_stale", "ended_early"):
                gone.append(session)
                self._surveys.ended(session.orig)
            if self.journal.admits(now, outcome):
                lines.append(self.journal.line(outcome, session=_text(session.orig), unit=unit))
        if unit == primary or not self.members.primary or not gone:
            return [*lines]
        if self.members.primary.connection is None:
            self._owed += gone
            return [*lines]
        return [self._forget(primary, gone), *lines]

    def _forget(self, primary: int, gone: Iterable[control.Session]) -> events.Settle:
        deleted = [tuple12 for session in gone for tuple12 in session]
        frames = control.forget_frames(self.cluster.group, primary, gone)
        return events.Settle(primary, deleted, [], frames)

    def _connected(self, event: events.Connected, member: Member, now: float) -> list[Effect]:
        effects = self.formation.connected(event, member, now)
        if member is not self.members.primary or not self._owed:
            return effects
        gone = [session for session in self._owed if self.sessions.get(session.orig) is None]
        self._owed.clear()
        return [*effects, self._forget(member.unit.id, gone)]


def _text(tuple12: bytes) -> str:
    """`10.1.0.10:40000>203.0.113.10:80` for the log."""
    return ">".join(ends(tuple12))
