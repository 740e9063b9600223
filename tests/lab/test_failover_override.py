"""A unit with `override`: it takes the primary's role back after all, and no session notices.

That a unit without it never does: `test_failover_units`.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.failing import Cluster, mended
from tests.lab.traffic import traffic
from tests.lab.world import World

FIRST = 1
OUTAGE = 1.5  # seconds: of the death, not of what follows it


@pytest.fixture(scope="module")
def _lab(make_world: Callable[..., World]) -> World:
    return make_world(3, override=FIRST)


@pytest.fixture
def cluster(_lab: World) -> Iterator[Cluster]:
    """A lab in which unit 1 has the highest priority, and `override`."""
    yield from mended(_lab)


def promotions(cluster: Cluster) -> list[dict[str, Any]]:
    """What the app says of each planned change of the primary."""
    said = cluster.world.lab.run("controller", ["synod", "events", "--json"]).stdout
    told = [json.loads(line) for line in said.splitlines()]
    return [each["fields"] for each in told if each["event"] == "promotion"]


def test_it_takes_the_role_back_once_it_holds_all_sessions(cluster: Cluster) -> None:
    assert cluster.primary == FIRST
    before = promotions(cluster)
    with traffic(cluster.world) as running:
        cluster.faults.kill(f"u{FIRST}")
        cluster.until(lambda: cluster.primary not in (None, FIRST))
        heir = cluster.primary
        cluster.faults.restart(f"u{FIRST}")
        cluster.until_state(FIRST, "up", timeout=30)
        assert cluster.primary == heir
        cluster.until(lambda: cluster.primary == FIRST, timeout=40)
        running.answered()
        running.flows()
        cluster.until_whole()
        cluster.until_all_serve()
    running.unharmed(OUTAGE)
    assert promotions(cluster) == [*before, {"unit": FIRST, "was": heir, "why": "override"}]


def test_it_does_not_while_it_is_drained(cluster: Cluster) -> None:
    lab = cluster.world.lab
    lab.run("controller", ["synod", "drain", str(FIRST)])
    cluster.until(lambda: cluster.world.unit_status(FIRST)["drained"])
    before = promotions(cluster)
    try:
        lab.run("controller", ["synod", "promote", "2", "--force"])
        cluster.until(lambda: cluster.primary == 2)
        now = cluster.world.unit_status(FIRST)["since"]
        cluster.until(lambda: cluster.world.status()["time"] > now + 15, timeout=30)
        assert cluster.primary == 2
    finally:
        lab.run("controller", ["synod", "undrain", str(FIRST)])
    cluster.until(lambda: cluster.primary == FIRST, timeout=40)
    assert [each["why"] for each in promotions(cluster)[len(before) :]] == ["order", "override"]
