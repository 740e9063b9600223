"""The units of a cluster as the app sees them: state and role of each, and who is primary.

Pure bookkeeping: what happened is fed in with the time, `controller` acts on what comes out. A
unit's state follows from one transition table. (Talk, slides "HA Cluster" and "Virtual MAC": one
primary, any number of auxiliaries; "Primary unit needs to have information of physical mac
addresses …: part of cluster join operation".)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from agents.config import Cluster, Unit
from agents.wire import ports
from agents.wire.control import Announce

MOST_COUNTERS = 1024  # that are kept of an agent, by name; it has some 100
MOST_TERM = 0xFFFFFFFF  # what can be told; a number that nobody comes to by counting
SILENCE = 1.0  # seconds without an announcement after which a unit's agent counts as away
FORMATION = 2.0  # seconds that the first unit waits for the others before a primary is chosen


class Role(StrEnum):
    """What a unit is told to be."""

    NONE = "none"
    PRIMARY = "primary"
    AUXILIARY = "auxiliary"


class State(StrEnum):
    """How far a unit has come. Only a unit that is up is given sessions."""

    DOWN = "down"  # its bridge isn't connected
    DEAD = "dead"  # nor does another unit hear of it
    # connected; its flows aren't confirmed, its agent hasn't announced itself, or it doesn't hold
    # the others' sessions yet
    JOINING = "joining"
    UP = "up"
    SILENT = "silent"  # it was up, and its agent isn't heard any more
    DEGRADED = "degraded"  # it would be up, but a data link of it is down


THERE = (State.UP, State.DEGRADED)  # connected, and their agents are heard


class Change(Enum):
    """What can happen to a unit."""

    CONNECTED = auto()
    LOST = auto()
    READY = auto()  # the flows of its role are confirmed, its agent is heard, all links are there
    UNLINKED = auto()  # the same, but a data link is down
    QUIET = auto()  # its agent isn't heard
    DIED = auto()  # nobody hears of it


# Whatever isn't named here changes nothing.
TRANSITIONS: dict[tuple[State, Change], State] = {
    (State.DOWN, Change.CONNECTED): State.JOINING,
    (State.JOINING, Change.READY): State.UP,
    (State.JOINING, Change.UNLINKED): State.DEGRADED,
    (State.JOINING, Change.LOST): State.DOWN,
    (State.UP, Change.UNLINKED): State.DEGRADED,
    (State.UP, Change.QUIET): State.SILENT,
    (State.UP, Change.CONNECTED): State.JOINING,
    (State.UP, Change.LOST): State.DOWN,
    (State.DEGRADED, Change.READY): State.UP,
    (State.DEGRADED, Change.QUIET): State.SILENT,
    (State.DEGRADED, Change.CONNECTED): State.JOINING,
    (State.DEGRADED, Change.LOST): State.DOWN,
    (State.SILENT, Change.READY): State.UP,
    (State.SILENT, Change.UNLINKED): State.DEGRADED,
    (State.SILENT, Change.CONNECTED): State.JOINING,
    (State.SILENT, Change.LOST): State.DOWN,
    (State.DOWN, Change.DIED): State.DEAD,
    (State.JOINING, Change.DIED): State.DEAD,
    (State.UP, Change.DIED): State.DEAD,
    (State.SILENT, Change.DIED): State.DEAD,
    (State.DEGRADED, Change.DIED): State.DEAD,
    (State.DEAD, Change.CONNECTED): State.JOINING,
    (State.DEAD, Change.LOST): State.DOWN,
}


@dataclass(slots=True)
class Member:
    """One configured unit, and what is known of it."""

    unit: Unit
    weight: int = field(init=False)  # that of the file, until an operator gives it another
    state: State = State.DOWN
    since: float = -math.inf  # when that became so
    role: Role = Role.NONE
    connection: int | None = None  # which of its bridge's connections is the present one
    confirmed: bool = False  # its bridge has confirmed the flows of its role
    answered: float = -math.inf  # when its bridge last said anything
    heard: float = -math.inf
    drained: bool = False  # by an operator: it is given no new sessions
    refusal: str = ""  # why its last announcement wasn't taken
    announce: Announce | None = None  # the last that was taken
    counters: dict[str, int] = field(default_factory=dict)  # its agent's, of the present boot
    drops: dict[str, int] = field(default_factory=dict)  # packets that its bridge dropped, by flow

    def __post_init__(self) -> None:
        self.weight = self.unit.weight

    def change(self, change: Change, now: float) -> bool:
        """Follow the table; True if the state is another now."""
        before = self.state
        self.state = TRANSITIONS.get((before, change), before)
        if self.state is before:
            return False
        self.since = now
        return True

    def hear(self, announce: Announce, now: float) -> None:
        """Take an announcement. An agent's counters may come spread over several of them."""
        if self.announce is None or self.announce.boot != announce.boot:
            self.counters = {}
        self.counters.update(announce.counters)
        if len(self.counters) > MOST_COUNTERS:
            self.counters = dict(announce.counters)
        self.announce, self.heard, self.refusal = announce, now, ""

    def audible(self, now: float) -> bool:
        """Has its agent been heard lately?"""
        return now - self.heard <= SILENCE


class Members:
    """All configured units, and the choice of the primary."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._members = {unit.id: Member(unit) for unit in cluster.units}
        self.primary: Member | None = None
        self.term = 0  # grows with each change of primary
        self._forming_since = math.inf

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def get(self, unit: int) -> Member | None:
        """The member of that unit id; None if no such unit is configured."""
        return self._members.get(unit)

    @property
    def primary_id(self) -> int:
        """Unit id of the primary, 0 while there is none."""
        return self.primary.unit.id if self.primary else 0

    @property
    def primary_present(self) -> bool:
        """Whether there is a primary that is there: one that dies without an heir stays primary."""
        return self.primary is not None and self.primary.state in THERE

    def up(self) -> tuple[Member, ...]:
        """The units that are up."""
        return tuple(member for member in self if member.state is State.UP)

    def heir(self) -> Member | None:
        """Who is to be primary after the present one: up; rather one that holds all sessions, and
        that isn't drained; then of the highest priority.
        """
        heirs = [member for member in self.up() if member is not self.primary]
        return max(
            heirs,
            key=lambda member: (not self.lacks(member), not member.drained, standing(member)),
            default=None,
        )

    def lacks(self, member: Member) -> tuple[int, ...] | None:
        """The other units that are there and whose sessions that one doesn't hold up to date; None
        if it holds none but its own: session pickup is off.
        """
        held = member.announce.synced if member.announce else None
        if held is None:
            return None
        units = (other.unit.id for other in self if other is not member and other.state in THERE)
        return tuple(unit for unit in units if unit not in held)

    def refusal(self, announce: Announce) -> str:
        """Why a unit's announcement can't be taken, as an outcome; empty if it can."""
        cluster = self.cluster
        if announce.digest != cluster.digest:
            return "digest_mismatch"
        macs = {
            interface.name: ports.mac_text(mac)
            for interface, mac in zip(
                cluster.interfaces, cluster.unit(announce.unit).macs, strict=True
            )
        }
        if announce.macs != macs:
            return "macs_mismatch"
        return "" if self._share_keys(announce) else "key_mismatch"

    def _share_keys(self, announce: Announce) -> bool:
        """Whether the primary's agent would believe that one, and that one the primary's."""
        leading = self.primary and self.primary.announce
        if not leading or leading.unit == announce.unit:
            return True
        both = (leading.keys, announce.keys), (announce.keys, leading.keys)
        return all(set(theirs[:1]) <= set(others) for theirs, others in both)

    def appoint(self, primary: Member, term: int) -> None:
        """Give every unit its role."""
        self.primary, self.term = primary, min(term, MOST_TERM)
        for member in self:
            member.role = Role.PRIMARY if member is primary else Role.AUXILIARY
            member.confirmed = False

    def claimed(self, announce: Announce) -> Member | None:
        """The primary that an agent names from before this app was started, if none is known
        yet or it knows of a later term.
        """
        known = self.primary is not None and announce.term <= self.term
        return None if known else self.get(announce.primary)

    def elect(self, now: float) -> Member | None:
        """The unit to appoint, once the cluster has formed: all units there, or `FORMATION` after
        the first.
        """
        if self.primary:
            return None
        there = [member for member in self if member.connection and member.audible(now)]
        if not there:
            self._forming_since = math.inf
            return None
        self._forming_since = min(self._forming_since, now)
        if len(there) < len(self._members) and now - self._forming_since < FORMATION:
            return None
        return max(there, key=lambda member: (not _unlinked(member), standing(member)))


def _unlinked(member: Member) -> bool:
    return bool(member.announce and member.announce.down)


def standing(member: Member) -> tuple[int, int]:
    """The highest becomes primary: by priority, then the lowest id."""
    return member.unit.priority, -member.unit.id
