"""Runs on a lab's client: frames of one kind at a steady pace, such as a stranger sends.

    python -m tests.bench.strangers KIND RATE SOURCE_MAC VIRTUAL_MAC ADDRESS CLUSTER_ADDRESS GROUP

ADDRESS is a server's. Sources of IPv4 are of 198.18.0.0/15, as in `syn_flood`; who they are is
another each time. It sends until its input ends, then prints how many frames it has sent, and in
how many seconds. Frames are made beforehand, as many as a few seconds take, and then used again:
but for SYNs, each of which is of a session of its own.
"""

import random
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from agents.wire import control, ports
from tests.bench.syn_flood import ADDRESSES, NETWORK, keep_pace, syn

_MADE = 8192  # frames
_FIRST_PORT = 1024


class Target(NamedTuple):
    """Who sends, and to whom; MAC addresses as text."""

    source: str
    virtual: str
    address: str
    cluster: str
    group: int


def somebody(number: int) -> str:
    """An address of those that are forged."""
    return socket.inet_ntoa((NETWORK + number % ADDRESSES).to_bytes(4, "big"))


def a_syn(number: int, to: Target) -> bytes:
    """Of a session that there wasn't yet."""
    port = _FIRST_PORT + number // ADDRESSES % (65536 - _FIRST_PORT)
    packet = syn(NETWORK + number % ADDRESSES, port, socket.inet_aton(to.address), 80)
    return bytes(Ether(src=to.source, dst=to.virtual, type=0x800))[:14] + packet


def an_icmp(number: int, to: Target) -> Packet:
    """Echo requests, through the cluster and to it."""
    target = (to.address, to.cluster)[number % 2]
    return _ip(number, to, target) / ICMP(id=number & 0xFFFF) / Raw(bytes(56))


def a_udp(number: int, to: Target) -> Packet:
    """To ports at random, through the cluster and to it."""
    target = (to.address, to.cluster)[number % 2]
    ports_of = {"sport": random.randrange(1, 65536), "dport": random.randrange(1, 65536)}
    return _ip(number, to, target) / UDP(**ports_of) / Raw(random.randbytes(64))


def an_arp(number: int, to: Target) -> Packet:
    """Questions of many hosts, answers that nobody has asked for, claims of the cluster's own."""
    host = f"10.1.{number >> 8 & 0xFF}.{number & 0xFF}"
    question = {"op": 1, "hwsrc": to.source, "psrc": host, "pdst": to.cluster}
    answer = {"op": 2, "hwsrc": to.source, "psrc": host, "hwdst": to.virtual, "pdst": to.cluster}
    claim = {"op": 1, "hwsrc": to.source, "psrc": to.cluster, "pdst": to.cluster}
    fields, target = (
        (question, "ff:ff:ff:ff:ff:ff"),
        (answer, to.virtual),
        (question, to.virtual),
        (claim, "ff:ff:ff:ff:ff:ff"),
    )[number % 4]
    return Ether(src=to.source, dst=target) / ARP(**fields)


def garbage(number: int, to: Target) -> Packet:
    """Bytes behind headers that mean something inside a cluster, or nothing at all. (A unit's MAC
    address as source is that of its HA port: one that the unit has on this network would have the
    network's own switch send the unit's frames here.)
    """
    group, unit = to.group, 1 + number % 3
    body = Raw(random.randbytes(random.randrange(8, 200)))
    ha, physical = (
        ports.mac_text(mac)
        for mac in (ports.ha_mac(group, unit), ports.physical_mac(group, unit, 1))
    )
    agent = Ether(dst=control.ETH_DST, src=control.ETH_SRC, type=control.ETHERTYPE)
    return (
        agent / body,
        Ether(dst=ha, src=to.source, type=control.ETHERTYPE) / body,
        Ether(dst=to.virtual, src=to.source) / ARP(op=201 + number % 2, psrc="10.1.0.9"),
        Ether(dst=to.virtual, src=ha, type=0x800) / body,
        Ether(dst=physical, src=to.source, type=0x800) / body,
        Ether(dst=to.virtual, src=to.source, type=random.getrandbits(16)) / body,
        Ether(dst=to.virtual, src=to.source, type=0x800) / body,
    )[number % 7]


def _ip(number: int, to: Target, target: str) -> Packet:
    return Ether(src=to.source, dst=to.virtual) / IP(src=somebody(number), dst=target)


MADE: dict[str, Callable[[int, Target], Packet]] = {
    "arp": an_arp,
    "icmp": an_icmp,
    "udp": a_udp,
    "garbage": garbage,
}
KINDS = ("syn", *MADE)


def frames(kind: str, to: Target) -> Callable[[int], bytes]:
    """The frame of each number."""
    if kind == "syn":
        return lambda number: a_syn(number, to)
    made = [bytes(MADE[kind](number, to)) for number in range(_MADE)]
    return lambda number: made[number % _MADE]


def main(kind: str, rate: int, to: Target) -> None:
    """At that pace until the input ends."""
    keep_pace(frames(kind, to), rate)


if __name__ == "__main__":
    _, kind, rate, source, virtual, address, cluster, group = sys.argv
    main(kind, int(rate), Target(source, virtual, address, cluster, int(group)))
