"""`synod doctor` on real units: nothing in a healthy cluster, and each damage by its name."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.world import NO_RULES, SNAT, World

UNIT = 2  # to be damaged: an auxiliary


def doctor(world: World, host: str, *arguments: str) -> dict[str, Any]:
    """What it says on a host, as JSON; its exit code is as its findings say."""
    done = world.lab.run(host, ["synod", "doctor", "--json", *arguments], check=False)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert bool(found["findings"]) == bool(done.returncode)
    return found


def names(found: dict[str, Any]) -> set[str]:
    return {finding["name"] for finding in found["findings"]}


def shell(world: World, script: str) -> None:
    world.lab.run(f"u{UNIT}", ["sh", "-ec", script])


@contextmanager
def unmended(world: World) -> Iterator[None]:
    """Meanwhile the unit's supervisor mends nothing."""
    signal = "kill -{} $(cut -d' ' -f1 /run/synod/supervisor.pid)"
    shell(world, signal.format("STOP"))
    try:
        yield
    finally:
        shell(world, signal.format("CONT"))


def test_a_healthy_cluster_has_nothing(world: World, tmp_path: Path) -> None:
    world.until(
        lambda: not any(row["unheld"] for row in world.status()["units"]), world.situation, 30
    )
    reports = []
    for unit in world.units:
        found = doctor(world, f"u{unit}")
        assert (found["findings"], found["unit"]) == ([], unit)
        reports.append(tmp_path / f"u{unit}.json")
        reports[-1].write_text(json.dumps(found))
    others = [word for path in reports[1:] for word in ("--from", str(path))]
    assert doctor(world, "u1", *others)["findings"] == []
    found = doctor(world, "controller")
    assert (found["findings"], found["unit"]) == ([], None)
    assert found["app"]["c65ryu"]


@pytest.mark.parametrize(
    ("name", "damage", "mend"),
    [
        (
            "setting_changed",
            "sysctl -q -w net.netfilter.nf_conntrack_tcp_loose=1",
            "sysctl -q -w net.netfilter.nf_conntrack_tcp_loose=0",
        ),
        (
            "flow_foreign",
            "ovs-ofctl add-flow br-synod cookie=0x42,table=77,priority=1,actions=drop",
            "ovs-ofctl del-flows br-synod cookie=0x42/-1",
        ),
        ("mtu_small", "ip link set nic-int mtu 1400", "ip link set nic-int mtu 1500"),
        ("offload_on", "ethtool -K nic-int gro on", "ethtool -K nic-int gro off"),
        (
            "nic_has_address",
            "ip address add 192.168.99.1/24 dev nic-int",
            "ip address del 192.168.99.1/24 dev nic-int",
        ),
        (
            "labels_unnamed",
            "mv /etc/connlabel.conf /etc/connlabel.conf.away",
            "mv /etc/connlabel.conf.away /etc/connlabel.conf",
        ),
        ("cluster_key_unfit", 'chmod 644 "$SYNOD_KEY_FILE"', 'chmod 600 "$SYNOD_KEY_FILE"'),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_a_damage_is_found_by_its_name(world: World, name: str, damage: str, mend: str) -> None:
    with unmended(world):
        shell(world, damage)
        try:
            found = doctor(world, f"u{UNIT}")
        finally:
            shell(world, mend)
    assert names(found) == {name, "program_stopped"}


def test_rules_that_differ_are_found(world: World, tmp_path: Path) -> None:
    report = tmp_path / "u1.json"
    report.write_text(json.dumps(doctor(world, "u1")))
    assert doctor(world, f"u{UNIT}", "--from", str(report))["findings"] == []
    world.rules(NO_RULES, UNIT)
    try:
        found = doctor(world, f"u{UNIT}", "--from", str(report))
    finally:
        world.rules(SNAT, UNIT)
    assert names(found) == {"rules_differ"}
    assert "table ip user" in found["findings"][0]["what"]


@pytest.mark.parametrize(
    ("host", "arguments", "code", "why"),
    [
        ("client", [], 2, "no unit, and no app answers"),
        ("u1", ["--id", "9"], 2, "has no unit 9"),
        ("u1", ["--from", "/nowhere"], 2, "No such file"),
        ("u1", ["--from", "/etc/hostname"], 2, "not what 'synod doctor --json' says"),
        ("u1", ["--url", "http://127.0.0.1:1"], 3, "no answer from the app"),
    ],
)
def test_misuse_is_said(world: World, host: str, arguments: list[str], code: int, why: str) -> None:
    done = world.lab.run(host, ["synod", "doctor", *arguments], check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert why in done.stderr
