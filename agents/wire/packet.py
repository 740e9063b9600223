"""A TCP SYN over IPv4 over Ethernet: read it, give it back the client's addresses, append data to
it, cut it off again.

This is the talk's "mangle the SYN packet's source and destination if required and also append the
necessary data" (slide "ipt_LB.ko") and, at the other end, its "shrink the data" (slide
"ipt_SYNDATA.ko"). It is the only code of Synod that sees packets of sessions, and it sees one a
session; so it makes one pass and updates checksums by difference (RFC 1624) in place of computing
them: a wrong checksum stays wrong, and the receiver will notice as it would have.

Session keys, *tuple12*: 12 bytes in network byte order, which is how they lie in the packet,

    +---------------+---------------+-------+-------+
    |   src (4)     |   dst (4)     | sport | dport |
    +---------------+---------------+-------+-------+

`orig` is what the client sent, before any translation; `reply` is what a packet of the other
direction carries when it arrives (conntrack's reply tuple).

In one's complement arithmetic 0xffff and 0 are the same number, and a sum is a residue modulo
65535. So is the big-endian number that a run of bytes spells, whatever its length:
`int.from_bytes(...) % 65535` sums 16-bit words without a loop.
"""

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from agents.wire.errors import WireError

ETHERNET = 14  # bytes of an Ethernet header

_HEADERS = struct.Struct("!6s6sHBxH2xHBB2x8s")  # Ethernet, then IPv4 up to and with the addresses
_ADDRESSES = ETHERNET + 12
_TUPLE = struct.Struct("!4s4sHH")
_U16 = struct.Struct("!H")

_IPV4, _TCP = 0x0800, 6
_FRAGMENT = 0x3FFF  # more fragments, offset
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


class Syn(NamedTuple):
    """A TCP SYN. Offsets are from the start of `frame`, which ends where the IP packet ends."""

    frame: bytes
    eth_dst: bytes
    eth_src: bytes
    tuple12: bytes
    ttl: int
    total_length: int
    tcp_offset: int
    payload_offset: int

    @property
    def payload(self) -> bytes:
        """What follows the TCP header: empty, TCP Fast Open data, SYN data."""
        return self.frame[self.payload_offset :]


def parse_syn(frame: bytes) -> Syn:
    """Read the first packet of a session: SYN set, ACK clear; RST and FIN clear too (a SYN with one
    of them is invalid to connection tracking: tcp_valid_flags[] in nf_conntrack_proto_tcp.c). ECN
    bits, options and payload may be whatever they are.

    Ethernet padding is cut off. WireError not_ipv4, truncated, bad_length, fragment, not_tcp,
    not_syn. Neither checksum is verified.
    """
    size = len(frame)
    if size < _HEADERS.size:
        raise WireError("truncated" if frame[12:14] in (b"", b"\x08", b"\x08\x00") else "not_ipv4")
    eth_dst, eth_src, ethertype, version_ihl, length, fragment, ttl, protocol, addresses = (
        _HEADERS.unpack_from(frame)
    )
    if ethertype != _IPV4 or version_ihl >> 4 != 4:
        raise WireError("not_ipv4")
    if fragment & _FRAGMENT:
        raise WireError("fragment")
    if protocol != _TCP:
        raise WireError("not_tcp")
    header = (version_ihl & 15) * 4
    tcp = ETHERNET + header
    end = ETHERNET + length
    if header < 20 or end < tcp + 20:
        raise WireError("bad_length")
    if size < end:
        raise WireError("truncated")
    payload = tcp + (frame[tcp + 12] >> 4) * 4
    if not tcp + 20 <= payload <= end:
        raise WireError("bad_length")
    if frame[tcp + 13] & (_SYN | _ACK | _RST | _FIN) != _SYN:
        raise WireError("not_syn")
    return Syn(
        frame if size == end else frame[:end],
        eth_dst,
        eth_src,
        addresses + frame[tcp : tcp + 4],
        ttl,
        length,
        tcp,
        payload,
    )


def segment_tuple(frame: bytes) -> bytes:
    """tuple12 of a TCP segment over IPv4. WireError truncated, not_ipv4, fragment, not_tcp."""
    if len(frame) < _HEADERS.size:
        raise WireError("truncated")
    _, _, ethertype, version_ihl, _, fragment, _, protocol, addresses = _HEADERS.unpack_from(frame)
    if ethertype != _IPV4:
        raise WireError("not_ipv4")
    if fragment & _FRAGMENT:
        raise WireError("fragment")
    if protocol != _TCP:
        raise WireError("not_tcp")
    tcp = ETHERNET + (version_ihl & 15) * 4
    if len(frame) < tcp + 20:
        raise WireError("truncated")
    return bytes(addresses + frame[tcp : tcp + 4])


def sequence_of(frame: bytes) -> int:
    """Sequence number (u32) of a segment that `segment_tuple` accepts."""
    tcp = ETHERNET + (frame[14] & 15) * 4
    return int.from_bytes(frame[tcp + 4 : tcp + 8])


def as_client_sent(frame: bytes, orig: bytes) -> bytes:
    """The SYN as it was before this unit's kernel forwarded it: addresses and ports of `orig`
    (tuple12), TTL one higher.

    `frame` is one that `parse_syn` accepts, as the kernel sent it. A TTL of 255 stays: only a rule
    of the user's can have set it, and the same rule will set it on the other unit.
    """
    tcp = ETHERNET + (frame[14] & 15) * 4
    hop = frame[22] < 255
    addresses = int.from_bytes(orig[:8]) - int.from_bytes(frame[_ADDRESSES : _ADDRESSES + 8])
    ports = int.from_bytes(orig[8:]) - int.from_bytes(frame[tcp : tcp + 4])
    out = bytearray(frame)
    out[22] += hop
    _U16.pack_into(out, 24, _adjusted(frame, 24, addresses + (hop << 8)))
    out[_ADDRESSES : _ADDRESSES + 8] = orig[:8]
    out[tcp : tcp + 4] = orig[8:]
    _U16.pack_into(out, tcp + 16, _adjusted(frame, tcp + 16, addresses + ports))
    return bytes(out)


def handed_over(frame: bytes, data: bytes, dst: bytes, src: bytes) -> bytes:
    """The packet with `data` after its TCP payload, between other Ethernet addresses: IP total
    length and both checksums follow.

    `frame` is one that `parse_syn` accepts; Ethernet padding is cut off. WireError bad_length if
    the packet would exceed 65535 bytes. Whether it fits the MTU is the caller's question.
    """
    length = frame[16] << 8 | frame[17]
    grown = len(data)
    if length + grown > 0xFFFF:
        raise WireError("bad_length", f"{length} + {grown} bytes")
    end = ETHERNET + length
    tcp = ETHERNET + (frame[14] & 15) * 4
    # A segment is summed in 16-bit words from its first byte on, so the last byte of one of an odd
    # length is the high half of a word, and all that ends there weighs 256 times its number.
    weight = int.from_bytes(data) << 8 * (end + grown - tcp & 1)
    out = bytearray().join((dst, src, frame[12:end], data))
    _U16.pack_into(out, 16, length + grown)
    _U16.pack_into(out, 24, _adjusted(frame, 24, grown))
    # The pseudo header has the length of the segment, too.
    _U16.pack_into(out, tcp + 16, _adjusted(frame, tcp + 16, grown + weight))
    return bytes(out)


def cut_data(frame: bytes, length: int) -> bytes:
    """The packet without the last `length` bytes of its TCP payload: what `handed_over` has put
    there.

    `frame` is one that `parse_syn` accepts; Ethernet padding is cut off. WireError bad_length if
    the payload is shorter. (A TCP checksum of 0xffff, which RFC 1624 senders never write, comes
    back as 0x0000, its equal.)
    """
    total = frame[16] << 8 | frame[17]
    end = ETHERNET + total
    tcp = ETHERNET + (frame[14] & 15) * 4
    kept = end - length
    if length < 0 or kept < tcp + (frame[tcp + 12] >> 4) * 4:
        raise WireError("bad_length", f"{length} bytes to cut")
    weight = int.from_bytes(frame[kept:end]) << 8 * (end - tcp & 1)  # as in `handed_over`
    out = bytearray(frame[:kept])
    _U16.pack_into(out, 16, total - length)
    _U16.pack_into(out, 24, _adjusted(frame, 24, -length))
    _U16.pack_into(out, tcp + 16, _adjusted(frame, tcp + 16, -length - weight))
    return bytes(out)


def readdress(frame: bytes, dst: bytes, src: bytes) -> bytes:
    """The frame with other Ethernet addresses (6 bytes each)."""
    return dst + src + frame[12:]


def inverse(t12: bytes) -> bytes:
    """The tuple12 of the other direction, untranslated: source and destination change places."""
    return t12[4:8] + t12[:4] + t12[10:] + t12[8:10]


def tuple12(src: str, dst: str, sport: int, dport: int) -> bytes:
    """tuple12 of dotted addresses and ports 0…65535 (ValueError, struct.error if they are none)."""
    return _TUPLE.pack(IPv4Address(src).packed, IPv4Address(dst).packed, sport, dport)


def tuple_text(t12: bytes) -> str:
    """`10.1.0.10:40000 > 203.0.113.10:80`, for people."""
    src, dst, sport, dport = _TUPLE.unpack(t12)
    return f"{IPv4Address(src)}:{sport} > {IPv4Address(dst)}:{dport}"


def _adjusted(frame: bytes, offset: int, change: int) -> int:
    """The checksum at `offset` once the words that it covers have grown by `change`: HC' = ~(~HC +
    change).
    """
    total = (0xFFFF - (frame[offset] << 8 | frame[offset + 1]) + change) % 0xFFFF
    return 0xFFFF - total if total else 0
