"""One unit after the other is taken out of service and put back, under load, the primary too."""

from tests.lab.failing import Cluster
from tests.lab.traffic import traffic

OUTAGE = 0.2  # seconds in which clients may have to ask twice


def synod(cluster: Cluster, *argv: str) -> None:
    cluster.world.lab.run("controller", ["synod", *argv])


def until_promotable(cluster: Cluster, unit: int) -> None:
    """Polls until a unit is up, and holds the sessions of all others."""
    others = sorted(set(cluster.world.units) - {unit})
    cluster.until(lambda: cluster.world.unit_status(unit)["synced"] == others)


def test_every_unit_is_upgraded_and_no_session_notices(cluster: Cluster) -> None:
    world = cluster.world
    first = cluster.primary
    in_turn = [*(unit for unit in world.units if unit != first), first]
    with traffic(world) as load:
        for unit in in_turn:
            if unit == cluster.primary:
                heir = in_turn[0]
                until_promotable(cluster, heir)
                synod(cluster, "promote", str(heir))
                cluster.until(lambda wanted=heir: cluster.primary == wanted)
                cluster.until_state(unit, "up")
            synod(cluster, "drain", str(unit), "--deadline", "0s")
            cluster.until(lambda u=unit: not world.unit_status(u)["sessions"]["live"])
            world.lab.stop_unit(unit)
            load.flows()
            load.answered()
            world.lab.start_unit(unit)
            synod(cluster, "undrain", str(unit))
            cluster.until_whole()
            load.flows()
    load.unharmed(outage=OUTAGE)
    assert cluster.primary != first
    cluster.until_all_serve()
