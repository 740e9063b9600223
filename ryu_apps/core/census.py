"""Asking a unit which sessions it really has, when there is reason to doubt what is known.

That is when app or agent is new, the agent lost events, or sessions began while it didn't hear the
app. What the unit has and the app doesn't know is adopted; what the app knows and the unit lacks
has ended. As a frame of a census may be lost on its way (the switch limits what it queues for a
controller: `do_send_packet_ins` in OVS's ofproto/connmgr.c), a session ends only when two censuses
in a row lack it.

The primary has an entry for every session of the cluster, so its census tells of all units'. What
is adopted so for another unit may be long over there: that unit is asked, too. And a session that a
census has found may end while that is on its way: what has ended since it was asked for isn't
adopted, as nobody would tell of its end again, and its flows would stay.

In the switch's connection tracker a session of the primary's may still be marked as that unit's
which had it before, if an app that is no more was to have it forgotten. It needs no entry. Nobody
knows whether it has one, and a switch complains of each that it is to remove and hasn't: so it is
given one, and that is removed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from agents.config import Cluster
from agents.wire import control, ports
from agents.wire.control import Announce
from agents.wire.errors import WireError
from ryu_apps.core import events
from ryu_apps.core.cluster import Member
from ryu_apps.core.events import Effect
from ryu_apps.core.journal import Journal
from ryu_apps.core.sessions import Session, Sessions

GRACE = 2.0  # seconds; what was decided later than that before the question may not be there yet
PATIENCE = 5.0  # seconds without a word of it until an unfinished census is asked for again


@dataclass(slots=True)
class Census:
    """One question to one unit."""

    token: int
    asked: float
    suspects: frozenset[bytes] | None  # what the census before lacked; None if there was none
    heard: float  # when the last of it came; at first when it was asked for
    seen: set[bytes] = field(default_factory=set)
    adopted: set[int] = field(default_factory=set)  # units that were given sessions by it
    ended: set[bytes] = field(default_factory=set)  # sessions that did since it was asked

    def lacking(
        self, known: Iterable[tuple[bytes, Session]]
    ) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """The unit's known sessions that the census lacks: those that must be there, and those
        that were decided too shortly before.
        """
        lacking = [(orig, session) for orig, session in known if orig not in self.seen]
        before = self.asked - GRACE
        return (
            frozenset(orig for orig, session in lacking if session.since <= before),
            frozenset(orig for orig, session in lacking if before < session.since <= self.asked),
        )


class Surveys:
    """The censuses of all units."""

    def __init__(
        self, cluster: Cluster, sessions: Sessions, journal: Journal, tokens: "count[int]"
    ) -> None:
        self._group = cluster.group
        self._by_entries = cluster.session_table == "conntrack"
        self._units = frozenset(unit.id for unit in cluster.units)
        self._sessions = sessions
        self._journal = journal
        self._tokens = tokens
        self._surveyed: dict[int, tuple[int, int]] = {}  # unit -> (boot, resync) when asked
        self._open: dict[int, Census] = {}  # by unit
        self._young: dict[int, tuple[float, frozenset[bytes]]] = {}  # by unit: to ask for, when

    def announced(self, announce: Announce, now: float) -> list[Effect]:
        """An agent is there: if it has been restarted or lost events since it was asked, ask."""
        state = announce.boot, announce.resync
        if self._surveyed.get(announce.unit) == state:
            return []
        self._surveyed[announce.unit] = state
        return self._ask(announce.unit, now, None)

    def doubt(self, unit: int) -> None:
        """Ask that unit with its next announcement, whatever it was asked before."""
        self._surveyed.pop(unit, None)

    def ended(self, orig: bytes) -> None:
        """A session has ended: who is just being asked may have looked before."""
        for census in self._open.values():
            census.ended.add(orig)

    def tick(self, members: Iterable[Member], now: float) -> list[Effect]:
        """Ask again those that haven't finished, and for what was too young."""
        effects: list[Effect] = []
        for member in members:
            unit = member.unit.id
            census = self._open.get(unit)
            due, young = self._young.get(unit, (now, frozenset()))
            stuck = census if census and now - census.heard > PATIENCE else None
            if not member.audible(now):
                if stuck:
                    self._give_up(unit)
            elif stuck:
                effects += self._ask(unit, now, stuck.suspects)
            elif young and not census and now >= due:
                del self._young[unit]
                effects += self._ask(unit, now, young)
        return effects

    def answered(
        self, message: control.Message, primary: int, now: float
    ) -> tuple[list[Effect], list[control.Session]]:
        """A frame of a census: what is to be done, and which of the unit's sessions have ended."""
        census = self._open.get(message.unit)
        if census is None or census.token != message.token:
            raise WireError("census_stale")
        census.heard = now
        added: list[tuple[int, bytes, bytes]] = []
        unneeded: list[bytes] = []
        found = control.census(message)
        for _, _, unit in found:
            if unit not in self._units or unit != message.unit != primary:
                raise WireError("census_stranger", f"unit {unit}")
        for orig, reply, unit in found:
            if unit == message.unit:
                census.seen.add(orig)
            if orig not in census.ended and self._sessions.adopt(unit, orig, reply):
                census.adopted.add(unit)
                if unit != primary or self._by_entries:
                    added.append((unit, orig, reply))
                if unit == primary and self._by_entries:
                    unneeded += (orig, reply)
        effects: list[Effect] = [events.Settle(primary, [], added, [])] if added else []
        effects += [events.Settle(primary, unneeded, [], [])] if unneeded else []
        if not message.flags & control.LAST:
            return effects, []
        done, ended = self._done(message.unit, census, now)
        return effects + done, ended

    def _ask(self, unit: int, now: float, suspects: frozenset[bytes] | None) -> list[Effect]:
        census = self._open[unit] = Census(next(self._tokens), now, suspects, now)
        frame = control.census_request_frame(self._group, unit, census.token)
        line = self._journal.note(now, "census_asked", unit=unit)
        return [events.Send(unit, ports.SYNOD, frame), *line]

    def _give_up(self, unit: int) -> None:
        """Nobody is there to finish it, and what ends meanwhile isn't remembered for ever: it is
        asked for once the agent is there again.
        """
        del self._open[unit]
        self.doubt(unit)

    def _done(
        self, unit: int, census: Census, now: float
    ) -> tuple[list[Effect], list[control.Session]]:
        del self._open[unit]
        for other in census.adopted - {unit}:
            self._surveyed.pop(other, None)
        known = dict(self._sessions.of(unit))
        missing, young = census.lacking(known.items())
        fields = {"unit": unit, "sessions": len(census.seen), "missing": len(missing)}
        effects: list[Effect] = [*self._journal.note(now, "census_done", **fields)]
        if census.suspects is not None:
            ended = sorted(missing & census.suspects)
            return effects, [control.Session(orig, known[orig].reply) for orig in ended]
        if young:
            # Their ends may have come while the agent was away: nobody else will tell of them.
            self._young[unit] = census.asked + GRACE, young
        return effects + (self._ask(unit, now, missing) if missing else []), []
