"""What the doctor finds in a unit: nothing in a healthy one, and each damage by its name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agents.bringup import CONNLABEL_FILES, Host, plan
from agents.bringup_steps import Block, Command, Sysctls, block_text
from agents.config import parse
from agents.config_tls import UNIT_PATH, of
from agents.doctor_checks import OLDEST, UNIT, number
from agents.doctor_keys import KEYS, KeysSeen
from agents.doctor_seen import Look, findings
from agents.journal import Journal
from agents.mending import Seen
from agents.running import SUPERVISOR
from agents.wire.ports import HA_KERNEL_NAME, SYNOD_NAME, mac_text

CLUSTER = parse("""
name: office
group: 1
interfaces:
  int: {nic: enp2s0, addresses: [10.1.0.1/24], mtu: 1400}
routes: [{to: default, via: 10.1.0.254}]
ha: {nic: enp4s0}
units: [{id: 1}, {id: 2}]
controllers: ["ssl:192.0.2.10:6653"]
""")
NICS = ("enp2s0", "enp4s0")
PLAN = plan(CLUSTER, 1, "/etc/synod/cluster.yaml", Host(ovs_running=True, links_up=frozenset(NICS)))
SETTINGS = {
    key: str(value) for step in PLAN if isinstance(step, Sysctls) for key, value in step.values
}

ROUTES = frozenset((str(each.to), str(each.via), each.interface) for each in CLUSTER.routes)


def link(mtu: int = 1500, address: str = "06:00:00:00:00:01", *addresses: str) -> dict[str, Any]:
    listed = [each.split("/") for each in addresses]
    return {
        "flags": ["UP", "LOWER_UP"],
        "mtu": mtu,
        "address": address,
        "addr_info": [
            {"family": "inet", "local": local, "prefixlen": int(length)} for local, length in listed
        ],
    }


def healthy() -> Look:
    unit = CLUSTER.unit(1)
    links = {
        **{nic: link() for nic in NICS},
        "int": link(1400, mac_text(unit.macs[0]), "10.1.0.1/24"),
        HA_KERNEL_NAME: link(1500, mac_text(unit.ha_mac), str(unit.ha_address)),
        SYNOD_NAME: link(1500),
    }
    tables = frozenset(
        (step.undo[-2], step.undo[-1])
        for step in PLAN
        if isinstance(step, Command) and step.argv[0] == "nft"
    )
    return Look(
        cluster=CLUSTER,
        unit=1,
        plan=PLAN,
        seen=Seen(links, tables, frozenset((SUPERVISOR,)), SETTINGS.get, routes=ROUTES),
        brought_up=Journal("office", 1, CLUSTER.digest, [], complete=True),
        versions={name: ".".join(map(str, least)) for name, least in OLDEST.items()},
        offloads=dict.fromkeys(NICS, ()),
        cookies=(0x5359010000000001, 0x53590202000000E0),
        ports={"enp2s0": 1, "int": 101, "enp4s0": 99, "ha": 199, "synod0": 200, "br-synod": 65534},
        controllers={"ssl:192.0.2.10:6653": True},
        conntrack=(10, 1000),
        programs={"the switch": "S", "the supervisor": "S", "the agent": "R", "conntrackd": "S"},
        files={step.path: block_text(step.text) for step in PLAN if isinstance(step, Block)},
        synchronised=True,
        token=0o100600,
        cluster_keys=("1a2b3c4d",),
        keys=of(UNIT_PATH),
    )


def without(mapping: Any, *names: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in names}


def seen(look: Look, **changes: Any) -> Look:
    return replace(look, seen=replace(look.seen, **changes))


def journal(look: Look, **changes: Any) -> Look:
    assert look.brought_up
    return replace(look, brought_up=replace(look.brought_up, **changes))


def links(look: Look, name: str, **changes: Any) -> Look:
    known = look.seen.links
    return seen(look, links={**known, name: {**known[name], **changes}})


DAMAGES: list[tuple[str, Callable[[Look], Look], str]] = [
    ("not_up", lambda it: replace(it, brought_up=None), "no unit"),
    ("not_up", lambda it: journal(it, unit=2), "unit 2"),
    ("not_up", lambda it: journal(it, digest="other"), "file has changed"),
    ("not_up", lambda it: journal(it, complete=False), "by half"),
    ("version_old", lambda it: replace(it, versions={"ovs": "3.0.9"}), "ovs 3.0.9 is older than"),
    (
        "setting_changed",
        lambda it: seen(it, setting={**SETTINGS, "net/ipv4/ip_forward": "0"}.get),
        "net/ipv4/ip_forward is 0, not 1",
    ),
    (
        "rules_missing",
        lambda it: seen(it, tables=it.seen.tables - {("inet", "synod")}),
        "no table inet synod",
    ),
    ("rules_flushed_at_reload", lambda it: replace(it, flushing=True), "nftables.conf"),
    ("port_missing", lambda it: seen(it, links=without(it.seen.links, "enp2s0")), "no enp2s0"),
    ("address_missing", lambda it: links(it, "int", addr_info=[]), "the cluster's address on int"),
    ("route_missing", lambda it: seen(it, routes=frozenset()), "the route to 0.0.0.0/0"),
    ("port_down", lambda it: links(it, "int", flags=["LOWER_UP"]), "int up"),
    ("nic_down", lambda it: links(it, "enp2s0", flags=["LOWER_UP"]), "enp2s0 is down"),
    ("nic_down", lambda it: links(it, "enp4s0", flags=["UP"]), "enp4s0 has no carrier"),
    (
        "nic_has_address",
        lambda it: links(
            it, "enp2s0", addr_info=[{"family": "inet", "local": "10.9.9.9", "prefixlen": 24}]
        ),
        "enp2s0 has the address 10.9.9.9",
    ),
    ("mac_wrong", lambda it: links(it, "int", address="02:00:00:00:00:09"), "02:00:00:00:00:09"),
    ("mtu_small", lambda it: links(it, "int", mtu=1399), "int has an MTU of 1399, not 1400"),
    ("mtu_small", lambda it: links(it, "enp2s0", mtu=1280), "enp2s0 has an MTU of 1280"),
    ("mtu_small", lambda it: links(it, SYNOD_NAME, mtu=576), "synod0 has an MTU of 576"),
    ("offload_on", lambda it: replace(it, offloads={"enp2s0": {"tx", "gro"}}), "gro, tx on"),
    ("queues_short", lambda it: seen(it, short_queues=True), "queues"),
    ("switch_waits", lambda it: seen(it, switch_waits=True), "first"),
    ("flow_foreign", lambda it: replace(it, cookies=(0, 0x5359 << 48)), "the cookie 0x0"),
    ("port_wrong", lambda it: replace(it, ports={**it.ports, "int": 7}), "int is port 7, not 101"),
    ("port_wrong", lambda it: replace(it, ports={**it.ports, "tap0": 7}), "a port tap0"),
    ("controller_wrong", lambda it: replace(it, controllers={}), "lacks the controller"),
    (
        "controller_wrong",
        lambda it: replace(it, controllers={**it.controllers, "ssl:192.0.2.99:6653": True}),
        "has the controller ssl:192.0.2.99:6653",
    ),
    (
        "controller_away",
        lambda it: replace(it, controllers=dict.fromkeys(it.controllers, False)),
        "no connection to ssl:192.0.2.10:6653",
    ),
    (
        "controller_away",
        lambda it: replace(
            it,
            controllers=dict.fromkeys(it.controllers, False),
            errors=dict.fromkeys(it.controllers, "Protocol error"),
        ),
        "no connection to ssl:192.0.2.10:6653 (Protocol error)",
    ),
    ("switch_keys_wrong", lambda it: replace(it, keys=None), "has no key for TLS"),
    ("switch_keys_wrong", lambda it: replace(it, keys=of("/theirs")), "has /theirs/privkey.pem"),
    ("conntrack_full", lambda it: replace(it, conntrack=(801, 1000)), "801 of 1000"),
    ("program_missing", lambda it: replace(it, programs={"the agent": ""}), "the agent"),
    ("program_stopped", lambda it: replace(it, programs={"the agent": "T"}), "the agent"),
    ("conntrackd_foreign", lambda it: replace(it, strangers=(42,)), "process 42"),
    ("labels_unnamed", lambda it: replace(it, files=dict.fromkeys(CONNLABEL_FILES[:1], "")), "/"),
    ("fenced", lambda it: replace(it, fenced=True), "NICs down"),
    ("clock_unsynchronised", lambda it: replace(it, synchronised=False), "clock"),
    ("cluster_key_unfit", lambda it: replace(it, key_fault="/k: there is no key"), "no key"),
    ("token_readable", lambda it: replace(it, token=0o100640), "token"),
]


def test_a_healthy_unit_has_nothing() -> None:
    assert findings(UNIT, healthy()) == []


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGES)
def test_a_damage_is_found_by_its_name(
    name: str, damage: Callable[[Look], Look], words: str
) -> None:
    found = findings(UNIT, damage(healthy()))
    assert {each.name for each in found} == {name}
    assert any(words in each.what for each in found)
    assert all(each.remedy for each in found)


def test_each_check_finds_something() -> None:
    assert {name for name, _, _ in DAMAGES} == {check.name for check in UNIT}


def test_keys_that_are_fit_have_nothing() -> None:
    assert findings(KEYS, KeysSeen((), {"cert.pem": 30.0})) == []


@pytest.mark.parametrize(
    ("seen", "name", "words"),
    [
        (KeysSeen(("privkey.pem: why",), {}), "keys_unfit", "privkey.pem: why"),
        (KeysSeen((), {"cert.pem": 29.4}), "certificate_ends", "cert.pem ends in 29 days"),
        (KeysSeen((), {"cacert.pem": -0.1}), "certificate_ends", "cacert.pem has ended"),
    ],
)
def test_keys_that_are_not_are_told_of(seen: KeysSeen, name: str, words: str) -> None:
    (found,) = findings(KEYS, seen)
    assert found.name == name
    assert words in found.what


def test_what_is_not_known_is_no_fault() -> None:
    unknown = seen(replace(healthy(), synchronised=None, token=None), setting=lambda _key: None)
    assert findings(UNIT, replace(unknown, versions={}, offloads={}, conntrack=(0, 1))) == []


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("6.1.0-18-amd64", (6, 1, 0)), ("3.1.0", (3, 1, 0)), ("", ()), ("git", ())],
)
def test_versions_are_compared_by_number(version: str, numbers: tuple[int, ...]) -> None:
    assert number(version) == numbers
