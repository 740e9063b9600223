"""Routed ARP at the primary: what auxiliaries ask over the HA link, asked outside on their behalf.

Talk, slides "ARP Problem", "arpreq_proxy", "arpreply_proxy", and both points of "To Do": what the
primary knows already is answered at once, and each reply goes to those units that asked and to no
other. This module keeps what was heard (30 s), who waits (3 s), and how often was asked (once a
second for an address); all three are bounded. It sends nothing itself: it returns effects.
Questions come from the primary's agent, which knows that they are another unit's, and answers go
there: what is on the HA link is the agents' (`agents.core_routing`).
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from agents.config import Cluster, Interface
from agents.wire import control, ports, routed_arp
from agents.wire.routed_arp import Arp
from ryu_apps.core.events import Send

KNOWN_SECONDS = 30.0
WAIT_SECONDS = 3.0
ASK_SECONDS = 1.0
MOST_KNOWN = 4096
MOST_WAITING = 1024

Neighbour = tuple[int, bytes]  # interface index, IPv4 address
_Asker = tuple[int, bytes]  # unit, the address that it asks from


@dataclass(slots=True)
class _Waiting:
    asked: float
    who: dict[_Asker, float] = field(default_factory=dict)  # until when each of them waits


class RoutedArp:
    """What the primary knows of the neighbours, and which units want to know more."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: OrderedDict[Neighbour, tuple[bytes, float]] = OrderedDict()
        self._waiting: dict[Neighbour, _Waiting] = {}
        self._asker = {
            mac: (unit.id, cluster.interfaces[place])
            for unit in cluster.units
            for place, mac in enumerate(unit.macs)
        }
        self._own = {
            address.ip.packed for interface in cluster.interfaces for address in interface.addresses
        }

    def request(self, primary: int, arp: Arp, now: float) -> tuple[str, list[Send]]:
        """A request of opcode 201 came from the primary's agent: its outcome, and what to send."""
        unit, interface = self._asker.get(arp.sha, (primary, None))
        if interface is None or unit == primary:
            return "routed_arp_stranger", []
        if arp.tpa in self._own:
            return "routed_arp_own_address", []
        neighbour = interface.index, arp.tpa
        mac, until = self._known.get(neighbour, (b"", now))
        if until > now:
            answer = self._answer(primary, (unit, arp.spa), interface, (arp.tpa, mac))
            return "routed_arp_known", [answer]
        waiting = self._waiting.get(neighbour)
        if waiting is None:
            if len(self._waiting) >= MOST_WAITING:
                return "routed_arp_full", []
            waiting = self._waiting[neighbour] = _Waiting(asked=now - ASK_SECONDS)
        if len(waiting.who) < MOST_WAITING:
            waiting.who[unit, arp.spa] = now + WAIT_SECONDS
        if now - waiting.asked < ASK_SECONDS:
            return "routed_arp_joined", []
        waiting.asked = now
        return "routed_arp_asked", [self._question(primary, interface, arp.tpa)]

    def reply(self, primary: int, port: int, arp: Arp, now: float) -> tuple[str, list[Send]]:
        """A reply to the cluster came in by the primary's NIC `port`: its outcome, and what to
        send.
        """
        index = ports.interface_of_nic(port)
        if index is None or index > len(self._cluster.interfaces):
            return "arp_reply_port", []
        interface = self._cluster.interfaces[index - 1]
        neighbour = index, arp.spa
        expected = neighbour in self._waiting or _is_neighbour(interface, arp.spa)
        if arp.tpa not in self._own or not expected:
            return "arp_reply_stranger", []
        self._known[neighbour] = arp.sha, now + KNOWN_SECONDS
        self._known.move_to_end(neighbour)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        waiting = self._waiting.pop(neighbour, None)
        if waiting is None:
            return "arp_reply_seen", []
        return "routed_arp_answered", [
            self._answer(primary, asker, interface, (arp.spa, arp.sha))
            for asker, until in waiting.who.items()
            if until > now
        ]

    def expire(self, now: float) -> int:
        """Forget who has waited too long; how many questions nobody waits for any more."""
        old = [
            neighbour
            for neighbour, waiting in self._waiting.items()
            if all(until <= now for until in waiting.who.values())
        ]
        for neighbour in old:
            del self._waiting[neighbour]
        while self._known and next(iter(self._known.values()))[1] <= now:
            self._known.popitem(last=False)
        return len(old)

    def _question(self, primary: int, interface: Interface, wanted: bytes) -> Send:
        """An ordinary request, as the cluster itself asks: from the virtual MAC."""
        networks = (address for address in interface.addresses if _holds(address.network, wanted))
        own = next(networks, interface.addresses[0]).ip.packed
        frame = routed_arp.encode(
            Arp(
                op=routed_arp.REQUEST,
                sha=interface.virtual_mac,
                spa=own,
                tha=routed_arp.UNKNOWN,
                tpa=wanted,
                eth_dst=routed_arp.BROADCAST,
                eth_src=interface.virtual_mac,
            )
        )
        return Send(primary, ports.nic_port(interface.index), frame)

    def _answer(
        self, primary: int, asker: _Asker, interface: Interface, known: tuple[bytes, bytes]
    ) -> Send:
        """A reply of opcode 202 to the one unit that asked, by the primary's agent; `known` is IPv4
        address and MAC.
        """
        unit, spa = asker
        told = self._cluster.unit(unit)
        frame = routed_arp.encode(
            Arp(
                op=routed_arp.ROUTED_REPLY,
                sha=known[1],
                spa=known[0],
                tha=told.macs[interface.index - 1],
                tpa=spa,
                eth_dst=control.ETH_DST,
                eth_src=control.ETH_SRC,
            )
        )
        return Send(primary, ports.SYNOD, frame)


def _holds(network: object, address: bytes) -> bool:
    return IPv4Address(address) in network  # type: ignore[operator]


def _is_neighbour(interface: Interface, address: bytes) -> bool:
    return any(_holds(own.network, address) for own in interface.addresses)
