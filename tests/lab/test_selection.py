"""Only what the user's rule selects is balanced; the rest costs the app nothing."""

from collections.abc import Callable

import pytest

from tests.lab.conftest import TIMEOUTS
from tests.lab.world import Session, World
from topologies.observe import switch_sessions

ESTABLISHED = "net.netfilter.nf_conntrack_tcp_timeout_established"
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
    flows = switch_sessions(labelled.lab, labelled.primary)
    counters = labelled.counters()
    sessions = [labelled.connect(port=8080) for _ in range(6)]
    assert {session.unit for session in sessions} == {labelled.primary}
    assert all("balance" not in session.entry.labels for session in sessions)
    assert labelled.served() == before
    assert switch_sessions(labelled.lab, labelled.primary) == flows
    for name in offers(labelled.counters()):
        assert labelled.counters()[name] == counters[name], name


def test_the_rest_goes_on_at_another_primary(labelled: World) -> None:
    """And isn't over once the old primary's entry of it is."""
    was, heir = labelled.primary, labelled.primary % 3 + 1
    labelled.lab.run(f"u{was}", ["sysctl", "-q", "-w", f"{ESTABLISHED}=8"])
    session = labelled.connect(port=8080)
    labelled.until(lambda: labelled.entry(session.endpoints, heir), "not picked up")
    labelled.until(lambda: promoted(labelled, heir), labelled.situation)
    labelled.until(lambda: labelled.status()["primary"] == heir, labelled.situation)
    labelled.primary = heir
    assert goes_on(labelled, session)
    labelled.until(lambda: not stale(labelled, session, was), "kept", timeout=30)
    labelled.until(labelled.healthy, labelled.situation, timeout=30)
    labelled.pass_time(1)  # its end would be told by then
    assert goes_on(labelled, session)
    entry = labelled.entry(session.endpoints)
    assert entry
    assert entry.unit == heir
    labelled.timeouts(**TIMEOUTS)


def promoted(world: World, unit: int) -> bool:
    """Whether the order is taken."""
    order = ["synod", "promote", str(unit)]
    return world.lab.run("controller", order, check=False).returncode == 0


def goes_on(world: World, session: Session) -> bool:
    return bool(world.client("talk", id=session.id, text="still there?") == "still there?")


def stale(world: World, session: Session, unit: int) -> bool:
    """Whether a unit still has it for its own. (Who lists entries removes those that are over.)"""
    entry = world.entry(session.endpoints, unit)
    return entry is not None and entry.unit == unit


def offers(counters: dict[str, int]) -> list[str]:
    """Counters that move when the app is asked to decide."""
    return [name for name in counters if "offer" in name or "decid" in name]
