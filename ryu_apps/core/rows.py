"""What a row of the pipeline is made of, and how it becomes flows of one unit.

A row names what varies by a symbol (`Its.NIC`), and says in which situation it is there and for
what it is repeated. The rows themselves stand in `pipeline`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import product

from agents.config import Cluster, Interface, Limits, Unit
from agents.wire import ports
from ryu_apps.core.flows import Action, Flow, Metered, Output, SetField, Value, static_flow
from ryu_apps.core.limits import Limit


class When(Enum):
    """In which situation of the unit a row is there."""

    ALWAYS = auto()
    PRIMARY = auto()
    AUXILIARY = auto()
    EITHER = auto()  # the unit has a role
    YIELDING = auto()  # it was primary until now, and passes on what still comes
    SUCCEEDING = auto()  # it is about to be primary, or has just become it, in place of that one
    BY_FLOWS = auto()  # the primary, where each session has flows of its own
    BY_MARKS = auto()  # the primary, where sessions are marks in the switch's connection tracker
    DIVERTING = auto()  # the primary, with an agent and another unit to give sessions to


class Each(Enum):
    """For what a row is repeated."""

    ONCE = auto()
    INTERFACE = auto()
    UNIT = auto()
    PEER = auto()  # each interface of each other unit
    MAC = auto()  # each interface, with each MAC address of the cluster
    ADDRESS = auto()  # each interface, with each address of the cluster, also of other interfaces


class Its(Enum):
    """What a row leaves open."""

    INDEX = auto()
    NIC = auto()
    KERNEL = auto()
    VIRTUAL = auto()  # the interface's virtual MAC
    PHYSICAL = auto()  # this unit's physical MAC of the interface
    HELPER = auto()  # the interface's helper MAC
    UNIT = auto()
    SERVING = auto()  # where that unit's sessions are served now
    OTHER = auto()  # the physical MAC, on the interface, of the other unit of a change of primary
    PEER = auto()  # that unit's physical MAC of the interface
    HA = auto()  # this unit's MAC on the HA link
    PRIMARY_HA = auto()  # the primary's
    HA_GROUP = auto()  # that of all units
    CLAIMED_MAC = auto()  # a MAC address of the cluster, virtual, physical or of an HA port,
    CLAIMED_MASK = auto()  # or all that were generated, by this mask
    CLAIMED_ADDRESS = auto()


# A pair is a value and its mask.
RowValue = Value | Its | tuple[Value | Its, Value | Its]
Fields = dict[str, RowValue]


@dataclass(frozen=True, slots=True)
class To:
    """Output to a port that is still a symbol."""

    port: Its


@dataclass(frozen=True, slots=True)
class Write:
    """Write what is still a symbol."""

    name: str
    value: Its


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the pipeline."""

    name: str
    table: int
    priority: int
    when: When
    each: Each
    match: Fields
    actions: tuple[Action | To | Write, ...] = ()
    limit: Limit | None = None


Symbols = dict[Its, Value]

# Bytes that all generated MAC addresses of a cluster begin with (`agents.wire.ports`).
_GENERATED = 4


def symbols_of(
    each: Each,
    cluster: Cluster,
    unit: int,
    primary: int,
    homes: Mapping[int, int],
    *,
    other: int = 0,
) -> Iterator[Symbols]:
    """What the symbols of a row mean, once for everything that the row is repeated for."""
    me = cluster.unit(unit)
    mine: Symbols = {Its.UNIT: unit, Its.HA: me.ha_mac, Its.HA_GROUP: ports.ha_group(cluster.group)}
    if primary:
        mine[Its.PRIMARY_HA] = cluster.unit(primary).ha_mac
    if each is Each.ONCE:
        yield mine
    if each is Each.INTERFACE:
        for interface in cluster.interfaces:
            found = mine | _of(interface, me.macs)
            if other:
                found[Its.OTHER] = cluster.unit(other).macs[interface.index - 1]
            yield found
    if each is Each.UNIT:
        for serves in cluster.units:
            yield mine | {Its.UNIT: serves.id, Its.SERVING: homes.get(serves.id, serves.id)}
    if each is Each.PEER:
        yield from (mine | peer for peer in _peers(cluster, me))
    if each in (Each.MAC, Each.ADDRESS):
        claims = _macs(cluster) if each is Each.MAC else _addresses(cluster)
        for interface, claim in product(cluster.interfaces, claims):
            yield mine | _of(interface, me.macs) | claim


def _peers(cluster: Cluster, me: Unit) -> Iterator[Symbols]:
    for peer, interface in product(cluster.units, cluster.interfaces):
        if peer is not me:
            mac = peer.macs[interface.index - 1]
            yield _of(interface, me.macs) | {Its.UNIT: peer.id, Its.PEER: mac}


def _macs(cluster: Cluster) -> list[Symbols]:
    """All MAC addresses of the cluster: those that were generated at once, each that was given."""
    start = ports.ha_mac(cluster.group, 1)[:_GENERATED]
    macs = {interface.virtual_mac for interface in cluster.interfaces}
    macs.update(*((unit.ha_mac, *unit.macs) for unit in cluster.units))
    given = sorted(mac for mac in macs if not mac.startswith(start))
    masked = {start.ljust(6, b"\0"): (b"\xff" * _GENERATED).ljust(6, b"\0")}
    found = masked | dict.fromkeys(given, b"\xff" * 6)
    return [{Its.CLAIMED_MAC: mac, Its.CLAIMED_MASK: mask} for mac, mask in found.items()]


def _addresses(cluster: Cluster) -> list[Symbols]:
    found = {own.ip.packed for interface in cluster.interfaces for own in interface.addresses}
    return [{Its.CLAIMED_ADDRESS: address} for address in sorted(found)]


def _of(interface: Interface, macs: tuple[bytes, ...]) -> Symbols:
    return {
        Its.INDEX: interface.index,
        Its.NIC: ports.nic_port(interface.index),
        Its.KERNEL: ports.kernel_port(interface.index),
        Its.VIRTUAL: interface.virtual_mac,
        Its.PHYSICAL: macs[interface.index - 1],
        Its.HELPER: ports.helper_mac(interface.index),
    }


def bind(row: Row, symbols: Symbols, limits: Limits) -> Flow:
    """The flow that a row is, with these symbols; a meter is part of it where there is a limit."""
    match = tuple((name, _bind_value(value, symbols)) for name, value in row.match.items())
    actions = tuple(_bind_action(action, symbols) for action in row.actions)
    if row.limit and getattr(limits, row.limit.key):
        actions = Metered(row.limit.number(int(symbols.get(Its.INDEX, 0)))), *actions
    about = int(symbols[Its.UNIT]) if row.each in (Each.UNIT, Each.PEER) else 0
    return static_flow(row.name, row.table, row.priority, match, actions, unit=about)


def _bind_value(value: RowValue, symbols: Symbols) -> Value | tuple[Value, Value]:
    if isinstance(value, tuple):
        first, mask = (symbols[each] if isinstance(each, Its) else each for each in value)
        return first, mask
    return symbols[value] if isinstance(value, Its) else value


def _bind_action(action: Action | To | Write, symbols: Symbols) -> Action:
    if isinstance(action, To):
        return Output(int(symbols[action.port]))
    if isinstance(action, Write):
        return SetField(action.name, symbols[action.value])
    return action
