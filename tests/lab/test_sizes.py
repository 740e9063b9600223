"""Two, three and four units; two and three interfaces: sessions between all networks, all units."""

from collections.abc import Callable

import pytest

from tests.lab.world import ADDRESSES, OUTSIDE, PORT, SERVER, World
from topologies.observe import entries, switch_sessions

WAYS = {2: [("client", "server")], 3: [("client", "server"), ("client", "dmz"), ("dmz", "server")]}


@pytest.mark.parametrize(("units", "interfaces"), [(2, 2), (2, 3), (3, 3), (4, 3)])
def test_sessions_between_all_networks(
    make_world: Callable[..., World], units: int, interfaces: int
) -> None:
    world = make_world(units, interfaces=interfaces)
    for source, target in WAYS[interfaces]:
        world.peer(target)
        sessions = [world.connect(source, ADDRESSES[target]) for _ in range(2 * units)]
        assert {session.unit for session in sessions} == set(world.units)
        for session in sessions:
            assert world.peer(source)("talk", id=session.id, text="there?") == "there?"
            masked = (source, target) == ("client", "server")
            assert session.seen.split(":")[0] == (OUTSIDE if masked else ADDRESSES[source])
        known = {entry.original for entry in entries(world.lab, 1)}
        assert {session.endpoints for session in sessions} <= known
    world.forget_sessions()
    assert not switch_sessions(world.lab, 1)
    for source, target in WAYS[interfaces]:
        world.peer(target)
        outcomes = world.peer(source)("sessions", address=ADDRESSES[target], port=PORT, count=60)
        assert set(outcomes) == {"ok"}
    world.stop()
    world.lab.down()


def test_one_unit_is_a_plain_gateway(make_world: Callable[..., World]) -> None:
    """Nobody to give a session to: the app is not asked, and no SYN takes a detour."""
    world = make_world(1)
    assert set(world.client("sessions", address=SERVER, port=PORT, count=20)) == {"ok"}
    assert sum(world.served().values()) == 0
    assert not switch_sessions(world.lab, 1)
