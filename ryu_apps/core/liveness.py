"""Which units live: a unit is dead when neither the app nor another unit hears of it.

Two witnesses, on two networks: its bridge answers the app's pings, and other agents hear its
keepalives on the HA link ("dedicated link used for heartbeat and keep-alive": talk, slide "HA
Cluster"). So the loss of the HA link alone, or of the controller alone, is nobody's death. An agent
that has ended takes no part in this while its bridge answers: what the bridge has, it forwards.

A connection that has ended was ended by somebody, mostly by the kernel of a unit whose switch was
killed. Then a few keepalives that are missing are enough. A bridge that is slow to answer may only
be busy, and so may be its agent. If both fall silent at once, though, that looks like a unit
without power, and an auxiliary is held for dead soon: before its sessions' peers, whose first try
was lost, try again after 0.2 s (Linux' TCP_RTO_MIN) and then not for 0.4. It costs an auxiliary
that lives nothing but the sessions that it serves, which go on at the primary. A primary must have
been silent for long, as another takes its addresses.
"""

from collections.abc import Iterable

from ryu_apps.core.cluster import Member, Role, State
from ryu_apps.core.events import Effect, Ping

PING = 0.05  # seconds between two
# Seconds after the app has found its cluster: a unit that it hasn't heard yet may still reconnect.
GRACE = 5.0
UNANSWERED = 0.3  # a bridge that has answered nothing for so long is no witness of its unit
AT_ONCE = 0.12  # nor one of an auxiliary whose keepalives are missing as well


class Liveness:
    """The app's own witness: pings."""

    def __init__(self) -> None:
        self._pinged = float("-inf")

    def tick(self, members: Iterable[Member], now: float) -> list[Effect]:
        """Ping all bridges, if it is time."""
        if now - self._pinged < PING:
            return []
        self._pinged = now
        return [Ping(member.unit.id) for member in members if member.connection is not None]


def lives(member: Member, members: Iterable[Member], now: float) -> bool:
    """Whether anybody hears of that unit, or nobody is there who could: then it is the app that
    nobody can reach.
    """
    unit, connected = member.unit.id, member.connection is not None
    dead, auxiliary = member.state is State.DEAD, member.role is Role.AUXILIARY
    silence = now - member.answered if connected else float("inf")
    if silence < now - member.since if dead else silence < (AT_ONCE if auxiliary else UNANSWERED):
        return True
    told = [each.announce for each in members if each is not member and each.audible(now)]
    witnesses = [announce for announce in told if announce]
    hearing = [announce for announce in witnesses if unit in announce.hears]
    if not witnesses or any(unit not in announce.missing for announce in hearing):
        return True
    if dead or not connected:
        return False
    if auxiliary:  # silent at once, or its agent was silent before
        return not hearing and silence < UNANSWERED
    return bool(hearing)
