"""Each fault on a real lab: its effect in the world, that it is told, and that it can be mended."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scapy.layers.inet import TCP

from agents.queues import QUEUE
from tests.lab.world import World
from topologies.faulting import Faults
from topologies.hosts import LabError

HA = {"u1": "169.254.83.1", "u2": "169.254.83.2"}
CONTROLLER = "10.254.0.254"
OTHER = {"u1": "u2", "u2": "u1"}


@pytest.fixture(scope="module")
def _two(make_world: Callable[..., World]) -> World:
    return make_world(units=2)


@pytest.fixture
def world(_two: World) -> Iterator[World]:
    """A lab of two units, whole before and after."""
    faults = Faults(_two.lab)
    assert faults.broken() == []
    yield _two
    for broken in faults.heal():
        faults.restart(broken.host)
    _two.until(_two.healthy, lambda: f"not whole again: {_two.situation()}", timeout=20)
    until_nothing_is_told(_two, faults)


@pytest.fixture
def faults(world: World) -> Faults:
    return Faults(world.lab)


def until_nothing_is_told(world: World, faults: Faults) -> None:
    """A unit that was taken for dead gives up its sessions, and its conntrackd begins anew."""
    world.until(lambda: told(faults) == [], lambda: f"{told(faults)}")


def told(faults: Faults) -> list[str]:
    return [str(broken) for broken in faults.broken()]


def flags(world: World, interface: str, host: str = "") -> set[str]:
    """An interface's flags; of the switches, if no host is named."""
    argv = ["ip", "-json", "link", "show", "dev", interface]
    entering = world.lab.argv(host, argv) if host else world.lab.switch_argv(argv)
    done = subprocess.run(entering, check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout)[0]["flags"])


def pid(world: World, program: str, unit: str = "u2") -> str:
    """A program's process id, by the file in which it is noted itself."""
    notes = {
        "vswitchd": "/run/openvswitch/ovs-vswitchd.pid",
        "agent": "/run/synod/agent.pid",
        "supervisor": "/run/synod/supervisor.pid",
        "app": str(world.lab.directory / "app.pid"),
    }
    said = world.lab.run(unit, ["cat", notes[program]], check=False).stdout
    return said.split()[0] if said else ""


def state(world: World, number: str, unit: str = "u2") -> str:
    """The letter of a process's state; empty if there is none, or only its remains."""
    said = world.lab.run(unit, ["ps", "-o", "s=", "-p", number], check=False).stdout
    return said.strip().strip("Z")


def goes_on(world: World, number: str, unit: str = "u2") -> bool:
    """Is it there, and not stopped? It may wait, for a disk, too."""
    return state(world, number, unit) not in ("", "T")


def unit_state(world: World, unit: int = 2) -> str:
    return str(world.unit_status(unit)["state"])


def until_up(world: World, timeout: float = 10) -> None:
    world.until(world.healthy, world.situation, timeout)


def reaches(world: World, host: str) -> bool:
    """Does a ping over the HA link reach this unit, answered or not?"""
    place = f"{host}/nic-ha"
    with world.captures(
        place, expression="icmp[icmptype] == icmp-echo", direction="in"
    ) as captures:
        for _ in range(3):
            answered(world, OTHER[host], HA[host], within=0.2)
            if captures[place].frames():
                return True
    return False


def answered(world: World, host: str, address: str, within: float = 1) -> bool:
    argv = ["ping", "-n", "-c", "1", "-W", f"{within}", address]
    return world.lab.run(host, argv, check=False).returncode == 0


def until_answered(world: World, host: str, address: str) -> None:
    """Polls until a ping is answered. The first may be lost: its neighbour isn't known yet."""
    world.until(lambda: answered(world, host, address), f"{address} doesn't answer {host}")


class TestCables:
    @pytest.mark.parametrize(("cable", "nic"), [("ha", "nic-ha"), ("mgmt", "mgmt")])
    def test_pulled_the_nic_has_no_carrier(
        self, world: World, faults: Faults, cable: str, nic: str
    ) -> None:
        for _ in range(2):
            faults.cut("u2", cable)
            assert {"UP", "NO-CARRIER"} <= flags(world, nic, "u2")
            assert told(faults) == [f"u2 {cable}: pulled out"]
        for _ in range(2):
            assert faults.heal("u2", cable) == []
            assert {"UP", "LOWER_UP"} <= flags(world, nic, "u2")
            until_nothing_is_told(world, faults)

    def test_a_nic_that_is_down_the_switch_sees(self, world: World, faults: Faults) -> None:
        faults.cut("u2", "ha", nic=True)
        assert "UP" not in flags(world, "nic-ha", "u2")
        assert {"UP", "NO-CARRIER"} <= flags(world, "sha-u2")
        assert told(faults) == ["u2 ha: the host's NIC is down"]
        faults.heal()
        assert {"UP", "LOWER_UP"} <= flags(world, "nic-ha", "u2")
        until_answered(world, "u1", HA["u2"])

    @pytest.mark.parametrize(("way", "deaf", "hears"), [("in", "u2", "u1"), ("out", "u1", "u2")])
    def test_one_way(self, world: World, faults: Faults, way: str, deaf: str, hears: str) -> None:
        until_answered(world, "u1", HA["u2"])
        faults.cut("u2", "ha", way)
        assert {"UP", "LOWER_UP"} <= flags(world, "nic-ha", "u2")
        assert not reaches(world, deaf)
        assert reaches(world, hears)
        assert not answered(world, "u1", HA["u2"], within=0.3)
        assert told(faults) == [f"u2 ha: frames {way} are lost"]
        faults.heal()
        until_answered(world, "u1", HA["u2"])

    def test_only_what_is_named_is_healed(self, world: World, faults: Faults) -> None:
        faults.cut("u1", "ha", "in")
        faults.cut("u1", "ha", "out")
        faults.cut("u2", "ha")
        faults.cut("u2", "ext")
        faults.heal("u2", "ha")
        faults.heal("controller")
        assert told(faults) == [
            "u1 ha: frames in are lost",
            "u1 ha: frames out are lost",
            "u2 ext: pulled out",
        ]
        faults.heal("u1")
        assert told(faults) == ["u2 ext: pulled out"]
        faults.heal()
        until_nothing_is_told(world, faults)
        until_answered(world, "u1", HA["u2"])


class TestPrograms:
    def test_an_agent_that_is_stopped_is_silent(self, world: World, faults: Faults) -> None:
        agent = pid(world, "agent")
        for _ in range(2):
            faults.stop("u2", "agent")
            assert state(world, agent) == "T"
        assert told(faults) == ["u2 agent: stopped"]
        world.until(lambda: unit_state(world) == "silent", world.situation)
        for _ in range(2):
            faults.continue_("u2", "agent")
            assert goes_on(world, agent)
        until_nothing_is_told(world, faults)
        until_up(world)
        assert pid(world, "agent") == agent

    def test_a_switch_that_is_stopped_passes_nothing(self, world: World, faults: Faults) -> None:
        faults.stop("u2", "vswitchd")
        assert state(world, pid(world, "vswitchd")) == "T"
        assert not answered(world, "u1", HA["u2"], within=0.3)
        assert told(faults) == ["u2 vswitchd: stopped"]
        faults.heal("u2")
        until_answered(world, "u1", HA["u2"])

    def test_an_app_that_is_stopped_says_nothing(self, world: World, faults: Faults) -> None:
        faults.stop("controller")
        with pytest.raises(OSError, match="timed out"):
            world.lab.get("/v1/status", timeout=0.5)
        assert told(faults) == ["controller app: stopped"]
        faults.continue_("controller")
        assert world.status()["primary"]
        until_nothing_is_told(world, faults)

    def test_an_agent_that_crashes_its_supervisor_starts(
        self, world: World, faults: Faults
    ) -> None:
        agent = pid(world, "agent")
        faults.stop("u2", "supervisor")  # for else it may be back before it is missed
        faults.crash("u2", "agent")
        assert not state(world, agent)
        assert told(faults) == ["u2 agent: doesn't run", "u2 supervisor: stopped"]
        faults.crash("u2", "agent")
        assert [str(each) for each in faults.heal()] == ["u2 agent: doesn't run"]
        until_nothing_is_told(world, faults)
        assert pid(world, "agent") != agent
        until_up(world)

    def test_a_program_that_does_not_run_can_not_be_stopped(
        self, world: World, faults: Faults
    ) -> None:
        faults.crash("u2", "vswitchd")
        with pytest.raises(LabError, match="u2 runs no vswitchd"):
            faults.stop("u2", "vswitchd")
        faults.continue_("u2", "vswitchd")
        faults.crash("u2", "vswitchd")
        faults.restart_switch("u2")


LONG = dict.fromkeys(("nic-int", "nic-ext", "nic-ha"), 2 * QUEUE)
_QUEUE = re.compile(r':(nic-\w+) .*"ovs-vswitchd".*[(,]rb(\d+),')


def queues(world: World, unit: str = "u2") -> dict[str, int]:
    """How long the queues are from which a unit's switch reads its NICs."""
    listed = world.lab.run(unit, ["ss", "-0nmpH"]).stdout
    return {nic: int(length) for nic, length in _QUEUE.findall(listed)}


def until_long(world: World) -> None:
    """A switch that has kept its ports is looked at every five seconds and a little."""
    world.until(lambda: queues(world) == LONG, lambda: f"{queues(world)}", timeout=20)


class TestSwitch:
    def test_its_queues_are_long(self, world: World) -> None:
        assert queues(world, "u1") == LONG
        until_long(world)  # another test may just have restarted it

    def test_queues_are_made_long_by_hand_too_and_without_a_switch_that_fails(
        self, world: World, faults: Faults
    ) -> None:
        argv = [sys.executable, "-m", "agents.queues"]
        faults.restart_switch("u2")
        world.lab.run("u2", argv)
        assert queues(world) == LONG
        faults.crash("u2", "vswitchd")
        with pytest.raises(LabError, match="names no ovs-vswitchd that runs"):
            world.lab.run("u2", argv)
        faults.restart_switch("u2")

    def test_one_that_crashed_comes_back(self, world: World, faults: Faults) -> None:
        switch = pid(world, "vswitchd")
        faults.crash("u2", "vswitchd")
        assert not state(world, switch)
        assert told(faults) == ["u2 vswitchd: doesn't run"]
        world.until(lambda: unit_state(world) in ("down", "dead"), world.situation)
        faults.restart_switch("u2")
        until_nothing_is_told(world, faults)
        until_up(world)
        until_answered(world, "u1", HA["u2"])
        until_long(world)

    @pytest.mark.parametrize("hangs", [False, True])
    def test_restarted_it_is_another(self, world: World, faults: Faults, hangs: bool) -> None:
        switch, agent = pid(world, "vswitchd"), pid(world, "agent")
        if hangs:
            faults.stop("u2", "vswitchd")
        faults.restart_switch("u2")
        assert not state(world, switch)
        assert goes_on(world, pid(world, "vswitchd"))
        assert pid(world, "agent") == agent
        until_nothing_is_told(world, faults)
        until_up(world)
        until_long(world)


class TestHosts:
    def test_killed_nothing_runs_but_the_kernel_lives(self, world: World, faults: Faults) -> None:
        other = world.lab.popen("u2", ["sleep", "600"])
        neighbour = pid(world, "agent", "u1")
        for _ in range(2):
            faults.kill("u2")
            assert other.wait(5) == -9
            assert told(faults) == ["u2: nothing runs"]
        until_answered(world, "controller", "10.254.0.2")
        assert "inet synod" in world.lab.run("u2", ["nft", "list", "tables"]).stdout
        assert goes_on(world, neighbour, "u1")
        world.until(lambda: unit_state(world) in ("down", "dead"), world.situation)
        assert [str(each) for each in faults.heal()] == ["u2: nothing runs"]
        with pytest.raises(LabError, match="synod-lab fault restart u2"):
            faults.restart_switch("u2")
        assert faults.restart("u2")
        until_nothing_is_told(world, faults)
        until_up(world)
        assert not faults.restart("u2")

    @pytest.mark.parametrize("unit", ["u2", "u1"])
    def test_powered_off_it_says_nothing_and_forgets(
        self, world: World, faults: Faults, unit: str
    ) -> None:
        management = f"10.254.0.{unit[1:]}"
        with world.captures("controller/mgmt", expression=f"src host {management}") as captures:
            world.until(captures["controller/mgmt"].frames, "no OpenFlow from the unit")
            faults.power_off(unit)
            faults.power_off(unit)
            said = captures["controller/mgmt"].frames()
            assert not answered(world, "controller", management, within=0.3)
            assert not answered(world, OTHER[unit], HA[unit], within=0.3)
            assert captures["controller/mgmt"].frames() == said
        assert not [
            frame for frame in said if TCP in frame and set("FR") & set(str(frame[TCP].flags))
        ]
        assert told(faults) == [f"{unit}: powered off"]
        assert remembered(world, unit) == []
        assert [str(each) for each in faults.heal()] == [f"{unit}: powered off"]
        assert "NO-CARRIER" in flags(world, "nic-int", unit)

        assert faults.restart(unit)
        until_nothing_is_told(world, faults)
        until_up(world)
        assert "user" in world.lab.run(unit, ["nft", "list", "tables"]).stdout
        assert not faults.restart(unit)

    def test_the_app_dies_and_comes_back(self, world: World, faults: Faults) -> None:
        app = pid(world, "app", "controller")
        for _ in range(2):
            faults.kill("controller")
            assert not state(world, app, "controller")
            assert told(faults) == ["controller app: doesn't run"]
        with pytest.raises(OSError, match="refused"):
            world.status()
        with pytest.raises(LabError, match="not within"):  # it is known to be away
            world.lab.wait(bool, timeout=0.3)
        assert faults.restart("controller")
        assert world.status()["cluster"]
        until_nothing_is_told(world, faults)
        assert not faults.restart("controller")
        until_up(world)


def remembered(world: World, unit: str) -> list[str]:
    """What a unit's kernel has that a machine without power can't have."""
    questions = {
        "rules": ["nft", "list", "ruleset"],
        "connections": ["conntrack", "-L"],
        "sockets": ["ss", "-H", "-t", "-a", "-n"],
        "addresses": ["ip", "-4", "-o", "address", "show", "scope", "global"],
        "neighbours": ["ip", "neighbour"],
        "interfaces": ["sh", "-c", "ip -o link | grep -v -e ' lo:' -e ' nic-' -e ' mgmt@' || true"],
        "forwarding": ["sh", "-c", "grep -v 0 /proc/sys/net/ipv4/ip_forward || true"],
    }
    return [what for what, argv in questions.items() if world.lab.run(unit, argv).stdout.strip()]


def test_the_commands(world: World, faults: Faults) -> None:
    def fault(*argv: str) -> Any:
        command = [sys.executable, "-m", "topologies.cli", "fault", *argv]
        name = ("--name", world.lab.options.name)
        return subprocess.run(
            [*command, *name], capture_output=True, text=True, check=False, timeout=60
        )

    assert fault("list").stdout == "nothing is broken\n"
    assert fault("stop", "u2", "agent").returncode == 0
    assert fault("cut", "u1", "ha", "--way", "in").returncode == 0
    listed = fault("list").stdout
    assert "continue u2 agent" in listed
    assert "frames in are lost" in listed
    assert fault("heal").stdout == ""
    assert faults.broken() == []
    wrong = fault("cut", "u1", "dmz")
    assert wrong.returncode == 2
    assert wrong.stderr == "u1 has no cable 'dmz'; it has int, ext, ha, mgmt\n"
