"""Packets as a unit's conntrackd sends them, and whose they are, made by scapy."""

from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from agents.wire.ports import PICKUP_GROUP, PICKUP_PORT

SOURCE, SOURCE_MAC = bytes((169, 254, 83, 2)), bytes.fromhex("025359070200")
GROUP_MAC = "01:00:5e:00:00:53"


def said(text: bytes = b"an entry", **of_ip: Any) -> bytes:
    """A frame of unit 2's conntrackd."""
    dport = of_ip.pop("dport", PICKUP_PORT)
    ip = IP(**{"src": "169.254.83.2", "dst": PICKUP_GROUP, "ttl": 1, **of_ip})
    ether = Ether(src=SOURCE_MAC.hex(":"), dst=GROUP_MAC, type=0x0800)
    return bytes(ether / ip / UDP(sport=40000, dport=dport, chksum=0) / Raw(text))
