"""What the units' bridges have by way of static flows and meters, and what it takes to give them
what they should.

Of flows only cookies are compared. First what is missing is added, then what is superfluous
deleted, then a barrier: there is no moment in which a packet finds less than it would have found
before or after. What a bridge has of sessions is never touched by it; what a primary's has lost of
them it gets again (`ryu_apps.core.restoring`).
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from agents.config import Cluster
from ryu_apps.core import events, limits
from ryu_apps.core.cluster import Member, Members, Role
from ryu_apps.core.events import AskStatic, Effect, Install
from ryu_apps.core.flows import Flow
from ryu_apps.core.journal import Journal
from ryu_apps.core.limits import MOST, Meter
from ryu_apps.core.pipeline import Passing, desired
from ryu_apps.core.restoring import Restoring
from ryu_apps.core.rows import When
from ryu_apps.core.sessions import Sessions
from ryu_apps.core.takeover import Takeover

RETRY = 1.0  # seconds until flows that were refused are tried again
UNANSWERED = 5.0  # seconds until a bridge that doesn't answer is asked again
POLL = 2.0  # seconds between two readings of a drop counter,
MOST_COUNTS = 32  # or more, if that were more readings of a bridge's in a second


@dataclass(slots=True)
class Bridge:
    """One unit's bridge; `installed` is None until it has answered what it has."""

    unit: int
    tokens: "count[int]"
    installed: frozenset[int] | None = None
    meters: frozenset[Meter] = frozenset()  # that it has, once it has answered
    wanted: dict[int, Flow] = field(default_factory=dict)
    awaited: int = 0  # token of the answer or barrier that is due
    since: float = 0.0  # since when
    refused: bool = False  # something that was sent since it was asked has been refused
    counted: dict[int, int] = field(default_factory=dict)  # packets that were dropped, by cookie
    asked: int = 0  # for how many of the flows that drop these were asked for in this turn,
    turned: float = 0.0  # and when that began

    def ask(self, now: float) -> AskStatic:
        """Start from nothing: what does it have?"""
        self.installed, self.refused, self.since = None, False, now
        self.awaited = next(self.tokens)
        return AskStatic(self.unit, self.awaited)

    def bring(
        self,
        wanted: tuple[Flow, ...],
        present: frozenset[int],
        meters: frozenset[Meter],
        now: float,
        *,
        keep: bool,
    ) -> Install:
        """From the static flows that are present, and the meters, to those wanted; `keep` deletes
        nothing.
        """
        self.wanted = {flow.cookie: flow for flow in wanted}
        self.counted = {each: self.counted[each] for each in self.counted if each in self.wanted}
        self.awaited, self.since = next(self.tokens), now
        self.installed = frozenset(self.wanted) | (present if keep else frozenset())
        add = tuple(flow for flow in wanted if flow.cookie not in present)
        delete = tuple(sorted(present - self.installed))
        return Install(self.unit, add, delete, self.awaited, self._metered(meters, keep=keep))

    def _metered(self, wanted: frozenset[Meter], *, keep: bool) -> events.Meters:
        before, after = dict(self.meters), dict(wanted)
        ours = {number for number in before if number < MOST}
        stale = () if keep else tuple(sorted(ours - after.keys()))
        lacking = sorted(wanted - self.meters)
        others = {each for each in self.meters if each.number not in {*after, *stale}}
        self.meters = wanted | others
        return events.Meters(
            tuple(each for each in lacking if each.number not in before),
            tuple(each for each in lacking if each.number in before),
            stale,
        )

    def count(self, cookie: int, packets: int) -> tuple[str, int] | None:
        """What a flow that drops has counted: its name, and the packets of all of that name (there
        may be one for each interface). None if it isn't wanted any more.
        """
        flow = self.wanted.get(cookie)
        if flow is None:
            return None
        self.counted[cookie] = packets
        same = (each.cookie for each in self.wanted.values() if each.name == flow.name)
        return flow.name, sum(self.counted.get(each, 0) for each in same)

    def ask_counts(self, now: float) -> list[Effect]:
        """Of the flows that drop those whose turn it is: a few at a time, so that no decision waits
        for all; and at the end of a turn the meters.
        """
        flows = [flow.cookie for flow in self.wanted.values() if flow.drops]
        takes = max(POLL, len(flows) / MOST_COUNTS)
        due = len(flows) * (now - self.turned) / takes
        asked, self.asked = self.asked, min(len(flows), math.ceil(due))
        asks: list[Effect] = [
            events.AskCount(self.unit, cookie) for cookie in flows[asked : self.asked]
        ]
        if now - self.turned < takes:
            return asks
        self.asked, self.turned = 0, now
        return [*asks, events.AskMeters(self.unit)]


@dataclass(slots=True)
class Passage:
    """The role passes from a primary that lives to another unit. The heir's bridge takes what the
    old one's passes on; and that, once it was told to, has an auxiliary's flows already.
    """

    old: Member
    heir: Member
    told: bool = False


class Bridges:
    """The bridges of all units."""

    def __init__(
        self,
        cluster: Cluster,
        members: Members,
        sessions: Sessions,
        takeover: Takeover,
        journal: Journal,
        *,
        tokens: "count[int]",
    ) -> None:
        self.diverting = False  # SYNs that leave the primary's kernel go to its agent
        self.passage: Passage | None = None
        self._cluster = cluster
        self._members = members
        self._restoring = Restoring(members, sessions, tokens)
        self._takeover = takeover
        self._journal = journal
        self._bridges = {unit.id: Bridge(unit.id, tokens) for unit in cluster.units}
        self._meters = limits.meters(cluster)

    def of(self, unit: int) -> Bridge:
        """The bridge of that unit."""
        return self._bridges[unit]

    def ask(self, member: Member, now: float) -> Effect:
        """Start from nothing: what does that unit's bridge have?"""
        return self._bridges[member.unit.id].ask(now)

    def refresh(self, member: Member, now: float) -> list[Effect]:
        """Bring a bridge up to date that has told what it has. (Else it is about to.)"""
        present = self._bridges[member.unit.id].installed
        if member.connection is None or present is None:
            return []
        return self._bring(member, present, now)

    # -- what a switch says

    def static_flows(self, event: events.StaticFlows, member: Member, now: float) -> list[Effect]:
        """A bridge has told which static flows it has."""
        bridge = self._bridges[event.unit]
        if event.token != bridge.awaited:
            return []
        bridge.meters = event.meters
        effects = self._bring(member, event.cookies, now)
        return effects + self._restoring.told(member, empty=not event.cookies)

    def confirmed(self, event: events.Confirmed, member: Member) -> None:
        """A bridge has done what it was told."""
        bridge = self._bridges[event.unit]
        self._restoring.confirmed(event.token)
        if event.token == bridge.awaited and not bridge.refused:
            member.confirmed = True

    def refused(self, event: events.Refused, member: Member, now: float) -> list[Effect]:
        """A bridge has refused something: if a static flow, the unit isn't ready."""
        fields = {"unit": event.unit, "detail": event.detail}
        harmless = event.token in (events.SESSION_TOKEN, events.COUNT_TOKEN)
        if harmless or event.token & events.QUESTION:
            return [*self._journal.warn(now, "message_refused", **fields)]
        self._bridges[event.unit].refused = True
        return [*self._journal.warn(now, "flow_refused", **fields)]

    def counted(self, event: events.Counted, member: Member, now: float) -> list[Effect]:
        """A bridge has told how often a flow was used."""
        if found := self._bridges[event.unit].count(event.cookie, event.packets):
            name, member.drops[name] = found
        return []

    def metered(self, event: events.Metered, member: Member, now: float) -> list[Effect]:
        """A bridge has told how many packets its meters have dropped: those of a kind together."""
        wanted = {meter.number for meter in self._meters}
        found = Counter[str]()
        for number in wanted & event.packets.keys():
            found[limits.name_of(number)] += event.packets[number]
        member.drops |= found
        return []

    # -- the clock

    def tick(self, now: float) -> list[Effect]:
        """Ask anew what remained unanswered, and what was dropped; some more is restored."""
        effects = self._restoring.tick()
        for member in self._members:
            bridge = self._bridges[member.unit.id]
            patience = RETRY if bridge.refused else UNANSWERED
            unsettled = bridge.refused or not member.confirmed
            if member.connection and unsettled and now - bridge.since >= patience:
                effects.append(bridge.ask(now))
        for member in self._members:
            if member.confirmed:
                effects += self._bridges[member.unit.id].ask_counts(now)
        return effects

    # -- flows

    def _desired(self, member: Member) -> tuple[Flow, ...]:
        role, primary, passing = member.role, self._members.primary_id, None
        diverting = self.diverting and member is self._members.primary
        if (passage := self.passage) and member is passage.heir:
            passing = Passing(When.SUCCEEDING, passage.old.unit.id)
        elif passage and passage.told and member is passage.old:
            role, primary, diverting = Role.AUXILIARY, passage.heir.unit.id, False
            passing = Passing(When.YIELDING, primary)
        return desired(
            self._cluster,
            member.unit.id,
            role,
            primary,
            diverting=diverting,
            passing=passing,
            homes=self._takeover.homes,
        )

    def _bring(self, member: Member, present: frozenset[int], now: float) -> list[Effect]:
        keep = member.role is Role.NONE  # an app that was just started doesn't know better yet
        bridge = self._bridges[member.unit.id]
        install = bridge.bring(self._desired(member), present, self._meters, now, keep=keep)
        fields = {"add": len(install.add), "delete": len(install.delete)}
        return [install, *self._journal.note(now, "flows", unit=member.unit.id, **fields)]
