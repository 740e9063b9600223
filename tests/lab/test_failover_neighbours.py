"""An auxiliary that can ask nobody for a neighbour's MAC address goes on with what it knows.

Its kernel asks again, by routed ARP, for neighbours that it sends to, every half minute or so; here
every few seconds, so that it happens while the app or the HA link is away.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.lab.failing import Cluster
from tests.lab.traffic import RATE, traffic
from tests.lab.world import World

LASTS = 10  # seconds, several times what a neighbour is believed
AWAY: dict[str, Callable[[Cluster], object]] = {
    "the app is killed": lambda cluster: cluster.faults.kill("controller"),
    "the app hangs": lambda cluster: cluster.faults.stop("controller"),
    "no HA link": lambda cluster: [cluster.faults.cut(f"u{each}", "ha") for each in (1, 2, 3)],
    "the primary doesn't hear the app": lambda cluster: cluster.faults.cut(
        f"u{cluster.primary}", "mgmt", "in"
    ),
}


@pytest.fixture
def _asking_often(cluster: Cluster) -> Iterator[None]:
    """Units believe what they know of a neighbour for a second or two only."""
    neighbours(cluster.world, reachable=1000, delay=1)
    yield
    neighbours(cluster.world, reachable=30000, delay=5)


def neighbours(world: World, reachable: int, delay: int) -> None:
    for name in ("int", "ext"):
        world.sysctl(f"net.ipv4.neigh.{name}.base_reachable_time_ms", reachable)
        world.sysctl(f"net.ipv4.neigh.{name}.delay_first_probe_time", delay)


@pytest.mark.usefixtures("_asking_often")
@pytest.mark.parametrize("what", AWAY)
def test_sessions_outlive_what_is_known_of_neighbours(cluster: Cluster, what: str) -> None:
    with traffic(cluster.world) as running:
        AWAY[what](cluster)
        for _ in range(LASTS):
            running.flows(RATE)
        for broken in cluster.faults.heal():
            cluster.faults.restart(broken.host)
        cluster.until_whole()
    running.unharmed(3.0)
