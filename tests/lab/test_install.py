"""docs/install.md, command by command, on three machines that boot systemd."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.config_tls import APP_PATH, UNIT_PATH
from tests.lab.machines import Machine, machines
from tests.lab.namespaces import Namespace, namespaces

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"
GATEWAYS, CONTROLLER = ("gw1", "gw2"), "ctl"
WHERE = {"each": (*GATEWAYS, CONTROLLER), "gateways": GATEWAYS}
ONLINE = "The software"  # the section whose commands download
KEYS = "/var/lib/synod-pki"  # where the page has them made
LAST = "Away with it"
MANAGEMENT = {"gw1": "192.0.2.1/24", "gw2": "192.0.2.2/24", "ctl": "192.0.2.10/24"}
NICS = {"mgmt": "enp1s0", "int": "enp2s0", "ext": "enp3s0", "ha": "enp4s0"}

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the page: in which section, on which hosts, and the output that stands there."""

    section: str
    hosts: tuple[str, ...]
    command: str
    output: tuple[str, ...]


def steps(page: str) -> Iterator[Step]:
    """All commands of the page's console blocks, in their order."""
    section = ""
    for heading, block in re.findall(r"^## ([^\n]+)$|^```console\n(.*?)^```$", page, re.M | re.S):
        section = heading or section
        lines = block.splitlines()
        while lines:
            prompt = re.fullmatch(r"(\w+)[#$] (.+)", lines.pop(0))
            assert prompt, f"{section}: a block begins with a prompt"
            command = [prompt[2]]
            if end := re.search(r"<<'(\w+)'", prompt[2]):
                while command[-1] != end[1]:
                    command.append(lines.pop(0))
            output = []
            while lines and not re.match(r"\w+[#$] ", lines[0]):
                output.append(lines.pop(0))
            hosts = WHERE.get(prompt[1], (prompt[1],))
            yield Step(section, hosts, "\n".join(command), tuple(output))


STEPS = tuple(steps(PAGE.read_text()))


@dataclass(slots=True)
class Site:
    """The machines, and a host inside."""

    machines: dict[str, Machine]
    client: Namespace

    def do(self, step: Step) -> None:
        """One command of the page, on all hosts that it is for."""
        for host in step.hosts:
            if host == "client":
                self.client.run("bash", "-c", step.command)
                continue
            if step.command.startswith("scp "):
                self.copy(host, step.command)
                continue
            # Downloads wait for others'; all the rest is soon done.
            online = step.section == ONLINE
            seconds = 400 if online else 60
            said = self.machines[host].run(step.command, online=online, seconds=seconds)
            if len(step.output) == 1:
                assert tuple(said) == step.output, f"{host}: {step.command}"
            if step.command == "ls /etc/synod/tls":
                assert said == list(step.output)
            if step.command == "synod status":
                until(self.balances, self.situation)

    def copy_keys(self) -> None:
        """As the page asks for, in words."""
        for unit, name in enumerate(GATEWAYS, 1):
            packed = f"tar -C {KEYS}/unit-{unit} -c . | base64 --wrap=0"
            (archive,) = self.machines[CONTROLLER].run(packed)
            there = "mkdir -m 700 /etc/synod/tls && base64 -d | tar -C /etc/synod/tls -x"
            self.machines[name].run(f"echo {archive} | ({there})")

    def copy(self, host: str, command: str) -> None:
        """What `scp -p FILE HOST:FOLDER/` does."""
        _, _, file, target = command.split()
        to, _, folder = target.partition(":")
        content = "\n".join(self.machines[host].run(f"cat {file}"))
        copied = f"{folder}{Path(file).name}"
        self.machines[to].run(f"(umask 077 && cat >{copied} <<'EOF'\n{content}\nEOF\n)")

    def status(self) -> dict[str, Any]:
        """What `synod status --json` says."""
        said = self.machines[CONTROLLER].run("synod status --json", check=False)
        try:
            found: dict[str, Any] = json.loads("\n".join(said))
        except ValueError:
            return {"units": [], "balancing": False}
        return found

    def balances(self) -> bool:
        """Whether all units are up, and sessions are balanced."""
        found = self.status()
        states = [unit["state"] for unit in found["units"]]
        return states == ["up", "up"] and bool(found["balancing"])

    def served(self) -> dict[int, int]:
        """How many sessions each unit was given."""
        return {unit["id"]: unit["sessions"]["served"] for unit in self.status()["units"]}

    def main_process(self, host: str, service: str) -> int:
        """The process of a service, as that machine numbers it."""
        show = f"systemctl show --property=MainPID --value {service}"
        return int(self.machines[host].run(show)[0])

    def nothing_is_left(self) -> None:
        """The page's last sentence."""
        for name in GATEWAYS:
            gateway = self.machines[name]
            assert gateway.run("ovs-vsctl list-br; ovs-vsctl list ssl") == [""]
            assert gateway.run("nft list tables") == ["table ip gateway"]
            assert gateway.run("cat /proc/sys/net/ipv4/ip_forward") == ["0"]
            assert gateway.run("ls /etc/systemd/system | grep synod", check=False) == [""]
            assert gateway.run("pgrep -a python", check=False) == [""]
        controller = self.machines[CONTROLLER]
        assert controller.run("pgrep -a ryu; getent passwd synod", check=False) == [""]

    def situation(self) -> str:
        """For a failure's message."""
        logs = [
            f"{name}: {line}"
            for name, machine in self.machines.items()
            for line in machine.run("journalctl --no-pager -n 20 -u 'synod-*'", check=False)
        ]
        return "\n".join([f"{self.status()}", *logs])


def until(condition: Callable[[], object], what: Callable[[], str], seconds: float = 20) -> None:
    """Polls a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three machines as the page asks for, and all of it done; its last section in the end."""
    folder = tmp_path_factory.mktemp("machines")
    with ExitStack() as stack:
        made = stack.enter_context(machines((*GATEWAYS, CONTROLLER), folder))
        switches, client, server = stack.enter_context(namespaces(3))
        wire(made, switches, client, server)
        copy_checkout(folder / "opt" / "synod")
        web = server.popen("python3", "-m", "http.server", "80", "--directory", str(ROOT / "docs"))
        stack.callback(web.wait)
        stack.callback(web.kill)
        found = Site(made, client)
        for step in STEPS:
            if step.section != LAST:
                found.do(step)
            if step.command.startswith(f"cp -a {KEYS}/controller"):
                found.copy_keys()
        yield found
        for step in STEPS:
            if step.section == LAST:
                found.do(step)
        found.nothing_is_left()


def wire(
    made: dict[str, Machine], switches: Namespace, client: Namespace, server: Namespace
) -> None:
    """Switches and cables, and the addresses that the page takes for granted."""
    for network in NICS:
        switches.run("ip", "link", "add", network, "up", "type", "bridge", "stp_state", "0")
    for name, machine in made.items():
        for network, nic in NICS.items():
            if name in GATEWAYS or network == "mgmt":
                plug(switches, network, nic, machine.pid)
        machine.run(f"ip address add {MANAGEMENT[name]} dev enp1s0; ip link set enp1s0 up")
    for host, network, address in (
        (client, "int", "10.1.0.10/24"),
        (server, "ext", "203.0.113.10/24"),
    ):
        plug(switches, network, "eth0", host.holder.pid)
        host.run("ethtool", "-K", "eth0", "tx", "off")
        host.address("eth0", address)
    client.run("ip", "route", "add", "default", "via", "10.1.0.1")


def plug(switches: Namespace, network: str, nic: str, pid: int) -> None:
    """A cable between a switch and a host."""
    near = f"{network}-{pid}"
    peer = ("type", "veth", "peer", "name", nic, "netns", str(pid))
    switches.run("ip", "link", "add", near, *peer)
    switches.run("ethtool", "-K", near, "tx", "off")
    switches.run("ip", "link", "set", near, "master", network, "up")


def copy_checkout(target: Path) -> None:
    """What the page asks for: a copy of the project's files, as git knows them."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
            copy.chmod(source.stat().st_mode)


def test_the_page_leads_to_balanced_sessions(site: Site) -> None:
    served = site.served()
    assert served == {1: 5, 2: 5}


def test_each_unit_is_known_by_its_machines_name(site: Site) -> None:
    names = [site.machines[name].run("hostname")[0] for name in GATEWAYS]
    assert len(set(names)) == 2
    assert [unit["name"] for unit in site.status()["units"]] == names


def test_services_may_do_what_they_need(site: Site) -> None:
    app = site.main_process(CONTROLLER, "synod-app")
    lines = site.machines[CONTROLLER].run(f"cat /proc/{app}/status")
    assert "CapEff:\t0000000000000000" in lines
    assert not any(line.startswith("Uid:\t0\t") for line in lines)
    gateway = site.machines["gw1"]
    lines = gateway.run(f"cat /proc/{_noted(gateway, 'agent.pid')}/status")
    # CAP_NET_ADMIN is bit 12, CAP_NET_RAW 13: linux/capability.h.
    assert {"CapEff:\t0000000000003000", "CapBnd:\t0000000000003000"} <= set(lines)
    assert "NoNewPrivs:\t1" in lines
    lines = gateway.run(f"cat /proc/{_noted(gateway, 'replication.pid')}/status")
    assert {"Name:\tconntrackd", "CapEff:\t0000000000001000"} <= set(lines)


def test_keys_are_their_owners_alone(site: Site) -> None:
    key = "stat --format='%U %a' {}/privkey.pem"
    assert site.machines[CONTROLLER].run(key.format(APP_PATH)) == ["synod 600"]
    for name in GATEWAYS:
        assert site.machines[name].run(key.format(UNIT_PATH)) == ["root 600"]
        held = site.machines[name].run("ovs-vsctl get-ssl")
        assert held[0] == f"Private key: {UNIT_PATH}/privkey.pem"


def test_the_app_hears_nobody_without_a_certificate(site: Site) -> None:
    plain = (
        "exec 3<>/dev/tcp/192.0.2.10/6653; printf '\\004\\000\\000\\010\\000\\000\\000\\001' >&3"
    )
    site.machines["gw1"].run(f"{plain}; timeout 5 cat <&3 | wc -c")
    log = "journalctl --no-pager -u synod-app"
    until(
        lambda: any(
            "event=tls_refused address=192.0.2.1 why='not TLS" in line
            for line in site.machines[CONTROLLER].run(log)
        ),
        site.situation,
    )


def test_what_would_become_of_a_session_is_traced_with_what_a_service_may(site: Site) -> None:
    said = site.machines[CONTROLLER].run("synod explain 10.1.0.10:55555 203.0.113.10:80 --json")
    syn = json.loads("\n".join(said))["syn"]
    assert (syn["answered"], syn["came"], syn["leaves"]) == (True, "int", "ext")
    traced = [each for each in syn["commands"] if "ofproto/trace" in each["command"]]
    assert [each["flows"] for each in traced] == [["nic_syn"], ["divert"]]
    assert all("Datapath actions:" in each["output"] for each in traced)


def test_what_comes_first_for_a_core_does_so_as_a_service(site: Site) -> None:
    controller, gateway = site.machines[CONTROLLER], site.machines["gw1"]
    app, agent = site.main_process(CONTROLLER, "synod-app"), _noted(gateway, "agent.pid")
    for machine, process in ((controller, app), (gateway, agent)):
        assert machine.run(f"ps -o ni= -p {process}")[0].split() == ["-10"]
        if Path("/proc/self/autogroup").exists():
            assert machine.run(f"cat /proc/{process}/autogroup")[0].endswith(" nice -10")


def test_a_unit_whose_process_is_killed_goes_on_with_another(site: Site) -> None:
    gateway = site.machines["gw2"]
    process = site.main_process("gw2", "synod-unit")
    bridge = gateway.run("ovs-vsctl get bridge br-synod _uuid")
    gateway.run(f"kill -KILL {process}")
    until(lambda: site.main_process("gw2", "synod-unit") not in (0, process), site.situation)
    for note in ("agent.pid", "replication.pid"):
        until(lambda note=note: _noted(gateway, note), site.situation)  # type: ignore[misc]
    assert gateway.run("ovs-vsctl get bridge br-synod _uuid") == bridge
    until(site.balances, site.situation, 30)


def test_the_switch_may_be_restarted(site: Site) -> None:
    gateway, before = site.machines["gw2"], site.main_process("gw2", "synod-unit")
    gateway.run("systemctl restart openvswitch-switch")
    until(lambda: _faults(site, "gw2") <= {"clock_unsynchronised"}, site.situation)
    until(site.balances, site.situation, 30)
    assert site.main_process("gw2", "synod-unit") == before


def test_the_doctor_finds_nothing_but_a_clock_that_nobody_sets(site: Site) -> None:
    for host in (*GATEWAYS, CONTROLLER):
        until(lambda host=host: _faults(site, host) <= {"clock_unsynchronised"}, site.situation)  # type: ignore[misc]


def _faults(site: Site, host: str) -> set[str]:
    said = "\n".join(site.machines[host].run("synod doctor --json", check=False))
    return {finding["name"] for finding in json.loads(said)["findings"]}


def test_install_again_changes_nothing(site: Site) -> None:
    before = site.main_process("gw1", "synod-unit")
    said = site.machines["gw1"].run("synod unit install --id 1")
    assert said == ["/etc/systemd/system/synod-unit.service is installed already"]
    assert site.main_process("gw1", "synod-unit") == before


def test_a_machine_that_cannot_be_a_unit_says_so_and_is_what_it_was(site: Site) -> None:
    controller = site.machines[CONTROLLER]
    controller.run("systemctl start openvswitch-switch")
    for key, wanted in (
        ("", "there is no key"),
        ("synod key make", "there is no interface enp2s0"),
    ):
        controller.run(key or "true")
        said = controller.run("synod unit install --id 1", check=False)
        assert any("journalctl -u synod-unit" in line for line in said), said
        logged = controller.run("journalctl --no-pager -u synod-unit")
        assert any(wanted in line for line in logged), "\n".join(logged)
    controller.run("rm /etc/synod/key")
    assert controller.run("synod unit uninstall")[0].endswith("is gone")
    assert controller.run("synod unit uninstall")[0].endswith("is not there")
    assert controller.run("ovs-vsctl list-br") == [""]
    controller.run("systemctl stop openvswitch-switch")


def test_what_is_not_ours_is_left_alone(site: Site) -> None:
    controller = site.machines[CONTROLLER]
    file = "/etc/systemd/system/synod-unit.service"
    controller.run(f"echo '[Service]' >{file}")
    for command in ("install --id 1", "uninstall"):
        said = controller.run(f"synod unit {command}", check=False)
        assert said == [f"{file} is there, and not Synod's", *said[1:]]
    assert controller.run(f"cat {file}; rm {file}") == ["[Service]"]


def _noted(machine: Machine, note: str) -> int:
    """The process that is noted in /run/synod, if it runs; else 0."""
    script = f"(read pid _ </run/synod/{note} && kill -0 $pid && echo $pid) 2>/dev/null"
    return int(machine.run(script, check=False)[0] or 0)
