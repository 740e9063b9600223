"""What must be so of a cluster that is whole, whatever has happened to it before.

`look` asks kernels, switches and the app; `wrong` says of what was seen what must not be. Kernels
are asked one after the other while sessions come and go, so that only what is seen twice in a row
is wrong: `until_right`.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.config import Cluster as Configuration
from agents.config import load
from agents.wire.ports import mac_text
from tests.lab.world import World
from topologies.observe import Endpoints, Entry, switch_sessions

PATIENCE = 20.0  # seconds from being whole on in which the last of it must be right
PAUSE = 1.0  # seconds between two looks: no session is about to end for so long
ESTABLISHED = "ESTABLISHED"
_FLOW = re.compile(
    r"nw_src=([\d.]+),nw_dst=([\d.]+),tp_src=(\d+),tp_dst=(\d+).*load:(0x[0-9a-f]+)->NXM_NX_REG1"
)
_MARK = re.compile(r"orig=\(src=([\d.]+),dst=([\d.]+),sport=(\d+),dport=(\d+)\).*mark=(\d+)")


@dataclass(frozen=True, slots=True)
class Seen:
    """A cluster at about one moment.

    `flows`: by unit, the tuple that each session flow of its bridge is for, and the unit it names,
    but for those that go by themselves (docs/pipeline.md): the switch has seen the session's end,
    and nobody was there to be told of it. Or, `by_marks`, its tracker's entries, all of which do;
    `entries`: by unit, those of sessions; `macs`: by port of a switch (s1-u2), whom it has learned
    there.
    """

    status: Mapping[str, Any]
    flows: Mapping[int, Mapping[Endpoints, int]]
    entries: Mapping[int, Mapping[Endpoints, Entry]]
    macs: Mapping[str, frozenset[str]]
    by_marks: bool = False


def look(world: World) -> Seen:
    """Flows first, the primary's entries last: what is told of later must have been there then."""
    status = world.status()
    primary = int(status["primary"])
    units = sorted(world.units, key=lambda unit: unit == primary)
    by_marks = world.lab.options.session_table == "conntrack"
    flows = {unit: parsed(switch_sessions(world.lab, unit)) for unit in units}
    held = {unit: {entry.original: entry for entry in world.sessions_of(unit)} for unit in units}
    macs: dict[str, set[str]] = {}
    for switch in ("s1", "s2"):
        for mac, ports in world.learned(switch).items():
            for port in ports:
                macs.setdefault(port, set()).add(mac)
    learned = {port: frozenset(each) for port, each in macs.items()}
    return Seen(status, flows, held, learned, by_marks)


def parsed(lines: list[str]) -> dict[Endpoints, int]:
    """Session flows, or entries of the tracker: for which tuple, and which unit each names.
    `fin_timeout` has given those an idle timeout that go by themselves.
    """
    found: dict[Endpoints, int] = {}
    for line in lines:
        if "idle_timeout=" in line.partition("actions=")[0]:
            continue
        flow, mark = _FLOW.search(line), _MARK.search(line)
        match = flow or mark
        assert match, line
        source, destination, sport, dport, unit = match.groups()
        side = Endpoints(source, int(sport), destination, int(dport))
        # The tracker doesn't say which way a session of its first entry goes.
        found |= dict.fromkeys((side,) if flow else (side, side.reverse), int(unit, 0))
    return found


def wrong(seen: Seen, live: set[Endpoints], configuration: Configuration) -> set[str]:
    """All that must not be. `live`: sessions that are known to be open."""
    return {
        *_roles(seen),
        *_served(seen, live),
        *_superset(seen),
        *_flows(seen),
        *_macs(seen, configuration),
    }


def _roles(seen: Seen) -> Iterator[str]:
    rows = seen.status["units"]
    primaries = [row["id"] for row in rows if row["role"] == "primary"]
    if primaries != [seen.status["primary"]]:
        yield f"primaries are {primaries}, and the app says {seen.status['primary']}"
    for row in rows:
        if row["state"] != "up":
            yield f"unit {row['id']} is {row['state']}"


def _served(seen: Seen, live: set[Endpoints]) -> Iterator[str]:
    """Each open session is served by one unit, on which all agree that have a word in it."""
    primary = seen.status["primary"]
    for session in sorted(live, key=str):
        entry = seen.entries[primary].get(session)
        if entry is None or not entry.unit:
            yield f"{session}: the primary doesn't know who serves it: {entry}"
            continue
        own = seen.entries[entry.unit].get(session)
        if own is None or own.state != ESTABLISHED:
            yield f"{session}: unit {entry.unit} is to serve it, and has {own}"
        for unit, held in seen.entries.items():
            other = held.get(session)
            if other and other.unit != entry.unit:
                yield f"{session}: unit {unit} has it as {other.unit}'s, the primary {entry.unit}'s"
            if other is None:
                yield f"{session}: unit {unit} doesn't hold it"
        sides = (session, entry.reply)
        flows = [seen.flows[primary].get(side) for side in sides]
        wanted = [None, None] if entry.unit == primary else [entry.unit] * 2
        if flows != wanted:
            yield f"{session}: its flows name {flows}, its entry {entry.unit}"


def _superset(seen: Seen) -> Iterator[str]:
    """What a unit serves the primary knows."""
    known = seen.entries[seen.status["primary"]]
    for unit, held in seen.entries.items():
        for session, entry in held.items():
            if entry.unit == unit and entry.state == ESTABLISHED and session not in known:
                yield f"{session}: unit {unit} serves it, and the primary has no entry"


def _flows(seen: Seen) -> Iterator[str]:
    """A flow belongs to a session, and stands on the primary's bridge."""
    primary = seen.status["primary"]
    known = seen.entries[primary]
    sides = known.keys() | {entry.reply for entry in known.values()}
    for unit, flows in seen.flows.items():
        for side in flows:
            if unit != primary:
                yield f"{side}: a flow of it is on unit {unit}, an auxiliary"
            elif side not in sides and not seen.by_marks:
                yield f"{side}: a flow, and no entry"


def _macs(seen: Seen, configuration: Configuration) -> Iterator[str]:
    """At the port of a unit a switch has learned that unit, or the cluster at the primary's."""
    primary = seen.status["primary"]
    for place, interface in enumerate(configuration.interfaces):
        virtual = mac_text(interface.virtual_mac)
        for unit in configuration.units:
            port = f"s{place + 1}-u{unit.id}"
            allowed = {mac_text(unit.macs[place])} | ({virtual} if unit.id == primary else set())
            for mac in seen.macs.get(port, frozenset()) - allowed:
                yield f"{port}: the switch has learned {mac} there"


def until_right(world: World, live: set[Endpoints]) -> None:
    """Polls until nothing is wrong twice in a row; AssertionError with what stays so."""
    configuration = load(world.lab.config)
    deadline = time.monotonic() + PATIENCE
    before = wrong(look(world), live, configuration)
    while before:
        time.sleep(PAUSE)
        now = wrong(look(world), live, configuration)
        if not before & now:
            return
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(sorted(before & now)))
        before = now
