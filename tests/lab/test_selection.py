"""Only what the user's rule selects is balanced; the rest costs the app nothing."""

from collections.abc import Callable

import pytest

from tests.lab.world import World
from topologies.observe import switch_sessions

RULES = """
table ip user {
    chain prerouting {
        type filter hook prerouting priority mangle
        tcp dport { 80, 443 } ct label set balance
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" snat to 203.0.113.1
    }
}
"""


@pytest.fixture(scope="module")
def labelled(make_world: Callable[..., World]) -> World:
    world = make_world(3, balance="labelled")
    world.rules(RULES)
    world.server("serve", port=8080)  # the lab's web server has 80 and 443
    return world


def test_selected_ports_are_balanced(labelled: World) -> None:
    for port in (80, 443):
        assert {labelled.connect(port=port, greeted=False).unit for _ in range(3)} == {1, 2, 3}


def test_the_rest_is_the_primarys_and_the_app_never_hears_of_it(labelled: World) -> None:
    before = labelled.served()
    flows = switch_sessions(labelled.lab, 1)
    counters = labelled.counters()
    sessions = [labelled.connect(port=8080) for _ in range(6)]
    assert {session.unit for session in sessions} == {1}
    assert all("balance" not in session.entry.labels for session in sessions)
    assert labelled.served() == before
    assert switch_sessions(labelled.lab, 1) == flows
    for name in offers(labelled.counters()):
        assert labelled.counters()[name] == counters[name], name


def offers(counters: dict[str, int]) -> list[str]:
    """Counters that move when the app is asked to decide."""
    return [name for name in counters if "offer" in name or "decid" in name]
