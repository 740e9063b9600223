"""Gratuitous ARP of a new primary: switches and hosts learn where the virtual MACs are now.

The addresses' MACs are the same as before, so for hosts nothing changes; it is the switches that
must send frames for them out of another port. An ARP announcement (RFC 5227, section 2.3) is a
broadcast, so all of them see it; it is sent a few times, for one that gets lost.
"""

from agents.config import Cluster
from agents.wire import ports, routed_arp
from agents.wire.routed_arp import Arp
from ryu_apps.core.events import Send

PAUSES = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)  # seconds after the change


def announcements(cluster: Cluster, primary: int) -> list[Send]:
    """One for each address of the cluster, out of the primary's NICs."""
    return [
        Send(primary, ports.nic_port(interface.index), _announcement(interface.virtual_mac, ip))
        for interface in cluster.interfaces
        for ip in (address.ip.packed for address in interface.addresses)
    ]


def _announcement(mac: bytes, ip: bytes) -> bytes:
    return routed_arp.encode(
        Arp(
            op=routed_arp.REQUEST,
            sha=mac,
            spa=ip,
            tha=routed_arp.UNKNOWN,
            tpa=ip,
            eth_dst=routed_arp.BROADCAST,
            eth_src=mac,
        )
    )
