"""Programs that die, hang and are started again, on the controller or on a unit: running sessions
don't notice, and nothing is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agents.wire import control, peer
from agents.wire.peer import Asked, Question
from tests.lab.failing import Cluster
from tests.lab.traffic import Traffic, traffic
from tests.lab.world import PORT, SERVER
from topologies.faulting import Faults

Verb = Callable[[Faults, str], object]


@dataclass(frozen=True, slots=True)
class Row:
    """A fault of a program: how it comes, and goes if it doesn't by itself; for how many seconds
    clients may have to ask twice.
    """

    comes: Verb
    goes: Verb | None
    outage: float


def stop(program: str) -> Verb:
    return lambda faults, host: faults.stop(host, program)


def go_on(program: str) -> Verb:
    return lambda faults, host: faults.continue_(host, program)


def crash(program: str) -> Verb:
    return lambda faults, host: faults.crash(host, program)


def switch_restarts(faults: Faults, host: str) -> None:
    faults.restart_switch(host)


def switch_restarts_anew(faults: Faults, host: str) -> None:
    faults.restart_switch(host, anew=True)


def app_restarts(faults: Faults, host: str) -> None:
    faults.kill(host)
    faults.restart(host)


APP = {
    "killed": Row(Faults.kill, Faults.restart, 1.5),
    "hangs": Row(stop("app"), go_on("app"), 2.5),
    "restarted": Row(app_restarts, None, 1.5),
}


@pytest.mark.parametrize("fault", APP)
def test_the_app(cluster: Cluster, fault: str) -> None:
    row, before = APP[fault], cluster.primary
    with traffic(cluster.world) as running:
        held = running.holders()
        row.comes(cluster.faults, "controller")
        running.answered(100)
        running.flows()
        if row.goes:
            row.goes(cluster.faults, "controller")
        cluster.until_whole()
        cluster.until_all_serve()
        assert running.holders() == held
        adopted(cluster, running)
    assert cluster.primary == before
    running.unharmed(row.outage)


def adopted(cluster: Cluster, running: Traffic) -> None:
    """The app holds as many sessions of each unit as the primary has entries of, once no new ones
    come.
    """
    running.hush()
    world = cluster.world

    def agreed() -> bool:
        rows = {row["id"]: row["sessions"]["live"] for row in world.status()["units"]}
        held = [entry.unit for entry in world.sessions_of(world.primary) if entry.unit]
        return rows == {unit: held.count(unit) for unit in world.units} and all(rows.values())

    cluster.until(agreed, timeout=20)


ON_A_UNIT = {
    "the agent is killed": Row(crash("agent"), None, 2.5),
    "the supervisor is killed": Row(crash("supervisor"), None, 2.5),
    "conntrackd is killed": Row(crash("conntrackd"), None, 0.5),
    "the switch is restarted": Row(switch_restarts, None, 2.5),
    "the switch is restarted, its ports are others": Row(switch_restarts_anew, None, 5.0),
    "the switch is killed, and started": Row(crash("vswitchd"), switch_restarts, 2.5),
}


@pytest.mark.parametrize("fault", ON_A_UNIT)
def test_on_a_unit(cluster: Cluster, fault: str) -> None:
    """On an auxiliary first, then on the primary."""
    row = ON_A_UNIT[fault]
    with traffic(cluster.world) as running:
        for role in ("auxiliary", "primary"):
            victim = cluster.unit(role)
            row.comes(cluster.faults, f"u{victim}")
            if row.goes:
                cluster.until_state(victim, "down", "dead")
                row.goes(cluster.faults, f"u{victim}")
            cluster.until(lambda: not cluster.faults.broken())
            cluster.until_whole()
            running.answered()
            running.flows()
            cluster.until_all_serve()
    assert sorted(cluster.roles().values()) == ["auxiliary", "auxiliary", "primary"]
    running.unharmed(row.outage)


def test_a_unit_that_was_killed_and_not_booted_is_brought_up_again(cluster: Cluster) -> None:
    victim = cluster.auxiliary
    with traffic(cluster.world) as running:
        cluster.faults.kill(f"u{victim}")
        cluster.until_state(victim, "dead")
        cluster.world.lab.start_unit(victim)
        cluster.until_whole()
        cluster.until_all_serve()
    cluster.until(lambda: not cluster.faults.broken())
    assert cluster.world.client("sessions", address=SERVER, port=PORT, count=6) == ["ok"] * 6
    running.unharmed(1.5)


def test_an_agent_that_is_another_while_the_app_is_away_is_believed(cluster: Cluster) -> None:
    """Nobody says which of its starts to believe, so the others ask it, and it asks them."""
    world = cluster.world
    cluster.faults.kill("controller")
    with world.captures("u1/nic-ha", expression="ether proto 0x88b5") as at:
        cluster.faults.crash("u2", "agent")

        def said() -> dict[int, list[list[Question]]]:
            """What each unit's keepalives have asked and answered."""
            found: dict[int, list[list[Question]]] = {}
            for frame in at["u1/nic-ha"].frames():
                message = control.parse(frame.original)
                if message.kind == control.KEEPALIVE:
                    found.setdefault(message.unit, []).append(peer.questions(message))
            return found

        def believed() -> bool:
            """They have answered each other, and nobody asks any more."""
            told = said()
            answered = {
                (unit, each.unit)
                for unit, all_ in told.items()
                for questions in all_
                for each in questions
                if each.asked is Asked.ANSWER
            }
            last = [all_[-1] for all_ in told.values()]
            return {(2, 1), (1, 2), (2, 3)} <= answered and last == [[], [], []]

        world.until(believed, lambda: f"{ {unit: all_[-3:] for unit, all_ in said().items()} }", 20)
    cluster.faults.restart("controller")
    cluster.until_whole()
