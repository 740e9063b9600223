"""Routed ARP: known, asked, answered to those that asked, and never more than so much."""

import pytest

from agents.wire import control, ports, routed_arp
from agents.wire.routed_arp import Arp
from ryu_apps.core import arp as module
from ryu_apps.core.arp import RoutedArp
from ryu_apps.core.events import Send
from tests.unit.core_world import cluster_of

CLUSTER = cluster_of(3)
PRIMARY = 1
INT, EXT = CLUSTER.interfaces
SERVER, SERVER_MAC = bytes((203, 0, 113, 10)), bytes.fromhex("0a0000000020")
OWN = bytes((203, 0, 113, 1))
ZERO = bytes(6)


def request(unit: int, wanted: bytes = SERVER, spa: bytes = OWN, interface: int = 2) -> Arp:
    """What the primary's agent tells of another unit's request."""
    sha = CLUSTER.unit(unit).macs[interface - 1]
    ends = control.ETH_DST, control.ETH_SRC
    return Arp(routed_arp.ROUTED_REQUEST, sha, spa, ZERO, wanted, *ends)


def reply(spa: bytes = SERVER, sha: bytes = SERVER_MAC, tpa: bytes = OWN) -> Arp:
    mac = EXT.virtual_mac
    return Arp(routed_arp.REPLY, sha, spa, mac, tpa, mac, sha)


def answer_to(unit: int, spa: bytes = OWN, *, of: bytes = SERVER, mac: bytes = SERVER_MAC) -> Send:
    asker = CLUSTER.unit(unit)
    frame = routed_arp.encode(
        Arp(
            routed_arp.ROUTED_REPLY,
            mac,
            of,
            asker.macs[1],
            spa,
            control.ETH_DST,
            control.ETH_SRC,
        )
    )
    return Send(PRIMARY, ports.SYNOD, frame)


def test_what_is_unknown_is_asked_outside_as_the_cluster() -> None:
    outcome, sends = RoutedArp(CLUSTER).request(PRIMARY, request(2), 0.0)
    mac = EXT.virtual_mac
    question = Arp(routed_arp.REQUEST, mac, OWN, ZERO, SERVER, routed_arp.BROADCAST, mac)
    assert outcome == "routed_arp_asked"
    assert sends == [Send(PRIMARY, ports.nic_port(2), routed_arp.encode(question))]


def test_the_address_asked_from_is_that_of_the_same_network() -> None:
    _, (send,) = RoutedArp(CLUSTER).request(PRIMARY, request(2, bytes((198, 51, 100, 9))), 0.0)
    assert routed_arp.parse(send.frame).spa == bytes((198, 51, 100, 1))
    _, (send,) = RoutedArp(CLUSTER).request(PRIMARY, request(2, bytes((192, 0, 2, 9))), 0.0)
    assert routed_arp.parse(send.frame).spa == OWN


def test_the_answer_goes_to_those_that_asked_and_to_no_other() -> None:
    arp = RoutedArp(CLUSTER)
    arp.request(PRIMARY, request(2), 0.0)
    other = bytes((198, 51, 100, 1))
    assert arp.request(PRIMARY, request(3, spa=other), 0.1) == ("routed_arp_joined", [])
    outcome, sends = arp.reply(PRIMARY, 2, reply(), 0.2)
    assert outcome == "routed_arp_answered"
    assert sends == [answer_to(2), answer_to(3, other)]
    assert arp.reply(PRIMARY, 2, reply(), 0.3) == ("arp_reply_seen", [])


def test_what_is_known_is_answered_at_once_for_thirty_seconds() -> None:
    arp = RoutedArp(CLUSTER)
    assert arp.reply(PRIMARY, 2, reply(), 0.0) == ("arp_reply_seen", [])
    assert arp.request(PRIMARY, request(3), 29.9) == ("routed_arp_known", [answer_to(3)])
    assert arp.request(PRIMARY, request(3), 30.0)[0] == "routed_arp_asked"


def test_a_newer_reply_is_the_one_that_counts() -> None:
    arp = RoutedArp(CLUSTER)
    arp.reply(PRIMARY, 2, reply(), 0.0)
    moved = bytes.fromhex("0a0000000021")
    arp.reply(PRIMARY, 2, reply(sha=moved), 20.0)
    assert arp.request(PRIMARY, request(2), 40.0)[1] == [answer_to(2, mac=moved)]


def test_neighbours_are_known_by_interface() -> None:
    arp = RoutedArp(CLUSTER)
    arp.reply(PRIMARY, 2, reply(), 0.0)
    assert arp.request(PRIMARY, request(2, interface=1), 0.0)[0] == "routed_arp_asked"


def test_an_address_is_asked_for_once_a_second() -> None:
    arp = RoutedArp(CLUSTER)
    outcomes = [arp.request(PRIMARY, request(2), at / 10)[0] for at in range(25)]
    asked = [at for at, outcome in enumerate(outcomes) if outcome == "routed_arp_asked"]
    assert asked == [0, 10, 20]


def test_nobody_waits_longer_than_three_seconds() -> None:
    arp = RoutedArp(CLUSTER)
    arp.request(PRIMARY, request(2), 0.0)
    arp.request(PRIMARY, request(3), 2.0)
    assert arp.expire(3.0) == 0
    assert arp.reply(PRIMARY, 2, reply(), 4.0) == ("routed_arp_answered", [answer_to(3)])
    arp.request(PRIMARY, request(2, bytes((203, 0, 113, 99))), 50.0)
    assert arp.expire(52.9) == 0
    assert arp.expire(53.0) == 1


def test_what_was_heard_is_forgotten() -> None:
    arp = RoutedArp(CLUSTER)
    arp.reply(PRIMARY, 2, reply(), 0.0)
    arp.reply(PRIMARY, 2, reply(spa=bytes((203, 0, 113, 11))), 10.0)
    arp.expire(30.0)
    assert list(arp._known) == [(2, bytes((203, 0, 113, 11)))]
    arp.expire(40.0)
    assert not arp._known


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        (request(1), "routed_arp_stranger"),  # the primary doesn't ask itself
        (request(2)._replace(sha=SERVER_MAC), "routed_arp_stranger"),
        (request(2, OWN), "routed_arp_own_address"),
    ],
)
def test_a_request_that_nobody_may_make_is_dropped(asked: Arp, outcome: str) -> None:
    assert RoutedArp(CLUSTER).request(PRIMARY, asked, 0.0) == (outcome, [])


@pytest.mark.parametrize(
    ("port", "heard", "outcome"),
    [
        (ports.HA_NIC, reply(), "arp_reply_port"),
        (3, reply(), "arp_reply_port"),  # no such interface here
        (2, reply(tpa=SERVER), "arp_reply_stranger"),
        (2, reply(spa=bytes((192, 0, 2, 9))), "arp_reply_stranger"),
    ],
)
def test_a_reply_that_was_not_for_us_teaches_nothing(port: int, heard: Arp, outcome: str) -> None:
    assert RoutedArp(CLUSTER).reply(PRIMARY, port, heard, 0.0) == (outcome, [])


def test_a_neighbour_of_no_network_of_ours_is_believed_when_it_was_asked_for() -> None:
    arp = RoutedArp(CLUSTER)
    odd = bytes((192, 0, 2, 9))
    arp.request(PRIMARY, request(2, odd), 0.0)
    assert arp.reply(PRIMARY, 2, reply(spa=odd), 0.1) == (
        "routed_arp_answered",
        [answer_to(2, of=odd)],
    )


def test_all_that_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    monkeypatch.setattr(module, "MOST_KNOWN", 2)
    arp = RoutedArp(CLUSTER)
    hosts = [bytes((203, 0, 113, last)) for last in range(10, 14)]
    outcomes = [arp.request(PRIMARY, request(2, host), 0.0)[0] for host in hosts]
    assert outcomes == ["routed_arp_asked"] * 2 + ["routed_arp_full"] * 2
    for last in range(5):
        arp.request(PRIMARY, request(3, hosts[0], bytes((203, 0, 113, 50 + last))), 0.0)
    assert len(arp.reply(PRIMARY, 2, reply(spa=hosts[0]), 0.1)[1]) == 2
    for host in hosts:
        arp.reply(PRIMARY, 2, reply(spa=host), 0.2)
    assert [address for _, address in arp._known] == hosts[2:]
