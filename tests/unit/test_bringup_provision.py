"""Carrying out the plan: what fails is undone, what was there before is there again."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents import journal, provision, switch
from agents import machine as machine_
from agents.bringup import Host
from agents.bringup_steps import Block, Command
from agents.config import Cluster, parse
from agents.obstacles import problems_with
from agents.provision import ProvisionError
from tests.unit.bringup_machine import DAEMONS, HOST, Argv, Machine, played, quiet, up
from tests.unit.test_bringup_plan import TEXT


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return played(tmp_path, monkeypatch)


@pytest.fixture
def cluster() -> Cluster:
    return parse(TEXT)


def test_down_undoes_what_up_did_last_first(machine: Machine, cluster: Cluster) -> None:
    assert up(cluster)
    did = list(machine.ran)
    made = journal.read()
    assert made
    machine.ran.clear()
    assert provision.down(quiet)
    assert machine.ran == [tuple(argv) for _why, argv in reversed(made.undo)]
    assert machine.ran[0][-1] == "stop"
    assert machine.ran.index(("ovs-appctl", "-t", "ovs-vswitchd", "exit")) < machine.ran.index(
        ("ovs-appctl", "-t", "ovsdb-server", "exit")
    )
    assert did[0][0] == "mkdir"
    assert not provision.down(quiet)


def test_settings_come_back_to_what_they_were(machine: Machine, cluster: Cluster) -> None:
    machine.settings["net/ipv4/ip_forward"] = "1"
    up(cluster)
    assert machine.settings["net/netfilter/nf_conntrack_tcp_loose"] == "0"
    assert machine.settings["net/ipv6/conf/int/disable_ipv6"] == "1"
    before = [argv for argv in machine.ran if argv[0] == "sysctl"]
    provision.down(quiet)
    assert machine.settings["net/netfilter/nf_conntrack_tcp_loose"] == "1"
    assert machine.settings["net/ipv6/conf/int/disable_ipv6"] == "0"
    undone = [argv for argv in machine.ran if argv[0] == "sysctl"][len(before) :]
    assert not [pair for argv in undone for pair in argv if "ip_forward" in pair]


def test_features_that_were_off_stay_off(machine: Machine, cluster: Cluster) -> None:
    up(cluster)
    assert ("ethtool", "-K", "nic-int", "tx", "off", "gro", "off") in machine.ran
    machine.ran.clear()
    provision.down(quiet)
    assert ("ethtool", "-K", "nic-int", "tx", "on", "gro", "on") in machine.ran


def test_up_again_does_nothing(machine: Machine, cluster: Cluster) -> None:
    up(cluster)
    did = list(machine.ran)
    assert not up(cluster)
    assert machine.ran == did


def test_up_again_starts_what_was_killed(machine: Machine, cluster: Cluster) -> None:
    up(cluster)
    did = len(machine.ran)
    machine.running.clear()
    assert up(cluster)
    names = [argv[0] for argv in machine.ran[did:]]
    assert names == ["ovsdb-server", "nice", sys.executable]
    assert machine.running == {*DAEMONS, "agents.supervise"}
    assert not up(cluster)


def test_what_others_have_started_is_theirs_to_start_again(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "look", lambda _datapath: replace(HOST, ovs_running=True))
    monkeypatch.setattr(provision, "_remove_remains", lambda *_: None)
    up(cluster)
    assert not machine.running & set(DAEMONS)
    machine.running.clear()
    assert up(cluster)
    assert machine.running == {"agents.supervise"}


def test_ports_that_are_others_than_before_are_given_what_they_lack(
    machine: Machine, cluster: Cluster
) -> None:
    up(cluster)
    machine.ran.clear()  # and with that, links are down and without addresses
    machine.settings["net/ipv6/conf/int/disable_ipv6"] = "0"
    words: list[str] = []
    again = lambda step: words.append(step.why)  # noqa: E731
    assert provision.mend(cluster, 1, "cluster.yaml", again, frozenset({"synod0"}))
    assert machine.settings["net/ipv6/conf/int/disable_ipv6"] == "1"
    assert "the cluster's address on int" in words
    assert "what the bridge gives the agent, and what the agent is to see" in words
    links = machine.links()
    up_now = {name for name in links if "UP" in links[name]["flags"]}
    assert up_now == {"int", "ext", "ha", "synod0"}  # NICs are the machine's
    done = [argv[1] for argv in machine.ran if argv[0] == "ip"]
    assert done == sorted(done)  # no link is up while addresses are missing
    assert not provision.mend(cluster, 1, "cluster.yaml", again, frozenset())


def test_queues_of_a_switch_that_was_started_again_are_made_long_again(
    machine: Machine, cluster: Cluster
) -> None:
    up(cluster)
    did = len(machine.ran)
    machine.short = True
    assert provision.mend(cluster, 1, "cluster.yaml", lambda _step: None, frozenset())
    assert machine.ran[did:] == [(sys.executable, "-m", "agents.queues")]
    assert not provision.mend(cluster, 1, "cluster.yaml", lambda _step: None, frozenset())


def test_a_host_that_is_no_unit_is_not_mended(machine: Machine, cluster: Cluster) -> None:
    assert not provision.mend(cluster, 1, "cluster.yaml", lambda _step: None)
    assert not machine.ran


@pytest.mark.parametrize(
    "other", [TEXT.replace("id: 2,", "id: 2, weight: 3,"), TEXT.replace("plan", "tactic")]
)
def test_up_as_something_else_is_refused(machine: Machine, cluster: Cluster, other: str) -> None:
    up(cluster)
    machine.ran.clear()
    for wanted, unit in ((parse(other), 1), (cluster, 2)):
        with pytest.raises(ProvisionError, match="synod unit down"):
            up(wanted, unit)
    assert not machine.ran


REMAINS = {
    "ours": (["map", [["synod", "plan/1"]]], [["uuid", "b1"]]),
    "another's": (["map", [["owner", "x"]]], []),
    "nobody's": (["map", []], []),
}


@pytest.mark.parametrize("whose", REMAINS)
def test_a_bridge_in_the_file_after_a_power_loss_goes_if_it_is_ours(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    ids, gone = REMAINS[whose]
    asked: list[Any] = []

    def run(argv: Argv, stdin: str = "") -> str:
        if argv[:2] != ("ovsdb-tool", "transact"):
            return machine.run(argv, stdin)
        database, operation = json.loads(argv[3])
        assert (argv[2], database) == (switch.DATABASE, "Open_vSwitch")
        asked.append(operation)
        return json.dumps([{"rows": [{"_uuid": ["uuid", "b1"], "external_ids": ids}]}])

    monkeypatch.setattr(machine_, "run", run)
    monkeypatch.setattr(provision, "look", lambda _datapath: Host())
    assert up(cluster)
    select, mutate = asked
    assert (select["table"], select["where"]) == ("Bridge", [["name", "==", "br-synod"]])
    assert (mutate["table"], mutate["mutations"]) == (
        "Open_vSwitch",
        [["bridges", "delete", ["set", gone]]],
    )


def test_nics_that_were_fenced_are_up_again_but_for_those_that_were_down(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = replace(HOST, links_up=frozenset(("nic-int", "nic-ha")))
    monkeypatch.setattr(provision, "look", lambda _datapath: host)
    up(cluster)
    journal.FENCE.write_text("nic-int\nnic-ext\n")
    machine.ran.clear()
    provision.down(quiet)
    assert not journal.FENCE.exists()
    links = [argv for argv in machine.ran if argv[:3] == ("ip", "link", "set")]
    assert ("ip", "link", "set", "nic-ext", "down") in links
    assert ("ip", "link", "set", "nic-ext", "up") not in links
    # Not before the bridge is gone: its flows are an old primary's.
    assert machine.ran[-1] == ("ip", "link", "set", "nic-int", "up")


def test_down_goes_on_after_an_error(machine: Machine, cluster: Cluster) -> None:
    up(cluster)
    machine.fails = len(machine.ran)
    with pytest.raises(ProvisionError, match="no"):
        provision.down(quiet)
    assert ("ovs-appctl", "-t", "ovsdb-server", "exit") in machine.ran


class TestBlocks:
    """With real files, and the real commands that undo it."""

    @pytest.fixture
    def block(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
        monkeypatch.setattr(journal, "JOURNAL", tmp_path / "unit.json")
        monkeypatch.setattr(journal, "FENCE", tmp_path / "fenced")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(provision, "_check", lambda *_: None)
        monkeypatch.setattr(provision, "look", lambda _datapath: Host(database="/db"))

        def up_and_down(path: Path) -> None:
            step = Block("names", str(path), "1 unit-1\n2 unit-2\n")
            monkeypatch.setattr(provision, "plan", lambda *_: (step, Command("no", ("true",))))
            cluster = parse(TEXT)
            up(cluster)
            assert b"\n1 unit-1\n2 unit-2\n" in path.read_bytes()
            provision.down(quiet)

        return up_and_down

    def test_a_file_that_has_others_is_as_before(self, tmp_path: Path, block: Any) -> None:
        path = tmp_path / "connlabel.conf"
        path.write_text("0 mine\n99 mine-too\n")
        block(path)
        assert path.read_text() == "0 mine\n99 mine-too\n"

    def test_a_file_and_a_directory_that_were_made_are_gone(
        self, tmp_path: Path, block: Any
    ) -> None:
        block(tmp_path / "xtables" / "connlabel.conf")
        assert not (tmp_path / "xtables").exists()

    def test_a_last_line_without_an_end_is_not_lengthened(self, tmp_path: Path, block: Any) -> None:
        path = tmp_path / "connlabel.conf"
        path.write_text("0 mine")
        block(path)
        assert path.read_text().splitlines() == ["0 mine"]

    def test_others_may_write_as_they_like(self, tmp_path: Path, block: Any) -> None:
        path = tmp_path / "connlabel.conf"
        path.write_bytes("0 café\n".encode("latin-1"))
        block(path)
        assert path.read_bytes() == "0 café\n".encode("latin-1")

    def test_a_file_that_cannot_be_written_is_said(self, tmp_path: Path, block: Any) -> None:
        (tmp_path / "xtables").touch()
        with pytest.raises(ProvisionError, match=r"names: .*connlabel.conf: Not a directory"):
            block(tmp_path / "xtables" / "connlabel.conf")
        assert journal.read() is None


class TestProblems:
    """What would go wrong is found before anything is touched, all of it."""

    def link(self, mac: str, *addresses: str) -> dict[str, Any]:
        return {"address": mac, "addr_info": [{"family": "inet", "local": a} for a in addresses]}

    def links(self) -> dict[str, Any]:
        names = ("nic-int", "nic-ext", "nic-ha")
        return {name: self.link(f"06:00:00:00:00:0{n}") for n, name in enumerate(names, 1)}

    def test_a_host_that_is_ready_has_none(self, cluster: Cluster) -> None:
        assert problems_with(cluster, 1, self.links(), (), ours=False) == []

    def test_all_are_named(self, cluster: Cluster) -> None:
        links = self.links()
        del links["nic-ha"]
        links["nic-int"] = self.link("06:00:00:00:00:01", "10.1.0.5", "10.1.0.6")
        links["nic-ext"] = self.link("02:53:59:07:01:02")
        links["br-synod"] = self.link("06:00:00:00:00:09")
        assert problems_with(cluster, 1, links, (), ours=False) == [
            "nic-int has the address 10.1.0.5, 10.1.0.6: the cluster's NICs must have none",
            "nic-ext has the MAC address of a kernel port: the two must differ",
            "there is no interface nic-ha",
            "there is a br-synod already, not Synod's",
        ]

    def test_what_is_left_of_ours_after_a_reboot_is_no_problem(self, cluster: Cluster) -> None:
        links = self.links() | {"br-synod": self.link("06:00:00:00:00:09")}
        assert problems_with(cluster, 1, links, (), ours=True) == []

    def test_a_route_that_the_clusters_would_take_the_place_of(self) -> None:
        cluster = parse(TEXT)
        routes = [
            ("0.0.0.0/0", "192.0.2.254", "mgmt"),
            ("0.0.0.0/0", "203.0.113.254", "ext"),
            ("10.0.0.0/8", "192.0.2.254", "mgmt"),
        ]
        (problem,) = problems_with(cluster, 1, self.links(), routes, ours=False)
        assert problem.startswith("there is a route to 0.0.0.0/0 by way of 192.0.2.254 over mgmt,")
