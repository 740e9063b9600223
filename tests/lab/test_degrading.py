"""The app goes away, or the primary's agent: new sessions are the primary's, running ones go on.

When it is back, so is balancing, by itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.lab.world import PORT, SERVER, Session, World
from topologies.observe import switch_sessions

pytestmark = pytest.mark.usefixtures("_nothing_left")

Away = Callable[[World], None]


def stop_app(world: World) -> None:
    world.lab.stop_app()


def stop_primarys_agent(world: World) -> None:
    world.lab.stop_agent(1)


def start_app(world: World) -> None:
    world.lab.start_app()


def start_primarys_agent(world: World) -> None:
    with noticed(world):
        world.lab.start_agent(1)


@contextmanager
def noticed(world: World) -> Iterator[None]:
    """The app has noticed that an agent is a new one: it has asked it what it serves.

    Else an agent that is back before it was missed would seem not to have been away.
    """
    before = world.counters()["census_done"]
    yield
    world.until(lambda: world.counters()["census_done"] > before, world.situation)


WHAT = {"app": (stop_app, start_app), "agent": (stop_primarys_agent, start_primarys_agent)}
EITHER = pytest.mark.parametrize("what", WHAT)


@contextmanager
def away(world: World, what: str) -> Iterator[None]:
    """Something is not there for a while; afterwards the cluster is waited for."""
    stop, start = WHAT[what]
    stop(world)
    try:
        yield
    finally:
        start(world)
        world.until(world.healthy, lambda: f"not whole again: {world.situation()}", timeout=20)


def one_on_each_unit(world: World) -> list[Session]:
    sessions = [world.connect() for _ in world.units]
    assert {session.unit for session in sessions} == set(world.units)
    return sessions


def assert_alive(world: World, sessions: list[Session]) -> None:
    for session in sessions:
        assert world.client("talk", id=session.id, text="alive?") == "alive?"


@EITHER
def test_new_sessions_are_the_primarys_and_none_fails(world: World, what: str) -> None:
    with away(world, what):
        # From the first moment on: nothing may be refused while the absence is not yet noticed.
        assert set(world.client("sessions", address=SERVER, port=PORT, count=60)) == {"ok"}
        opened = [world.client("connect", address=SERVER, port=PORT) for _ in range(6)]
        for session in opened:
            assert world.client("talk", id=session["id"], text="alive?") == "alive?"
        held = [
            world.entry_of_port(session["port"], unit)
            for session in opened[3:]
            for unit in world.units
        ]
        # Without its agent the primary's entries have no unit's label.
        assert {entry.unit for entry in held if entry} == {0 if what == "agent" else 1}
    for session in opened:
        assert world.client("talk", id=session["id"], text="alive?") == "alive?"


@EITHER
def test_running_sessions_go_on(world: World, what: str) -> None:
    sessions = one_on_each_unit(world)
    with away(world, what):
        assert_alive(world, sessions)
        assert switch_sessions(world.lab, 1)
    assert_alive(world, sessions)


@EITHER
def test_balancing_comes_back_by_itself(world: World, what: str) -> None:
    with away(world, what):
        world.client("sessions", address=SERVER, port=PORT, count=3)
    assert_alive(world, one_on_each_unit(world))


@EITHER
def test_what_ended_meanwhile_is_gone_afterwards(world: World, what: str) -> None:
    ending, staying = one_on_each_unit(world), one_on_each_unit(world)
    with away(world, what):
        for session in ending:
            world.client("close", id=session.id)
        # longer than the kernels keep them: their ends are told while nobody listens
        world.until(
            lambda: (
                not any(
                    world.entry(session.endpoints, session.unit)
                    for session in ending
                    if session.unit != 1
                )
            ),
            "entries of ended sessions",
            timeout=20,
        )
    world.until(lambda: world.live() == len(staying), world.situation, timeout=15)
    assert_alive(world, staying)
    assert len(switch_sessions(world.lab, 1)) == 4
    for session in ending:
        # Copies on others stay if conntrackd was away with the agent: docs/adr/0016.
        assert not any(world.entry(session.endpoints, unit) for unit in {1, session.unit})


@pytest.mark.both_tables
def test_a_new_app_adopts_what_runs(world: World) -> None:
    sessions = one_on_each_unit(world)
    with away(world, "app"):
        pass
    world.until(lambda: world.live() == 3, world.situation, timeout=15)
    assert_alive(world, sessions)
    for session in sessions:
        world.client("close", id=session.id)
    world.until_gone(20)


def test_an_auxiliary_that_is_down_is_not_chosen(world: World) -> None:
    """Units that die are another matter; this one is down before anything is given to it."""
    world.lab.stop_unit(3)
    try:
        world.until(lambda: world.unit_status(3)["state"] != "up", "still up")
        assert {world.connect().unit for _ in range(6)} == {1, 2}
    finally:
        world.lab.start_unit(3)
        world.until(world.healthy, world.situation, timeout=20)
    one_on_each_unit(world)


def test_an_auxiliary_without_its_agent_is_not_chosen_but_goes_on_serving(world: World) -> None:
    sessions = one_on_each_unit(world)
    world.lab.stop_agent(2)
    try:
        world.until(lambda: world.unit_status(2)["state"] == "silent", "not silent")
        assert {world.connect().unit for _ in range(6)} == {1, 3}
        assert_alive(world, sessions)
    finally:
        world.lab.start_agent(2)
        world.until(world.healthy, world.situation, timeout=20)
    assert_alive(world, sessions)
    one_on_each_unit(world)


def test_an_agent_that_is_killed_is_started_again(world: World) -> None:
    sessions = one_on_each_unit(world)
    kill = "read -r agent _ </run/synod/agent.pid; kill -KILL $agent"
    with noticed(world):
        world.lab.run("u1", ["sh", "-c", kill])
        assert set(world.client("sessions", address=SERVER, port=PORT, count=30)) == {"ok"}
    world.until(world.healthy, world.situation, timeout=20)
    assert_alive(world, sessions)
    one_on_each_unit(world)
