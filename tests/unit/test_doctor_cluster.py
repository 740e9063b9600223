"""What the doctor finds in a cluster: by the app's status, and by laying reports side by side."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import pytest

from agents.doctor_cluster import ALIKE, CLUSTER, Pair, Report, read, table_digests
from agents.doctor_seen import findings

UNIT: dict[str, Any] = {
    "id": 1,
    "state": "up",
    "drained": False,
    "weight": 1,
    "refusal": None,
    "version": "0.1.0",
    "unheard": [],
    "unheld": [],
    "links_down": [],
}
STATUS: dict[str, Any] = {"primary": 1, "balancing": True, "units": [UNIT, {**UNIT, "id": 2}]}


def status(**of_unit_2: Any) -> dict[str, Any]:
    found = deepcopy(STATUS)
    found["units"][1].update(of_unit_2)
    return found


DAMAGES = [
    ("unit_not_up", status(state="silent"), "unit 2 is silent"),
    ("unit_refused", status(refusal="another file"), "unit 2 isn't taken: another file"),
    ("link_down", status(links_down=["ext"]), "unit 2 has no link on ext"),
    ("ha_link_lost", status(unheard=[1, 3]), "unit 2 doesn't hear on the HA link: unit 1, 3"),
    ("sessions_not_held", status(unheld=[1]), "unit 2 doesn't hold the sessions of unit 1"),
    ("primary_missing", {**STATUS, "primary": None}, "no unit is primary"),
    ("not_balancing", {**STATUS, "balancing": False}, "alone"),
    ("releases_differ", status(version="0.2.0"), "0.1.0, 0.2.0"),
]


@pytest.mark.parametrize("found", [STATUS, status(drained=True), status(version=None)])
def test_a_healthy_cluster_has_nothing(found: dict[str, Any]) -> None:
    assert findings(CLUSTER, found) == []


def test_one_that_has_nobody_to_share_with_need_not_balance() -> None:
    assert findings(CLUSTER, {**status(drained=True), "balancing": False}) == []


@pytest.mark.parametrize(("name", "found", "words"), DAMAGES)
def test_what_the_app_sees_is_found(name: str, found: dict[str, Any], words: str) -> None:
    assert [(each.name, each.what) for each in findings(CLUSTER, found) if words in each.what] == [
        (name, each.what) for each in findings(CLUSTER, found)
    ]
    assert findings(CLUSTER, found)


@pytest.mark.parametrize("state", ["dead", "down", "silent"])
def test_a_primary_that_is_not_there_is_missed(state: str) -> None:
    found = {**status(state=state), "primary": 2, "primary_present": False}
    assert [(each.name, each.what) for each in findings(CLUSTER, found)] == [
        ("unit_not_up", f"unit 2 is {state}"),
        ("primary_missing", f"unit 2 is primary, and {state}"),
    ]


HERE = Report(1, "abc", {"ovs": "3.1.0"}, {"ip user": "1"}, {"net/x": "1"}, ("aa", "bb"))
ALIKE_DAMAGES: list[tuple[str, Callable[[Report], Report], str]] = [
    ("file_differs", lambda it: replace(it, digest="abd"), "not as on unit 2"),
    ("rules_differ", lambda it: replace(it, tables={"ip user": "2"}), "nft's table ip user"),
    ("rules_differ", lambda it: replace(it, tables={}), "1 here, none there"),
    ("versions_differ", lambda it: replace(it, versions={"ovs": "3.3.0"}), "3.1.0 here, 3.3.0"),
    ("settings_differ", lambda it: replace(it, settings={"net/x": "2"}), "net/x"),
    ("cluster_keys_differ", lambda it: replace(it, keys=("bb",)), "is sealed here, with key aa"),
    ("cluster_keys_differ", lambda it: replace(it, keys=("cc", "aa")), "seals, with key cc"),
]


def test_two_alike_have_nothing() -> None:
    assert findings(ALIKE, Pair(HERE, replace(HERE, unit=2))) == []


@pytest.mark.parametrize("keys", [("bb", "aa"), ("aa",), ()])
def test_while_a_key_is_replaced_units_may_have_others(keys: tuple[str, ...]) -> None:
    """Nor is it a difference if one couldn't read its own: that is a finding of its unit's."""
    assert findings(ALIKE, Pair(HERE, replace(HERE, unit=2, keys=keys))) == []


@pytest.mark.parametrize(("name", "damage", "words"), ALIKE_DAMAGES)
def test_a_difference_is_found(name: str, damage: Callable[[Report], Report], words: str) -> None:
    (found,) = findings(ALIKE, Pair(HERE, damage(replace(HERE, unit=2))))
    assert found.name == name
    assert words in found.what


def test_each_check_finds_something() -> None:
    assert {name for name, _, _ in DAMAGES} == {check.name for check in CLUSTER}
    assert {name for name, _, _ in ALIKE_DAMAGES} == {check.name for check in ALIKE}


def test_a_report_is_read_as_it_was_written() -> None:
    assert read(json.dumps({**asdict(HERE), "findings": [], "host": "gw1"})) == HERE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"unit": "a"}', '{"unit": null}', "\x00"])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Report"):
        read(text)


RULE = {"family": "ip", "table": "user", "chain": "forward", "handle": 4}
TABLE = {"table": {"family": "ip", "name": "user", "handle": 1}}


def ruleset(*parts: dict[str, Any]) -> str:
    return json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *parts]})


def rule(packets: int = 0, handle: int = 4, verdict: str = "accept") -> dict[str, Any]:
    counter = {"counter": {"packets": packets, "bytes": packets}}
    return {"rule": {**RULE, "handle": handle, "expr": [counter, {verdict: None}]}}


def elements(flags: list[str], *found: str) -> dict[str, Any]:
    return {
        "set": {"family": "ip", "table": "user", "name": "s", "flags": flags, "elem": list(found)}
    }


def test_what_packets_leave_in_rules_makes_no_difference() -> None:
    one = ruleset(TABLE, rule(), elements(["dynamic"]))
    other = ruleset(TABLE, rule(7, 9), elements(["dynamic"], "10.0.0.1"))
    assert table_digests(one) == table_digests(other) != {}


@pytest.mark.parametrize(
    "other", [ruleset(TABLE, rule(verdict="drop")), ruleset(TABLE, rule(), rule()), ruleset(TABLE)]
)
def test_rules_make_a_difference(other: str) -> None:
    assert table_digests(ruleset(TABLE, rule())) != table_digests(other)


def test_so_do_the_elements_of_a_set_that_the_user_fills() -> None:
    one, other = (ruleset(TABLE, elements([], each)) for each in ("10.0.0.1", "10.0.0.2"))
    assert table_digests(one) != table_digests(other)


def test_tables_that_name_a_units_own_are_left_out() -> None:
    own = {"table": {"family": "netdev", "name": "synod0", "handle": 1}}
    named = {"counter": {"family": "ip", "table": "user", "name": "c", "packets": 1}}
    assert table_digests(ruleset(own, TABLE, named)).keys() == {"ip user"}
