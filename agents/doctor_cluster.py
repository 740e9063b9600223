"""What can be wrong with a cluster: seen by the app, or by laying units' reports side by side.

Pure. The app's status is that of GET /v1/status; a report is what `synod doctor --json` said on a
unit. The form of a report, and what of it is compared, is decided here.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from agents.doctor_seen import Check
from agents.status_view import primary_words

Status = Mapping[str, Any]

# Tables that differ from unit to unit, for they name its NICs and MAC addresses.
_OWN_TABLES = ("netdev synod", "netdev synod0")
# What of a rule or a set says what has happened, not what is to happen.
_PASSING = ("handle", "packets", "bytes", "expires", "used")


@dataclass(frozen=True, slots=True)
class Report:
    """What a unit's doctor has written of it. All of it is compared with the other units'.

    `keys`: what the cluster's are called, the one that seals first.
    """

    unit: int
    digest: str
    versions: Mapping[str, str]
    tables: Mapping[str, str]
    settings: Mapping[str, str]
    keys: tuple[str, ...] = ()


def read(text: str | bytes) -> Report:
    """The report in what 'synod doctor --json' said. ValueError if there is none in it."""
    return _REPORT.validate_json(text)


_REPORT = TypeAdapter(Report)


def table_digests(ruleset: str) -> dict[str, str]:
    """By table (family and name) a digest of its rules, of what `nft --json list ruleset` says.

    Counters, handles, and the elements of sets that packets fill, make no difference to it.
    """
    lines: dict[str, list[str]] = {}
    for each in json.loads(ruleset)["nftables"]:
        for kind, what in each.items():
            if kind in ("metainfo", "counter"):
                continue
            name = what["name"] if kind == "table" else what["table"]
            if kind in ("set", "map") and {"timeout", "dynamic"} & set(what.get("flags", ())):
                what.pop("elem", None)
            line = json.dumps({kind: _lasting(what)}, sort_keys=True)
            lines.setdefault(f"{what['family']} {name}", []).append(line)
    return {
        table: hashlib.sha256("\n".join(rules).encode()).hexdigest()[:16]
        for table, rules in lines.items()
        if table not in _OWN_TABLES
    }


def _lasting(value: Any) -> Any:
    match value:
        case dict():
            return {key: _lasting(each) for key, each in value.items() if key not in _PASSING}
        case list():
            return [_lasting(each) for each in value]
        case _:
            return value


def _units(state: Callable[[Status], Iterable[str]]) -> Callable[[Status], Iterable[str]]:
    """What a check finds in each unit, with its number before."""
    return lambda found: [
        f"unit {unit['id']} {fault}" for unit in found["units"] for fault in state(unit)
    ]


def _named(field: str, words: str) -> Callable[[Status], Iterable[str]]:
    def faults(unit: Status) -> Iterable[str]:
        if named := unit.get(field):
            yield f"{words} {', '.join(map(str, named))}"

    return _units(faults)


def _state(unit: Status) -> Iterable[str]:
    if unit["state"] != "up":
        yield f"is {unit['state']}"


def _refusal(unit: Status) -> Iterable[str]:
    if why := unit.get("refusal"):
        yield f"isn't taken: {why}"


def _no_primary(found: Status) -> Iterable[str]:
    if not found["primary"]:
        yield "no unit is primary"
    elif not found.get("primary_present", True):
        yield primary_words(found)


def _not_balancing(found: Status) -> Iterable[str]:
    able = [u for u in found["units"] if u["state"] == "up" and not u["drained"] and u["weight"]]
    if len(able) > 1 and not found["balancing"]:
        yield "the primary serves all new sessions alone"


def _releases(found: Status) -> Iterable[str]:
    versions = {unit["version"] for unit in found["units"] if unit["version"]}
    if len(versions) > 1:
        yield f"the units run {', '.join(sorted(versions))}"


CLUSTER: tuple[Check[Status], ...] = (
    Check(
        "unit_not_up",
        "docs/operations.md, by the unit's state; 'synod doctor' on that unit",
        _units(_state),
    ),
    Check(
        "unit_refused",
        "make the cluster's file the same on all machines, then restart app and units; if it is "
        "the key, copy its file",
        _units(_refusal),
    ),
    Check("link_down", "its cable, NIC and switch port", _named("links_down", "has no link on")),
    Check(
        "ha_link_lost",
        "the HA link's cables and switch, and what filters there",
        _named("unheard", "doesn't hear on the HA link: unit"),
    ),
    Check(
        "sessions_not_held",
        "conntrackd on both units ('synod doctor' there), and the HA link",
        _named("unheld", "doesn't hold the sessions of unit"),
    ),
    Check("primary_missing", "a unit must be up: see the others' findings", _no_primary),
    Check("not_balancing", "wait a few seconds; then the app's log says more", _not_balancing),
    Check("releases_differ", "bring all units to the same version", _releases),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """This unit's report, and another's."""

    here: Report
    there: Report


def _differ(field: str, what: str) -> Callable[[Pair], Iterable[str]]:
    """A line for each key that isn't the same in both reports."""

    def faults(pair: Pair) -> Iterable[str]:
        here, there = getattr(pair.here, field), getattr(pair.there, field)
        for key in sorted(here.keys() | there.keys()):
            if here.get(key) != there.get(key):
                values = f"{here.get(key, 'none')} here, {there.get(key, 'none')} there"
                yield f"{what} {key} is not as on unit {pair.there.unit}: {values}"

    return faults


def _file(pair: Pair) -> Iterable[str]:
    if pair.here.digest != pair.there.digest:
        yield f"the cluster's file is not as on unit {pair.there.unit}"


def _sealing(pair: Pair) -> Iterable[str]:
    """While a key is being replaced both may seal: what counts is that each is believed."""
    here, there, unit = pair.here.keys, pair.there.keys, pair.there.unit
    if not (here and there):
        return
    if here[0] not in there:
        yield f"unit {unit} doesn't believe what is sealed here, with key {here[0]}"
    if there[0] not in here:
        yield f"what unit {unit} seals, with key {there[0]}, isn't believed here"


ALIKE: tuple[Check[Pair], ...] = (
    Check("file_differs", "copy it to all machines, then restart app and units", _file),
    Check(
        "cluster_keys_differ", "copy the file of the key from one of them to the other", _sealing
    ),
    Check(
        "rules_differ",
        "load the same rules on all units: what one allows or translates, another must",
        _differ("tables", "nft's table"),
    ),
    Check("versions_differ", "bring all units to the same", _differ("versions", "the version of")),
    Check("settings_differ", "set it to the same on all units", _differ("settings", "")),
)
