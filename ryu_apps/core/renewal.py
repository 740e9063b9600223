"""Entries of the switch's connection tracker are written anew, long before they expire.

Flows stay until they are deleted; an entry has a lifetime (`agents.bringup_steps`), and packets
don't reliably prolong it: most are out of a window that the tracker made up (tcp_conn_update() in
OVS's lib/conntrack-tcp.c). A session without an entry goes to the primary's kernel, which sends it
on; but who serves it sees no more packets, and takes it for over in the end. Whoever restarts the
app begins anew: so the first round comes soon.
"""

import math
from collections.abc import Iterator
from itertools import islice

from agents.config import Cluster
from ryu_apps.core.cluster import Members
from ryu_apps.core.events import Effect, Settle
from ryu_apps.core.sessions import Sessions

FIRST = 3600.0  # seconds from the app's start to the first round
EVERY = 7 * 86400.0  # and from one to the next: entries live 24 days
AT_ONCE = 500  # sessions written anew in a tick


class Renewal:
    """How far the present round is, and when the next is due."""

    def __init__(self, cluster: Cluster, members: Members, sessions: Sessions) -> None:
        self._members = members
        self._sessions = sessions
        self._left: Iterator[bytes] = iter(())  # of this round: orig of each session
        self._due = -math.inf if cluster.session_table == "conntrack" else math.inf

    def tick(self, now: float) -> list[Effect]:
        """What is written anew now. First deleted: to commit again may prolong nothing."""
        if self._due == -math.inf:
            self._due = now + FIRST
        if now >= self._due:
            self._due = now + EVERY
            self._left = iter(self._sessions.known())
        primary = self._members.primary_id
        found = [(orig, self._sessions.get(orig)) for orig in islice(self._left, AT_ONCE)]
        added = [
            (session.unit, orig, session.reply)
            for orig, session in found
            if session and session.unit != primary
        ]
        deleted = [tuple12 for _, *both in added for tuple12 in both]
        return [Settle(primary, deleted, added, [])] if added and primary else []
