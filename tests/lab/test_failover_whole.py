"""The whole cluster off and on again: it forms by itself, whoever is there first."""

import pytest

from tests.lab.failing import Cluster
from tests.lab.world import PORT, SERVER

ORDERS = {"in order": (1, 2, 3), "the last first": (3, 2, 1)}


def serves(cluster: Cluster) -> None:
    """New sessions are served by all units, and there is one primary."""
    cluster.until_whole()
    cluster.until_all_serve()
    assert sorted(cluster.roles().values()) == ["auxiliary", "auxiliary", "primary"]
    assert cluster.world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20


@pytest.mark.parametrize("order", ORDERS)
def test_all_units_off_and_on(cluster: Cluster, order: str) -> None:
    for unit in cluster.world.units:
        cluster.faults.power_off(f"u{unit}")
    cluster.until(lambda: not any(cluster.state(unit) == "up" for unit in cluster.world.units))
    for unit in ORDERS[order]:
        cluster.faults.restart(f"u{unit}")
    serves(cluster)


def test_all_units_and_the_app_off_and_on(cluster: Cluster) -> None:
    hosts = ["controller", *(f"u{unit}" for unit in cluster.world.units)]
    for host in hosts:
        cluster.faults.kill(host)
    for host in reversed(hosts):
        cluster.faults.restart(host)
    serves(cluster)


def test_all_programs_of_all_units_killed_and_no_host_booted(cluster: Cluster) -> None:
    for unit in cluster.world.units:
        cluster.faults.kill(f"u{unit}")
    cluster.until(lambda: not any(cluster.state(unit) == "up" for unit in cluster.world.units))
    for unit in cluster.world.units:
        cluster.world.lab.start_unit(unit)
    serves(cluster)


def test_one_unit_alone_serves_and_the_others_join_it(cluster: Cluster) -> None:
    for unit in cluster.world.units:
        cluster.faults.power_off(f"u{unit}")
    cluster.faults.restart("u2")
    cluster.until_state(2, "up", timeout=20)
    cluster.until(lambda: cluster.primary == 2)
    assert cluster.world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20
    for unit in (1, 3):
        cluster.faults.restart(f"u{unit}")
    serves(cluster)
    assert cluster.primary == 2
