"""Clients behind one address that name the same port, at once and one after the other, through
different units.

A single gateway's kernel sees that a port is taken and announces another. Here two kernels
translate, and each thinks that it is free; and the primary, to which all that is announced comes,
has had no word of a session's packets since it handed it over.
"""

from collections.abc import Iterator

import pytest

from tests.lab.related import PORTS, FtpClient, Tracked, digest, pages, tracked, write_random
from tests.lab.world import CLIENT, PeerProcess, World

OTHER = "10.1.0.11"
SIZE, LARGE = 200_000, 24 << 20
TIME_WAIT, SLACK = 4, 4.0  # seconds: the kernel's, and for everything that is ours
# Short to write, in PORT (`4,1`) as in EPRT: what a kernel chooses in place of one is longer, so
# that an announcement sent again is not as long as it was the first time.
SHORT = iter(range(1025, 1100))
PAIRS = pytest.mark.parametrize("units", [(1, 2), (2, 1), (2, 3), (3, 2)])


@pytest.fixture
def peer(related_world: World) -> Iterator[PeerProcess]:
    """In `client`, which has two addresses for a while."""
    address = f"{OTHER}/24", "dev", related_world.device("client")
    related_world.lab.run("client", ["ip", "address", "add", *address])
    yield related_world.another_peer("client", "tests.lab.related_peer")
    related_world.stop()
    related_world.lab.run("client", ["ip", "address", "del", *address])


def client_on(world: World, peer: PeerProcess, unit: int, source: str) -> FtpClient:
    """A control session of that client which that unit serves; others are ended."""
    for _ in world.units:
        client = FtpClient(peer, source=source)
        if client.unit(world) == unit:
            return client
        client.ask("QUIT")
        client.expect("221 ")
        peer("close", id=client.id)
    raise AssertionError(f"unit {unit} is not chosen")


def of(world: World, unit: int, client: FtpClient) -> list[Tracked]:
    """A client's data sessions, as the unit's kernel has them."""
    found = [each for each in tracked(world, unit).values() if each.master == client.original]
    assert all(each.expected and each.unit == unit for each in found), found
    return found


def store(client: FtpClient, port: int, name: str, seed: int) -> str:
    """An upload to the end; the client ends the data session, so that its side keeps the port in
    TIME_WAIT and the server is free to connect there again.
    """
    data = client.begin("PORT", f"STOR incoming/{name}", port)
    given = client.peer("give", id=data, size=SIZE, seed=seed)
    client.expect("226 ")
    return str(given)


@pytest.mark.parametrize("mode", ["PORT", "EPRT"])
@PAIRS
def test_both_at_once_get_their_own(
    related_world: World, peer: PeerProcess, units: tuple[int, int], mode: str
) -> None:
    world, port = related_world, next(SHORT)
    clients = [
        client_on(world, peer, unit, source)
        for unit, source in zip(units, (CLIENT, OTHER), strict=True)
    ]
    wanted = [
        write_random(pages(world, "server") / f"{port}-{turn}", SIZE + turn, port + turn)
        for turn in (0, 1)
    ]
    listeners = [peer("listen", port=port, source=client.original.source) for client in clients]
    for client in clients:
        peer("announce", id=client.id, port=port, mode=mode)
    for client in clients:
        client.expect("200 ")
    # The one that announced first is not the one whose data come first.
    for turn in (1, 0):
        clients[turn].ask(f"RETR {port}-{turn}")
        clients[turn].expect("150 ")
    for turn in (0, 1):
        data = peer("accept", id=listeners[turn])["id"]
        assert peer("take", id=data)["digest"] == wanted[turn]
        clients[turn].expect("226 ")
        assert len(of(world, units[turn], clients[turn])) == 1


@PAIRS
def test_one_after_the_other_gets_its_own(
    related_world: World, peer: PeerProcess, units: tuple[int, int]
) -> None:
    """While every kernel still has the first client's data session, which had the same addresses
    and ports on the server's side; and when the unit that served it tells of its end.
    """
    world, port = related_world, next(PORTS)
    world.timeouts(time_wait=TIME_WAIT)
    wanted = write_random(pages(world, "server") / f"{port}", LARGE, port)
    first, second = (
        client_on(world, peer, unit, source)
        for unit, source in zip(units, (CLIENT, OTHER), strict=True)
    )
    given = store(first, port, f"{port}", port)
    assert digest(pages(world, "server") / "incoming" / f"{port}") == given
    (before,) = of(world, units[0], first)
    assert before.over

    data = second.begin("PORT", f"RETR {port}", port)
    assert peer("take", id=data, least=SIZE)["size"] < LARGE
    (after,) = of(world, units[1], second)
    assert after.original == before.original
    assert after.reply != before.reply

    world.until(lambda: not of(world, units[0], first), "not over", timeout=TIME_WAIT + SLACK)
    world.pass_time(SLACK)
    found = peer("take", id=data)
    assert (found["size"], found["digest"]) == (LARGE, wanted)
    second.expect("226 ")
    assert of(world, units[1], second)
