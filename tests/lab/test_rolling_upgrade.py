"""One unit after the other is taken out of service and put back, under load, the primary too; and
the cluster's key is replaced.
"""

from pathlib import Path

from agents import config_key
from agents.wire.seal import fingerprint
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


def test_the_key_is_replaced_and_no_session_notices(cluster: Cluster) -> None:
    """The lab's units have one file. Agents take it up at different times, as they would files that
    are copied from one to another.
    """
    world = cluster.world
    file = str(world.lab.config.with_name("key"))
    logs = [world.lab.log_dir / f"u{unit}/synod/agent.log" for unit in world.units]
    before = config_key.load(file)
    with traffic(world) as load:
        for step in ("add", "use", "drop"):
            world.lab.run("u1", ["synod", "key", step])
            names = [f"{fingerprint(key):08x}" for key in config_key.load(file)]
            cluster.until(lambda wanted=names: all(_keys(log) == wanted for log in logs))
            load.answered()
            load.flows()
    load.unharmed(outage=OUTAGE)
    (now,) = config_key.load(file)
    assert now not in before
    for unit in world.units:
        seals = {name for name in world.agent_counters(unit) if name.startswith("seal_")}
        assert not seals & {"seal_key", "seal_tag"}, f"unit {unit}: {seals}"


def _keys(log: Path) -> list[str]:
    """What an agent's keys are called, as its log said last."""
    lines = [line for line in log.read_text().splitlines() if "event=keys_changed" in line]
    return lines[-1].partition(" keys=")[2].split(",") if lines else []
