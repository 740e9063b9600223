"""Neighbours that nobody can be asked for: an auxiliary goes on with what its kernel knows of them.

Its kernel asks by routed ARP, through the primary and the app (talk, slide "Routed ARP"), and asks
again for neighbours that it still sends to every half minute or so (arp(7), base_reachable_time).
While one of them can't be reached it would get no answer, give the neighbour up, and lose running
sessions. So what it knows counts as confirmed meanwhile. Nothing here learns a neighbour.
"""

import json

from agents import machine
from agents.config import Cluster
from agents.core_facts import Desk
from agents.core_hearing import Hearing
from agents.log import tell

INTERVAL = 1.0  # seconds between two confirmations: few, against the seconds that a kernel asks for
_KNOWN = ["reachable", "stale", "delay", "probe"]


def unanswered(desk: Desk, hearing: Hearing, now: float) -> bool:
    """Whether this unit, an auxiliary, can't ask now: the app doesn't hear it, or the primary, by
    which it asks, isn't there or is cut off from the app itself.
    """
    if desk.told is None or desk.told.role != "auxiliary":
        return False
    return not desk.app_speaks(now) or not hearing.reaches_app(desk.told.primary)


def confirm(cluster: Cluster) -> int:
    """Confirm the neighbours on the cluster's interfaces that the kernel knows; how many."""
    lines = [
        f"neighbour change {each['dst']} lladdr {each['lladdr']} dev {interface.name} nud reachable"
        for interface in cluster.interfaces
        for each in _known(interface.name)
        if "lladdr" in each
    ]
    if text := "\n".join(lines):
        try:
            machine.run(("ip", "-force", "-batch", "-"), text)
        except machine.ProvisionError as failure:
            tell("neighbours_unconfirmed", why=failure)
    return len(lines)


def _known(device: str) -> list[dict[str, str]]:
    states = [word for state in _KNOWN for word in ("nud", state)]
    try:
        said = machine.run(("ip", "-4", "-json", "neighbour", "show", "dev", device, *states))
    except machine.ProvisionError:
        return []  # the interface is just being made anew
    found: list[dict[str, str]] = json.loads(said or "[]")
    return found
