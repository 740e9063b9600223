"""Live sessions as they are asked for: which, in which order, in how many steps."""

import math
from typing import Any

import pytest

from agents.wire.packet import inverse, tuple12
from ryu_apps.core import listing as module
from ryu_apps.core.budget import Budget
from ryu_apps.core.listing import MOST, Steps, Wanted, listing, wanted
from ryu_apps.core.methods import METHODS
from ryu_apps.core.sessions import Sessions


def sessions(*clients: tuple[str, int]) -> Sessions:
    """Sessions of these clients, one after the other, translated to the cluster's address."""
    made = Sessions(METHODS["round-robin"], (1, 2, 3), Budget(0))
    made.serve_with(1, frozenset((1, 2, 3)), ((1, 1), (2, 1), (3, 1)))
    for number, (address, port) in enumerate(clients):
        orig = tuple12(address, "203.0.113.10", port, 80)
        made.decide(orig, tuple12("203.0.113.10", "203.0.113.1", 80, 1024 + number), 0, number)
    return made


LIVE = sessions(("10.1.0.9", 40000), ("10.1.0.10", 50000), ("10.1.0.10", 40000), ("10.2.0.7", 9))


def page(live: Sessions = LIVE, **query: str) -> dict[str, Any]:
    return ended(listing(live, wanted(query), lambda since: since))


def ended(steps: Steps) -> dict[str, Any]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: dict[str, Any] = end.value
            return found


def clients(found: dict[str, Any]) -> list[str]:
    return [each["src"] for each in found["sessions"]]


def test_all_are_listed_by_address() -> None:
    assert page() == {
        "live": 4,
        "matching": 4,
        "sessions": page()["sessions"],
        "next": None,
    }
    assert clients(page()) == ["10.1.0.9:40000", "10.1.0.10:40000", "10.1.0.10:50000", "10.2.0.7:9"]


def test_a_session_has_both_its_faces_and_its_unit() -> None:
    assert page(port="50000")["sessions"] == [
        {
            "src": "10.1.0.10:50000",
            "dst": "203.0.113.10:80",
            "nat_src": "203.0.113.1:1025",
            "nat_dst": "203.0.113.10:80",
            "unit": 2,
            "decided": 1,
        }
    ]


@pytest.mark.parametrize(
    ("query", "ports"),
    [
        ({"unit": "1"}, ["10.1.0.9:40000", "10.2.0.7:9"]),
        ({"src": "10.1.0.10"}, ["10.1.0.10:40000", "10.1.0.10:50000"]),
        ({"src": "10.1.0.77/24", "port": "40000"}, ["10.1.0.9:40000", "10.1.0.10:40000"]),
        ({"src": "203.0.113.1", "port": "1027"}, ["10.2.0.7:9"]),
        ({"dst": "203.0.113.0/28", "unit": "3"}, ["10.1.0.10:40000"]),
        ({"dst": "10.1.0.10"}, []),
        ({"src": "203.0.113.10"}, []),
        ({"port": "80", "src": "10.2.0.0/16"}, ["10.2.0.7:9"]),
    ],
)
def test_those_that_are_wanted(query: dict[str, str], ports: list[str]) -> None:
    found = page(**query)
    assert clients(found) == ports
    assert (found["live"], found["matching"]) == (4, len(ports))


def test_a_server_is_found_by_the_address_that_it_has_behind_the_cluster() -> None:
    made = sessions()
    orig = tuple12("198.51.100.7", "203.0.113.1", 40000, 443)
    inside = tuple12("198.51.100.7", "10.1.0.20", 40000, 8443)
    made.decide(orig, inverse(inside), 0, 0)
    for query in ({"dst": "10.1.0.20"}, {"dst": "203.0.113.1"}, {"port": "8443"}):
        assert clients(page(made, **query)) == ["198.51.100.7:40000"]


def test_pages_have_each_session_once() -> None:
    first = page(limit="2")
    second = page(limit="2", after=first["next"])
    assert clients(first) + clients(second) == clients(page())
    assert (second["matching"], second["next"]) == (4, None)


def test_pages_follow_each_other_whatever_ends_meanwhile() -> None:
    live = sessions(("10.1.0.9", 40000), ("10.1.0.10", 50000), ("10.1.0.10", 40000))
    first = page(live, limit="2")
    assert clients(first) == ["10.1.0.9:40000", "10.1.0.10:40000"]
    for number, (address, port) in enumerate((("10.1.0.9", 40000), ("10.1.0.10", 40000))):
        orig = tuple12(address, "203.0.113.10", port, 80)
        kept = live.get(orig)
        assert kept
        assert live.end(kept.unit, orig, kept.reply, 100.0 + number) == "ended"
    second = page(live, limit="2", after=first["next"])
    assert clients(second) == ["10.1.0.10:50000"]
    assert second["next"] is None


def test_between_steps_sessions_may_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP", 1)
    monkeypatch.setattr(module, "TOLD", 1)
    live = sessions(("10.1.0.9", 40000), ("10.1.0.10", 50000), ("10.1.0.10", 40000))
    steps = listing(live, Wanted(), lambda since: since)
    for _ in range(3):
        next(steps)  # all are found; two end, one of which has been looked at last
    for address, port in (("10.1.0.9", 40000), ("10.1.0.10", 50000)):
        orig = tuple12(address, "203.0.113.10", port, 80)
        kept = live.get(orig)
        assert kept
        live.end(kept.unit, orig, kept.reply, 100.0)
    found = ended(steps)
    assert clients(found) == ["10.1.0.10:40000"]
    assert found["live"] == 1


def test_no_step_looks_at_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP", 2)
    monkeypatch.setattr(module, "TOLD", 2)
    steps = listing(LIVE, Wanted(), lambda since: since)
    assert len(list(steps)) == 4  # two to find them, two to tell of them


def test_what_was_decided_before_the_app_began_has_no_time() -> None:
    live = sessions()
    live.adopt(2, *(tuple12("10.1.0.9", "203.0.113.10", 1, 80), bytes(12)))
    steps = listing(live, Wanted(), lambda since: None if since == -math.inf else since)
    assert ended(steps)["sessions"][0]["decided"] is None


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"unit": "0"}, "unit: '0' is not a unit's id"),
        ({"unit": "٣"}, "unit: '٣' is not a unit's id"),
        ({"unit": "-1"}, "unit: '-1' is not a unit's id"),
        ({"src": "10.1.0.300"}, "src: '10.1.0.300' is not an IPv4 address or network"),
        ({"dst": "10.1.0.0/33"}, "dst: '10.1.0.0/33' is not an IPv4 address or network"),
        ({"port": "65536"}, "port: '65536' is not a TCP port"),
        ({"port": "1" * 5000}, f"port: '{'1' * 5000}' is not a TCP port"),
        ({"limit": str(MOST + 1)}, f"limit: '{MOST + 1}' is not a number from 1 to {MOST}"),
        ({"after": "0a01"}, "after: '0a01' is not what `next` said"),
        ({"after": "zz"}, "after: 'zz' is not what `next` said"),
        (
            {"colour": "red", "unit": "1"},
            "'colour' is not one of unit, src, dst, port, limit, after",
        ),
    ],
)
def test_what_cannot_be_understood_is_named(query: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError) as problem:  # noqa: PT011 - the whole text follows
        wanted(query)
    assert str(problem.value) == why
