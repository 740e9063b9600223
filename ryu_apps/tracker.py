"""Sessions as entries of Open vSwitch's connection tracker: the messages that write and remove
them. The mark of an entry is the unit's id.

A packet-out commits an entry from a packet that the app makes up, and that goes nowhere. Of each
session up to three:

    SYN      client → server, as the client sends
    SYN+ACK  server → client, the answer to that
    SYN      cluster → server, as the client's packets leave after NAT; none without NAT

so that what really follows is what a tracker expects: the client's packets those of a handshake
that has been answered, the server's the answers to a SYN. That is for the kernel's tracker
(nf_conntrack), which OVS uses with the kernel's datapath: where it picks nothing up
(nf_conntrack_tcp_loose=0, as units have it) a bare ACK makes no entry, and after nothing but a SYN
all that follows is invalid; after these, and with nf_conntrack_tcp_be_liberal=1, nothing is
(measured: data, FIN, RST, one way only). The userspace datapath's tracker gives an invalid packet
the mark of its entry, too (process_one() in OVS's lib/conntrack.c; measured).

An entry is removed by its tuple: NXT_CT_FLUSH, from OVS 3.1 on; or with all of the zone:
NXT_CT_FLUSH_ZONE, OVS 2.6 (ovs-ofctl(8), "ct-flush"). Ryu knows neither; they are experimenter
messages of Nicira's:

    NXT_CT_FLUSH       protocol u8, 0 u56; then properties: type u16, length u16 (without what pads
                       it to a multiple of 8), value
                         0 tuple: 0 u32, properties 0 source, 1 target (IPv6; IPv4 mapped, RFC 4291
                           2.5.5.2), 2 source port u16, 0 u16, 3 target port u16, 0 u16
                         2 zone u16, 0 u16
    NXT_CT_FLUSH_ZONE  0 u48, zone u16

Frames are made from templates, that are verified against what Ryu's packet library makes.
"""

import struct
from collections.abc import Callable, Iterable

from ryu.lib.packet import ethernet, ipv4, tcp
from ryu.lib.packet.packet import Packet
from ryu.ofproto import ofproto_v1_3_parser as parser
from ryu.ofproto.ofproto_common import NX_EXPERIMENTER_ID

from agents.wire.packet import inverse
from agents.wire.ports import CT_ZONE
from ryu_apps.core import events
from ryu_apps.core.flows import IPV4, TCP
from ryu_apps.messages import PROTOCOL, TemplateError, encoded, packet_out

_COMMIT = 1  # NX_CT_F_COMMIT
_NO_TABLE = 255  # NX_CT_RECIRC_NONE
_FLUSH_ZONE, _FLUSH = 29, 32
_TUPLE, _ZONE = 0, 2  # properties of NXT_CT_FLUSH
_MAPPED = bytes(10) + b"\xff\xff"  # of an IPv4 address in IPv6

_SYN, _ACK, _SYN_ACK = 0x02, 0x10, 0x12
_WORDS = struct.Struct("!6H")
_FRAME = struct.Struct("!24sH12s8sBB2sH8s")
_SAMPLES = (
    bytes.fromhex("0a01000a cb00710a 9c40 0050"),
    bytes.fromhex("00000000 00000000 0000 0000"),
    bytes.fromhex("ffffffff ffffffff ffff ffff"),
    bytes.fromhex("c1c2c3c4 d1d2d3d4 e1e2 f1f2"),
)


def forget() -> bytes:
    """All entries go."""
    return _nicira(_FLUSH_ZONE, bytes(6) + CT_ZONE.to_bytes(2, "big"))


def look(tuple12: bytes, table: int) -> bytes:
    """A packet of that tuple is looked up, and goes on in that table. Nothing is committed; to an
    entry it is what the handshake's last ACK would be, by which it is only kept for longer.
    """
    track = parser.NXActionCT(0, "", CT_ZONE, table, 0, [])
    return packet_out([track], _by_ryu(tuple12, _ACK))


def deleting() -> Callable[[Iterable[bytes]], list[bytes]]:
    """A function from tuples to the messages that delete their entries. Tuples that are each
    other's inverse have one entry.
    """
    sample = _SAMPLES[-1]
    whole = _flush(sample)
    a, _, rest = whole.partition(sample[0:4])
    b, _, rest = rest.partition(sample[4:8])
    c, _, rest = rest.partition(sample[8:10])
    d, _, e = rest.partition(sample[10:12])

    def fill(t12: bytes) -> bytes:
        return b"".join((a, t12[0:4], b, t12[4:8], c, t12[8:10], d, t12[10:12], e))

    for each in _SAMPLES:
        if fill(each) != _flush(each):
            raise TemplateError(f"flush of {each.hex()} differs")

    def delete(tuples: Iterable[bytes]) -> list[bytes]:
        return [fill(tuple12) for tuple12 in {min(each, inverse(each)): each for each in tuples}]

    return delete


def committing(units: Iterable[int]) -> Callable[[int, bytes, bytes], bytes]:
    """A function from unit, orig and reply to the packet-outs of a session."""
    heads = {unit: _head(unit) for unit in units}
    syn, syn_ack = _frames(_SYN), _frames(_SYN_ACK)

    def commit(unit: int, orig: bytes, reply: bytes) -> bytes:
        head, there, translated = heads[unit], inverse(orig), inverse(reply)
        both = (head, syn(orig), head, syn_ack(there))
        return b"".join(both if translated == orig else (*both, head, syn(translated)))

    return commit


def _head(unit: int) -> bytes:
    """A packet-out up to the frame."""
    mark = parser.OFPActionSetField(ct_mark=unit)
    commit = parser.NXActionCT(_COMMIT, "", CT_ZONE, _NO_TABLE, 0, [mark])
    frame = _by_ryu(_SAMPLES[0], _SYN)
    return packet_out([commit], frame)[: -len(frame)]


def _frames(flags: int) -> Callable[[bytes], bytes]:
    """A function from a tuple to the frame with these flags."""
    base = _by_ryu(bytes(12), flags)
    start, ip_sum, _, numbers, offset, bits, window, tcp_sum, end = _FRAME.unpack(base)
    # Checksums are those of a tuple of zeros, less the tuple's words (RFC 1624): one's complement.
    ip_sum, tcp_sum = 0xFFFF - ip_sum, 0xFFFF - tcp_sum

    def fill(t12: bytes) -> bytes:
        w = _WORDS.unpack(t12)
        addresses = w[0] + w[1] + w[2] + w[3]
        ip, all_of_it = ip_sum + addresses, tcp_sum + addresses + w[4] + w[5]
        return _FRAME.pack(
            start,
            _complement(ip),
            t12,
            numbers,
            offset,
            bits,
            window,
            _complement(all_of_it),
            end,
        )

    for each in _SAMPLES:
        if fill(each) != _by_ryu(each, flags):
            raise TemplateError(f"frame of {each.hex()} differs from Ryu's")
    return fill


def _complement(total: int) -> int:
    total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - ((total & 0xFFFF) + (total >> 16))


def _by_ryu(t12: bytes, flags: int) -> bytes:
    source, target = (".".join(map(str, t12[at : at + 4])) for at in (0, 4))
    sport, dport = (int.from_bytes(t12[at : at + 2], "big") for at in (8, 10))
    none = ":".join(["00"] * 6)
    packet = Packet()
    packet.add_protocol(ethernet.ethernet(none, none, IPV4))
    packet.add_protocol(ipv4.ipv4(src=source, dst=target, proto=TCP))
    packet.add_protocol(
        tcp.tcp(sport, dport, ack=int(flags == _SYN_ACK), bits=flags, window_size=0xFFFF)
    )
    packet.serialize()
    return bytes(packet.data)


def _flush(t12: bytes) -> bytes:
    addresses = (_property(n, _MAPPED + t12[4 * n : 4 * n + 4]) for n in (0, 1))
    ports = (_property(n, t12[4 + 2 * n : 6 + 2 * n] + bytes(2)) for n in (2, 3))
    body = b"".join((*addresses, *ports))
    zone = _property(_ZONE, CT_ZONE.to_bytes(2, "big") + bytes(2))
    return _nicira(_FLUSH, bytes((TCP, *bytes(7))) + _nested(_TUPLE, body) + zone)


def _property(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("!HH", kind, length) + value + bytes(-length % 8)


def _nested(kind: int, properties: bytes) -> bytes:
    """A property that is made of others, which begin at a multiple of 8."""
    return struct.pack("!HHI", kind, 8 + len(properties), 0) + properties


def _nicira(kind: int, data: bytes) -> bytes:
    message = parser.OFPExperimenter(PROTOCOL, NX_EXPERIMENTER_ID, kind, data)
    return encoded(message, events.SESSION_TOKEN)
