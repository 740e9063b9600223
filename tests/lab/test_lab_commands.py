"""`synod-lab` as a person uses it, and a unit that becomes a plain host again."""

import difflib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.polling import until

NAME = f"commands-{os.getpid()}"
DIRECTORY = Path("/run/synod-lab") / NAME


def synod_lab(*argv: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "topologies.cli", *argv]
    return subprocess.run(
        command,
        env=os.environ | {"SYNOD_LAB": NAME},
        input=input,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command that is over after the block, even if that fails."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def processes(name: str) -> list[str]:
    """Command lines of everything that runs on this machine for the lab of that name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if re.search(rf"/run/synod-lab/{name}[/ ]", line):
            found.append(line)
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[None]:
    """A lab of one unit, by its command."""
    done = synod_lab("up", "--units", "1")
    assert done.returncode == 0, done.stderr
    assert "unit 1 is primary" in done.stdout
    yield
    synod_lab("down")
    assert not DIRECTORY.exists()


@pytest.mark.usefixtures("lab")
class TestExec:
    def test_the_exit_code_is_the_commands(self) -> None:
        assert synod_lab("exec", "client", "--", "sh", "-c", "exit 7").returncode == 7
        assert synod_lab("exec", "client", "true").returncode == 0

    def test_so_is_its_end_by_a_signal(self) -> None:
        done = synod_lab("exec", "client", "--", "sh", "-c", "kill -KILL $$")
        assert done.returncode == -signal.SIGKILL

    def test_input_and_output_are_untouched(self) -> None:
        bytes_in = "".join(chr(32 + number % 95) for number in range(300_000))
        assert synod_lab("exec", "server", "--", "cat", input=bytes_in).stdout == bytes_in
        done = synod_lab("exec", "u1", "--", "sh", "-c", "echo out; echo err >&2")
        assert (done.stdout, done.stderr) == ("out\n", "err\n")

    def test_a_command_that_is_not_there(self) -> None:
        assert synod_lab("exec", "client", "--", "no-such-command").returncode == 127

    def test_a_host_that_is_not_there(self) -> None:
        done = synod_lab("exec", "u2", "--", "true")
        assert done.returncode == 2
        assert "client, controller, server, u1" in done.stderr

    @pytest.mark.parametrize(
        "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name
    )
    def test_what_ends_it_ends_the_command(self, number: signal.Signals) -> None:
        command = [sys.executable, "-m", "topologies.cli", "exec", "--name", NAME]
        mark = f"6{number.value}.125"
        with running([*command, "client", "--", "sleep", mark]) as process:

            def sleeps() -> bool:
                found = synod_lab("exec", "server", "--", "pgrep", "-x", "-f", f"sleep {mark}")
                return found.returncode == 0

            until(sleeps)
            process.send_signal(number)
            assert process.wait(10) == -number
            until(lambda: not sleeps())

    def test_hosts_have_their_own_files_of_open_vswitch(self) -> None:
        shown = synod_lab("exec", "u1", "--", "ovs-vsctl", "show").stdout
        assert "Bridge br-synod" in shown
        assert synod_lab("exec", "client", "--", "ovs-vsctl", "--timeout=2", "show").returncode

    def test_synod_is_on_the_path(self) -> None:
        done = synod_lab("exec", "controller", "--", "synod", "status", "--json")
        assert json.loads(done.stdout)["cluster"] == NAME


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("options", [["--disable-epsv"], [], ["-P-", "--disable-eprt"], ["-P-"]])
def test_hosts_serve_files_by_ftp_in_every_mode(options: list[str], tmp_path: Path) -> None:
    """PASV, EPSV, PORT, EPRT, through the default rules."""
    curl = ["exec", "client", "--", "curl", "-sS", "--max-time", "20", *options]
    assert synod_lab(*curl, "ftp://203.0.113.10/index.html").stdout == "server\n"
    (tmp_path / "letter").write_text("from the client\n")
    done = synod_lab(*curl, "-T", str(tmp_path / "letter"), "ftp://203.0.113.10/incoming/")
    assert done.returncode == 0, done.stderr
    incoming = DIRECTORY / "web" / "server" / "pages" / "incoming"
    assert (incoming / "letter").read_text() == "from the client\n"
    (incoming / "letter").unlink()


@pytest.mark.usefixtures("lab")
def test_what_forwards_and_what_tells_that_a_unit_lives_come_first() -> None:
    """And session pickup after them: each in a session of its own (sched(7))."""
    files = [
        "/run/openvswitch/ovs-vswitchd.pid",
        "/run/synod/agent.pid",
        "/run/synod/replication.pid",
    ]

    def niceness() -> list[int]:
        pids = [synod_lab("exec", "u1", "--", "cat", each).stdout.split()[0] for each in files]
        groups = [synod_lab("exec", "u1", "--", "cat", f"/proc/{pid}/autogroup") for pid in pids]
        return [int(group.stdout.split()[-1]) for group in groups]

    until(lambda: niceness() == [-10, -10, 0])


@pytest.mark.usefixtures("lab")
def test_mininets_prompt_is_on_the_same_hosts() -> None:
    done = synod_lab("cli", input="client ip -o -4 address\nclient ping -c 1 server\nexit\n")
    assert done.returncode == 0
    said = done.stdout + done.stderr  # Mininet logs what it shows
    assert "10.1.0.10/24" in said
    assert "1 packets transmitted, 1 received" in said


@pytest.mark.usefixtures("lab")
def test_status_and_list() -> None:
    assert "unit 1 is primary" in synod_lab("status").stdout
    assert NAME in synod_lab("list").stdout.split()
    again = synod_lab("up")
    assert again.returncode == 1
    assert "already" in again.stderr


@pytest.mark.usefixtures("lab")
def test_a_port_of_this_machine_leads_to_the_page() -> None:
    command = [sys.executable, "-m", "topologies.cli", "page", "--name", NAME, "--port", "0"]
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        url = process.stdout.readline().split()[0]
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"<title>Synod</title>" in answer.read()
        with urllib.request.urlopen(f"{url}v1/status", timeout=10) as answer:
            assert json.load(answer)["cluster"] == NAME
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


# Everything that `synod unit up` might leave: names, settings, rules, files.
SNAPSHOT = """
ip -o link | sed 's/qlen.*//; s/<[A-Z_,]*>//' ; ip -o address | sed 's/valid_lft.*//'
ip route; nft list ruleset
for nic in nic-int nic-ext nic-ha; do ethtool -k $nic; done
sysctl -a 2>/dev/null | grep '^net\\.' | grep -v -e nf_conntrack_count -e '\\.stable_secret'
ls -A /etc/openvswitch /run/openvswitch /run/synod /etc/xtables /etc/connlabel.conf 2>&1
ps -e -o args= | grep -e '[a]gents.supervise' -e '[a]gents.cli agent'
ip -o link show nic-int | grep -o PROMISC
"""


# Indexes of interfaces, packets counted, numbers of processes.
PASSING = re.compile(r"^\d+: |packets \d+ bytes \d+|\.\d+(?=\.ctl)", re.MULTILINE)


def lasting(snapshot: str) -> list[str]:
    """A snapshot's lines, sorted, without numbers that are others at each start."""
    return sorted(PASSING.sub("", snapshot).splitlines())


@pytest.mark.usefixtures("lab")
def test_down_undoes_what_up_did() -> None:
    def unit(*argv: str) -> subprocess.CompletedProcess[str]:
        return synod_lab("exec", "u1", "--", *argv)

    config = str(DIRECTORY / "cluster.yaml")
    # Session pickup, the last to start, has.
    until(lambda: "conntrackd.ctl" in unit("ls", "/run/synod").stdout, "no pickup")
    was_up = unit("sh", "-c", SNAPSHOT).stdout
    assert unit("synod", "unit", "down").returncode == 0
    before = unit("sh", "-c", SNAPSHOT).stdout
    assert "synod" not in re.sub(r"/run/synod.*", "", before)
    assert unit("synod", "unit", "down").stdout == "this host is no unit\n"

    up = unit("synod", "unit", "up", "--config", config, "--id", "1")
    assert up.returncode == 0, up.stderr
    again = unit("synod", "unit", "up", "--config", config, "--id", "1")
    assert (again.returncode, again.stdout) == (0, f"unit 1 of {NAME} is up already\n")
    differs: list[str] = []

    def as_it_was() -> bool:
        is_up = unit("sh", "-c", SNAPSHOT).stdout
        each = difflib.ndiff(lasting(was_up), lasting(is_up))
        differs[:] = [line for line in each if line[0] in "+-"]
        return not differs

    # Commands that programs run at their start are seen, too.
    until(as_it_was, lambda: "\n".join(differs))

    assert unit("synod", "unit", "down").returncode == 0
    assert unit("sh", "-c", SNAPSHOT).stdout == before
    assert unit("synod", "unit", "up", "--config", config, "--id", "1").returncode == 0


@pytest.mark.usefixtures("lab")
def test_what_stands_in_the_way_is_told_and_nothing_touched() -> None:
    def unit(*argv: str) -> subprocess.CompletedProcess[str]:
        return synod_lab("exec", "u1", "--", *argv)

    config = str(DIRECTORY / "cluster.yaml")
    down = json.loads(unit("synod", "unit", "down", "--json").stdout)
    assert (down["changed"], len(down["steps"]) > 9) == (True, True)
    try:
        unit("ip", "address", "add", "10.9.0.1/24", "dev", "nic-ext")
        unit("ip", "link", "add", "int", "type", "bridge")
        before = unit("sh", "-c", SNAPSHOT).stdout
        done = unit("synod", "unit", "up", "--config", config, "--id", "1")
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            "nic-ext has the address 10.9.0.1: the cluster's NICs must have none",
            "there is a int already, not Synod's",
        ]
        assert unit("sh", "-c", SNAPSHOT).stdout == before
    finally:
        unit("ip", "address", "flush", "dev", "nic-ext")
        unit("ip", "link", "del", "int")
        up = json.loads(
            unit("synod", "unit", "up", "--config", config, "--id", "1", "--json").stdout
        )
        assert (up["unit"], up["changed"]) == (1, True)


@pytest.mark.parametrize("victim", ["sandbox", "keeper"])
def test_killing_it_leaves_nothing(victim: str) -> None:
    name = f"{NAME}-{victim}"
    directory = Path("/run/synod-lab") / name
    assert synod_lab("up", "--units", "1", "--name", name).returncode == 0
    init = json.loads((directory / "lab.json").read_text())["init"]
    unshare = int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])
    keeper = int(Path(f"/proc/{unshare}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(init if victim == "sandbox" else keeper, signal.SIGKILL)
    until(lambda: not processes(name))
    assert name not in synod_lab("list").stdout.split()
    until(lambda: not directory.exists())


def test_one_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text("table ip user { nonsense }\n")
    done = synod_lab("up", "--units", "1", "--name", f"{NAME}-bad", "--rules", str(rules))
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert not (DIRECTORY.parent / f"{NAME}-bad").exists()
    until(lambda: not processes(f"{NAME}-bad"))


def test_two_at_a_time() -> None:
    names = [f"{NAME}-{number}" for number in (1, 2)]
    try:
        for name in names:
            assert synod_lab("up", "--units", "1", "--name", name).returncode == 0
        for name in names:
            argv = ("exec", "--name", name, "client", "curl", "-s", "http://203.0.113.10/")
            assert synod_lab(*argv).stdout == "server\n"
    finally:
        for name in names:
            assert synod_lab("down", "--name", name).returncode == 0
    assert not [line for name in names for line in processes(name)]
