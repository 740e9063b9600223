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
    """What the app says of it."""
    src, dst = ends(session)
    return world.lab.get(f"/v1/explain?src={src}&dst={dst}")


def ends(session: Endpoints) -> tuple[str, str]:
    return f"{session.source}:{session.sport}", f"{session.destination}:{session.dport}"


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


def primary_of(world: World) -> int:
    return int(world.status()["primary"])


@pytest.mark.both_tables
def test_a_session_is_explained(world: World) -> None:
    primary = primary_of(world)
    unit = next(each for each in (2, 3) if each != primary)
    session = world.connect_through(unit)
    found = picked_up(world, session)
    translated = found["session"]["nat_src"]
    assert (found["session"]["unit"], found["choice"]["method"]) == (unit, "round-robin")
    assert translated == session.seen
    assert [each["id"] for each in found["units"] if each["serves"]] == [unit]
    assert {each["entry"]["nat_src"] for each in found["units"]} == {translated}
    assert all({f"unit-{unit}", "in-1"} <= {*each["entry"]["labels"]} for each in found["units"])
    told = [(fate["dies"], fate["lives"]) for fate in found["fates"]]
    assert told == [(unit, True), (primary, True)]
    # Its own flows, or those of its mark, have seen it; so has what leads to its unit.
    assert found["flows"]
    assert all(flow["there"] and flow["packets"] for flow in found["flows"])
    assert {each["mark"] for each in found["tracked"]} <= {unit}
    # From the server's side it is the same, and before translation and after it.
    for face in (session.entry.reply, session.entry.reply.reverse, session.endpoints.reverse):
        assert explained(world, face)["session"] == found["session"]
    assert synod(world, "explain", *ends(session.endpoints))["session"] == found["session"]
    port = str(session.endpoints.sport)
    (listed,) = synod(world, "sessions", "--unit", str(unit), "--port", port)["sessions"]
    assert listed == found["session"]


def test_a_copy_that_is_gone_and_a_unit_that_is_silent_are_seen(world: World) -> None:
    primary = primary_of(world)
    session = world.connect_through(primary)
    (fate,) = picked_up(world, session)["fates"]
    assert (fate["dies"], fate["lives"]) == (primary, True)
    heir = fate["at"]
    other = next(unit for unit in world.units if unit not in (primary, heir))
    port = str(session.endpoints.sport)
    world.lab.run(f"u{heir}", ["conntrack", "-D", "-p", "tcp", "--sport", port])
    found = explained(world, session.endpoints)
    assert held_by(found) == {primary: "ESTABLISHED", heir: None, other: "ESTABLISHED"}
    (fate,) = found["fates"]
    assert (fate["dies"], fate["lives"]) == (primary, False)
    assert fate["why"].startswith(f"unit {heir}, which takes over, has no entry of it")
    world.lab.stop_agent(other)
    try:
        found = explained(world, session.endpoints)
        assert {unit["id"] for unit in found["units"] if not unit["answered"]} == {other}
        assert found["summary"][-1] == f"Not answered: unit {other}."
    finally:
        world.lab.start_agent(other)


def test_what_is_said_of_a_syn_then_happens(world: World) -> None:
    for sport in (27001, 27002, 27003):
        found = explained(world, Endpoints(CLIENT, sport, SERVER, PORT))
        syn = found["syn"]
        assert (syn["came"], syn["leaves"]) == ("int", "ext")
        rows = [command["flows"] for command in syn["commands"]]
        assert rows == [[], ["nic_syn"], [], ["divert"]]
        assert world.connect(sport=sport).unit == syn["chosen"]
