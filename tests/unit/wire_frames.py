"""Frames and values for the tests of `agents.wire`: built by scapy, drawn by Hypothesis."""

from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from agents.wire import packet

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, (1 << 64) - 1)
units = st.integers(1, 64)
interfaces = st.integers(1, 16)
macs = st.binary(min_size=6, max_size=6)
addresses = st.binary(min_size=4, max_size=4)
tuples = st.binary(min_size=12, max_size=12)
junk = st.binary(max_size=200)

OPTIONS = (("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None), ("WScale", 7))
ORIG = packet.tuple12("10.1.0.10", "203.0.113.10", 40000, 80)


def syn(
    t12: bytes = ORIG,
    *,
    ttl: int = 64,
    flags: str = "S",
    payload: bytes = b"",
    ip_options: bytes = b"",
    options: tuple[tuple[str, object], ...] = OPTIONS,
    **header: int,
) -> bytes:
    """A frame as scapy makes it, checksums and all."""
    src, dst = packet.tuple_text(t12).split(" > ")
    ip = IP(src=src.split(":")[0], dst=dst.split(":")[0], ttl=ttl, options=ip_options, **header)
    sport, dport = int(src.split(":")[1]), int(dst.split(":")[1])
    tcp = TCP(sport=sport, dport=dport, flags=flags, seq=1, options=list(options))
    ether = Ether(dst="02:53:59:01:00:01", src="02:00:00:00:00:0a", type=0x0800)
    return bytes(ether / ip / tcp / payload)


def append_data(frame: bytes, data: bytes) -> bytes:
    """The packet with `data` after its TCP payload, as it is handed over, to where it was going."""
    return packet.handed_over(frame, data, frame[:6], frame[6:12])


def recomputed(frame: bytes) -> bytes:
    """The frame with lengths as they are and both checksums as scapy computes them."""
    parsed = Ether(frame)
    del parsed[IP].chksum
    del parsed[TCP].chksum
    return bytes(parsed)


syns = st.builds(
    syn,
    tuples,
    ttl=st.integers(1, 255),
    flags=st.sampled_from(["S", "SEC", "SE", "SP"]),
    payload=st.binary(max_size=60),
    options=st.sampled_from([(), OPTIONS, (("MSS", 536),), (("NOP", None),) * 40]),
    id=u16,
    tos=u8,
)
