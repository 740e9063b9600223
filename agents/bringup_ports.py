"""The ports of a unit's bridge: which there are, with which numbers, MAC addresses and MTUs; how
`ovs-vsctl` makes them. A part of `agents.bringup`'s plan, and what the doctor compares with.
"""

from collections.abc import Iterator
from typing import NamedTuple

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


class Port(NamedTuple):
    """One port. An `internal` one, which the unit's kernel or agent has, gets that MTU (bytes of
    IP), and that MAC address, if it is to have a certain one; a NIC must have that MTU at least.
    """

    name: str
    number: int
    mtu: int
    internal: bool = False
    mac: bytes | None = None


def ports_of(cluster: Cluster, unit: Unit) -> Iterator[Port]:
    """All but the bridge's own, in the order in which they are made."""
    for each, nic, mac in zip(cluster.interfaces, unit.nics, unit.macs, strict=True):
        yield Port(nic, nic_port(each.index), each.mtu)
        yield Port(each.name, kernel_port(each.index), each.mtu, internal=True, mac=mac)
    yield Port(unit.ha_nic, HA_NIC, peer.MTU)
    yield Port(HA_KERNEL_NAME, HA_KERNEL, peer.MAX_BODY, internal=True, mac=unit.ha_mac)
    # All that goes to the agent, and what agents tell each other, goes through it.
    most = max(peer.MTU, *(each.mtu for each in cluster.interfaces))
    yield Port(SYNOD_NAME, SYNOD, most, internal=True)


def commands(bridge: str, port: Port) -> list[list[str]]:
    """What makes it, in the words of `ovs-vsctl`."""
    settings = [f"ofport_request={port.number}"]
    if port.internal:
        settings = ["type=internal", *settings]
        settings += [f'mac="{mac_text(port.mac)}"'] if port.mac else []
        settings += [f"mtu_request={port.mtu}"]
    return [["add-port", bridge, port.name], ["set", "interface", port.name, *settings]]
