"""Routes of the cluster's file: what is behind a neighbour is reached through whichever unit
serves, and a unit whose switch has made its ports anew has its routes again.
"""

from ipaddress import IPv4Network

import pytest

from tests.lab.failing import Cluster
from tests.lab.world import PORT, SERVER
from topologies.recipe import BEHIND

THERE = str(IPv4Network(BEHIND)[1])


def routes(cluster: Cluster, unit: int) -> str:
    """A unit's to that network."""
    return cluster.world.lab.run(f"u{unit}", ["ip", "route", "show", BEHIND]).stdout.strip()


@pytest.mark.both_tables
def test_what_is_behind_a_neighbour(cluster: Cluster) -> None:
    world = cluster.world
    world.lab.run("server", ["ip", "address", "replace", f"{THERE}/32", "dev", "lo"])
    wanted = dict.fromkeys(world.units, f"{BEHIND} via {SERVER} dev ext")
    assert {unit: routes(cluster, unit) for unit in world.units} == wanted
    before = world.served()
    for victim in (cluster.unit("auxiliary"), cluster.primary):
        cluster.faults.restart_switch(f"u{victim}", anew=True)
        cluster.until(lambda unit=victim: routes(cluster, unit) == wanted[unit])
        cluster.until_whole()
        cluster.until_all_serve()
        each = 2 * len(world.units)
        assert world.client("sessions", address=THERE, port=PORT, count=each) == ["ok"] * each
    assert all((world.served() - before)[unit] >= 4 for unit in world.units)


def test_what_a_unit_itself_opens_is_answered_at_the_primary_only(cluster: Cluster) -> None:
    """docs/install.md says so, and what to do about it."""
    ask = ["curl", "--silent", "--max-time", "2", "--output", "/dev/null", f"http://{SERVER}/"]
    codes = {
        unit: cluster.world.lab.run(f"u{unit}", ask, check=False).returncode
        for unit in cluster.world.units
    }
    assert codes == {unit: 0 if unit == cluster.primary else 28 for unit in cluster.world.units}
