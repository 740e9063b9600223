"""A switch's keys for TLS in Open vSwitch's real database: whose they are, and what is refused."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agents import doctor_look, machine, switch_keys
from agents.bringup import Host, plan
from agents.bringup_steps import Command
from agents.config_tls import of
from agents.pki import make
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of


@pytest.fixture
def keys(tmp_path: Path) -> str:
    make(tmp_path / "pki", (1,), lambda _: None)
    return str(tmp_path / "pki" / "unit-1")


@pytest.fixture(autouse=True)
def _this_switch(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: tuple[str, ...], _stdin: str = "") -> str:
        assert argv[0] == "ovs-vsctl"
        return switch.vsctl(*argv[1:])

    monkeypatch.setattr(machine, "run", run)
    monkeypatch.setattr(machine, "answers", lambda _path: True)


def test_what_the_plan_sets_is_seen_and_can_be_taken_back(keys: str) -> None:
    assert switch_keys.held() is None
    cluster = replace(cluster_of(1), controller="ssl:127.0.0.1:6653")
    steps = plan(cluster, 1, "cluster.yaml", Host(tls=keys))
    (step,) = [each for each in steps if isinstance(each, Command) and "set-ssl" in each.argv]
    for _ in range(2):  # what an earlier one has left is written over by as much
        machine.run(step.argv)
        assert switch_keys.held() == of(keys)
        assert switch_keys.problems(of(keys)) == []
    machine.run(step.undo)
    assert switch_keys.held() is None


def test_anothers_keys_are_not_written_over(switch: Switch, keys: str) -> None:
    switch.vsctl("set-ssl", "/theirs/key.pem", "/theirs/cert.pem", "/theirs/ca.pem")
    (found,) = switch_keys.problems(of(keys))
    assert "another's keys for TLS ('ovs-vsctl get-ssl')" in found
    switch.vsctl("del-ssl")
    assert switch_keys.problems(of(keys)) == []


def test_keys_that_are_not_there_or_that_others_can_read_are_refused(keys: str) -> None:
    Path(keys, "privkey.pem").chmod(0o644)
    (found,) = switch_keys.problems(of(keys))
    assert "others than its owner can read it (mode 644)" in found
    Path(keys, "cacert.pem").unlink()
    (found,) = switch_keys.problems(of(keys))
    assert "cacert.pem: No such file or directory: 'synod pki make'" in found


def test_a_switch_that_does_not_run_has_them_in_its_file(
    switch: Switch, keys: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "conf.db"
    switch.run("ovsdb-tool", "create", str(file), "/usr/share/openvswitch/vswitch.ovsschema")
    monkeypatch.setattr(machine, "answers", lambda _path: False)
    monkeypatch.setattr(machine, "run", lambda argv: switch.run(*argv))
    for module in (switch_keys, machine):
        monkeypatch.setattr(module, "DATABASE", str(tmp_path / "none"))
    assert switch_keys.held() is None
    for module in (switch_keys, machine):
        monkeypatch.setattr(module, "DATABASE", str(file))
    assert switch_keys.held() is None
    found = of(keys)
    row = {"private_key": found.key, "certificate": found.certificate, "ca_cert": found.ca}
    machine.in_file(op="insert", table="SSL", row=row, **{"uuid-name": "keys"})
    # A row that nothing points to is removed at once.
    assert switch_keys.held() is None
    insert = {"op": "insert", "table": "SSL", "row": row, "uuid-name": "keys"}
    root = {"op": "insert", "table": "Open_vSwitch", "row": {"ssl": ["named-uuid", "keys"]}}
    switch.run("ovsdb-tool", "transact", str(file), json.dumps(["Open_vSwitch", insert, root]))
    assert switch_keys.held() == found


def test_the_doctor_sees_when_the_first_certificate_of_a_file_ends(
    keys: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()  # openssl is run as it is
    now = time.time()
    found = doctor_look.keys(keys, now)
    assert found.faults == ()
    names = ("cert.pem", "cacert.pem")
    assert set(found.days) == {f"{keys}/{name}" for name in names}
    assert all(3649 < days <= 3650 for days in found.days.values())
    argv = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    short = (*argv, "-nodes", "-subj", "/CN=x", "-days", "3", "-keyout", str(tmp_path / "k"))
    with Path(keys, "cacert.pem").open("a") as file:
        file.write(machine.run(short))
    assert 2.9 < doctor_look.keys(keys, time.time()).days[f"{keys}/cacert.pem"] <= 3
    Path(keys, "cert.pem").write_text("none")
    found = doctor_look.keys(keys, now)
    assert "not a certificate for" in found.faults[0]
    assert set(found.days) == {f"{keys}/cacert.pem"}
