"""The bodies of ANNOUNCE and STATE: a msgpack map each, every field checked.

They are told by the clock, a few times a second, and so can afford names for their fields. The
frames around them are those of `agents.wire.control`. A map has all of its fields and no other;
what may change with a version changes with the frame's.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from reprlib import repr as abridged
from typing import Any

import msgpack  # type: ignore[import-untyped]

from agents.wire import ports
from agents.wire.errors import WireError

ROLES = ("primary", "auxiliary", "none")


@dataclass(frozen=True, slots=True)
class Announce:
    """What an agent is, told every interval: state, not events, so that a lost one costs nothing.

    `boot` (u64) is random and new with each start of the agent: the epoch of its seals
    (`agents.wire.seal`). `keys` are the fingerprints (u32) of those keys that it accepts; by the
    first it seals. `resync` (u32) grows when it lost conntrack events. `role`, `primary` (0: none)
    and `term` are what the app told it last. `macs` are the physical MACs by interface name,
    `digest` that of the configuration, `serving` the sessions it serves, `waiting` its offers that
    the app hasn't decided yet. `hears` are the units that it hears on the HA link, `missing` those
    of them whose last few keepalives it lacks, `adopted` those of whose sessions it has made its
    own what it was told to, `forfeited` the last State.forfeit that it has carried out. `down` are
    the indices of the interfaces whose NIC has no link, `synced` the other units whose sessions it
    holds up to date (None: session pickup is off). `counters` are outcomes counted since the start:
    some of them, if all don't fit.
    """

    unit: int
    group: int
    boot: int
    name: str
    version: str
    role: str
    primary: int
    macs: Mapping[str, str]
    digest: str
    serving: int
    resync: int
    keys: tuple[int, ...] = ()
    term: int = 0
    hears: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    adopted: tuple[int, ...] = ()
    forfeited: int = 0
    down: tuple[int, ...] = ()
    synced: tuple[int, ...] | None = None
    waiting: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What the app tells an agent every interval.

    `boot` (u32) is random and new with each start of the app; `role` is the agent's own, `primary`
    the primary's unit id (0: none); `balancing` says whether new sessions are to be offered; `term`
    (u32) grows with each change of primary; `adopt` are the units whose sessions the agent's unit
    serves from now on; `forfeit` (u32), where not 0 and new, says that it serves none of those any
    more that it served before; `heir` is the unit that is about to be primary (0: none). `boots`
    are those of the units' agents (by unit id, u64), as far as the app has heard them.
    """

    boot: int
    role: str
    primary: int
    balancing: bool
    term: int = 0
    adopt: tuple[int, ...] = ()
    forfeit: int = 0
    heir: int = 0
    boots: Mapping[int, int] = field(default_factory=dict)


def _number(low: int, high: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _text(longest: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and len(value) <= longest and value.isprintable()


def _is_mac(value: object) -> bool:
    return type(value) is str and ports.MAC_PATTERN.fullmatch(value) is not None


def _table(
    longest: int, key: Callable[[object], bool], value: Callable[[object], bool]
) -> Callable[[object], bool]:
    return lambda table: (
        type(table) is dict
        and len(table) <= longest
        and all(key(name) and value(item) for name, item in table.items())
    )


def _numbers(highest: int) -> Callable[[object], bool]:
    right = _number(1, highest)
    return lambda value: type(value) is list and len(value) <= highest and all(map(right, value))


_units = _numbers(ports.MAX_UNITS)
_U32 = _number(0, 0xFFFFFFFF)
_U64 = _number(0, 0xFFFFFFFF_FFFFFFFF)
_UNIT_OR_NONE = _number(0, ports.MAX_UNITS)
_COUNT = _number(0, (1 << 63) - 1)


def _is_role(value: object) -> bool:
    return value in ROLES


_ANNOUNCE: dict[str, Callable[[object], bool]] = {
    "unit": _number(1, ports.MAX_UNITS),
    "group": _number(1, ports.MAX_GROUP),
    "boot": _U64,
    "name": _text(64),
    "version": _text(32),
    "role": _is_role,
    "primary": _UNIT_OR_NONE,
    "term": _U32,
    "macs": _table(ports.MAX_INTERFACES, _text(15), _is_mac),
    "digest": _text(64),
    "serving": _COUNT,
    "waiting": _COUNT,
    "resync": _U32,
    "keys": lambda value: type(value) is list and len(value) <= 2 and all(map(_U32, value)),
    "hears": _units,
    "missing": _units,
    "adopted": _units,
    "forfeited": _U32,
    "down": _numbers(ports.MAX_INTERFACES),
    "synced": lambda value: value is None or _units(value),
    "counters": _table(1024, _text(48), _COUNT),
}
_STATE: dict[str, Callable[[object], bool]] = {
    "boot": _U32,
    "role": _is_role,
    "primary": _UNIT_OR_NONE,
    "balancing": lambda value: type(value) is bool,
    "term": _U32,
    "adopt": _units,
    "forfeit": _U32,
    "heir": _UNIT_OR_NONE,
    "boots": _table(ports.MAX_UNITS, _number(1, ports.MAX_UNITS), _U64),
}


def pack(told: Announce | State) -> bytes:
    """The map of either."""
    packed: bytes = msgpack.packb(asdict(told))
    return packed


def unpack_announce(body: bytes) -> Announce:
    """The value of an ANNOUNCE's map; WireError control_body, control_field."""
    return Announce(**read_map(body, _ANNOUNCE))


def unpack_state(body: bytes) -> State:
    """The value of a STATE's map; WireError control_body, control_field."""
    return State(**read_map(body, _STATE))


def read_map(body: bytes, wanted: Mapping[str, Callable[[object], bool]]) -> dict[str, Any]:
    """A map with just these fields, each of which is right; lists as tuples. WireError
    control_body, control_field.
    """
    try:
        table = msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise WireError("control_body", f"not msgpack: {error}") from error
    if type(table) is not dict:
        raise WireError("control_body", "not a map")
    if table.keys() != wanted.keys():
        odd = sorted(map(str, table.keys() ^ wanted.keys()))
        raise WireError("control_field", f"missing or unknown: {', '.join(odd)}")
    for name, is_right in wanted.items():
        if not is_right(table[name]):
            # Abridged: of what is nested deeply enough, repr() alone would raise RecursionError.
            raise WireError("control_field", f"{name} {abridged(table[name])}")
    return {name: tuple(value) if type(value) is list else value for name, value in table.items()}
