"""ARP over Ethernet for IPv4, with the talk's two opcodes for routed ARP (slides "arpreq_proxy",
"arpreply_proxy").

An auxiliary asks nobody but the primary: its request goes over the HA link as opcode 201, the
answer comes back as opcode 202. Bodies are those of RFC 826, unchanged. There both have a seal
(`agents.wire.seal`, 36 bytes) behind them, over all of the frame.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    |        hardware type 1        |      protocol type 0x0800     |
    +---------------+---------------+-------------------------------+
    |      6        |      4        |  opcode: 1, 2, 201 or 202     |
    +---------------+---------------+-------------------------------+
    |  sha (6 bytes)  |  spa (4)  |  tha (6 bytes)  |  tpa (4)      |
    +---------------------------------------------------------------+

after an Ethernet header of EtherType 0x0806: 42 bytes. What follows them, or the seal, is padding
and is ignored.
"""

import struct
from typing import NamedTuple

from agents.wire import seal
from agents.wire.errors import WireError

ETHERTYPE = 0x0806
REQUEST, REPLY, ROUTED_REQUEST, ROUTED_REPLY = 1, 2, 201, 202

BROADCAST = b"\xff" * 6
UNKNOWN = bytes(6)  # the target hardware address of a request

_FRAME = struct.Struct("!6s6sH 6sH 6s4s6s4s")
_ETHERNET_IPV4 = bytes.fromhex("0001 0800 06 04")


class Arp(NamedTuple):
    """One ARP frame: opcode, sender and target hardware (6 bytes) and protocol (4 bytes) addresses,
    Ethernet header.
    """

    op: int
    sha: bytes
    spa: bytes
    tha: bytes
    tpa: bytes
    eth_dst: bytes
    eth_src: bytes


def parse(frame: bytes) -> Arp:
    """Read a frame, any opcode; WireError not_arp, arp_truncated, arp_format."""
    if frame[12:14] != b"\x08\x06":
        raise WireError("not_arp")
    if len(frame) < _FRAME.size:
        raise WireError("arp_truncated", f"{len(frame)} bytes")
    eth_dst, eth_src, _, layout, op, sha, spa, tha, tpa = _FRAME.unpack_from(frame)
    if layout != _ETHERNET_IPV4:
        raise WireError("arp_format", layout.hex())
    return Arp(op, sha, spa, tha, tpa, eth_dst, eth_src)


def encode(arp: Arp) -> bytes:
    """The frame, 42 bytes, unpadded."""
    return _FRAME.pack(
        arp.eth_dst,
        arp.eth_src,
        ETHERTYPE,
        _ETHERNET_IPV4,
        arp.op,
        arp.sha,
        arp.spa,
        arp.tha,
        arp.tpa,
    )


def sealed(arp: Arp, sealer: seal.Sealer, epoch: bytes) -> bytes:
    """The frame with its seal, for the agent of that epoch (8 bytes) alone."""
    frame = encode(arp)
    return frame + sealer.seal(seal.ARP, frame + epoch)


def open_seal(frame: bytes, unit: int, opener: seal.Opener, epoch: bytes) -> None:
    """Returns if the frame is that unit's, to the agent of that epoch; WireError as
    `agents.wire.seal.Opener.open`.
    """
    end = _FRAME.size
    opener.open(seal.ARP, unit, frame[end : end + seal.SIZE], frame[:end] + epoch)
