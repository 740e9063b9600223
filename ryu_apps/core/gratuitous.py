"""Gratuitous ARP of a primary: switches and hosts learn where the virtual MACs are now.

The addresses' MACs are the same as before, so for hosts nothing changes; it is the switches that
must send frames for them out of another port. An ARP announcement (RFC 5227, section 2.3) is a
broadcast, so all of them see it; it is sent a few times, for one that gets lost.

A unit whose bridge isn't known to have an auxiliary's flows may still be primary in its own eyes,
cut off from everybody. As long as there is one, the announcements are repeated: what it has won by
its own frames is won back, and it hears that it has a rival (`agents.core_fencing`). So they are
when the primary tells that it has heard one. And now and then without any reason: on a quiet
network a single stray frame with a virtual MAC would mislead a switch for as long as it remembers
(VRRP's advertisements serve for that, too: RFC 5798, section 7.2).
"""

from agents.config import Cluster
from agents.wire import ports, routed_arp
from agents.wire.routed_arp import Arp
from ryu_apps.core.cluster import Member, Members
from ryu_apps.core.events import Effect, Send

PAUSES = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)  # seconds after the change
REPEAT = 1.0  # seconds between two while there may be a rival
STEADY = 5.0  # and while there is none


class Gratuitous:
    """When a primary's announcements are due."""

    def __init__(self, cluster: Cluster, members: Members) -> None:
        self._cluster = cluster
        self._members = members
        self._due: list[float] = []
        self._sent = float("-inf")
        self._rivals: dict[int, tuple[int, int]] = {}  # unit -> boot, how often it heard one

    def begin(self, now: float) -> None:
        """There is another primary."""
        self._due = [now + pause for pause in PAUSES]

    def heard(self, member: Member, now: float) -> None:
        """An agent has announced itself: has it heard a rival, and is it primary?"""
        if member is not self._members.primary or not member.announce:
            return
        heard = member.announce.boot, member.counters.get("rival_heard", 0)
        before = self._rivals.get(member.unit.id, (heard[0], 0))
        self._rivals[member.unit.id] = heard
        if heard != before and heard[1]:
            self._due = sorted({*self._due, now})

    def tick(self, now: float) -> list[Effect]:
        """What is due."""
        if self._due and now >= self._due[0]:
            del self._due[0]
        elif now - self._sent < (REPEAT if self._rivals_possible() else STEADY):
            return []
        self._sent = now
        if self._members.primary is None:
            return []
        return [*announcements(self._cluster, self._members.primary_id)]

    def _rivals_possible(self) -> bool:
        others = (member for member in self._members if member is not self._members.primary)
        return any(not member.confirmed for member in others)


def announcements(cluster: Cluster, primary: int) -> list[Send]:
    """One for each address of the cluster, out of the primary's NICs."""
    return [
        Send(primary, ports.nic_port(interface.index), _announcement(interface.virtual_mac, ip))
        for interface in cluster.interfaces
        for ip in (address.ip.packed for address in interface.addresses)
    ]


def _announcement(mac: bytes, ip: bytes) -> bytes:
    return routed_arp.encode(
        Arp(
            op=routed_arp.REQUEST,
            sha=mac,
            spa=ip,
            tha=routed_arp.UNKNOWN,
            tpa=ip,
            eth_dst=routed_arp.BROADCAST,
            eth_src=mac,
        )
    )
