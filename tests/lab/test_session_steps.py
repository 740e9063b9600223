"""Every step of a session's life, from captures of one session that an auxiliary serves.

One session is recorded at every place that it passes; each test then asserts one step of it.
"""

import re
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from agents.wire import ports, syndata
from tests.lab.conftest import until_whole
from tests.lab.world import CLIENT, OUTSIDE, PORT, SERVER, Session, World
from topologies.observe import (
    Endpoints,
    Entry,
    describe,
    endpoints,
    entries,
    ip_bytes,
    is_syn,
    payload,
    switch_sessions,
)

GROUP = 1
INT, EXT = 1, 2
UNIT = 2
# On the primary, marks and translates; a mark that no other unit would choose, a port likewise.
PRIMARY_RULES = """
table ip user {
    chain prerouting {
        type filter hook prerouting priority mangle
        ct state new tcp dport 7000 ct mark set 0x1234
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" meta l4proto tcp snat to 203.0.113.1:30000-39999 random
    }
}
"""
# What an auxiliary would do if it were asked: another mark, other ports.
AUXILIARY_RULES = PRIMARY_RULES.replace("0x1234", "0x9999").replace("30000-39999", "50000-59999")


def virtual(interface: int) -> str:
    return ports.mac_text(ports.virtual_mac(GROUP, interface))


def physical(unit: int, interface: int) -> str:
    return ports.mac_text(ports.physical_mac(GROUP, unit, interface))


@dataclass(frozen=True)
class Recording:
    """What was caught of one session, by place, and what the units knew while it was open."""

    session: Endpoints
    translated: Endpoints
    seen: str
    at: dict[str, list[Packet]]
    entries: dict[int, Entry]
    carried: dict[int, list[str]]

    def syns(self, place: str) -> list[Packet]:
        return [frame for frame in self.at[place] if is_syn(frame)]


PLACES = tuple(
    f"u{unit}/{name}"
    for unit in (1, UNIT)
    for name in ("nic-int", "nic-ext", "int", "ext", "synod0")
)


def held_everywhere(world: World, session: Session) -> dict[int, Entry]:
    """Each unit's entry of an established session, once all have one that says whose it is."""
    found = {unit: world.entry(session.endpoints, unit) for unit in world.units}
    held = {unit: entry for unit, entry in found.items() if entry}
    return held if set(held) == set(world.units) else {}


def record(world: World) -> Recording:
    """Opens sessions until the unit serves one, talks, closes; that one's frames everywhere."""
    with world.captures(*PLACES, expression="tcp") as captures:
        session = world.connect_through(UNIT)
        for word in ("one", "two", "three"):
            assert world.client("talk", id=session.id, text=word) == word
        held = world.until(lambda: held_everywhere(world, session), "not all units hold it")
        carried = {unit: switch_sessions(world.lab, unit) for unit in world.units}
        world.client("close", id=session.id)
        world.until_gone(20)
        translated = session.entry.reply.reverse
        at = {
            place: capture.tcp(session.endpoints, translated) for place, capture in captures.items()
        }
    return Recording(session.endpoints, translated, session.seen, at, held, carried)


@pytest.fixture(scope="module")
def recording(_three: World) -> Recording:
    until_whole(_three)
    _three.rules(AUXILIARY_RULES)
    _three.rules(PRIMARY_RULES, 1)
    _three.forget_sessions()
    return record(_three)


def test_the_primary_has_the_entry_and_it_names_the_unit(recording: Recording) -> None:
    entry = recording.entries[1]
    assert entry.unit == UNIT
    assert "in-1" in entry.labels
    assert entry.mark == 0x1234
    assert entry.reply.destination == OUTSIDE
    assert 30000 <= entry.reply.dport <= 39999


def test_the_auxiliary_has_the_primarys_decisions_not_its_own(recording: Recording) -> None:
    mine, primarys = recording.entries[UNIT], recording.entries[1]
    assert mine.reply == primarys.reply
    assert mine.mark == primarys.mark
    assert mine.labels == primarys.labels


def test_others_know_who_has_it(recording: Recording) -> None:
    """It was established: so they hold it, as that unit's."""
    copy = recording.entries[3]
    assert copy.unit == 2


def test_the_server_sees_the_primarys_translation(recording: Recording) -> None:
    assert recording.seen == f"{recording.translated.source}:{recording.translated.sport}"


def test_the_primarys_kernel_sees_the_syn_and_nothing_else(recording: Recording) -> None:
    for place in ("u1/int", "u1/ext"):
        assert all(is_syn(frame) for frame in recording.at[place]), [
            describe(frame) for frame in recording.at[place]
        ]
    assert len(recording.syns("u1/int")) == 1
    assert len(recording.syns("u1/ext")) == 1


def test_the_syn_to_the_auxiliary_goes_from_the_virtual_to_the_physical_mac(
    recording: Recording,
) -> None:
    arrived, handed_over = recording.syns("u1/nic-int")
    assert arrived[Ether].dst == virtual(INT)
    assert (handed_over[Ether].src, handed_over[Ether].dst) == (virtual(INT), physical(UNIT, INT))


def test_the_syn_to_the_auxiliary_carries_the_decisions(recording: Recording) -> None:
    _, handed_over = recording.syns("u1/nic-int")
    data, length = syndata.decode(payload(handed_over))
    entry = recording.entries[1]
    assert length == len(payload(handed_over))
    assert (data.unit, data.primary, data.interface, data.mark) == (UNIT, 1, INT, 0x1234)
    assert data.reply == tuple12(entry.reply)


def tuple12(side: Endpoints) -> bytes:
    addresses = b"".join(
        bytes(map(int, text.split("."))) for text in (side.source, side.destination)
    )
    return addresses + side.sport.to_bytes(2, "big") + side.dport.to_bytes(2, "big")


def test_the_syn_to_the_auxiliary_is_otherwise_the_clients(recording: Recording) -> None:
    arrived, handed_over = recording.syns("u1/nic-int")
    assert headers(handed_over) == headers(arrived)


def headers(frame: Packet) -> dict[str, object]:
    """Every field of IP and TCP but length and checksums."""
    ip, tcp = frame[IP], frame[TCP]
    fields = {
        f"ip.{name}": ip.getfieldval(name)
        for name in ("tos", "id", "flags", "frag", "ttl", "src", "dst", "options")
    }
    names = (
        "sport",
        "dport",
        "seq",
        "ack",
        "dataofs",
        "reserved",
        "flags",
        "window",
        "urgptr",
        "options",
    )
    return fields | {f"tcp.{name}": tcp.getfieldval(name) for name in names}


def test_nothing_else_carries_data_of_ours(recording: Recording) -> None:
    for place, frames in recording.at.items():
        for frame in frames:
            with_data = syndata.MAGIC in payload(frame)
            to_auxiliary = is_syn(frame) and frame[Ether].dst == physical(UNIT, INT)
            inside_primary = place == "u1/synod0" and is_syn(frame)
            inside_auxiliary = place == f"u{UNIT}/synod0" and is_syn(frame)
            assert not with_data or to_auxiliary or inside_primary or inside_auxiliary, (
                place,
                describe(frame),
            )


def test_the_auxiliarys_kernel_gets_the_clients_syn_byte_for_byte(recording: Recording) -> None:
    arrived, _ = recording.syns("u1/nic-int")
    (given,) = recording.syns(f"u{UNIT}/int")
    assert ip_bytes(given) == ip_bytes(arrived)


def test_the_syn_that_leaves_differs_from_a_single_gateways_in_the_source_mac_only(
    recording: Recording,
) -> None:
    """The primary's kernel made the SYN that a single gateway would have sent: it was diverted."""
    single = recording.syns("u1/synod0")[0]
    (left,) = recording.syns(f"u{UNIT}/nic-ext")
    assert endpoints(single) == recording.translated
    assert ip_bytes(left) == ip_bytes(single)
    assert left[Ether].dst == single[Ether].dst
    assert left[Ether].src == physical(UNIT, EXT)


def test_the_rest_of_the_client_is_sent_on_by_the_primarys_bridge(recording: Recording) -> None:
    rest = [
        frame
        for frame in recording.at["u1/nic-int"]
        if not is_syn(frame) and frame[IP].src == CLIENT
    ]
    came = [frame for frame in rest if frame[Ether].dst == virtual(INT)]
    went = [frame for frame in rest if frame[Ether].dst == physical(UNIT, INT)]
    assert len(came) == len(went) > 3
    assert [ip_bytes(frame) for frame in went] == [ip_bytes(frame) for frame in came]
    assert {frame[Ether].src for frame in went} == {virtual(INT)}


def test_the_answers_come_back_through_the_primary_too(recording: Recording) -> None:
    answers = [frame for frame in recording.at["u1/nic-ext"] if frame[IP].src == SERVER]
    came = [frame for frame in answers if frame[Ether].dst == virtual(EXT)]
    went = [frame for frame in answers if frame[Ether].dst == physical(UNIT, EXT)]
    assert len(came) == len(went) > 3
    assert [ip_bytes(frame) for frame in went] == [ip_bytes(frame) for frame in came]
    assert {frame[Ether].src for frame in went} == {virtual(EXT)}


def test_the_auxiliary_sends_straight_to_both_sides(recording: Recording) -> None:
    out = [
        frame
        for frame in recording.at[f"u{UNIT}/nic-ext"]
        if frame[IP].dst == SERVER and frame[Ether].src == physical(UNIT, EXT)
    ]
    back = [
        frame
        for frame in recording.at[f"u{UNIT}/nic-int"]
        if frame[IP].dst == CLIENT and frame[Ether].src == physical(UNIT, INT)
    ]
    assert len(out) > 3
    assert len(back) > 3
    assert not [frame for frame in recording.at["u1/nic-ext"] if frame[IP].dst == SERVER]


def test_both_directions_are_at_the_primarys_switch(recording: Recording) -> None:
    """Two flows, or two marks in its connection tracker."""
    there, back = recording.session.sport, recording.translated.sport
    # The tracker doesn't say which way a session goes: of either direction, the client's port.
    mine = [
        line
        for line in recording.carried[1]
        if re.search(rf"\b(tp_src|tp_dst|sport|dport)=({there}|{back})\b", line)
    ]
    assert len(mine) == 2, recording.carried[1]
    assert not recording.carried[2]
    assert not recording.carried[3]


def test_the_primary_has_an_entry_for_every_session(world: World) -> None:
    sessions = [world.connect() for _ in range(12)]
    known = {entry.original: entry for entry in entries(world.lab, 1)}
    assert {session.endpoints for session in sessions} <= set(known)

    def held_by(unit: int) -> dict[Endpoints, int]:
        return {entry.original: entry.unit for entry in entries(world.lab, unit)}

    # The others hold it, too, once it is established, and all say alike whose it is.
    for other in (2, 3):
        told = world.until(
            lambda other=other: {session.endpoints for session in sessions} <= set(held_by(other)),
            "a session that isn't held",
        )
        assert told
        held = held_by(other)
        for session in sessions:
            assert held[session.endpoints] == known[session.endpoints].unit


@pytest.mark.usefixtures("_nothing_left")
def test_the_switch_forgets_it_with_the_session(world: World) -> None:
    sessions = [world.connect() for _ in range(6)]
    carried = [session for session in sessions if session.unit != 1]
    assert len(switch_sessions(world.lab, 1)) == 2 * len(carried)
    for session in sessions:
        world.client("close", id=session.id)
    world.until_gone(15)


def test_a_thousand_sessions_all_answered(world: World) -> None:
    before = world.served()
    outcomes = world.client("sessions", address=SERVER, port=PORT, count=999, together=8)
    assert set(outcomes) == {"ok"}
    assert world.served() - before == {1: 333, 2: 333, 3: 333}
