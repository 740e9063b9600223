"""What a row of the pipeline is made of, and how it becomes flows of one unit.

A row names what varies by a symbol (`Its.NIC`), and says in which situation it is there and for
what it is repeated. The rows themselves stand in `pipeline`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from agents.config import Cluster, Interface
from agents.wire import ports
from ryu_apps.core.flows import Action, Flow, Output, SetField, Value, static_flow


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


# A pair is a value and its mask.
RowValue = Value | Its | tuple[Value, Value]
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


Symbols = dict[Its, Value]


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
        for each_peer in cluster.units:
            if each_peer.id != unit:
                for interface in cluster.interfaces:
                    mac = each_peer.macs[interface.index - 1]
                    peer: Symbols = {Its.UNIT: each_peer.id, Its.PEER: mac}
                    yield mine | _of(interface, me.macs) | peer


def _of(interface: Interface, macs: tuple[bytes, ...]) -> Symbols:
    return {
        Its.INDEX: interface.index,
        Its.NIC: ports.nic_port(interface.index),
        Its.KERNEL: ports.kernel_port(interface.index),
        Its.VIRTUAL: interface.virtual_mac,
        Its.PHYSICAL: macs[interface.index - 1],
        Its.HELPER: ports.helper_mac(interface.index),
    }


def bind(row: Row, symbols: Symbols) -> Flow:
    """The flow that a row is, with these symbols."""
    match = tuple(
        (name, symbols[value] if isinstance(value, Its) else value)
        for name, value in row.match.items()
    )
    actions = tuple(_bind_action(action, symbols) for action in row.actions)
    about = int(symbols[Its.UNIT]) if row.each in (Each.UNIT, Each.PEER) else 0
    return static_flow(row.name, row.table, row.priority, match, actions, unit=about)


def _bind_action(action: Action | To | Write, symbols: Symbols) -> Action:
    if isinstance(action, To):
        return Output(int(symbols[action.port]))
    if isinstance(action, Write):
        return SetField(action.name, symbols[action.value])
    return action
