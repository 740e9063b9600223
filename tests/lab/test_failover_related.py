"""Sessions that announce others (FTP), and a primary that is another when those come."""

import pytest

from tests.lab.failing import Cluster
from tests.lab.related import RULES, expected, pages, raw_clients, write_random


@pytest.mark.parametrize("how", ["is promoted", "takes over"])
def test_what_was_announced_the_next_primary_expects(cluster: Cluster, how: str) -> None:
    """What its own sessions have announced only its kernel knew, if it died."""
    world, old = cluster.world, cluster.primary
    world.rules(RULES)
    name = f"announced-{how[:2]}"
    wanted = write_random(pages(world, "server") / name, 100_000, 12)
    clients = raw_clients(world)
    if how == "takes over":
        del clients[old]
    world.until(lambda: world.lab.held(world.status()), world.situation, timeout=20)
    ports = {unit: client.passive() for unit, client in clients.items()}
    if how == "is promoted":
        order = ["synod", "promote", str(min(clients.keys() - {old}))]
        world.until(
            lambda: world.lab.run("controller", order, check=False).returncode == 0,
            world.situation,
            timeout=20,
        )
    else:
        cluster.faults.kill(f"u{old}")
    cluster.until(lambda: cluster.primary not in (0, old), timeout=20)
    new = cluster.primary
    for client in clients.values():
        world.until(lambda of=client: expected(world, new, of.original), "not expected")
    for unit, client in clients.items():
        data = client.go_on("PASV", ports[unit], f"RETR {name}")
        assert client.peer("take", id=data)["digest"] == wanted
