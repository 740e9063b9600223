"""What doesn't go as it should: a control session that ends too early, a data session that never
comes, an app that is away.
"""

import sys
import time

import pytest

from tests.lab.related import (
    MODES,
    FtpClient,
    expected,
    pages,
    raw_clients,
    tracked,
    write_random,
)
from tests.lab.world import ROOT, PeerError, World
from topologies.faulting import Faults
from topologies.observe import Endpoints

SLACK = 4.0  # seconds for everything that is ours
LARGE = 24 << 20  # bytes: more than the sockets of both ends hold
AWAY = 6.0  # seconds


@pytest.mark.parametrize("mode", ["PASV", "PORT"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_data_go_on_to_their_end_without_their_control_session(
    related_world: World, how: str, mode: str
) -> None:
    """The client drops it in mid-transfer; after a reset, so have all kernels before it goes on."""
    world = related_world
    world.timeouts(close=2)
    wanted = write_random(pages(world, "server") / f"large-{how}-{mode}", LARGE, 7)
    clients = raw_clients(world)
    data = {unit: each.begin(mode, f"RETR large-{how}-{mode}") for unit, each in clients.items()}
    for unit, client in clients.items():
        begun = client.peer("take", id=data[unit], least=LARGE // 8)
        assert LARGE // 8 <= begun["size"] < LARGE
        client.peer(how, id=client.id)
    for unit, client in clients.items():
        if how == "reset":
            world.until(lambda here={1, unit}, of=client: without(world, of, here), "still there")
        found = client.peer("take", id=data[unit])
        assert (found["size"], found["digest"]) == (LARGE, wanted)
        (entry,) = (
            entry for entry in tracked(world, unit).values() if entry.master == client.original
        )
        assert entry.expected
        assert entry.unit == unit


def without(world: World, client: FtpClient, units: set[int]) -> bool:
    """Has none of these units the control session any more?"""
    return not any(world.entry(client.original, unit, labelled=False) for unit in units)


def everywhere(world: World, clients: dict[int, FtpClient]) -> dict[int, list[list[str]]]:
    """What the primary and the unit that serves expect of each client's control session."""
    return {
        unit: [expected(world, where, client.original) for where in sorted({1, unit})]
        for unit, client in clients.items()
    }


def announced(world: World, mode: str) -> tuple[dict[int, FtpClient], dict[int, int]]:
    """Clients whose data session will never come, and the number that the announcement gave."""
    clients = raw_clients(world)
    numbers = {unit: each.announce(mode) for unit, each in clients.items()}
    # At once: the client has the reply, so the primary knows.
    for unit, found in everywhere(world, clients).items():
        assert [len(lines) for lines in found] == [1] * len(found), (unit, found)
    return clients, numbers


@pytest.mark.parametrize("mode", ["PASV", "PORT"])
def test_what_never_comes_is_expected_no_longer_than_its_control_session_is_there(
    related_world: World, mode: str
) -> None:
    related_world.timeouts(time_wait=2, last_ack=2, close=2)
    clients, _ = announced(related_world, mode)
    for client in clients.values():
        client.ask("QUIT")
        client.expect("221 ")
        client.peer("close", id=client.id)
    related_world.until(
        lambda: (
            all(without(related_world, each, {1, unit}) for unit, each in clients.items())
            and not any(map(any, everywhere(related_world, clients).values()))
        ),
        lambda: f"still expected: {everywhere(related_world, clients)}",
        timeout=2 + 2 * SLACK,
    )


def test_what_never_comes_is_expected_until_it_times_out_where_it_was_announced(
    related_world: World,
) -> None:
    """The kernel of the unit that serves says when; the primary's, which had as long, follows. What
    comes then is a new session, which the rules refuse.
    """
    world = related_world
    clients, ports = announced(world, "PASV")
    shorten = [sys.executable, "-m", "tests.lab.expectations", "2"]
    for unit in world.units:
        # The primary's own are those of its own sessions: it goes first no more than it must.
        if unit != 1:
            counted = world.lab.run(f"u{unit}", shorten, env={"PYTHONPATH": str(ROOT)})
            assert counted.stdout == "1\n"
    others = {unit: client for unit, client in clients.items() if unit != 1}
    world.until(
        lambda: not any(map(any, everywhere(world, others).values())),
        lambda: f"still expected: {everywhere(world, others)}",
        timeout=2 + SLACK,
    )
    assert expected(world, 1, clients[1].original)
    world.lab.run("u1", shorten, env={"PYTHONPATH": str(ROOT)})
    world.until(lambda: not expected(world, 1, clients[1].original), "still expected", timeout=6)
    for unit, client in clients.items():
        with pytest.raises(PeerError, match="ETIMEDOUT"):
            client.peer("connect", address=client.address, port=ports[unit], timeout=0.5)
    for client in clients.values():
        assert client.fetch("PASV", "index.html")


@pytest.mark.parametrize("mode", ["PASV", "PORT"])
@pytest.mark.both_tables
def test_an_announcement_outlives_what_session_pickup_tells(
    related_world: World, mode: str
) -> None:
    """By what it first tells of a control session, the primary's entry goes for another; so does
    what the primary expected, if that comes late, unless its agent sees to it.
    """
    world, faults = related_world, Faults(related_world.lab)
    name = f"told-{mode}"
    wanted = write_random(pages(world, "server") / name, 100_000, 11)
    faults.stop("u1", "conntrackd")
    clients, numbers = announced(world, mode)
    others = [clients[unit].original for unit in clients.keys() - {1}]
    assert {state(world, each) for each in others} == {"SYN_RECV"}
    faults.continue_("u1", "conntrackd")
    told = {"ESTABLISHED"}
    world.until(lambda: {state(world, each) for each in others} == told, "not told")
    world.until(
        lambda: all(map(all, everywhere(world, clients).values())),
        lambda: f"not expected any more: {everywhere(world, clients)}",
    )
    for unit, client in clients.items():
        data = client.go_on(mode, numbers[unit], f"RETR {name}")
        assert client.peer("take", id=data)["digest"] == wanted
        client.peer("close", id=data)
        client.expect("226 ")
    world.until(
        lambda: not any(map(any, everywhere(world, clients).values())),
        lambda: f"still expected: {everywhere(world, clients)}",
    )


def state(world: World, session: Endpoints) -> str:
    """The primary's, of a session of another unit: told by session pickup, or not yet."""
    entry = world.entry(session)
    return entry.state if entry else ""


def test_a_control_session_goes_on_without_the_app(related_world: World) -> None:
    """On each unit and in all modes, from the first moment on and when the absence is noticed. Data
    sessions may then be the primary's.
    """
    world = related_world
    wanted = write_random(pages(world, "server") / "alone", 200_000, 8)
    clients = raw_clients(world)
    world.lab.stop_app()
    try:
        deadline, rounds = time.monotonic() + AWAY, 0
        while time.monotonic() < deadline:
            rounds += 1
            for client in clients.values():
                for mode in MODES:
                    assert client.fetch(mode, "alone") == wanted
        assert rounds > 1
    finally:
        world.lab.start_app()
        world.until(world.healthy, world.situation, timeout=20)
    for client in clients.values():
        for mode in MODES:
            assert client.fetch(mode, "alone") == wanted
