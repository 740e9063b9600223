"""Links that fail: of the HA network, of the controllers' network, both ways or one.

No such loss is a death, none ends a session, and none makes a second primary.
"""

from dataclasses import dataclass

import pytest

from tests.lab.failing import Cluster
from tests.lab.traffic import traffic

WAYS = ("both", "in", "out")


@dataclass(frozen=True, slots=True)
class Row:
    """The hosts whose cable is cut; a role stands for a unit that has it."""

    cable: str
    hosts: tuple[str, ...]
    outage: float = 1.0  # seconds


ALL = ("u1", "u2", "u3")
CUTS = {
    "an auxiliary's HA link": Row("ha", ("auxiliary",)),
    "the primary's HA link": Row("ha", ("primary",)),
    "all HA links": Row("ha", ALL),
    "an auxiliary from the controller": Row("mgmt", ("auxiliary",), 2.0),
    "the primary from the controller": Row("mgmt", ("primary",), 3.0),
    "the controller from all": Row("mgmt", ("controller",), 3.0),
}


@pytest.mark.parametrize("which", CUTS)
def test_nobody_is_dead_and_no_session_ends(cluster: Cluster, which: str) -> None:
    """Cut both ways, then for frames to the host only, then for those from it."""
    row, before = CUTS[which], (cluster.primary, cluster.dead())
    hosts = [
        f"u{cluster.unit(each)}" if each in ("primary", "auxiliary") else each for each in row.hosts
    ]
    with traffic(cluster.world) as running:
        for way in WAYS:
            for host in hosts:
                cluster.faults.cut(host, row.cable, way)
            noticed(cluster, row.cable, hosts)
            running.answered(40)
            running.flows()
            for host in hosts:
                cluster.faults.heal(host, row.cable)
            cluster.until_whole()
            cluster.until_all_serve()
    assert (cluster.primary, cluster.dead()) == before
    assert sorted(cluster.roles().values()) == ["auxiliary", "auxiliary", "primary"]
    running.unharmed(row.outage)


def noticed(cluster: Cluster, cable: str, hosts: list[str]) -> None:
    """The cut has had its effect on what the app knows, or on whether it is heard at all."""
    units = [int(host[1:]) for host in hosts if host != "controller"]
    for unit in units if cable == "mgmt" else ():
        cluster.until_state(unit, "down", "silent", timeout=15)
    if cable == "ha":
        cluster.until(lambda: deaf(cluster) or unheard(cluster) & set(units))
    if not units:
        cluster.until(lambda: not any(cluster.state(unit) == "up" for unit in ALL_UNITS), 15)


ALL_UNITS = (1, 2, 3)


def unheard(cluster: Cluster) -> set[int]:
    """Units whom some other doesn't hear."""
    rows = cluster.world.status()["units"]
    return {
        other["id"]
        for row in rows
        for other in rows
        if other is not row and other["id"] not in row["hears"]
    }


def deaf(cluster: Cluster) -> bool:
    """Does a unit hear nobody?"""
    return any(not row["hears"] for row in cluster.world.status()["units"])
