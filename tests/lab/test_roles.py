"""Links that are lost, a primary that steps back for another, and one that was cut off and falls
silent.

Every unit holds every session, so all of them must go on, whoever is primary.
"""

import itertools
import json
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.failing import SIZE, Cluster
from tests.lab.world import PORT, SERVER, Session, World
from topologies.faulting import Faults
from topologies.observe import entries

# Of downloads' clients: each is used once. Above those that kernels choose at random.
PORTS = itertools.count(61000)


@pytest.fixture
def world(cluster: Cluster) -> World:
    return cluster.world


def nics_down(world: World, unit: int) -> set[str]:
    """The NICs of a unit that are set down."""
    rows = json.loads(world.lab.run(f"u{unit}", ["ip", "-j", "link"]).stdout)
    return {row["ifname"] for row in rows if "nic-" in row["ifname"] and "UP" not in row["flags"]}


def synod(world: World, *argv: str) -> subprocess.CompletedProcess[str]:
    return world.lab.run("controller", ["synod", *argv], check=False)


@contextmanager
def download_through(world: World, unit: int, file: Path) -> Iterator[None]:
    """A download that this unit serves runs meanwhile; afterwards it must have come whole."""
    pages = world.lab.directory / "web" / "server" / "pages"
    (pages / "random").write_bytes(content := random.randbytes(SIZE))
    running: dict[int, subprocess.Popen[str]] = {}
    for port in itertools.islice(PORTS, 2 * len(world.units)):
        url = f"http://{SERVER}/random"
        options = ["-sS", "-m", "60", "--limit-rate", "1M", "--local-port", str(port)]
        running[port] = world.popen("client", "curl", *options, "-o", f"{file}-{port}", url)

    def served() -> dict[int, int]:
        found = {e.original.sport: e.unit for e in entries(world.lab, world.primary)}
        return {port: found[port] for port in running if found.get(port)}

    world.until(lambda: len(served()) == len(running), lambda: f"undecided: {served()}")
    port = next(port for port, by in served().items() if by == unit)
    world.until(lambda: Path(f"{file}-{port}").exists(), "nothing comes")
    for other, process in running.items():
        if other != port:
            process.terminate()
            process.wait(10)
    yield
    assert running[port].wait(60) == 0
    assert Path(f"{file}-{port}").read_bytes() == content


@contextmanager
def asked_all_the_time(world: World, session: Session) -> Iterator[list[str]]:
    """A session is asked again and again meanwhile; what it answered."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(world.client("talk", id=session.id, text="still there?"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        world.until(lambda: len(answers) > 100, "no answers")
        yield answers
    finally:
        over.set()
        asking.join(10)
    assert not asking.is_alive()


def retransmitted(world: World, session: Session) -> int:
    """How many segments of a session have got lost on the way, by its two ends."""
    accepted = world.server("clients")[session.seen]
    ends = (world.client, session.id), (world.server, accepted)
    return sum(peer("retransmitted", id=id) for peer, id in ends)


# -- links

WAYS = {"the NIC is set down": True, "the switch's port is down": False}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cable", ["int", "ext"])
def test_the_sessions_of_an_auxiliary_without_a_link_go_on(
    cluster: Cluster, world: World, tmp_path: Path, cable: str, way: str
) -> None:
    cut, other = cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    with cluster.downloads(tmp_path):
        cluster.faults.cut(f"u{cut}", cable, nic=WAYS[way])
        cluster.until_state(cut, "degraded")
        assert all(cluster.alive(session) for session in sessions.values())
        assert world.unit_status(cut)["links_down"] == [cable]
        assert {world.connect().unit for _ in range(4)} == {cluster.primary, other}
    cluster.faults.heal(f"u{cut}")
    cluster.until_state(cut, "up")
    assert all(cluster.alive(session) for session in sessions.values())
    cluster.one_on_each_unit()


@pytest.mark.parametrize("way", WAYS)
def test_a_primary_without_a_link_steps_back_for_another(
    cluster: Cluster, world: World, tmp_path: Path, way: str
) -> None:
    was, (heir, _) = cluster.primary, cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    cluster.until_picked_up(sessions)
    with download_through(world, heir, tmp_path / "page"):
        cluster.faults.cut(f"u{was}", "ext", nic=WAYS[way])
        world.until(lambda: cluster.primary == heir, world.situation)
        world.primary = heir
        assert all(cluster.alive(session) for session in sessions.values())
        assert world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20
    assert world.unit_status(was)["state"] == "degraded"
    cluster.faults.heal(f"u{was}")
    cluster.until_state(was, "up")
    assert (cluster.primary, world.unit_status(was)["role"]) == (heir, "auxiliary")
    cluster.one_on_each_unit()


# -- orders


def promote(world: World, heir: int) -> subprocess.CompletedProcess[str]:
    """The order, given once the change of primary of the test before is over, and all units have
    been told anew of all sessions.
    """

    def given() -> subprocess.CompletedProcess[str] | None:
        if world.unit_status(heir)["unheld"]:
            return None
        said = synod(world, "promote", str(heir))
        return None if "just becoming primary" in said.stderr else said

    said: subprocess.CompletedProcess[str] = world.until(given, world.situation)
    return said


@pytest.mark.both_tables
def test_a_unit_is_promoted_and_nothing_is_lost(
    cluster: Cluster, world: World, tmp_path: Path
) -> None:
    was, (heir, _) = cluster.primary, cluster.auxiliaries
    sessions = cluster.one_on_each_unit()
    cluster.until_picked_up(sessions)
    with cluster.downloads(tmp_path):
        said = promote(world, heir)
        assert (said.returncode, said.stdout) == (0, f"unit {heir} is about to be primary\n")
        world.until(lambda: cluster.primary == heir, world.situation)
        world.primary = heir
        assert all(cluster.alive(session) for session in sessions.values())
        assert world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20
    world.until(world.healthy, world.situation)
    cluster.one_on_each_unit()
    assert synod(world, "drain", str(was), "--deadline", "0s").returncode == 0
    assert synod(world, "undrain", str(was)).returncode == 0


@pytest.mark.parametrize("whose", ["the heir's", "the old primary's", "another's"])
def test_no_frame_is_lost_while_a_unit_is_promoted(
    cluster: Cluster, world: World, whose: str
) -> None:
    heir, other = cluster.auxiliaries
    unit = {"the heir's": heir, "the old primary's": cluster.primary, "another's": other}[whose]
    session = (sessions := cluster.one_on_each_unit())[unit]
    cluster.until_picked_up(sessions)
    before = retransmitted(world, session)
    with asked_all_the_time(world, session) as answers:
        assert promote(world, heir).returncode == 0
        world.until(lambda: cluster.primary == heir, world.situation)
        since = len(answers)
        world.until(lambda: len(answers) > since + 100, "no answers")
    assert retransmitted(world, session) == before
    assert set(answers) == {"still there?"}


# -- two primaries


def cut_off(faults: Faults, host: str) -> None:
    for cable in ("mgmt", "ha"):
        faults.cut(host, cable)


def without_agent(faults: Faults, host: str) -> None:
    """Nor does it come back sooner than the unit is missed."""
    faults.cut(host, "mgmt")
    faults.stop(host, "supervisor")
    faults.crash(host, "agent")


def with_data_links_first(faults: Faults, host: str) -> None:
    for cable in ("mgmt", "ha", "int", "ext"):
        faults.cut(host, cable)


ISOLATIONS = {
    "from app and units": cut_off,
    "from the app, its agent has ended": without_agent,
    "from all": with_data_links_first,
}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_primary_that_was_cut_off_and_replaced_falls_silent(
    cluster: Cluster, world: World, isolation: str
) -> None:
    was, (heir, _) = cluster.primary, cluster.auxiliaries
    host, sessions = f"u{was}", cluster.one_on_each_unit()
    cluster.until_picked_up(sessions)
    ISOLATIONS[isolation](cluster.faults, host)
    world.until(lambda: cluster.primary == heir, world.situation)
    world.primary = heir
    if isolation == "from the app, its agent has ended":
        cluster.faults.continue_(host, "supervisor")
    if isolation == "from all":
        for cable in ("int", "ext"):
            cluster.faults.heal(host, cable)
    silent = {"nic-int", "nic-ext"}
    world.until(lambda: nics_down(world, was) == silent, "it goes on")
    world.lab.run(host, ["ip", "link", "set", "nic-ext", "up"])
    world.until(lambda: nics_down(world, was) == silent, "it speaks again")
    assert all(cluster.alive(session) for session in sessions.values())
    assert world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20
    cluster.faults.heal(host, "ha")
    cluster.faults.heal(host, "mgmt")
    cluster.until_state(was, "up")
    assert nics_down(world, was) == set()
    assert (cluster.primary, world.unit_status(was)["role"]) == (heir, "auxiliary")
    assert world.agent_counters(was)["fence_lifted"] >= 1
    assert all(cluster.alive(session) for session in sessions.values())
    cluster.one_on_each_unit()


def test_a_fenced_unit_that_is_taken_down_has_its_nics_back(cluster: Cluster, world: World) -> None:
    was, (heir, _) = cluster.primary, cluster.auxiliaries
    host = f"u{was}"
    cut_off(cluster.faults, host)
    world.until(lambda: cluster.primary == heir, world.situation)
    world.primary = heir
    world.until(lambda: nics_down(world, was) == {"nic-int", "nic-ext"}, "it goes on")
    world.lab.run(host, ["synod", "unit", "down"])
    down = nics_down(world, was)
    world.lab.run(host, ["synod", "unit", "up", "--id", str(was)])
    cluster.faults.heal(host, "ha")
    cluster.faults.heal(host, "mgmt")
    cluster.until_state(was, "up")
    assert (down, nics_down(world, was)) == (set(), set())


# -- what is lacking


def test_an_ha_link_that_is_lost_is_seen_in_the_status(cluster: Cluster, world: World) -> None:
    cut, other = cluster.auxiliaries
    before = world.counters()
    cluster.faults.cut(f"u{cut}", "ha")
    lost = f"unit {cut} lacks the HA link to " + ", ".join(str(u) for u in world.units if u != cut)
    world.until(lambda: lost in synod(world, "status").stdout, world.situation)
    world.until(lambda: world.counters()["ha_link_lost"] - before["ha_link_lost"] >= 3, "not told")
    assert world.unit_status(other)["unheard"] == [cut]
    cluster.faults.heal(f"u{cut}")
    world.until(lambda: "HA link" not in synod(world, "status").stdout, world.situation)
    world.until(lambda: world.counters()["ha_link_back"] - before["ha_link_back"] >= 3, "not told")
    assert world.counters()["unit_dead"] == before["unit_dead"]
