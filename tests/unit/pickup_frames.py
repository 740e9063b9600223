"""Packets as a unit's conntrackd sends them, and whose they are, made by scapy."""

from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from agents.wire.ports import PICKUP_GROUP, PICKUP_PORT

SOURCE, SOURCE_MAC = bytes((169, 254, 83, 2)), bytes.fromhex("025359070200")
GROUP_MAC = "01:00:5e:00:00:53"


def said(
    text: bytes = b"an entry",
    *,
    eth_src: bytes = SOURCE_MAC,
    eth_dst: str = GROUP_MAC,
    dport: int = PICKUP_PORT,
    **of_ip: Any,
) -> bytes:
    """A frame of unit 2's conntrackd, or of somebody's in its place."""
    ip = IP(**{"src": "169.254.83.2", "dst": PICKUP_GROUP, "ttl": 1, **of_ip})
    ether = Ether(src=eth_src.hex(":"), dst=eth_dst, type=0x0800)
    return bytes(ether / ip / UDP(sport=40000, dport=dport, chksum=0) / Raw(text))
