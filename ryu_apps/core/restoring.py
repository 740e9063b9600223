"""What a primary's bridge had of sessions, and has lost, as its switch was restarted: it gets it
again.

Not all at once: of very many that is more than may wait for one switch (`ryu_apps.sending`), and
nothing else would be done meanwhile. So some go in a tick, a barrier behind them, and the next when
that is confirmed. Packets of those that wait go to the primary's kernel, which sends them on. If
the connection ends before the last is confirmed, nobody knows what the switch was told: with the
next connection all of it begins anew, whatever the bridge has by then.
"""

from collections.abc import Iterator
from itertools import count, islice

from ryu_apps.core.cluster import Member, Members
from ryu_apps.core.events import Effect, Install, Settle
from ryu_apps.core.sessions import Sessions

AT_ONCE = 1000  # sessions in a tick (measured: they take the switch 12 to 20 ms, the app 1 to 2)


class Restoring:
    """How far it is."""

    def __init__(self, members: Members, sessions: Sessions, tokens: "count[int]") -> None:
        self._members = members
        self._sessions = sessions
        self._tokens = tokens
        # Whose bridge, since which term it is the primary's, by which connection; None if nothing
        # is to be restored.
        self._at: tuple[int, int, int | None] | None = None
        self._left: Iterator[bytes] = iter(())  # orig of each session
        self._awaited = 0  # token of the barrier that is due

    def told(self, member: Member, *, empty: bool) -> list[Effect]:
        """A bridge has told what it has of static flows: one without any has lost its sessions'."""
        at = self._place()
        if member is not self._members.primary or self._at == at:
            return []
        unfinished = self._at is not None and self._at[:2] == at[:2]
        if not (empty or unfinished):
            return []
        self._at, self._awaited = at, 0
        self._left = iter(self._sessions.elsewhere(member.unit.id))
        return self.tick()

    def confirmed(self, token: int) -> None:
        """A bridge has done what it was told."""
        if token == self._awaited:
            self._awaited = 0

    def tick(self) -> list[Effect]:
        """Some more, if those before are there. What has ended or moved meanwhile isn't."""
        if self._at is None or self._awaited or self._at != self._place():
            return []
        portion = [*islice(self._left, AT_ONCE)]
        if not portion:
            self._at = None
            return []
        primary, _, _ = self._at
        added = [
            (session.unit, orig, session.reply)
            for orig in portion
            if (session := self._sessions.get(orig)) and session.unit != primary
        ]
        self._awaited = next(self._tokens)
        return [Settle(primary, [], added, []), Install(primary, (), (), self._awaited)]

    def _place(self) -> tuple[int, int, int | None]:
        primary = self._members.primary
        connection = primary.connection if primary else None
        return self._members.primary_id, self._members.term, connection
