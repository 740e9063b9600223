"""Effects -> OpenFlow 1.3 bytes.

Everything is encoded by Ryu's own message classes: static flows one by one, and what every session
needs (two flow-mods, a packet-out) once, at start-up, as templates that are cut open where a
session's addresses and ports go. Each template is verified byte for byte against what the classes
make of other sessions before it is used; so the wire format is Ryu's, at a fraction of its time
(`tests/bench/decisions.py`).

Nothing here decides, sends or receives.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Any

from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser

from agents.wire.ports import SYNOD
from ryu_apps import tracker
from ryu_apps.core import events
from ryu_apps.core.flows import (
    KIND_MASK,
    Action,
    FinTimeout,
    Flow,
    Goto,
    Kind,
    Metered,
    Move,
    Output,
    SetField,
    Track,
    Value,
    cookie,
    part_of,
)
from ryu_apps.core.limits import Meter
from ryu_apps.core.pipeline import Table, session_flow
from ryu_apps.messages import PROTOCOL, TemplateError, encoded, packet_out

_ALL_BITS = 0xFFFFFFFFFFFFFFFF
_PACKETS = ofp.OFPMF_PKTPS | ofp.OFPMF_STATS  # how a meter counts

# Ryu sorts a match by OXM class, and class 0 (NXM) comes first: so what others depend on must be of
# class 0.
_MATCH_NAMES = {
    "eth_type": "eth_type_nxm",
    "ip_proto": "ip_proto_nxm",
    "tcp_flags": "tcp_flags_nxm",
}


class Encoder:
    """Bytes of effects, for the sessions of these units in the session table of this kind (the
    cluster's `session_table`).
    """

    def __init__(self, units: Iterable[int], session_table: str) -> None:
        if session_table == "conntrack":
            self._delete, self._add = tracker.deleting(), tracker.committing(units)
        else:
            self._delete, self._add = deleting(), adding(units)
        self._packet_out = _packet_out_template()
        self._encoders: dict[type[Any], Callable[[Any], bytes]] = {
            events.Settle: self.settle,
            events.Send: lambda effect: self._packet_out(effect.port, effect.frame),
            events.Install: install,
            events.Forget: lambda _effect: forget(session_table),
            events.ForgetParts: forget_parts,
            events.Ping: lambda _effect: ping(),
            events.AskStatic: ask_static,
            events.AskCount: ask_count,
            events.AskMeters: lambda _effect: ask_meters(),
            events.AskFlow: ask_flow,
            events.AskMark: lambda effect: tracker.look(effect.tuple12, Table.LOOK),
        }

    def encode(self, effect: events.Effect) -> bytes:
        """The messages of an effect (other than a log line), in order."""
        return self._encoders[type(effect)](effect)

    def settle(self, effect: events.Settle) -> bytes:
        """What writes and removes sessions, and packet-outs, from the templates."""
        parts = self._delete(effect.delete)
        parts += [self._add(*session) for session in effect.add]
        parts += [self._packet_out(SYNOD, frame) for frame in effect.frames]
        return b"".join(parts)


def deleting() -> Callable[[Iterable[bytes]], list[bytes]]:
    """A function from tuples to the flow-mods that delete their flows."""
    delete = _template(0, ofp.OFPFC_DELETE_STRICT)
    return lambda tuples: [delete(tuple12) for tuple12 in tuples]


def adding(units: Iterable[int]) -> Callable[[int, bytes, bytes], bytes]:
    """A function from unit, orig and reply to the flow-mods that add a session's flows."""
    adds = {unit: _template(unit, ofp.OFPFC_ADD) for unit in units}
    return lambda unit, orig, reply: adds[unit](orig) + adds[unit](reply)


def install(effect: events.Install) -> bytes:
    """Meter-mods and flow-mods of `Install`, and the barrier; all carry its token as transaction
    id.
    """
    token, meters = effect.token, effect.meters
    messages = [_meter_mod(meter, ofp.OFPMC_ADD, token) for meter in meters.add]
    messages += [_meter_mod(meter, ofp.OFPMC_MODIFY, token) for meter in meters.change]
    messages += [_flow_mod(flow, ofp.OFPFC_ADD, token) for flow in effect.add]
    messages += [_delete_by_cookie(number, token) for number in effect.delete]
    gone = (Meter(number, 0) for number in meters.delete)
    messages += [_meter_mod(meter, ofp.OFPMC_DELETE, token) for meter in gone]
    messages.append(encoded(parser.OFPBarrierRequest(PROTOCOL), token))
    return b"".join(messages)


def forget(session_table: str) -> bytes:
    """One message, however many sessions it removes."""
    if session_table == "conntrack":
        return tracker.forget()
    return _delete_by_cookie(cookie(Kind.SESSION), events.SESSION_TOKEN, KIND_MASK)


def forget_parts(effect: events.ForgetParts) -> bytes:
    """A flow-mod for each part. (Of one cookie, all bits: the switch has an index of those,
    collect_rules_loose() in ofproto/ofproto.c.)
    """
    numbers = (cookie(Kind.SESSION, effect.of, part) for part in effect.parts)
    return b"".join(_delete_by_cookie(number, events.SESSION_TOKEN) for number in numbers)


def ping() -> bytes:
    """An echo request."""
    return encoded(parser.OFPEchoRequest(PROTOCOL), events.PING_TOKEN)


def ask_static(effect: events.AskStatic) -> bytes:
    """Requests for all meters, and then for all flows whose cookie says static."""
    meters = parser.OFPMeterConfigStatsRequest(PROTOCOL, 0, ofp.OFPM_ALL)
    flows = _flow_stats(cookie(Kind.STATIC), KIND_MASK, effect.token)
    return encoded(meters, effect.token) + flows


def ask_meters() -> bytes:
    """A request for what all meters have counted."""
    request = parser.OFPMeterStatsRequest(PROTOCOL, 0, ofp.OFPM_ALL)
    return encoded(request, events.COUNT_TOKEN)


def ask_count(effect: events.AskCount) -> bytes:
    """A request for the flows of just that cookie (which the switch finds by index, however many it
    has).
    """
    return _flow_stats(effect.cookie, _ALL_BITS, events.COUNT_TOKEN)


def ask_flow(effect: events.AskFlow) -> bytes:
    """A request for that flow: by its cookie, too, so that the switch finds it by index."""
    flow = effect.flow
    match = parser.OFPMatch(**_match(flow))
    return _flow_stats(flow.cookie, _ALL_BITS, effect.token, flow.table, match)


def _flow_stats(
    number: int, mask: int, xid: int, table: int = ofp.OFPTT_ALL, match: Any = None
) -> bytes:
    match = match or parser.OFPMatch()
    request = parser.OFPFlowStatsRequest(
        PROTOCOL, 0, table, ofp.OFPP_ANY, ofp.OFPG_ANY, number, mask, match
    )
    return encoded(request, xid)


def _delete_by_cookie(number: int, xid: int, mask: int = _ALL_BITS) -> bytes:
    message = parser.OFPFlowMod(
        PROTOCOL,
        cookie=number,
        cookie_mask=mask,
        table_id=ofp.OFPTT_ALL,
        command=ofp.OFPFC_DELETE,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=parser.OFPMatch(),
    )
    return encoded(message, xid)


def _meter_mod(meter: Meter, command: int, xid: int) -> bytes:
    bands = [parser.OFPMeterBandDrop(meter.rate)] if command != ofp.OFPMC_DELETE else []
    message = parser.OFPMeterMod(PROTOCOL, command, _PACKETS, meter.number, bands)
    return encoded(message, xid)


def _flow_mod(flow: Flow, command: int, xid: int) -> bytes:
    instructions = [
        parser.OFPInstructionMeter(a.meter) for a in flow.actions if isinstance(a, Metered)
    ]
    if actions := [_action(each) for each in flow.actions if not isinstance(each, Metered | Goto)]:
        instructions.append(parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
    instructions += [
        parser.OFPInstructionGotoTable(a.table) for a in flow.actions if isinstance(a, Goto)
    ]
    message = parser.OFPFlowMod(
        PROTOCOL,
        cookie=flow.cookie,
        table_id=flow.table,
        command=command,
        priority=flow.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=parser.OFPMatch(**_match(flow)),
        instructions=instructions,
    )
    return encoded(message, xid)


def _match(flow: Flow) -> dict[str, Any]:
    return {
        _MATCH_NAMES.get(name, name): tuple(map(_user, value))
        if isinstance(value, tuple)
        else _user(value)
        for name, value in flow.match
    }


def _user(value: Value) -> int | str:
    """A value as Ryu takes it: addresses as text."""
    if isinstance(value, int):
        return value
    return value.hex(":") if len(value) == 6 else ".".join(map(str, value))


def _action(action: Action) -> Any:
    match action:
        case SetField(name, value):
            return parser.OFPActionSetField(**{name: _user(value)})
        case Move(source, target, bits, offset):
            return parser.NXActionRegMove(source, target, bits, dst_ofs=offset)
        case Output(port):
            return parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)
        case FinTimeout(idle):
            return parser.NXActionFinTimeout(fin_idle_timeout=idle, fin_hard_timeout=0)
        case Track(zone, table):
            return parser.NXActionCT(0, "", zone, table, 0, [])
    raise TypeError(f"no action: {action}")


# -- templates

_COOKIE_END = 15  # offset of its last byte in a flow-mod (OpenFlow 1.3.5, section 7.3.4.1)
_SAMPLES = (
    bytes.fromhex("c1c2c3c4 d1d2d3d4 e1e2 f1f2"),  # the one that is cut open: no two parts alike
    bytes.fromhex("00000000 00000000 0000 0000"),
    bytes.fromhex("ffffffff ffffffff ffff ffff"),
    bytes.fromhex("0a01000a cb00710a 9c40 0050"),
)


def _template(unit: int, command: int) -> Callable[[bytes], bytes]:
    """A function from 12 bytes (src, dst, sport, dport) to the flow-mod of that direction of a
    session.
    """

    def by_ryu(tuple12: bytes) -> bytes:
        return _flow_mod(session_flow(unit, tuple12), command, events.SESSION_TOKEN)

    sample = _SAMPLES[0]
    rest, pieces = by_ryu(sample), []
    for part in (sample[0:4], sample[4:8], sample[8:10], sample[10:12]):
        piece, found, rest = rest.partition(part)
        if not found or part in rest:
            raise TemplateError(f"{part.hex()} does not stand in the flow-mod just once")
        pieces.append(piece)
    a, b, c, d = pieces
    # The cookie is the first field after the header; its last byte is the part.
    before, after = a[:_COOKIE_END], a[_COOKIE_END + 1 :]

    def fill(tuple12: bytes, e: bytes = rest) -> bytes:
        start = before + bytes((part_of(tuple12),)) + after
        return b"".join(
            (start, tuple12[0:4], b, tuple12[4:8], c, tuple12[8:10], d, tuple12[10:12], e)
        )

    for each in _SAMPLES:
        if fill(each) != by_ryu(each):
            raise TemplateError(f"flow-mod of {each.hex()} differs from Ryu's")
    return fill


def _packet_out_template() -> Callable[[int, bytes], bytes]:
    """A function from port and frame to the packet-out."""

    def by_ryu(port: int, frame: bytes) -> bytes:
        return packet_out([parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)], frame)

    whole = by_ryu(0, b"")
    # header: version, type, length, xid; then buffer, in_port, actions_len; then the one action,
    # its port at 4
    head = struct.Struct("!BBHI")
    version, kind, length, xid = head.unpack_from(whole)
    fixed, after = whole[8:28], whole[32:]

    def fill(port: int, frame: bytes) -> bytes:
        start = head.pack(version, kind, length + len(frame), xid)
        return b"".join((start, fixed, port.to_bytes(4, "big"), after, frame))

    for port, frame in ((0, b""), (200, b"\x01" * 60), (0xFFFFFFF8, b"\xff" * 1514)):
        if fill(port, frame) != by_ryu(port, frame):
            raise TemplateError(f"packet-out to port {port} differs from Ryu's")
    return fill
