"""A tuple as ctnetlink has it in all its messages, of entries and of expectations: one template.

CTA_TUPLE_… in include/uapi/linux/netfilter/nfnetlink_conntrack.h; IPv4, between two ports, in the
order in which the kernel writes it (ctnetlink_dump_tuples()). One comes and goes with every SYN.
"""

import struct

from agents.nfnetlink import attribute, header

IP, PROTO = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
SRC, DST = 1, 2  # CTA_IP_V4_…
NUMBER, SPORT, DPORT = 1, 2, 3  # CTA_PROTO_…
TCP, UDP = 6, 17

# The attribute's head, source, DST_HEAD, destination, the protocol's head, source port, DPORT_HEAD,
# destination port; with padding.
TUPLE = struct.Struct("12s4s4s4s16s2s6s2s2x")
DST_HEAD, DPORT_HEAD = header(DST, 4), b"\0\0" + header(DPORT, 2)
PROTOCOL_HEADS = tuple(
    header(PROTO, 24, True) + attribute(NUMBER, bytes((protocol,))) + header(SPORT, 2)
    for protocol in range(256)
)


def head(kind: int) -> bytes:
    """What the attribute of that kind begins with, up to its source address."""
    return header(kind, 48, True) + header(IP, 16, True) + header(SRC, 4)


def pack_tuple(begin: bytes, t: bytes, protocol: int = TCP) -> bytes:
    """The attribute with that `head`, of a tuple12."""
    return TUPLE.pack(
        *(begin, t[:4], DST_HEAD, t[4:8]),
        *(PROTOCOL_HEADS[protocol], t[8:10], DPORT_HEAD, t[10:]),
    )
