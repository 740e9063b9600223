"""Faults of a lab: what there is to break, the commands as text, what is said to be broken."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from topologies import cli as synod_lab
from topologies import damage, fault_cli, faults
from topologies.damage import Broken, Seen
from topologies.faulting import Faults
from topologies.faults import CUTS, SWITCHES, VERBS, Program, cable_named, cut
from topologies.hosts import Misnamed
from topologies.processes import Process
from topologies.recipe import Options

DOCS = Path(__file__).parents[2] / "docs" / "lab.md"
TWO, THREE = Options(units=2), Options(units=2, interfaces=3)
WHOLE = dict.fromkeys(("vswitchd", "ovsdb-server", "agent", "conntrackd", "supervisor"), "S")


class TestNames:
    @pytest.mark.parametrize(
        ("options", "names"), [(TWO, "int ext ha mgmt"), (THREE, "int ext dmz ha mgmt")]
    )
    def test_a_unit_has_a_cable_for_each_interface(self, options: Options, names: str) -> None:
        assert [cable.name for cable in faults.cables_of(options, "u2")] == names.split()
        assert [cable.name for cable in faults.cables_of(options, "controller")] == ["mgmt"]

    def test_a_cable_has_two_ends(self) -> None:
        cable = cable_named(TWO, "u2", "int")
        assert (cable.nic, cable.port, cable.address) == ("nic-int", "s1-u2", "")
        cable = cable_named(TWO, "u2", "mgmt")
        assert (cable.nic, cable.port, cable.address) == ("mgmt", "smg-u2", "10.254.0.2/24")

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            (
                lambda: cable_named(TWO, "u2", "dmz"),
                "u2 has no cable 'dmz'; it has int, ext, ha, mgmt",
            ),
            (lambda: cable_named(TWO, "client", "eth0"), "there is no 'client'; there are u1, u2,"),
            (lambda: faults.host_named(TWO, "u3"), "no 'u3'; there are u1, u2, controller"),
            (lambda: faults.unit_named(TWO, "controller"), "no unit 'controller'; there are u1, u"),
            (lambda: faults.program_named(TWO, "u1", "sshd"), "u1 has no program 'sshd'; it has v"),
            (lambda: faults.program_named(TWO, "u1", ""), "u1 has several programs; it has vswi"),
            (lambda: cut(cable_named(TWO, "u1", "ha"), "up"), "'up' is not one of both, in, out"),
            (lambda: cut(cable_named(TWO, "u1", "ha"), "in", nic=True), "'--nic', or '--way in'"),
        ],
    )
    def test_what_is_not_there_is_answered_by_what_is(self, asked: Any, words: str) -> None:
        with pytest.raises(Misnamed, match=words):
            asked()

    def test_the_controller_has_one_program(self) -> None:
        assert faults.program_named(TWO, "controller", "").name == "app"
        assert faults.program_named(TWO, "controller", "app").name == "app"

    @pytest.mark.parametrize(
        ("line", "name"),
        [
            ("ovs-vswitchd --pidfile --detach ", "vswitchd"),
            ("/usr/sbin/ovs-vswitchd --pidfile ", "vswitchd"),
            ("ovsdb-server /etc/openvswitch/conf.db ", "ovsdb-server"),
            ("/x/python -m agents.cli agent --config f --id 2 ", "agent"),
            ("setpriv --pdeathsig TERM /x/python -m agents.cli agent --config f --id 2 ", "agent"),
            ("/x/python -u -m agents.supervise run --config f --id 2 ", "supervisor"),
            ("conntrackd -C /run/synod/conntrackd.conf ", "conntrackd"),
            (
                "setpriv --bounding-set -all,+net_admin conntrackd -C /run/synod/x.conf ",
                "conntrackd",
            ),
            ("/x/python -m agents.replication --config f --id 2 ", "conntrackd"),
            ("/x/python /x/ryu-manager --ofp-tcp-listen-port 6653 ", "app"),
            ("ovs-appctl -t ovs-vswitchd exit ", None),
            ("/x/python -m agents.cli unit up ", None),
            ("/x/python -m agents.supervise stop ", None),
            ("tail -f /var/log/openvswitch/ovs-vswitchd.log ", None),
            ("bash ", None),
        ],
    )
    def test_a_program_is_known_by_its_command_line(self, line: str, name: str | None) -> None:
        known = [*faults.programs("u1"), *faults.programs("controller")]
        assert [each.name for each in known if each.line.match(line)] == ([name] if name else [])

    @pytest.mark.parametrize(
        ("states", "coming"),
        [
            ({"supervisor": "S", "agent": "S", "conntrackd": "S"}, []),
            ({"supervisor": "S", "agent": "T"}, ["conntrackd"]),
            ({"supervisor": "T", "conntrackd": "S"}, []),
            ({"conntrackd": "S"}, []),
            ({}, []),
        ],
    )
    def test_a_program_is_coming_while_who_starts_it_runs(
        self, states: dict[str, str], coming: list[str]
    ) -> None:
        assert faults.coming("u1", states) == coming
        assert faults.coming("controller", states) == []


class TestCommands:
    def test_a_cable_is_pulled_at_the_switch(self) -> None:
        cable = cable_named(TWO, "u1", "ha")
        assert cut(cable).argv == ("ip", "link", "set", "sha-u1", "down")
        assert cut(cable).host == CUTS["both"].mend(cable).host == SWITCHES
        assert CUTS["both"].mend(cable).argv == ("ip", "link", "set", "sha-u1", "up")

    def test_all_are_pulled_by_one_command(self) -> None:
        act = faults.cut_off(TWO, "u1")
        assert (act.host, act.argv) == (SWITCHES, ("ip", "-batch", "-"))
        assert (
            act.stdin.split()
            == " ".join(
                f"link set {port} down" for port in ("s1-u1", "s2-u1", "sha-u1", "smg-u1")
            ).split()
        )

    def test_a_nic_is_the_hosts(self) -> None:
        act = cut(cable_named(TWO, "u1", "ha"), nic=True)
        assert (act.host, act.argv) == ("u1", ("ip", "link", "set", "nic-ha", "down"))

    @pytest.mark.parametrize(("way", "hook"), [("in", "egress"), ("out", "ingress")])
    def test_what_comes_in_leaves_the_switch_there(self, way: str, hook: str) -> None:
        act = cut(cable_named(TWO, "u2", "ha"), way)
        assert act.host == SWITCHES
        assert f'hook {hook} device "sha-u2" ' in act.stdin
        assert f"table netdev lost-{way}-sha-u2 " in act.stdin

    @pytest.mark.parametrize("way", ["in", "out"])
    def test_mending_needs_nothing_to_be_broken(self, way: str) -> None:
        add, delete = CUTS[way].mend(cable_named(TWO, "u2", "ha")).stdin.splitlines()
        assert (add, delete) == (
            f"add table netdev lost-{way}-sha-u2",
            f"delete table netdev lost-{way}-sha-u2",
        )

    def test_what_the_kernel_forgets_includes_settings_but_not_files(self) -> None:
        undo = [
            ["names", ["rm", "-f", "/etc/connlabel.conf"]],
            ["forwards", ["sysctl", "-q", "-w", "net/ipv4/ip_forward=0"]],
            ["frames", ["ethtool", "-K", "nic-int", "gro", "on"]],
            ["agent", ["python", "-m", "agents.supervise", "stop"]],
        ]
        acts = faults.forget(TWO, "u2", json.dumps({"undo": undo}))
        assert [act.argv[0] for act in acts] == ["ethtool", "sysctl", "sh"]
        assert acts[-1].argv[-4:] == ("nic-int", "nic-ext", "nic-ha", "mgmt")
        assert {act.host for act in acts} == {"u2"}
        assert len(faults.forget(TWO, "u2", "")) == 1

    def test_after_a_boot_management_has_its_address(self) -> None:
        clear, address = faults.boot(TWO, "u2")
        assert clear.argv[:3] == ("find", "/run/synod", "/run/openvswitch")
        assert address.argv[2:] == ("replace", "10.254.0.2/24", "dev", "mgmt")

    def test_the_switchs_programs_start_as_the_unit_starts_them(self) -> None:
        (server, first), (switch, second) = faults.switch_argv(TWO, 2)
        assert (server.name, switch.name) == ("ovsdb-server", "vswitchd")
        assert first[0] == "ovsdb-server"
        assert second[3] == "ovs-vswitchd"
        assert "--detach" in second


def seen(**other: Any) -> Seen:
    """A lab of two units that is whole, but for what is named."""
    states = {"u1": WHOLE, "u2": WHOLE, "controller": {"app": "S"}}
    fields = {"programs": states, "cuts": {}, "dark": frozenset(), "units": frozenset(("u1", "u2"))}
    return Seen(**(fields | other))


def without(*names: str) -> dict[str, str]:
    return {name: state for name, state in WHOLE.items() if name not in names}


def running(**hosts: dict[str, str]) -> Seen:
    return seen(programs=seen().programs | hosts)


DAMAGE = [
    (seen(), []),
    (running(u2={}), ["u2: nothing runs (restart u2)"]),
    (
        seen(programs=running(u2={}).programs, units=frozenset(("u1",))),
        ["u2: is no unit (restart u2)"],
    ),
    (
        seen(
            programs=running(u2={}).programs,
            dark=frozenset(("u2",)),
            cuts={("u2", "ha"): ("both",), ("u1", "ha"): ("in", "nic")},
        ),
        [
            "u1 ha: frames in are lost (heal u1 ha)",
            "u1 ha: the host's NIC is down (heal u1 ha)",
            "u2: powered off (restart u2)",
        ],
    ),
    (running(u2=without("vswitchd")), ["u2 vswitchd: doesn't run (restart-switch u2)"]),
    (
        running(u2=without("agent")),
        ["u2 agent: doesn't run (its supervisor; else restart u2)"],
    ),
    (running(u1=WHOLE | {"agent": "T"}), ["u1 agent: stopped (continue u1 agent)"]),
    (running(controller={}), ["controller app: doesn't run (restart controller)"]),
    (
        running(controller={"app": "T"}),
        ["controller app: stopped (continue controller app)"],
    ),
    (
        seen(cuts={("u1", "ext"): ("both",), ("controller", "mgmt"): ("out",)}),
        [
            "u1 ext: pulled out (heal u1 ext)",
            "controller mgmt: frames out are lost (heal controller mgmt)",
        ],
    ),
]


@pytest.mark.parametrize(("world", "told"), DAMAGE, ids=lambda value: "")
def test_what_is_broken_is_told_with_what_mends_it(world: Seen, told: list[str]) -> None:
    assert [f"{each} ({each.remedy})" for each in damage.broken(TWO, world)] == told


def test_what_heals_and_what_stays_is_all_there_is() -> None:
    healed = {"stopped", *CUTS}
    assert not healed & damage.STAYS
    assert all(Broken("u1", "agent", kind).says for kind in healed | damage.STAYS)


class Scripted(Faults):
    """Faults of no lab."""

    def __init__(self, _lab: Any) -> None:
        self._options = TWO

    def look(self) -> Seen:
        return running(u2={})

    @contextmanager
    def _running(self, host: str, program: Program) -> Iterator[list[Process]]:
        yield []


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _no_lab(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fault_cli, "attach", lambda _name: None)
        monkeypatch.setattr(fault_cli, "Faults", Scripted)

    def invoke(self, *argv: str) -> Any:
        return CliRunner().invoke(synod_lab.app, ["fault", *argv], catch_exceptions=False)

    def test_its_commands_are_the_verbs(self) -> None:
        commands = typer.main.get_group(fault_cli.app).commands
        assert set(commands) == set(VERBS)
        assert all(commands[name].help == does for name, does in VERBS.items())

    def test_the_documentation_has_each_verb(self) -> None:
        text = DOCS.read_text()
        assert [name for name in VERBS if f"`fault {name}" not in text] == []

    def test_used_wrongly(self) -> None:
        found = self.invoke("cut", "u2", "dmz")
        assert (found.exit_code, found.stdout) == (2, "")
        assert found.stderr == "u2 has no cable 'dmz'; it has int, ext, ha, mgmt\n"

    def test_failed(self) -> None:
        found = self.invoke("stop", "u2", "agent")
        assert (found.exit_code, found.stderr) == (
            1,
            "u2 runs no agent: 'synod-lab fault list' says why\n",
        )

    def test_list(self) -> None:
        found = self.invoke("list")
        assert found.exit_code == 0
        assert "nothing runs" in found.stdout
        assert "restart u2" in found.stdout

    def test_heal_tells_what_it_can_not(self) -> None:
        assert "stays broken" in self.invoke("heal").stdout
        assert self.invoke("heal", "u1").stdout == ""
