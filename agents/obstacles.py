"""What on a machine stands in the way of its becoming a unit: all of it, before that is touched.

Pure: `agents.provision` looks, and refuses.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agents.config import Cluster
from agents.wire.ports import HA_KERNEL_NAME, SYNOD_NAME, mac_bytes


def problems_with(
    cluster: Cluster,
    unit_id: int,
    links: Mapping[str, Any],
    routes: Iterable[tuple[str, str, str]],
    ours: bool,
) -> list[str]:
    """In words. `links` as `ip -json address` gives them, `routes` as `agents.mending.Seen` has
    them; `ours`: the bridge is there, and Synod's.
    """
    found = [*_nics(cluster, unit_id, links)]
    names = [each.name for each in cluster.interfaces]
    if not ours:
        taken = [*names, HA_KERNEL_NAME, SYNOD_NAME, cluster.bridge]
        found += [f"there is a {name} already, not Synod's" for name in taken if name in links]
    wanted = {str(route.to) for route in cluster.routes}
    rivals = [route for route in sorted(routes) if route[0] in wanted and route[2] not in names]
    return found + [_RIVAL.format(to=to, via=via, name=name) for to, via, name in rivals]


# The kernel would take the one of the lower metric, and replace one of the same.
_RIVAL = (
    "there is a route to {to} by way of {via} over {name}, and the cluster's file has another: "
    "give this one a narrower network, or a table or VRF of its own (docs/install.md)"
)


def _nics(cluster: Cluster, unit_id: int, links: Mapping[str, Any]) -> Iterator[str]:
    unit = cluster.unit(unit_id)
    for nic in (*unit.nics, unit.ha_nic):
        if nic not in links:
            yield f"there is no interface {nic}"
            continue
        addresses = [a["local"] for a in links[nic]["addr_info"] if a["family"] == "inet"]
        if addresses:
            listed = ", ".join(addresses)
            yield f"{nic} has the address {listed}: the cluster's NICs must have none"
        if mac_bytes(links[nic]["address"]) in (*unit.macs, unit.ha_mac):
            yield f"{nic} has the MAC address of a kernel port: the two must differ"
