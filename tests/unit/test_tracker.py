"""Entries of the switch's connection tracker on the wire: what commits them, and what removes them.

That a switch does with it what it should is `tests/switch/test_tracker.py`.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ryu", reason="Ryu is not installed")

from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from agents.wire.packet import inverse, tuple12
from ryu_apps import tracker
from ryu_apps.core import events
from ryu_apps.messages import PROTOCOL, TemplateError
from ryu_apps.openflow import Encoder

ENCODER = Encoder((1, 2, 64), "conntrack")
ORIG = tuple12("10.1.0.10", "203.0.113.10", 1000, 80)
# What `ovs-ofctl ct-flush zone=21337 ct_nw_src=10.1.0.10,…` of OVS 3.1 sent, but for the xid.
FLUSH = bytes.fromhex(
    """
    00002320 00000020 06000000 00000000 00000048 00000000 00000014 00000000 00000000 0000ffff
    0a01000a 00000000 00010014 00000000 00000000 0000ffff cb00710a 00000000 00020008 03e80000
    00030008 00500000 00020008 53590000
    """
)


def messages(data: bytes) -> list[tuple[int, bytes]]:
    """Kind and body of each message."""
    found = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        found.append((data[1], data[8:length]))
        data = data[length:]
    return found


def committed(data: bytes) -> list[tuple[int, str, bytes]]:
    """Mark, TCP flags and tuple of each packet-out. (Ryu reads none of its own.)"""
    found = []
    for kind, body in messages(data):
        assert kind == ofp.OFPT_PACKET_OUT
        length = int.from_bytes(body[8:10], "big")
        (action,) = [parser.OFPAction.parser(body, 16)]
        assert (action.flags, action.zone_ofs_nbits, action.recirc_table) == (1, 0x5359, 255)
        (mark,) = action.actions
        packet = Ether(body[16 + length :])
        flags = str(packet[TCP].flags)
        sums = packet[IP].chksum, packet[TCP].chksum
        del packet[IP].chksum, packet[TCP].chksum
        again = Ether(bytes(packet))
        assert (again[IP].chksum, again[TCP].chksum) == sums
        ports = packet[TCP].sport, packet[TCP].dport
        found.append((mark.value, flags, tuple12(packet[IP].src, packet[IP].dst, *ports)))
    return found


tuples12 = st.binary(min_size=12, max_size=12)


@given(st.sampled_from((1, 2, 64)), tuples12, tuples12)
def test_a_session_is_a_handshake_with_the_client_and_a_syn_to_the_server(
    unit: int, orig: bytes, reply: bytes
) -> None:
    wanted = [(unit, "S", orig), (unit, "SA", inverse(orig)), (unit, "S", inverse(reply))]
    data = ENCODER.encode(events.Settle(1, [], [(unit, orig, reply)], []))
    assert committed(data) == wanted[: 2 if inverse(reply) == orig else 3]


def test_without_nat_there_is_one_entry_to_commit() -> None:
    data = ENCODER.encode(events.Settle(1, [], [(2, ORIG, inverse(ORIG))], []))
    assert committed(data) == [(2, "S", ORIG), (2, "SA", inverse(ORIG))]


def test_what_removes_an_entry_is_what_the_switchs_own_program_sends() -> None:
    ((kind, body),) = messages(ENCODER.encode(events.Settle(1, [ORIG], [], [])))
    assert (kind, body) == (ofp.OFPT_EXPERIMENTER, FLUSH)


@given(tuples12)
def test_any_tuple_is_removed_so(gone: bytes) -> None:
    ((_, body),) = messages(ENCODER.encode(events.Settle(1, [gone], [], [])))
    assert len(body) == len(FLUSH)
    pieces = [(FLUSH.index(piece), len(piece)) for piece in (ORIG[:4], ORIG[4:8], b"\x03\xe8")]
    pieces.append((FLUSH.index(b"\x00\x50"), 2))
    assert b"".join(body[at : at + size] for at, size in pieces) in (gone, inverse(gone))


def test_what_is_one_entry_is_removed_once() -> None:
    data = ENCODER.encode(events.Settle(1, [ORIG, inverse(ORIG)], [], []))
    assert len(messages(data)) == 1


def test_the_whole_zone_is_removed_by_one_message() -> None:
    assert messages(ENCODER.encode(events.Forget(1))) == [
        (ofp.OFPT_EXPERIMENTER, bytes.fromhex("00002320 0000001d 000000000000 5359"))
    ]


def test_it_is_removed_then_committed_then_told() -> None:
    settle = events.Settle(1, [ORIG], [(2, ORIG, inverse(ORIG))], [b"told"])
    kinds = [kind for kind, _ in messages(ENCODER.encode(settle))]
    assert kinds == [ofp.OFPT_EXPERIMENTER] + [ofp.OFPT_PACKET_OUT] * 3
    assert ENCODER.encode(settle).endswith(b"told")


@pytest.mark.parametrize(
    ("name", "make"),
    [("_flush", tracker.deleting), ("_by_ryu", lambda: tracker.committing((1,)))],
)
def test_a_template_that_is_not_right_stops_the_app(
    name: str, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(tracker, name)

    def odd(t12: bytes, *more: Any) -> bytes:
        made = bytes(real(t12, *more))
        return made[:-1] + bytes((t12[0],))

    monkeypatch.setattr(tracker, name, odd)
    with pytest.raises(TemplateError):
        make()


def test_a_lookup_commits_nothing() -> None:
    from ryu_apps.core.flows import Flow, Track  # noqa: PLC0415

    flow = Flow("tracked", 0, 40, (), (Track(0x5359, 2),), 7)
    (_, body), _ = messages(ENCODER.encode(events.Install(1, (flow,), (), 9)))
    mod = parser.OFPFlowMod.parser(
        PROTOCOL, 4, ofp.OFPT_FLOW_MOD, len(body) + 8, 9, bytes(8) + body
    )
    ((action,),) = [instruction.actions for instruction in mod.instructions]
    assert (action.flags, action.zone_ofs_nbits, action.recirc_table) == (0, 0x5359, 2)
    assert action.actions == []
