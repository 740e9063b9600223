"""The ports of a unit's bridge, in the words of `ovs-vsctl`: which there are, with which numbers,
MAC addresses and MTUs. A part of `agents.bringup`'s plan.
"""

from agents.config import Cluster, Unit
from agents.wire import peer
from agents.wire.ports import (
    HA_KERNEL,
    HA_KERNEL_NAME,
    HA_NIC,
    SYNOD,
    SYNOD_NAME,
    kernel_port,
    mac_text,
    nic_port,
)


def bridge_ports(cluster: Cluster, unit: Unit) -> list[list[list[str]]]:
    """For each port the commands that make it."""
    bridge = cluster.bridge
    ports = []
    for each, nic, mac in zip(cluster.interfaces, unit.nics, unit.macs, strict=True):
        ports.append(_nic(bridge, nic, nic_port(each.index)))
        ports.append(_internal(bridge, each.name, kernel_port(each.index), mac, each.mtu))
    ports.append(_nic(bridge, unit.ha_nic, HA_NIC))
    ports.append(_internal(bridge, HA_KERNEL_NAME, HA_KERNEL, unit.ha_mac, peer.MAX_BODY))
    ports.append(_internal(bridge, SYNOD_NAME, SYNOD, None, synod_mtu(cluster)))
    return ports


def synod_mtu(cluster: Cluster) -> int:
    """Of `synod0`: all that goes to the agent, and what agents tell each other, goes through it."""
    return max(peer.MTU, *(each.mtu for each in cluster.interfaces))


def _nic(bridge: str, name: str, number: int) -> list[list[str]]:
    return [["add-port", bridge, name], ["set", "interface", name, f"ofport_request={number}"]]


def _internal(
    bridge: str, name: str, number: int, mac: bytes | None, mtu: int | None = None
) -> list[list[str]]:
    settings = ["type=internal", f"ofport_request={number}"]
    settings += [f'mac="{mac_text(mac)}"'] if mac else []
    settings += [f"mtu_request={mtu}"] if mtu else []
    return [["add-port", bridge, name], ["set", "interface", name, *settings]]
