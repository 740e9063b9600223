"""Frames of a real cluster: what passed the NICs and `synod0` of three units of the lab, a few of
each sort, in captured.pcap.

Taken by `synod-lab capture` while web pages and files (by FTP, active and passive) were fetched, a
unit's neighbours were forgotten and another unit was made primary. That was before there were
seals: they are made here, what else came with them was put in then, and what conntrackd said is
carried.
"""

from dataclasses import replace
from pathlib import Path

from scapy.utils import rdpcap

from agents.config import Cluster
from agents.wire import control, packet, peer, pickup, ports, seal, syndata
from agents.wire.errors import WireError
from tests.unit.agent_scene import with_data, with_seal

FILE = Path(__file__).with_name("captured.pcap")
_GROUP = 1  # of the lab's cluster


def frames(cluster: Cluster) -> tuple[bytes, ...]:
    """The frames as they would be in that cluster: of its group, of units configured as it says."""
    return tuple(_of(cluster, bytes(packet)) for packet in rdpcap(str(FILE)))


def _of(cluster: Cluster, frame: bytes) -> bytes:
    for first in (b"\x02\x53\x59", b"\x03\x53\x59"):  # of all our MAC addresses, bodies of ARP too
        frame = frame.replace(first + bytes((_GROUP,)), first + bytes((cluster.group,)))
    if frame[:6] == pickup.MAC:
        to_all = peer.Link(cluster.group, frame[10], frame[6:12], ports.ha_group(cluster.group))
        return with_seal(peer.pickup_frame(to_all, pickup.packet_of(frame, frame[26:30])))
    if frame[12:14] != control.ETHERTYPE.to_bytes(2):
        return _handed_over(frame)
    frame = frame[:16] + bytes((cluster.group,)) + frame[17:]
    message = control.parse(frame)
    if message.kind != control.ANNOUNCE:
        return with_seal(frame)
    told = control.control_maps.unpack_announce(message.body)
    macs = {
        interface.name: mac.hex(":")
        for interface, mac in zip(cluster.interfaces, cluster.unit(message.unit).macs, strict=True)
    }
    told = replace(told, group=cluster.group, digest=cluster.digest, macs=macs)
    return control.announce_frames(told)[0]


def _handed_over(frame: bytes) -> bytes:
    """A SYN with SYN data gets their seal; any other frame is left alone."""
    try:
        syn = packet.parse_syn(frame)
        data, length = syndata.decode(syn.payload)
    except WireError:
        return frame
    told = syn.payload[-length : -seal.SIZE]
    return with_data(packet.cut_data(syn.frame, length), told, data.primary, to=1)
