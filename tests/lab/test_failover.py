"""Units that die, hang or are cut off, and units that are drained: what becomes of their sessions.

Sessions are asked before and after whether they are alive, each by a line that comes back;
downloads run through the fault, and every byte of them is compared.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.failing import mended
from tests.lab.world import PORT, SERVER, Session, World
from topologies.faulting import Faults

SIZE = 4 << 20  # bytes of a download, and how many a second of them come
CURL = ("curl", "-sS", "-m", "60", "--limit-rate", "1M")


@pytest.fixture(scope="module")
def _three_more(make_world: Callable[..., World]) -> World:
    return make_world(units=3)


@pytest.fixture
def world(_three_more: World) -> Iterator[World]:
    """A lab of three units of its own, any of them primary; whole before and after."""
    yield from (cluster.world for cluster in mended(_three_more))


@pytest.fixture
def faults(world: World) -> Faults:
    return Faults(world.lab)


def primary(world: World) -> int:
    return int(world.status()["primary"])


def auxiliaries(world: World) -> list[int]:
    return [unit for unit in world.units if unit != primary(world)]


def state(world: World, unit: int) -> str:
    return str(world.unit_status(unit)["state"])


def until_state(world: World, unit: int, wanted: str, timeout: float = 10) -> None:
    world.until(lambda: state(world, unit) == wanted, world.situation, timeout)


def one_on_each_unit(world: World) -> dict[int, Session]:
    """As many sessions as it takes: whose turn it is depends on what was before, and a unit that
    has just returned first gives up those that it had.
    """
    sessions: dict[int, Session] = {}

    def complete() -> bool:
        sessions.setdefault((session := world.connect()).unit, session)
        return set(sessions) == set(world.units)

    world.until(complete, world.situation)
    return sessions


def until_picked_up(world: World, sessions: dict[int, Session]) -> None:
    """Until every unit holds every one of these sessions, as established, and is known to: else
    another than the first auxiliary may be heir.
    """

    def everywhere() -> bool:
        if not world.lab.held(world.status()):
            return False
        entries = [
            world.entry(session.endpoints, unit)
            for session in sessions.values()
            for unit in world.units
        ]
        return all(entry and entry.state == "ESTABLISHED" for entry in entries)

    world.until(everywhere, world.situation)


def alive(world: World, session: Session) -> bool:
    return bool(world.client("talk", id=session.id, text="alive?") == "alive?")


@contextmanager
def downloads(world: World, tmp_path: Path, count: int = 6) -> Iterator[None]:
    """So many downloads run meanwhile, over all units; afterwards each must have come whole."""
    pages = world.lab.directory / "web" / "server" / "pages"
    (pages / "random").write_bytes(content := random.randbytes(SIZE))
    files = [tmp_path / str(number) for number in range(count)]
    running = [
        world.lab.popen(
            "client",
            [*CURL, "-o", str(file), f"http://{SERVER}/random"],
        )
        for file in files
    ]
    world.until(lambda: all(f.exists() and f.stat().st_size for f in files), "nothing comes")
    yield
    for process, file in zip(running, files, strict=True):
        assert process.wait(60) == 0
        assert file.read_bytes() == content


DEATHS: dict[str, Callable[[Faults, str], Any]] = {
    "killed": Faults.kill,
    "without power": Faults.power_off,
    "its switch hangs": partial(Faults.stop, program="vswitchd"),
}


KILLED = pytest.param("killed", marks=pytest.mark.both_tables)


@pytest.mark.parametrize("death", [KILLED, "without power", "its switch hangs"])
def test_the_sessions_of_an_auxiliary_that_dies_go_on(
    world: World, faults: Faults, tmp_path: Path, death: str
) -> None:
    dying, other = auxiliaries(world)
    sessions = one_on_each_unit(world)
    with downloads(world, tmp_path):
        DEATHS[death](faults, f"u{dying}")
        until_state(world, dying, "dead")
        assert all(alive(world, session) for session in sessions.values())
    assert {world.connect().unit for _ in range(4)} == {primary(world), other}
    entry = world.entry(sessions[dying].endpoints, primary(world))
    assert entry is not None
    assert entry.unit == primary(world)
    assert entry.timeout <= 600  # no longer that of a session whose packets go elsewhere


def test_a_unit_that_returns_serves_new_sessions_and_leaves_the_old_where_they_are(
    world: World, faults: Faults
) -> None:
    dying, _ = auxiliaries(world)
    sessions = one_on_each_unit(world)
    faults.power_off(f"u{dying}")
    until_state(world, dying, "dead")
    faults.restart(f"u{dying}")
    until_state(world, dying, "up")
    assert all(alive(world, session) for session in sessions.values())
    assert set(one_on_each_unit(world)) == set(world.units)


def test_a_unit_without_its_agent_is_not_dead(world: World, faults: Faults) -> None:
    silent, _ = auxiliaries(world)
    sessions, before = one_on_each_unit(world), world.counters()["unit_dead"]
    faults.stop(f"u{silent}", "agent")
    until_state(world, silent, "silent")
    assert all(alive(world, session) for session in sessions.values())
    assert world.counters()["unit_dead"] == before
    assert silent not in {world.connect().unit for _ in range(4)}


CUTS = {"one HA link": ("u2",), "all HA links": ("u1", "u2", "u3")}


@pytest.mark.parametrize("which", CUTS)
def test_nobody_is_dead_for_want_of_the_ha_link(world: World, faults: Faults, which: str) -> None:
    sessions = one_on_each_unit(world)
    before = world.counters()["unit_dead"]
    for host in CUTS[which]:
        faults.cut(host, "ha")
    world.until(lambda: 2 not in world.unit_status(3)["hears"], "unit 2 is heard")
    world.until(lambda: world.client("sessions", address=SERVER, port=PORT, count=6), "none")
    assert all(alive(world, session) for session in sessions.values())
    assert world.counters()["unit_dead"] == before


def test_nobody_is_dead_who_cannot_reach_the_app(world: World, faults: Faults) -> None:
    sessions = one_on_each_unit(world)
    before, was = world.counters()["unit_dead"], primary(world)
    for unit in world.units:
        faults.cut(f"u{unit}", "mgmt")
        assert all(alive(world, session) for session in sessions.values())
        assert world.client("sessions", address=SERVER, port=PORT, count=4) == ["ok"] * 4
        faults.heal(f"u{unit}")
        world.until(world.healthy, world.situation, timeout=20)
    assert (world.counters()["unit_dead"], primary(world)) == (before, was)


@pytest.mark.parametrize("death", [KILLED, "without power"])
def test_another_unit_takes_over_from_a_primary_that_dies(
    world: World, faults: Faults, tmp_path: Path, death: str
) -> None:
    was = primary(world)
    heir, _ = auxiliaries(world)
    sessions = one_on_each_unit(world)
    until_picked_up(world, sessions)
    with downloads(world, tmp_path):
        DEATHS[death](faults, f"u{was}")
        world.until(lambda: primary(world) == heir, world.situation)
        world.primary = heir
        assert all(alive(world, session) for session in sessions.values())
        assert world.client("sessions", address=SERVER, port=PORT, count=20) == ["ok"] * 20
    faults.restart(f"u{was}")
    until_state(world, was, "up")
    assert primary(world) == heir
    assert world.unit_status(was)["role"] == "auxiliary"
    assert all(alive(world, session) for session in sessions.values())
    one_on_each_unit(world)


def test_a_drained_unit_gets_no_new_sessions_and_keeps_its_own(world: World) -> None:
    drained, other = auxiliaries(world)
    sessions = one_on_each_unit(world)
    world.lab.run("controller", ["synod", "drain", str(drained)])
    assert {world.connect().unit for _ in range(4)} == {primary(world), other}
    assert alive(world, sessions[drained])
    entry = world.entry(sessions[drained].endpoints, primary(world))
    assert entry is not None
    assert entry.unit == drained
    world.lab.run("controller", ["synod", "undrain", str(drained)])
    one_on_each_unit(world)


@pytest.mark.both_tables
def test_at_the_deadline_what_is_left_of_a_drained_units_sessions_moves(
    world: World, tmp_path: Path
) -> None:
    drained, _ = auxiliaries(world)
    sessions = one_on_each_unit(world)
    with downloads(world, tmp_path):
        world.lab.run("controller", ["synod", "drain", str(drained), "--deadline", "1s"])
        world.until(lambda: not world.unit_status(drained)["sessions"]["live"], world.situation)
        assert alive(world, sessions[drained])
    entry = world.entry(sessions[drained].endpoints, primary(world))
    assert entry is not None
    assert entry.unit == primary(world)
    world.lab.run("controller", ["synod", "undrain", str(drained)])


def test_what_cannot_be_done_is_refused_with_the_reason(world: World) -> None:
    said = world.lab.run("controller", ["synod", "drain", "9"], check=False)
    assert (said.returncode, said.stderr) == (2, "there is no unit 9; there are 1, 2, 3\n")
    now = primary(world)
    said = world.lab.run(
        "controller", ["synod", "drain", str(now), "--deadline", "1s"], check=False
    )
    assert said.returncode == 1
    assert said.stderr.startswith(f"unit {now} is primary: ")
