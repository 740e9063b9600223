"""How many packets a second of each kind a bridge passes to a kernel, an agent or the app: meters
of the switch (OpenFlow 1.3.5, section 5.7), as data.

Each kind has a meter of its own, and one for each interface: a flood of one kind, or on one
network, leaves the others their turn. Agents' own frames, the HA link and sessions have none. A SYN
has none either: a meter can't tell a flood's from others, and would drop both alike; what bounds
them is how many may wait for a decision (`agents.core_primary`).

A meter lets through a second's worth at once, and its rate from then on: so do Open vSwitch's
datapath in userspace (measured, 3.1: 403 packets in 3 s at 100 a second) and the kernel's
(dp_meter_create() in net/openvswitch/meter.c). Sends nothing, and knows of no flow.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from agents.config import Cluster

_ROOM = 100  # numbers of each kind: 0, or the interface's


class Limit(Enum):
    """A kind of packets: its place among the meters' numbers, and its key in the cluster's file."""

    ARP = 1, "arp"  # what isn't an answer, to the kernel
    ARP_ANSWERS = 2, "arp"  # to the kernel, and a copy to the app
    ARP_RIVALS = 3, "arp"  # from the virtual MAC, to the agent
    ICMP = 4, "icmp"  # to the kernel, as all that follows
    BROADCAST = 5, "broadcast"
    IP = 6, "ip"  # that is neither TCP nor ICMP, and fragments
    ROUTED_ARP = 7, "routed_arp"  # requests of other units, to the primary's agent

    def __init__(self, place: int, key: str) -> None:
        self.place = place
        self.key = key

    def number(self, interface: int = 0) -> int:
        """Of the meter of that interface (0: of none)."""
        return self.place * _ROOM + interface


MOST = (len(Limit) + 1) * _ROOM  # meters of a higher number aren't ours


class Meter(NamedTuple):
    """One meter of a bridge: its number, and packets a second."""

    number: int
    rate: int


def meters(cluster: Cluster) -> frozenset[Meter]:
    """All meters that a bridge of the cluster has, whatever its role; a rate of 0 is no limit."""
    rates = {limit: getattr(cluster.limits, limit.key) for limit in Limit}
    return frozenset(
        Meter(limit.number(index), rate)
        for limit, rate in rates.items()
        if rate
        for index in _indices(cluster, limit)
    )


def name_of(number: int) -> str:
    """`limit_arp_answers`: what the packets are counted by that a meter drops."""
    return f"limit_{_BY_PLACE[number // _ROOM].name.lower()}"


def _indices(cluster: Cluster, limit: Limit) -> Iterable[int]:
    if limit is Limit.ROUTED_ARP:
        return (0,)
    return (interface.index for interface in cluster.interfaces)


_BY_PLACE = {limit.place: limit for limit in Limit}
