"""Frames for the switch, by scapy."""

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from agents.wire import routed_arp
from agents.wire.routed_arp import Arp

SYN, SYN_ACK, ACK, FIN, RST = "S", "SA", "A", "FA", "R"


def mac(address: bytes) -> str:
    return address.hex(":")


def ip(address: bytes) -> str:
    return ".".join(map(str, address))


def tcp(
    eth_src: bytes,
    eth_dst: bytes,
    tuple12: bytes,
    flags: str = SYN,
    payload: bytes = b"",
) -> bytes:
    """A TCP frame of the direction of `tuple12`."""
    sport, dport = (int.from_bytes(tuple12[at : at + 2], "big") for at in (8, 10))
    frame = (
        Ether(src=mac(eth_src), dst=mac(eth_dst))
        / IP(src=ip(tuple12[0:4]), dst=ip(tuple12[4:8]))
        / TCP(sport=sport, dport=dport, flags=flags)
        / payload
    )
    return bytes(frame)


def udp(eth_src: bytes, eth_dst: bytes, source: bytes, target: bytes) -> bytes:
    return bytes(
        Ether(src=mac(eth_src), dst=mac(eth_dst))
        / IP(src=ip(source), dst=ip(target))
        / UDP()
        / b"?"
    )


def icmp(eth_src: bytes, eth_dst: bytes, source: bytes, target: bytes) -> bytes:
    return bytes(
        Ether(src=mac(eth_src), dst=mac(eth_dst)) / IP(src=ip(source), dst=ip(target)) / ICMP()
    )


def ipv6(eth_src: bytes, eth_dst: bytes) -> bytes:
    return bytes(Ether(src=mac(eth_src), dst=mac(eth_dst)) / IPv6(dst="ff02::1") / UDP())


def fragment(eth_src: bytes, eth_dst: bytes, source: bytes, target: bytes, offset: int) -> bytes:
    """A fragment of a TCP segment, the first (offset 0) with its header."""
    header = IP(src=ip(source), dst=ip(target), flags="MF", frag=offset, proto=6)
    body = TCP(sport=40000, dport=80, flags="A") / (b"x" * 64) if offset == 0 else b"y" * 64
    return bytes(Ether(src=mac(eth_src), dst=mac(eth_dst)) / header / body)


def arp(
    op: int,
    sender: tuple[bytes, bytes],
    target: tuple[bytes, bytes],
    eth_dst: bytes,
    eth_src: bytes | None = None,
) -> bytes:
    """An ARP frame; sender and target are (MAC, IPv4 address)."""
    return routed_arp.encode(
        Arp(op, *sender, *target, eth_dst=eth_dst, eth_src=eth_src or sender[0])
    )


def ethernet(frame: bytes) -> tuple[bytes, bytes]:
    """Destination and source of a frame."""
    return frame[0:6], frame[6:12]
