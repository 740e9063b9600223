"""Who serves which session: offers become decisions, and ends give them up.

Talk, slide "Load Balancing": "this target will decide which unit will process the TCP session and
stores the decision" and "expected connections … will use master connection's cnodeid". The truth is
in conntrack; what is here is a copy that makes deciding idempotent and counts what is live. A
session is known by the tuple that the client sent.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ryu_apps.core.budget import Budget
from ryu_apps.core.methods import TAKE_TURNS, Choice, Method, Shares

YOUNG = 2.0  # seconds since its last decision in which a session's end isn't believed
MOST_SESSIONS = 1_000_000  # what is beyond the primary serves, unknown to the app


# A session is kept as bytes: of objects, Python's garbage collector would visit each now and then,
# 135 ms of 400,000 (measured). Behind its reply tuple comes the unit.
_RECORD = struct.Struct("!12sBd")
_UNIT = 12


class Session(NamedTuple):
    """One session: how its answers are addressed, who serves it, and since when (decided last)."""

    reply: bytes
    unit: int
    since: float


class Decision(NamedTuple):
    """The unit, the outcome's name, and the tuples whose flows are to go."""

    unit: int
    outcome: str
    stale: tuple[bytes, ...]


class Sessions:
    """All live sessions of the cluster."""

    def __init__(self, method: Method, units: tuple[int, ...], budget: Budget) -> None:
        self._method = method
        self._budget = budget
        self._sessions: dict[bytes, bytes] = {}  # by orig
        self._choose: Choice | None = None
        self._up: frozenset[int] = frozenset()
        self._primary = 0
        self.live = dict.fromkeys(units, 0)
        self.served = dict.fromkeys(units, 0)

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, unit: int) -> Iterator[tuple[bytes, Session]]:
        """The sessions of a unit: (orig, session)."""
        return (
            (orig, Session._make(_RECORD.unpack(kept)))
            for orig, kept in self._sessions.items()
            if kept[_UNIT] == unit
        )

    def choose_by(self, method: Method) -> None:
        """Another method, with the next `serve_with`."""
        self._method = method

    def serve_with(self, primary: int, up: frozenset[int], shares: Shares) -> None:
        """From now on choose from `shares`; a session may stay with any unit that is `up`."""
        self._primary = primary
        self._up = up
        self._choose = self._method(shares, self.live) if shares else None

    def foretell(self, client: bytes) -> int:
        """The unit that the next new session of that client would be given to. Nobody loses their
        turn by it.
        """
        if self._choose is None:
            return self._primary
        unit = self._choose(client)
        if self._method in TAKE_TURNS:
            self._give_back(unit, self._choose)
        return unit

    def decide(self, orig: bytes, reply: bytes, known: int, now: float) -> Decision:
        """Who serves the session of these tuples (12 bytes each); `known` is the unit in its entry,
        or 0.

        Asked again, the answer is the same, as long as that unit is up. If the tuple now belongs to
        another session (its answers are addressed otherwise: new NAT), the old one has ended.
        """
        kept = self._sessions.get(orig)
        if kept is None:
            if len(self._sessions) >= MOST_SESSIONS:
                return Decision(self._primary, "sessions_full", ())
            unit, outcome = self._pick(orig, known, now)
            self._sessions[orig] = _RECORD.pack(reply, unit, now)
            self.live[unit] += 1
            self.served[unit] += 1
            return Decision(unit, outcome, ())
        old_reply, old_unit, _ = _RECORD.unpack(kept)
        same = old_reply == reply
        unit, outcome = self._pick(orig, known or (old_unit if same else 0), now)
        before = self._flows(old_unit, orig, old_reply)
        self.live[old_unit] -= 1
        self.live[unit] += 1
        if not same or unit != old_unit:
            self.served[unit] += 1
        self._sessions[orig] = _RECORD.pack(reply, unit, now)
        after = self._flows(unit, orig, reply)
        return Decision(unit, outcome, tuple(each for each in before if each not in after))

    def end(self, unit: int, orig: bytes, reply: bytes, now: float) -> str:
        """A unit says that it serves this session no more; the outcome.

        An agent tells no end this early (agents/core_serving.py): it is that of a session before
        this one, with the same tuple, and was on its way when this one was decided.
        """
        kept = self._sessions.get(orig)
        if kept is None:
            return "ended_unknown"
        session = Session._make(_RECORD.unpack(kept))
        if session.unit != unit or session.reply != reply:
            return "ended_stale"
        if now - session.since < YOUNG:
            return "ended_early"
        del self._sessions[orig]
        self.live[unit] -= 1
        return "ended"

    def get(self, orig: bytes) -> Session | None:
        """The session of that tuple, if it is known."""
        kept = self._sessions.get(orig)
        return Session._make(_RECORD.unpack(kept)) if kept else None

    def known(self) -> list[bytes]:
        """The tuple of each session."""
        return list(self._sessions)

    def elsewhere(self, unit: int) -> list[bytes]:
        """The tuple of each session that another unit than that one serves."""
        return [orig for orig, kept in self._sessions.items() if kept[_UNIT] != unit]

    def move(self, source: int, target: int) -> list[tuple[bytes, bytes]]:
        """All sessions of a unit are another's from now on; orig and reply of each."""
        moved = [item for item in self._sessions.items() if item[1][_UNIT] == source]
        unit = bytes((target,))
        for orig, kept in moved:
            self._sessions[orig] = kept[:_UNIT] + unit + kept[_UNIT + 1 :]
        self.live[source] -= len(moved)
        self.live[target] += len(moved)
        return [(orig, kept[:_UNIT]) for orig, kept in moved]

    def adopt(self, unit: int, orig: bytes, reply: bytes) -> bool:
        """Take over a session that a census found, and that was decided at an unknown time; False
        if it is known.
        """
        if orig in self._sessions or len(self._sessions) >= MOST_SESSIONS:
            return False
        self._sessions[orig] = _RECORD.pack(reply, unit, float("-inf"))
        self.live[unit] += 1
        return True

    def _pick(self, orig: bytes, preferred: int, now: float) -> tuple[int, str]:
        if preferred in self._up:
            return preferred, "decided_kept"
        if self._choose is None:
            return self._primary, "decided_alone"
        if not self._budget.take(now):
            return self._primary, "decided_over_budget"
        return self._choose(orig[:4]), "decided_anew" if preferred else "decided"

    def _give_back(self, unit: int, choose: Choice) -> None:
        """That unit is next, and all others after it."""

        def choose_it(_client: bytes) -> int:
            self._choose = choose
            return unit

        self._choose = choose_it

    def _flows(self, unit: int, orig: bytes, reply: bytes) -> tuple[bytes, ...]:
        """The tuples that have flows: the primary's own sessions have none."""
        return () if unit == self._primary else (orig, reply)
