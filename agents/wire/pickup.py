"""What conntrackd tells the other units' conntrackds, as agents carry it: a packet of its own
(IPv4, RFC 791; UDP, RFC 768) as the body of a PICKUP (`agents.wire.peer`), whose seal covers it.

conntrackd speaks to a multicast group, in the clear, and believes whoever speaks to it. So its
packets don't go out as they are, nor come in: agents take them from the HA port and give them to
it. Nothing of what they say is read here: only whose they are, and to whom.
"""

from ipaddress import IPv4Address

from agents.wire.errors import WireError
from agents.wire.ports import PICKUP_GROUP, PICKUP_PORT

# Of the group: its last 23 bits (RFC 1112, section 6.4).
_ADDRESS = IPv4Address(PICKUP_GROUP).packed
MAC = b"\x01\x00\x5e" + bytes((_ADDRESS[1] & 0x7F, *_ADDRESS[2:]))

_IPV4 = b"\x08\x00"
_ETHERNET, _HEADER, _UDP_HEADER = 14, 20, 8
_PLAIN, _UDP = 0x45, 17  # version 4, five words; the protocol's number
_MORE_OR_BEHIND = 0x3FFF  # of a fragment: that more follow, or what is before it


def packet_of(frame: bytes, source: bytes) -> bytes:
    """The packet in a frame that conntrackd has sent from that address (4 bytes); WireError
    pickup_value if it isn't such a packet, whole.
    """
    length = int.from_bytes(frame[_ETHERNET + 2 : _ETHERNET + 4])
    packet = frame[_ETHERNET : _ETHERNET + length]
    if frame[12:14] != _IPV4:
        raise WireError("pickup_value", "no IPv4")
    _check(packet, source)
    return packet


def frame_of(packet: bytes, source: bytes, mac: bytes) -> bytes:
    """The frame that shows this packet to conntrackd: from that address (4 bytes) and MAC address
    (6 bytes) of a unit's HA port. WireError pickup_value if it is another's, or no such packet.
    """
    _check(packet, source)
    return MAC + mac + _IPV4 + packet


def _check(packet: bytes, source: bytes) -> None:
    if len(packet) < _HEADER + _UDP_HEADER or packet[0] != _PLAIN or packet[9] != _UDP:
        raise WireError("pickup_value", "no plain IPv4 with UDP")
    if int.from_bytes(packet[2:4]) != len(packet):
        raise WireError("pickup_value", f"{len(packet)} bytes of another length")
    if int.from_bytes(packet[6:8]) & _MORE_OR_BEHIND:
        raise WireError("pickup_value", "a fragment")
    if packet[12:16] != source or packet[16:20] != _ADDRESS:
        raise WireError("pickup_value", "from or to another address")
    if int.from_bytes(packet[22:24]) != PICKUP_PORT:
        raise WireError("pickup_value", "to another port")
