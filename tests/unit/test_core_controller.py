"""Frames in, effects out: offers, ends, ARP, and all that isn't what it claims to be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.wire import control, ports, routed_arp
from agents.wire.routed_arp import Arp
from ryu_apps.core import events
from tests.unit.core_world import World, cluster_of, forgotten, tuples

SERVER, SERVER_MAC = bytes((203, 0, 113, 10)), bytes.fromhex("0a0000000020")


def settles(effects: list[events.Effect]) -> list[events.Settle]:
    return [effect for effect in effects if isinstance(effect, events.Settle)]


def outcomes(effects: list[events.Effect]) -> list[str]:
    return [effect.event for effect in effects if isinstance(effect, events.Line)]


def test_an_offer_is_decided_flows_first_then_the_answer() -> None:
    world = World().form()
    effects = world.offer(1, 10, 11, 12)
    (settle,) = settles(effects)
    assert settle.unit == 1
    assert settle.delete == []
    assert settle.add == [(2, *tuples(11)), (3, *tuples(12))]
    assert world.decided(effects) == {10: 1, 11: 2, 12: 3}
    assert outcomes(effects) == ["decided"] * 3
    (line, *_) = [effect for effect in effects if isinstance(effect, events.Line)]
    assert line.fields == {"session": "10.1.0.10:40010>203.0.113.10:80", "unit": 1}


def test_weights_are_kept_by_the_whole_app() -> None:
    world = World(cluster_of(3, method="weighted-round-robin", weights=(5, 3, 2))).form()
    for number in range(0, 100, 7):
        world.offer(1, *range(number, min(number + 7, 100)))
    assert world.served() == {1: 50, 2: 30, 3: 20}


def test_an_offer_that_comes_again_is_answered_again() -> None:
    world = World().form()
    world.offer(1, 10)
    world.offer(1, 11)
    effects = world.offer(1, 11)
    assert world.decided(effects) == {11: 2}
    assert settles(effects)[0].add == [(2, *tuples(11))]
    assert outcomes(effects) == ["decided_kept"]


def test_a_related_session_keeps_its_masters_unit() -> None:
    world = World().form()
    assert world.decided(world.offer(1, 10, known=3)) == {10: 3}


def test_many_offers_are_told_in_few_lines() -> None:
    world = World().form()
    effects = world.offer(1, *range(200))
    assert len(world.decided(effects)) == 200
    assert len(outcomes(effects)) == 10
    assert len(outcomes(world.ended(2, *range(1, 200, 3)))) == 10


def test_offers_of_any_other_than_the_primary_are_dropped() -> None:
    world = World().form()
    effects = world.offer(2, 10)
    assert settles(effects) == []
    assert world.counters["offer_not_primary"] == 1


def offer_frame(number: int, *, unit: int = 1, reply: bytes = b"") -> bytes:
    orig, usual = tuples(number)
    offer = control.Offer(number, 0, 1, 2, 0, orig, reply or usual)
    return control.offer_frames(1, unit, [offer])[0]


def test_offers_of_a_block_are_decided_in_their_order_and_answered_together() -> None:
    world = World().form()
    effects = world.frames(1, [offer_frame(number) for number in (5, 4, 6)])
    (settle,) = settles(effects)
    assert settle.add == [(2, *tuples(4)), (3, *tuples(6))]
    assert len(settle.frames) == 1
    assert list(world.decided(effects).items()) == [(5, 1), (4, 2), (6, 3)]


def test_answers_to_a_block_are_as_few_as_hold_them() -> None:
    world = World().form()
    effects = world.frames(1, [offer_frame(number) for number in range(400)])
    assert len(world.decided(effects)) == 400
    assert [len(settle.frames) for settle in settles(effects)] == [3]


def test_what_comes_between_two_offers_is_handled_between_them() -> None:
    world = World().form()
    world.offer(1, 10, known=2)
    world.now += 3
    ended = control.ended_frames(1, 1, [control.Session(*tuples(11))])
    effects = world.frames(1, [offer_frame(11), *ended, offer_frame(12)])
    assert [len(settle.frames) for settle in settles(effects)] == [1, 1]
    assert world.counters["ended_early"] == 1


@pytest.mark.parametrize("bad", [b"", offer_frame(7, unit=2), offer_frame(7)[:-1]])
def test_a_frame_that_is_none_costs_its_block_nothing(bad: bytes) -> None:
    world = World().form()
    effects = world.frames(1, [offer_frame(10), bad, offer_frame(11)])
    assert world.decided(effects) == {10: 1, 11: 2}
    assert len(settles(effects)) == 1


def test_a_tuple_used_twice_in_a_block_leaves_no_flow_of_the_first() -> None:
    world = World(cluster_of(2, weights=(0, 1))).form()
    other = bytes(8) + tuples(10)[1][8:]
    world.frames(1, [offer_frame(9), offer_frame(10), offer_frame(10, reply=other)])
    assert world.flows == dict.fromkeys((*tuples(9), tuples(10)[0], other), 2)


def test_the_end_of_a_session_takes_its_flows_and_the_primarys_entry() -> None:
    world = World().form()
    world.offer(1, 10, 11)
    effects = world.ended(2, 11)
    (settle,) = settles(effects)
    assert (settle.unit, settle.delete, settle.add) == (1, [*tuples(11)], [])
    assert forgotten(effects) == [control.Session(*tuples(11))]
    assert world.flows == {}
    assert world.live() == {1: 1, 2: 0, 3: 0}


def test_the_end_of_a_session_of_the_primarys_own_costs_nothing() -> None:
    world = World().form()
    world.offer(1, 10)
    assert settles(world.ended(1, 10)) == []
    assert world.live() == {1: 0, 2: 0, 3: 0}


def test_the_end_of_a_session_that_nobody_knows_is_cleaned_up_all_the_same() -> None:
    world = World().form()
    effects = world.ended(3, 10)
    assert forgotten(effects) == [control.Session(*tuples(10))]
    assert outcomes(effects) == ["ended_unknown"]


def test_the_end_of_what_another_serves_now_is_nobodys_end() -> None:
    world = World().form()
    world.offer(1, 10, known=3)
    assert settles(world.ended(2, 10)) == []
    assert world.live()[3] == 1
    assert world.counters["ended_stale"] == 1


def test_ends_before_there_is_a_primary_have_no_consequences() -> None:
    world = World()
    world.connect(2)
    assert settles(world.ended(2, 10)) == []


# -- routed ARP


def arp(op: int, sha: bytes, spa: bytes, tpa: bytes, eth_dst: bytes) -> bytes:
    return routed_arp.encode(Arp(op, sha, spa, bytes(6), tpa, eth_dst, sha))


def asked(world: World, unit: int) -> bytes:
    mac = world.cluster.unit(unit).macs[1]
    own = bytes((203, 0, 113, 1))
    return arp(routed_arp.ROUTED_REQUEST, mac, own, SERVER, control.ETH_DST)


def heard(world: World) -> bytes:
    virtual = world.cluster.interfaces[1].virtual_mac
    return arp(routed_arp.REPLY, SERVER_MAC, SERVER, bytes((203, 0, 113, 1)), virtual)


def test_routed_arp_goes_round() -> None:
    world = World().form()
    effects = world.frame(1, asked(world, 2))
    assert [(e.unit, e.port) for e in effects if isinstance(e, events.Send)] == [(1, 2)]
    effects = world.frame(1, heard(world), ports.nic_port(2))
    (send,) = [effect for effect in effects if isinstance(effect, events.Send)]
    assert (send.unit, send.port) == (1, ports.SYNOD)
    assert routed_arp.parse(send.frame).op == routed_arp.ROUTED_REPLY
    (line,) = [effect for effect in effects if isinstance(effect, events.Line)]
    assert line.event == "routed_arp_answered"
    assert line.fields["address"] == "203.0.113.10"


def test_routed_arp_that_nobody_answers_is_counted() -> None:
    world = World().form()
    world.frames(1, [asked(world, 2)])
    world.pass_time(3.2, 1, 2, 3)
    assert world.counters["routed_arp_unanswered"] == 1


@pytest.mark.parametrize(
    ("unit", "port"), [(2, ports.SYNOD), (1, ports.nic_port(1)), (1, ports.HA_NIC)]
)
def test_a_request_where_none_is_expected_is_dropped(unit: int, port: int) -> None:
    world = World().form()
    assert outcomes(world.frame(unit, asked(world, 2), port)) == ["arp_unexpected"]


# -- what isn't what it claims to be


def frame_of(
    kind: int, unit: int = 1, group: int = 1, version: int = control.VERSION, count: int = 0
) -> bytes:
    head = (control.ETH_DST, control.ETH_SRC, control.ETHERTYPE)
    return control.HEADER.pack(*head, version, kind, group, unit, count, 0, 0)


@pytest.mark.parametrize(
    ("frame", "port", "reason"),
    [
        (b"", ports.SYNOD, "not_control"),
        (frame_of(control.OFFER)[:20], ports.SYNOD, "control_truncated"),
        (frame_of(control.OFFER, version=9), ports.SYNOD, "control_version"),
        (frame_of(99), ports.SYNOD, "control_kind"),
        (frame_of(control.STATE), ports.SYNOD, "control_direction"),
        (frame_of(control.OFFER, unit=2), ports.SYNOD, "unit_mismatch"),
        (frame_of(control.OFFER, group=2), ports.SYNOD, "group_mismatch"),
        (frame_of(control.ANNOUNCE), ports.SYNOD, "control_body"),
        (frame_of(control.CENSUS), ports.SYNOD, "census_stale"),
        (frame_of(control.OFFER, count=1) + bytes(32), ports.SYNOD, "control_value"),
        (bytes(12) + b"\x08\x00" + bytes(40), ports.HA_NIC, "not_arp"),
        (bytes(12) + b"\x08\x06" + bytes(5), ports.nic_port(1), "arp_truncated"),
    ],
)
def test_what_cannot_be_read_is_dropped_by_name(frame: bytes, port: int, reason: str) -> None:
    world = World().form()
    effects = world.frame(1, frame, port)
    assert outcomes(effects) == [reason]
    assert all(isinstance(effect, events.Line) and effect.warning for effect in effects)
    assert world.counters[reason] == 1


FORMED = World().form()


@settings(max_examples=300)
@given(
    st.integers(1, 3),
    st.sampled_from((ports.SYNOD, ports.HA_NIC, 1, 2, 77)),
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda kind, unit, count, body: frame_of(kind, unit, count=count) + body,
            st.sampled_from(tuple(control.KINDS)),
            st.integers(1, 3),
            st.integers(0, 3),
            st.binary(max_size=120),
        ),
        st.builds(lambda body: bytes(12) + b"\x08\x06" + body, st.binary(max_size=60)),
    ),
)
def test_no_frame_whatever_raises(unit: int, port: int, frame: bytes) -> None:
    for effect in FORMED.frame(unit, frame, port):
        assert isinstance(effect, events.Line | events.Send | events.Settle)
