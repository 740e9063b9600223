"""`synod sessions` and `synod explain` tell of real sessions what real kernels and bridges have."""

import json
from typing import Any

import pytest

from tests.lab.world import CLIENT, PORT, SERVER, Session, World
from topologies.observe import Endpoints


def synod(world: World, *argv: str) -> dict[str, Any]:
    found = world.lab.run("controller", ["synod", *argv, "--json"])
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def explained(world: World, session: Endpoints) -> dict[str, Any]:
    ends = f"{session.source}:{session.sport}", f"{session.destination}:{session.dport}"
    return synod(world, "explain", *ends)


def held_by(found: dict[str, Any]) -> dict[int, str | None]:
    """The state of each unit's entry."""
    return {unit["id"]: (unit["entry"] or {}).get("state") for unit in found["units"]}


def picked_up(world: World, session: Session) -> dict[str, Any]:
    """What is said once all units hold it."""

    def everywhere() -> dict[str, Any] | None:
        found = explained(world, session.endpoints)
        return found if set(held_by(found).values()) == {"ESTABLISHED"} else None

    answer: dict[str, Any] = world.until(everywhere, "not all units hold it")
    return answer


@pytest.mark.both_tables
def test_a_session_is_explained(world: World) -> None:
    session = world.connect_through(2)
    found = picked_up(world, session)
    translated = found["session"]["nat_src"]
    assert (found["session"]["unit"], found["choice"]["method"]) == (2, "round-robin")
    assert translated == session.seen
    assert [unit["serves"] for unit in found["units"]] == [False, True, False]
    assert {unit["entry"]["nat_src"] for unit in found["units"]} == {translated}
    assert all({"unit-2", "in-1"} <= set(unit["entry"]["labels"]) for unit in found["units"])
    assert [(fate["dies"], fate["lives"]) for fate in found["fates"]] == [(2, True), (1, True)]
    # Its own flows, or those of its mark, have seen it; so has what leads to unit 2.
    assert found["flows"]
    assert all(flow["there"] and flow["packets"] for flow in found["flows"])
    assert {each["mark"] for each in found["tracked"]} <= {2}
    # From the server's side it is the same, and before translation and after it.
    for face in (session.entry.reply, session.entry.reply.reverse, session.endpoints.reverse):
        assert explained(world, face)["session"] == found["session"]
    (listed,) = synod(world, "sessions", "--unit", "2", "--port", str(session.endpoints.sport))[
        "sessions"
    ]
    assert listed == found["session"]


def test_a_copy_that_is_gone_and_a_unit_that_is_silent_are_seen(world: World) -> None:
    session = world.connect_through(1)
    picked_up(world, session)
    assert explained(world, session.endpoints)["fates"][0]["lives"] is True
    port = str(session.endpoints.sport)
    world.lab.run("u2", ["conntrack", "-D", "-p", "tcp", "--sport", port])
    found = explained(world, session.endpoints)
    assert held_by(found) == {1: "ESTABLISHED", 2: None, 3: "ESTABLISHED"}
    (fate,) = found["fates"]
    assert (fate["dies"], fate["lives"]) == (1, False)
    assert fate["why"].startswith("unit 2, which takes over, has no entry of it")
    world.lab.stop_agent(3)
    try:
        found = explained(world, session.endpoints)
        assert [unit["answered"] for unit in found["units"]] == [True, True, False]
        assert found["summary"][-1] == "Not answered: unit 3."
    finally:
        world.lab.start_agent(3)


def test_what_is_said_of_a_syn_then_happens(world: World) -> None:
    for sport in (33001, 33002, 33003):
        found = explained(world, Endpoints(CLIENT, sport, SERVER, PORT))
        syn = found["syn"]
        assert (syn["came"], syn["leaves"]) == ("int", "ext")
        rows = [command["flows"] for command in syn["commands"]]
        assert rows == [[], ["nic_syn"], [], ["divert"]]
        assert world.connect(sport=sport).unit == syn["chosen"]
