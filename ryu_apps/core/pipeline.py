"""The tables of a unit's bridge, declared as data, and the flows that a unit must have.

    0 classify  where a packet came from and what it is
    1 arp       neighbours, and routed ARP (talk, slides "arpreq_proxy", "arpreply_proxy")
    2 session   tuple -> the unit that the session was given to; written by decisions: as flows,
                or as marks in the switch's connection tracker (the cluster's `session_table`)
    3 unit      that unit -> the unit that serves its sessions now: one flow-mod re-homes them all
    4 forward   serving unit, interface -> MACs; back out of the port that the packet came in by
    5 egress    what leaves a kernel, out of the NIC
    6 look      what the app has put in to be looked up in the switch's connection tracker; back to
                the app, with the mark

Fragments carry no ports here, not even the first (ovs-fields(7), "ip_frag"), so they are of no
session, and the kernel puts them together.

Registers: reg0 interface index, reg1 unit, reg2 serving unit. reg4 to reg6 mean nothing: addresses
and ports are copied there because a field that was copied is never wildcarded in the datapath's
cache, so that no cached flow of one session can swallow the packets of another. SYNs have a cached
flow of their own for the same reason (`nic_syn`). With marks nothing is copied: the tracker tells
sessions apart, and what is cached says zone and mark, and no tuple. The mark is the unit's id. It
is there for every packet whose tuple the tracker knows, valid or not (process_one() in OVS's
lib/conntrack.c), and validity isn't asked for: see `ryu_apps.tracker`.

The virtual MAC is in these rows and nowhere else: inwards it becomes the kernel port's physical
MAC, outwards the other way round, in ARP bodies, too.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from agents.config import Cluster
from agents.wire import pickup, ports
from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import (
    ARP,
    CONTROL,
    CONTROLLER,
    ICMP,
    IN_PORT,
    IPV4,
    IPV6,
    TCP,
    UDP,
    Action,
    FinTimeout,
    Flow,
    Goto,
    Kind,
    Match,
    Move,
    Output,
    SetField,
    Track,
    cookie,
    part_of,
)
from ryu_apps.core.limits import Limit
from ryu_apps.core.rows import Each, Fields, Its, Row, To, When, Write, bind, symbols_of


class Table(IntEnum):
    """The tables, by number."""

    CLASSIFY = 0
    ARP = 1
    SESSION = 2
    UNIT = 3
    FORWARD = 4
    EGRESS = 5
    LOOK = 6


INTERFACE, UNIT, SERVING = "reg0", "reg1", "reg2"

SESSION_PRIORITY = 100
# After a FIN or RST, a session's flows go when they are unused for this long. Not for as long as
# its entries remember it: the switch's work goes with the number of flows (docs/adr/0009). What
# comes later all the same the primary's kernel sends on, by the entry that it has of each session.
FIN_SECONDS = 10

ANY_TCP: Fields = {"eth_type": IPV4, "ip_proto": TCP}
SYN: Fields = {**ANY_TCP, "tcp_flags": (0x002, 0x012)}  # SYN set, ACK not (RFC 9293, 3.1)
NO_SYN: Fields = {**ANY_TCP, "tcp_flags": (0, 0x002)}
SYN_ACK: Fields = {**ANY_TCP, "tcp_flags": (0x012, 0x012)}
WHOLE: Fields = {"ip_frag": 0}
MULTICAST = (b"\x01" + bytes(5), b"\x01" + bytes(5))

INWARDS = (Write("eth_dst", Its.PHYSICAL), To(Its.KERNEL))
KNOW_INTERFACE = Write(INTERFACE, Its.INDEX)
EXACTLY = (
    Move("ipv4_src", "reg4", 32),
    Move("ipv4_dst", "reg5", 32),
    Move("tcp_src", "reg6", 16),
    Move("tcp_dst", "reg6", 16, offset=16),
)


def _row(  # noqa: PLR0917 - a line of a table: the columns are its order
    name: str,
    table: Table,
    priority: int,
    when: When,
    each: Each,
    match: Fields,
    *actions: Action | To | Write,
    limit: Limit | None = None,
) -> Row:
    return Row(name, table, priority, when, each, match, actions, limit)


C, A, S, U, F, E, L = Table
ALWAYS, PRIMARY, AUXILIARY, EITHER, YIELDING, SUCCEEDING, BY_FLOWS, BY_MARKS, DIVERTING = When
ONCE, INTERFACES, UNITS, PEERS, MACS, ADDRESSES = Each
FROM_NIC: Fields = {"in_port": Its.NIC}
FROM_KERNEL: Fields = {"in_port": Its.KERNEL}
FROM_HA: Fields = {"in_port": ports.HA_NIC}
FROM_SYNOD: Fields = {"in_port": ports.SYNOD}
TO_CLUSTER: Fields = {"eth_dst": Its.VIRTUAL}
TO_ME: Fields = {"eth_dst": Its.PHYSICAL}
BY_PRIMARY: Fields = {"eth_src": Its.VIRTUAL}
AS_CLUSTER: Fields = {"eth_src": (Its.CLAIMED_MAC, Its.CLAIMED_MASK)}
IP: Fields = {"eth_type": IPV4}
IS_ARP: Fields = {"eth_type": ARP}


def _op(opcode: int) -> Fields:
    return {"eth_type": ARP, "arp_op": opcode}


# fmt: off
ROWS: tuple[Row, ...] = (
    # -- classify: the agent and the HA link
    _row("agent", C, 70, ALWAYS, ONCE, FROM_SYNOD | {"eth_type": CONTROL}, Output(CONTROLLER)),
    _row("to_agents", C, 80, ALWAYS, ONCE,
         FROM_SYNOD | {"eth_type": CONTROL, "eth_src": Its.HA}, Output(ports.HA_NIC)),
    _row("from_agents", C, 60, ALWAYS, ONCE,
         FROM_HA | {"eth_type": CONTROL, "eth_dst": Its.HA}, Output(ports.SYNOD)),
    _row("from_all_agents", C, 60, ALWAYS, ONCE,
         FROM_HA | {"eth_type": CONTROL, "eth_dst": Its.HA_GROUP}, Output(ports.SYNOD)),
    _row("ha_routed_request", C, 60, EITHER, ONCE, FROM_HA | _op(201), Goto(A)),
    _row("ha_routed_reply", C, 60, EITHER, ONCE, FROM_HA | _op(202), Goto(A)),
    # Session pickup: agents seal what conntrackd says, and give it what was sealed alone.
    _row("pickup_out", C, 55, ALWAYS, ONCE, {"in_port": ports.HA_KERNEL, "eth_dst": pickup.MAC},
         Output(ports.SYNOD)),
    _row("pickup_in", C, 60, ALWAYS, ONCE, FROM_SYNOD | IP | {"eth_dst": pickup.MAC},
         Output(ports.HA_KERNEL)),
    _row("drop_pickup_unsealed", C, 55, ALWAYS, ONCE,
         FROM_HA | IP | {"ip_proto": UDP, "udp_dst": ports.PICKUP_PORT}),
    _row("drop_ha_fragment", C, 55, ALWAYS, ONCE, FROM_HA | IP | {"ip_frag": (1, 1)}),
    _row("ha_in", C, 50, ALWAYS, ONCE, FROM_HA, Output(ports.HA_KERNEL)),
    _row("ha_out", C, 50, ALWAYS, ONCE, {"in_port": ports.HA_KERNEL}, Output(ports.HA_NIC)),
    # -- classify: from outside, sessions; before sources are looked at, else these are cached, too
    *(
        row
        for match in (NO_SYN, SYN_ACK)
        for row in (
            _row("nic_tcp", C, 85, BY_FLOWS, INTERFACES, FROM_NIC | TO_CLUSTER | match,
                 KNOW_INTERFACE, *EXACTLY, Goto(S)),
            _row("nic_tcp_tracked", C, 85, BY_MARKS, INTERFACES,
                 FROM_NIC | TO_CLUSTER | match | WHOLE, KNOW_INTERFACE, Track(ports.CT_ZONE, S)),
        )
    ),
    # -- classify: from outside, what nobody there may send; above it who may all the same
    _row("drop_agents_outside", C, 90, ALWAYS, INTERFACES, FROM_NIC | {"eth_type": CONTROL}),
    _row("drop_routed_arp_outside", C, 90, ALWAYS, INTERFACES, FROM_NIC | _op(201)),
    _row("drop_routed_arp_outside", C, 90, ALWAYS, INTERFACES, FROM_NIC | _op(202)),
    _row("arp_rival", C, 67, PRIMARY, INTERFACES, FROM_NIC | IS_ARP | BY_PRIMARY,
         Output(ports.SYNOD), limit=Limit.ARP_RIVALS),
    _row("relayed", C, 67, SUCCEEDING, INTERFACES, FROM_NIC | TO_ME | IP | {"eth_src": Its.OTHER},
         To(Its.KERNEL)),
    _row("handed_syn", C, 80, AUXILIARY, INTERFACES, FROM_NIC | TO_ME | BY_PRIMARY | SYN,
         Output(ports.SYNOD)),
    _row("handed_ip", C, 70, AUXILIARY, INTERFACES, FROM_NIC | TO_ME | BY_PRIMARY | IP,
         To(Its.KERNEL)),
    _row("drop_of_primary", C, 66, AUXILIARY, INTERFACES, FROM_NIC | BY_PRIMARY),
    _row("drop_unit_mac", C, 65, EITHER, MACS, FROM_NIC | AS_CLUSTER),
    _row("drop_cluster_address", C, 64, EITHER, ADDRESSES,
         FROM_NIC | IP | {"ipv4_src": Its.CLAIMED_ADDRESS}),
    _row("drop_cluster_arp", C, 64, EITHER, ADDRESSES,
         FROM_NIC | IS_ARP | {"arp_spa": Its.CLAIMED_ADDRESS}),
    # -- classify: from outside
    _row("nic_arp", C, 60, EITHER, INTERFACES, FROM_NIC | IS_ARP, KNOW_INTERFACE, Goto(A)),
    _row("nic_syn", C, 50, PRIMARY, INTERFACES, FROM_NIC | TO_CLUSTER | SYN, *INWARDS),
    _row("nic_icmp", C, 35, PRIMARY, INTERFACES, FROM_NIC | TO_CLUSTER | IP | {"ip_proto": ICMP},
         *INWARDS, limit=Limit.ICMP),
    _row("nic_ip", C, 30, PRIMARY, INTERFACES, FROM_NIC | TO_CLUSTER | IP, *INWARDS,
         limit=Limit.IP),
    _row("nic_multicast", C, 30, PRIMARY, INTERFACES, FROM_NIC | IP | {"eth_dst": MULTICAST},
         To(Its.KERNEL), limit=Limit.BROADCAST),
    # -- classify: from one primary to the next
    _row("relay", C, 55, YIELDING, INTERFACES, FROM_NIC | TO_CLUSTER | IP,
         Write("eth_src", Its.PHYSICAL), Write("eth_dst", Its.OTHER), Output(IN_PORT)),
    # -- classify: from this unit's kernel, and from its agent
    _row("kernel_arp", C, 60, EITHER, INTERFACES, FROM_KERNEL | IS_ARP, KNOW_INTERFACE, Goto(A)),
    _row("divert", C, 50, DIVERTING, INTERFACES, FROM_KERNEL | SYN, Output(ports.SYNOD)),
    _row("kernel_ip", C, 30, EITHER, INTERFACES, FROM_KERNEL | IP, KNOW_INTERFACE, Goto(E)),
    _row("announcing", C, 60, AUXILIARY, INTERFACES, FROM_KERNEL | IP | {"eth_src": Its.HELPER},
         Output(ports.SYNOD)),
    _row("release", C, 50, EITHER, INTERFACES, FROM_SYNOD | IP | {"eth_src": Its.PHYSICAL},
         KNOW_INTERFACE, Goto(E)),
    _row("admit", C, 50, EITHER, INTERFACES, FROM_SYNOD | IP | TO_ME, To(Its.KERNEL)),
    _row("routed_arp", C, 80, EITHER, ONCE, FROM_SYNOD | IS_ARP | {"eth_src": Its.HA},
         Output(ports.HA_NIC)),
    _row("routed_request", C, 70, PRIMARY, ONCE, FROM_SYNOD | _op(201), Output(CONTROLLER)),
    _row("arp_admit", C, 50, AUXILIARY, INTERFACES, FROM_SYNOD | IS_ARP | TO_ME, To(Its.KERNEL)),
    # -- classify: the rest
    _row("drop_ipv6", C, 10, ALWAYS, ONCE, {"eth_type": IPV6}),
    _row("drop_unexpected", C, 0, ALWAYS, ONCE, {}),
    # -- arp at the primary
    _row("arp_ask_cluster", A, 40, PRIMARY, INTERFACES, FROM_NIC | _op(1) | TO_CLUSTER, *INWARDS,
         limit=Limit.ARP),
    _row("arp_to_all", A, 40, PRIMARY, INTERFACES, FROM_NIC | IS_ARP | {"eth_dst": b"\xff" * 6},
         To(Its.KERNEL), limit=Limit.ARP),
    _row("arp_answer", A, 40, PRIMARY, INTERFACES, FROM_NIC | _op(2) | TO_CLUSTER,
         Output(CONTROLLER), Write("arp_tha", Its.PHYSICAL), *INWARDS, limit=Limit.ARP_ANSWERS),
    _row("arp_own", A, 40, PRIMARY, INTERFACES, FROM_KERNEL | IS_ARP,
         Write("arp_sha", Its.VIRTUAL), Write("eth_src", Its.VIRTUAL), To(Its.NIC)),
    _row("routed_asked", A, 40, PRIMARY, ONCE, FROM_HA | _op(201) | {"eth_dst": Its.HA},
         Output(ports.SYNOD), limit=Limit.ROUTED_ARP),
    # -- arp at an auxiliary: nothing of it on a data interface
    _row("ask_routed", A, 40, AUXILIARY, INTERFACES, FROM_KERNEL | _op(1), Output(ports.SYNOD)),
    _row("routed_reply", A, 40, AUXILIARY, ONCE,
         FROM_HA | _op(202) | {"eth_dst": Its.HA, "eth_src": Its.PRIMARY_HA}, Output(ports.SYNOD)),
    _row("drop_arp_outside", A, 20, AUXILIARY, INTERFACES, FROM_NIC),
    _row("drop_arp_answer", A, 20, AUXILIARY, INTERFACES, FROM_KERNEL),
    _row("drop_routed_arp_stray", A, 20, EITHER, ONCE, FROM_HA),
    _row("drop_arp_unexpected", A, 0, ALWAYS, ONCE, {}),
    # -- sessions (flows of their own stand above these, see `session_flow`)
    _row("marked", S, 50, BY_MARKS, UNITS, {"ct_mark": Its.UNIT}, Write(UNIT, Its.UNIT), Goto(U)),
    _row("own_session", S, 10, PRIMARY, INTERFACES, FROM_NIC, *INWARDS),
    _row("drop_session_unexpected", S, 0, ALWAYS, ONCE, {}),
    _row("served_by", U, 10, PRIMARY, UNITS, {UNIT: Its.UNIT},
         Write(SERVING, Its.SERVING), Goto(F)),
    _row("drop_unit_unexpected", U, 0, ALWAYS, ONCE, {}),
    _row("to_self", F, 10, PRIMARY, INTERFACES, FROM_NIC | {SERVING: Its.UNIT}, *INWARDS),
    _row("to_peer", F, 10, PRIMARY, PEERS, FROM_NIC | {SERVING: Its.UNIT},
         Write("eth_src", Its.VIRTUAL), Write("eth_dst", Its.PEER), Output(IN_PORT)),
    _row("drop_forward_unexpected", F, 0, ALWAYS, ONCE, {}),
    # -- egress
    _row("out_as_cluster", E, 10, PRIMARY, INTERFACES, {INTERFACE: Its.INDEX},
         Write("eth_src", Its.VIRTUAL), To(Its.NIC)),
    _row("out_as_unit", E, 10, AUXILIARY, INTERFACES, {INTERFACE: Its.INDEX}, To(Its.NIC)),
    _row("drop_egress_unexpected", E, 0, ALWAYS, ONCE, {}),
    # -- what was looked up
    _row("looked_up", L, 10, BY_MARKS, ONCE, {}, Output(CONTROLLER)),
    _row("drop_look_unexpected", L, 0, ALWAYS, ONCE, {}),
)
# fmt: on


class Passing(NamedTuple):
    """A unit's part (YIELDING, SUCCEEDING) while the role passes, and the unit id of the other."""

    when: When
    other: int


def desired(
    cluster: Cluster,
    unit: int,
    role: Role,
    primary: int,
    *,
    diverting: bool = False,
    passing: Passing | None = None,
    homes: Mapping[int, int] | None = None,
) -> tuple[Flow, ...]:
    """All static flows of a unit's bridge.

    `primary` is the primary's unit id (0 while `role` is NONE), `diverting` whether SYNs that leave
    the primary's kernel go to its agent, `passing` its part while the role
    passes to another unit, `homes` which units' sessions are served elsewhere now
    (unit -> unit). What a unit without a role has is part of what it has with any. Two flows with
    one cookie would be taken for one: AssertionError.
    """
    whens = {ALWAYS} | _SITUATIONS[role]
    if role is Role.PRIMARY:
        whens.add(BY_MARKS if cluster.session_table == "conntrack" else BY_FLOWS)
    whens |= ({DIVERTING} if diverting else set()) | ({passing.when} if passing else set())
    other = passing.other if passing else 0
    found = [
        bind(row, symbols, cluster.limits)
        for row in ROWS
        if row.when in whens
        for symbols in symbols_of(row.each, cluster, unit, primary, homes or {}, other=other)
    ]
    assert len({flow.cookie for flow in found}) == len(found), "two flows share a cookie"
    return tuple(found)


_SITUATIONS: dict[Role, set[When]] = {
    Role.NONE: set(),
    Role.PRIMARY: {PRIMARY, EITHER},
    Role.AUXILIARY: {AUXILIARY, EITHER},
}


def session_flow(unit: int, tuple12: bytes) -> Flow:
    """One direction of a session of a unit; `tuple12` is src, dst, sport, dport as the packets
    carry them.
    """
    match: Match = (
        ("eth_type", IPV4),
        ("ip_proto", TCP),
        ("ipv4_src", tuple12[0:4]),
        ("ipv4_dst", tuple12[4:8]),
        ("tcp_src", int.from_bytes(tuple12[8:10], "big")),
        ("tcp_dst", int.from_bytes(tuple12[10:12], "big")),
    )
    actions = (SetField(UNIT, unit), FinTimeout(FIN_SECONDS), Goto(Table.UNIT))
    number = cookie(Kind.SESSION, unit, part_of(tuple12))
    return Flow("session", Table.SESSION, SESSION_PRIORITY, match, actions, number)
