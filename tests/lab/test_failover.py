"""Units that die, hang or are cut off, and units that are drained: what becomes of their sessions.

Sessions are asked before and after whether they are alive, each by a line that comes back;
downloads run through the fault, and every byte of them is compared.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.failing import Cluster
from tests.lab.world import PORT, SERVER, World
from topologies.faulting import Faults


@pytest.fixture
def world(cluster: Cluster) -> World:
    return cluster.world


DEATHS: dict[str, Callable[[Faults, str], Any]] = {
    "killed": Faults.kill,
    "without power": Faults.power_off,
    "its switch hangs": partial(Faults.stop, program="vswitchd"),
}


KILLED = pytest.param("killed", marks=pytest.mark.both_tables)


@pytest.mark.parametrize("death", [KILLED, "without power", "its switch hangs"])
def test_the_sessions_of_an_auxiliary_that_dies_go_on(
    cluster: Cluster, world: World, tmp_path: Path, death: str
) -> None:
    dying, other = cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    with cluster.downloads(tmp_path):
        DEATHS[death](cluster.faults, f"u{dying}")
        cluster.until_state(dying, "dead")
        assert all(cluster.alive(session) for session in sessions.values())
    assert {world.connect().unit for _ in range(4)} == {cluster.primary, other}
    entry = world.entry(sessions[dying].endpoints, cluster.primary)
    assert entry is not None
    assert entry.unit == cluster.primary
    assert entry.timeout <= 600  # no longer that of a session whose packets go elsewhere


def test_a_unit_that_returns_serves_new_sessions_and_leaves_the_old_where_they_are(
    cluster: Cluster, world: World
) -> None:
    dying, _ = cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    cluster.faults.power_off(f"u{dying}")
    cluster.until_state(dying, "dead")
    cluster.faults.restart(f"u{dying}")
    cluster.until_state(dying, "up")
    assert all(cluster.alive(session) for session in sessions.values())
    assert set(cluster.one_on_each_unit()) == set(world.units)


def test_a_unit_without_its_agent_is_not_dead(cluster: Cluster, world: World) -> None:
    silent, _ = cluster.auxiliaries
    sessions, before = cluster.one_on_each_unit(), world.counters()["unit_dead"]
    cluster.faults.stop(f"u{silent}", "agent")
    cluster.until_state(silent, "silent")
    assert all(cluster.alive(session) for session in sessions.values())
    assert world.counters()["unit_dead"] == before
    assert silent not in {world.connect().unit for _ in range(4)}


CUTS = {"one HA link": ("u2",), "all HA links": ("u1", "u2", "u3")}


@pytest.mark.parametrize("which", CUTS)
def test_nobody_is_dead_for_want_of_the_ha_link(cluster: Cluster, world: World, which: str) -> None:
    sessions = cluster.one_on_each_unit()
    before = world.counters()["unit_dead"]
    for host in CUTS[which]:
        cluster.faults.cut(host, "ha")
    world.until(lambda: 2 not in world.unit_status(3)["hears"], "unit 2 is heard")
    assert world.client("sessions", address=SERVER, port=PORT, count=6) == ["ok"] * 6
    assert all(cluster.alive(session) for session in sessions.values())
    assert world.counters()["unit_dead"] == before


def test_nobody_is_dead_who_cannot_reach_the_app(cluster: Cluster, world: World) -> None:
    sessions = cluster.one_on_each_unit()
    before, was = world.counters()["unit_dead"], cluster.primary
    for unit in world.units:
        cluster.faults.cut(f"u{unit}", "mgmt")
        assert all(cluster.alive(session) for session in sessions.values())
        assert world.client("sessions", address=SERVER, port=PORT, count=4) == ["ok"] * 4
        cluster.faults.heal(f"u{unit}")
        world.until(world.healthy, world.situation, timeout=20)
    assert (world.counters()["unit_dead"], cluster.primary) == (before, was)


@pytest.mark.parametrize("death", [KILLED, "without power"])
def test_another_unit_takes_over_from_a_primary_that_dies(
    cluster: Cluster, world: World, tmp_path: Path, death: str
) -> None:
    was = cluster.primary
    heir, _ = cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    cluster.until_picked_up(sessions)
    with cluster.downloads(tmp_path):
        DEATHS[death](cluster.faults, f"u{was}")
        world.until(lambda: cluster.primary == heir, world.situation)
        world.primary = heir
        assert all(cluster.alive(session) for session in sessions.values())
        assert world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20
    cluster.faults.restart(f"u{was}")
    cluster.until_state(was, "up")
    assert cluster.primary == heir
    assert world.unit_status(was)["role"] == "auxiliary"
    assert all(cluster.alive(session) for session in sessions.values())
    cluster.one_on_each_unit()


def test_a_drained_unit_gets_no_new_sessions_and_keeps_its_own(
    cluster: Cluster, world: World
) -> None:
    drained, other = cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    world.lab.run("controller", ["synod", "drain", str(drained)])
    assert {world.connect().unit for _ in range(4)} == {cluster.primary, other}
    assert cluster.alive(sessions[drained])
    entry = world.entry(sessions[drained].endpoints, cluster.primary)
    assert entry is not None
    assert entry.unit == drained
    world.lab.run("controller", ["synod", "undrain", str(drained)])
    cluster.one_on_each_unit()


@pytest.mark.both_tables
def test_at_the_deadline_what_is_left_of_a_drained_units_sessions_moves(
    cluster: Cluster, world: World, tmp_path: Path
) -> None:
    drained, _ = cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    with cluster.downloads(tmp_path):
        world.lab.run("controller", ["synod", "drain", str(drained), "--deadline", "1s"])
        world.until(lambda: not world.unit_status(drained)["sessions"]["live"], world.situation)
        assert cluster.alive(sessions[drained])
    entry = world.entry(sessions[drained].endpoints, cluster.primary)
    assert entry is not None
    assert entry.unit == cluster.primary
    world.lab.run("controller", ["synod", "undrain", str(drained)])


def test_what_cannot_be_done_is_refused_with_the_reason(cluster: Cluster, world: World) -> None:
    said = world.lab.run("controller", ["synod", "drain", "9"], check=False)
    assert (said.returncode, said.stderr) == (2, "there is no unit 9; there are 1, 2, 3\n")
    now = cluster.primary
    said = world.lab.run(
        "controller", ["synod", "drain", str(now), "--deadline", "1s"], check=False
    )
    assert said.returncode == 1
    assert said.stderr.startswith(f"unit {now} is primary: ")
