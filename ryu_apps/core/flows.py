"""A flow as a value: where it stands, what it matches, what it does, and the cookie that follows
from those.

Nothing here sends or encodes; `ryu_apps.openflow` turns these values into OpenFlow bytes. Because a
static flow's cookie is a digest of the flow, two sets of flows are compared by comparing sets of
numbers, and nothing that comes back from a switch has to be brought into a normal form.

    cookie  63      48 47    40 39    32 31                 0
           +----------+--------+--------+--------------------+
           |  0x5359  |  kind  |  unit  |       digest       |
           +----------+--------+--------+--------------------+

    kind    1 static (the pipeline), 2 session
    unit    the unit that the flow is about, 0 if it is about none
    digest  static: first 32 bits of SHA-256 over table, priority, match, actions
            session: the part (0…255) with which it is deleted when those of a unit go; else 0
"""

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum

MAGIC = 0x5359

# Reserved ports and the EtherTypes that flows match (OpenFlow 1.3.5, section 7.2.1; IEEE 802
# numbers).
IN_PORT = 0xFFFFFFF8
CONTROLLER = 0xFFFFFFFD
IPV4, ARP, IPV6, CONTROL = 0x0800, 0x0806, 0x86DD, 0x88B5
ICMP, TCP, UDP = 1, 6, 17

# What a match or a set-field carries: a number, 4 bytes of an IPv4 address, or 6 of a MAC address.
Value = int | bytes
# field name -> value, or (value, mask); names are the OXM names of OpenFlow 1.3 plus OVS's reg0…,
# ip_frag and ct_mark.
Match = tuple[tuple[str, Value | tuple[Value, Value]], ...]


PARTS = 256  # of the sessions of a unit


class Kind(IntEnum):
    """Who wrote a flow, and why."""

    STATIC = 1
    SESSION = 2


@dataclass(frozen=True, slots=True)
class SetField:
    """Write a constant into a header field or a register."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Move:
    """Copy `bits` bits of a field to a register, from its bit `offset` on."""

    source: str
    target: str
    bits: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet, as it is now, to a port."""

    port: int


@dataclass(frozen=True, slots=True)
class FinTimeout:
    """Give the flow this idle timeout (seconds) once a FIN or RST has passed."""

    idle: int


@dataclass(frozen=True, slots=True)
class Track:
    """Look the packet up in the switch's connection tracker, and go on in a later table with what
    it knows; always the last. Nothing is committed.
    """

    zone: int
    table: int


@dataclass(frozen=True, slots=True)
class Metered:
    """Go on with as many packets as the meter of that number lets through; always the first."""

    meter: int


@dataclass(frozen=True, slots=True)
class Goto:
    """Go on in a later table; always the last."""

    table: int


Action = SetField | Move | Output | FinTimeout | Track | Metered | Goto


@dataclass(frozen=True, slots=True)
class Flow:
    """One row of the switch. No actions: drop. `name` is for people and counters, and is not part
    of the flow.
    """

    name: str = field(compare=False)
    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int

    @property
    def drops(self) -> bool:
        """Is this an explicit drop, there to be counted?"""
        return not self.actions


def cookie(kind: Kind, unit: int = 0, digest: int = 0) -> int:
    """The 64-bit cookie of a flow; unit 0…255, digest 32 bits."""
    return MAGIC << 48 | kind << 40 | unit << 32 | digest


def part_of(tuple12: bytes) -> int:
    """With which part of a unit's sessions the flow of this tuple is deleted."""
    return tuple12[9] ^ tuple12[11]  # the ports' low bytes: one of them is the client's


# Which bits of a cookie say that a flow is ours and of which kind.
KIND_MASK = 0xFFFFFF << 40


def static_flow(
    name: str,
    table: int,
    priority: int,
    match: Match,
    actions: tuple[Action, ...],
    *,
    unit: int = 0,
) -> Flow:
    """A flow of the pipeline, its cookie being its digest."""
    text = repr((table, priority, match, actions)).encode()
    digest = int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
    return Flow(name, table, priority, match, actions, cookie(Kind.STATIC, unit, digest))
