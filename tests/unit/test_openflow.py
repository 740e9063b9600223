"""What goes onto the wire is what Ryu's own classes would have put there."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ryu", reason="Ryu is not installed")

from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from ryu_apps import messages as messages_of
from ryu_apps import openflow
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import FinTimeout, Flow, Goto, Metered, Output, SetField
from ryu_apps.core.limits import Meter
from ryu_apps.core.pipeline import desired
from ryu_apps.openflow import Encoder, TemplateError
from tests.unit.core_world import cluster_of

PROTOCOL = ProtocolDesc(ofp.OFP_VERSION)
ENCODER = Encoder((1, 2, 64), "flows")


def messages(data: bytes) -> list[Any]:
    """Cut bytes into messages, parsed by Ryu where it parses what a controller sends."""
    found = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        kind, xid = data[1], int.from_bytes(data[4:8], "big")
        if kind == ofp.OFPT_FLOW_MOD:
            found.append(parser.OFPFlowMod.parser(PROTOCOL, 4, kind, length, xid, data[:length]))
        else:
            found.append((kind, xid, data[8:length]))
        data = data[length:]
    return found


def by_ryu(unit: int, tuple12: bytes, command: int) -> bytes:
    """A session's flow-mod, spelled out with Ryu's classes."""
    dotted = [".".join(map(str, tuple12[at : at + 4])) for at in (0, 4)]
    match = parser.OFPMatch(
        eth_type_nxm=0x800,
        ip_proto_nxm=6,
        ipv4_src=dotted[0],
        ipv4_dst=dotted[1],
        tcp_src=int.from_bytes(tuple12[8:10], "big"),
        tcp_dst=int.from_bytes(tuple12[10:12], "big"),
    )
    actions = [
        parser.OFPActionSetField(reg1=unit),
        parser.NXActionFinTimeout(fin_idle_timeout=10, fin_hard_timeout=0),
    ]
    message = parser.OFPFlowMod(
        PROTOCOL,
        cookie=0x5359_02_00_00000000 | unit << 32 | tuple12[9] ^ tuple12[11],
        table_id=2,
        command=command,
        priority=100,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=match,
        instructions=[
            parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions),
            parser.OFPInstructionGotoTable(3),
        ],
    )
    message.set_xid(events.SESSION_TOKEN)
    message.serialize()
    return bytes(message.buf)


def packet_out(port: int, frame: bytes) -> bytes:
    actions = [parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)]
    message = parser.OFPPacketOut(PROTOCOL, ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER, actions, frame)
    message.set_xid(events.SESSION_TOKEN)
    message.serialize()
    return bytes(message.buf)


tuples12 = st.binary(min_size=12, max_size=12)


@given(st.sampled_from((1, 2, 64)), tuples12, tuples12, tuples12, st.binary(max_size=1514))
def test_a_settlement_is_what_ryu_makes_of_it(
    unit: int, gone: bytes, orig: bytes, reply: bytes, frame: bytes
) -> None:
    settled = ENCODER.encode(events.Settle(1, [gone], [(unit, orig, reply)], [frame]))
    assert settled == b"".join(
        (
            by_ryu(0, gone, ofp.OFPFC_DELETE_STRICT),
            by_ryu(unit, orig, ofp.OFPFC_ADD),
            by_ryu(unit, reply, ofp.OFPFC_ADD),
            packet_out(200, frame),
        )
    )


@given(st.integers(1, 0xFFFFFF00), st.binary(max_size=1514))
def test_a_frame_is_sent_as_ryu_sends_it(port: int, frame: bytes) -> None:
    assert ENCODER.encode(events.Send(1, port, frame)) == packet_out(port, frame)


def test_flows_are_added_before_any_is_deleted_and_a_barrier_ends_it() -> None:
    flows = desired(cluster_of(3), 2, Role.AUXILIARY, 1)
    *mods, barrier = messages(ENCODER.encode(events.Install(2, flows, (7, 8), 77)))
    assert barrier == (ofp.OFPT_BARRIER_REQUEST, 77, b"")
    assert [mod.command for mod in mods] == [ofp.OFPFC_ADD] * len(flows) + [ofp.OFPFC_DELETE] * 2
    assert [mod.cookie for mod in mods] == [flow.cookie for flow in flows] + [7, 8]
    assert {mod.xid for mod in mods} == {77}
    assert {mod.cookie_mask for mod in mods[len(flows) :]} == {0xFFFFFFFFFFFFFFFF}


def test_the_flows_of_all_sessions_go_at_once() -> None:
    (mod,) = messages(ENCODER.encode(events.Forget(1)))
    assert (mod.command, mod.cookie, mod.cookie_mask) == (
        ofp.OFPFC_DELETE,
        0x5359_02_00_00000000,
        0xFFFFFF_00_00000000,
    )


def test_the_flows_of_a_units_sessions_go_in_parts() -> None:
    mods = messages(ENCODER.encode(events.ForgetParts(1, 3, range(8, 10))))
    assert [(mod.command, mod.cookie, mod.cookie_mask) for mod in mods] == [
        (ofp.OFPFC_DELETE, 0x5359_02_03_00000000 | part, 0xFFFFFFFF_FFFFFFFF) for part in (8, 9)
    ]


def test_a_drop_has_no_instructions() -> None:
    flow = Flow("drop", 3, 0, (), (), 5)
    (mod, _) = messages(ENCODER.encode(events.Install(1, (flow,), (), 9)))
    assert (mod.table_id, mod.priority, mod.instructions) == (3, 0, [])


def test_static_flows_are_asked_for_by_kind_and_counts_by_cookie() -> None:
    meters, (kind, xid, body) = messages(ENCODER.encode(events.AskStatic(1, 55)))
    asked = struct.pack("!HH4xI4x", ofp.OFPMP_METER_CONFIG, 0, ofp.OFPM_ALL)
    assert meters == (ofp.OFPT_MULTIPART_REQUEST, 55, asked)
    assert (kind, xid) == (ofp.OFPT_MULTIPART_REQUEST, 55)
    assert body[24:40].hex() == "5359010000000000" + "ffffff0000000000"
    ((_, xid, body),) = messages(ENCODER.encode(events.AskCount(1, 0x1234)))
    assert xid == events.COUNT_TOKEN
    assert body[24:40].hex() == "0000000000001234" + "ff" * 8


def test_meters_are_there_before_flows_and_go_after_them() -> None:
    changes = events.Meters((Meter(33, 5),), (Meter(34, 6),), (35,))
    flow = Flow("limited", 1, 2, (), (Metered(33), Output(4), Goto(3)), 7)
    first, second, mod, gone, last, _ = messages(
        ENCODER.encode(events.Install(1, (flow,), (8,), 9, changes))
    )

    def meter_mod(command: int, number: int, *rates: int) -> tuple[int, int, bytes]:
        body = struct.pack("!HHI", command, ofp.OFPMF_PKTPS | ofp.OFPMF_STATS, number)
        bands = (struct.pack("!HHII4x", ofp.OFPMBT_DROP, 16, rate, 0) for rate in rates)
        return ofp.OFPT_METER_MOD, 9, body + b"".join(bands)

    assert first == meter_mod(ofp.OFPMC_ADD, 33, 5)
    assert second == meter_mod(ofp.OFPMC_MODIFY, 34, 6)
    meter, apply, goto = mod.instructions
    assert (meter.meter_id, apply.actions[0].port, goto.table_id) == (33, 4, 3)
    assert (gone.command, gone.cookie) == (ofp.OFPFC_DELETE, 8)
    assert last == meter_mod(ofp.OFPMC_DELETE, 35)


def test_what_meters_have_dropped_is_asked_of_all_at_once() -> None:
    asked = struct.pack("!HH4xI4x", ofp.OFPMP_METER, 0, ofp.OFPM_ALL)
    expected = (ofp.OFPT_MULTIPART_REQUEST, events.COUNT_TOKEN, asked)
    assert messages(ENCODER.encode(events.AskMeters(1))) == [expected]


def test_an_action_that_nobody_knows_is_an_error() -> None:
    flow = Flow("odd", 0, 0, (), (object(),), 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no action"):
        ENCODER.encode(events.Install(1, (flow,), (), 9))


def constant(unit: int, tuple12: bytes) -> Flow:
    """A flow that forgets the session."""
    return Flow("session", 2, 100, (("eth_type", 0x800),), (Goto(3),), 1)


def shifting(unit: int, tuple12: bytes) -> Flow:
    """A flow that differs in more than the tuple."""
    match = (
        ("eth_type", 0x800),
        ("ip_proto", 6),
        ("ipv4_src", tuple12[0:4]),
        ("ipv4_dst", tuple12[4:8]),
        ("tcp_src", int.from_bytes(tuple12[8:10], "big")),
        ("tcp_dst", int.from_bytes(tuple12[10:12], "big")),
    )
    return Flow("session", 2, 100, match, (SetField("reg1", 1), FinTimeout(tuple12[0])), 1)


@pytest.mark.parametrize("session_flow", [constant, shifting])
def test_a_template_that_is_not_right_stops_the_app(
    session_flow: Callable[[int, bytes], Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openflow, "session_flow", session_flow)
    with pytest.raises(TemplateError):
        Encoder((1,), "flows")


def test_a_packet_out_that_is_not_right_stops_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    real = messages_of.encoded

    def changing(message: Any, xid: int) -> bytes:
        return real(message, xid + len(getattr(message, "data", None) or b""))

    monkeypatch.setattr(messages_of, "encoded", changing)
    with pytest.raises(TemplateError, match="packet-out"):
        Encoder((1,), "flows")
