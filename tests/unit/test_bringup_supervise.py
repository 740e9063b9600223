"""The supervisor: how long it waits, whom it takes for whom, and how it goes with a real child."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents import supervise
from agents.running import read_pid, start_time, write_pid
from agents.supervise import next_wait
from tests.polling import until


def test_an_agent_that_keeps_ending_is_started_ever_more_rarely() -> None:
    waits = [next_wait(0, 0.1)]
    for _ in range(6):
        waits.append(next_wait(waits[-1], 0.1))
    assert waits == [0.5, 1, 2, 4, 8, 10, 10]


def test_one_that_was_healthy_is_started_soon() -> None:
    assert next_wait(10, 31) == 0.5


def test_a_process_is_known_by_its_start(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    write_pid(path, os.getpid())
    assert read_pid(path) == os.getpid()
    path.write_text(f"{os.getpid()} {(start_time(os.getpid()) or 0) + 1}\n")
    assert read_pid(path) is None


@pytest.mark.parametrize("text", ["", "12", "a b", "1 2 3", "0 0"])
def test_what_is_no_note_of_a_process_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text(text)
    assert read_pid(path) is None
    assert read_pid(tmp_path / "nothing") is None


def test_the_dead_have_no_start_time() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        alive = start_time(process.pid)
        process.kill()
        assert alive
        until(lambda: start_time(process.pid) is None)  # a zombie still, until it is waited for


CLUSTER = """
name: kept
group: 1
interfaces: {int: {nic: eth1, addresses: [10.1.0.1/24]}}
ha: {nic: eth2}
units: [{id: 1}]
controllers: ["tcp:127.0.0.1:6653"]
"""

# The supervisor as a program of its own, its files elsewhere, with a shell command for an agent.
PROGRAM = """
import subprocess, sys
from pathlib import Path
from agents import supervise
supervise.RUN = Path(sys.argv[1])
supervise.FIRST_WAIT = 0.05
popen = subprocess.Popen
def as_agent(argv, **options):
    start = argv.index(sys.executable)
    assert argv[start + 1 : start + 4] in (
        ["-m", "agents.cli", "agent"],
        ["-m", "agents.replication", "--config"],
    ), argv
    if Path(sys.argv[1], "no_room").exists():
        raise BlockingIOError(11, "Resource temporarily unavailable")  # as fork(2) has it
    program = "exec sleep 60" if "agents.replication" in argv else sys.argv[2]
    return popen([*argv[:start], "sh", "-c", program], **options)
supervise.subprocess.Popen = as_agent
sys.exit(supervise.run(sys.argv[3], 1))
"""


Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Start]:
    """Starts one. Its end is the test's business; of one that fails, the fixture's."""
    config = tmp_path / "cluster.yaml"
    config.write_text(CLUSTER)
    with ExitStack() as stack:

        def start(agent: str) -> subprocess.Popen[bytes]:
            with (tmp_path / "log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, str(tmp_path), agent, str(config)],
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    cwd=Path(supervise.__file__).parents[1],
                )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def test_an_agent_that_ends_is_started_again(supervisor: Start, tmp_path: Path) -> None:
    process = supervisor(f"echo x >>{tmp_path}/starts")
    until((tmp_path / "starts").exists)
    until(lambda: len((tmp_path / "starts").read_text().split()) >= 3)
    process.terminate()
    assert process.wait(10) == 0


def test_told_to_end_it_ends_the_agent_first(supervisor: Start, tmp_path: Path) -> None:
    process = supervisor("exec sleep 60")
    until(lambda: read_pid(tmp_path / "agent.pid"))
    agent = read_pid(tmp_path / "agent.pid")
    assert agent
    process.terminate()
    assert process.wait(10) == 0
    assert start_time(agent) is None
    assert not list(tmp_path.glob("*.pid"))


def test_session_pickup_is_kept_running_beside_it(supervisor: Start, tmp_path: Path) -> None:
    process = supervisor("exec sleep 60")
    until(lambda: read_pid(tmp_path / "replication.pid"))
    first = read_pid(tmp_path / "replication.pid")
    assert first
    os.kill(first, signal.SIGKILL)
    until(lambda: read_pid(tmp_path / "replication.pid") not in (None, first))
    assert read_pid(tmp_path / "agent.pid")
    process.terminate()
    assert process.wait(10) == 0
    assert not list(tmp_path.glob("*.pid"))


def test_if_it_is_killed_the_agent_ends(supervisor: Start, tmp_path: Path) -> None:
    process = supervisor("exec sleep 60")
    until(lambda: read_pid(tmp_path / "agent.pid"))
    agent = read_pid(tmp_path / "agent.pid")
    assert agent
    until(lambda: Path(f"/proc/{agent}/comm").read_text() == "sleep\n")
    process.kill()
    until(lambda: start_time(agent) is None)


def lines(tmp_path: Path, event: str, *words: str) -> list[str]:
    found = (tmp_path / "log").read_text().splitlines()
    return [line for line in found if all(word in line for word in (f"event={event} ", *words))]


def test_what_cannot_be_started_is_tried_again(supervisor: Start, tmp_path: Path) -> None:
    (tmp_path / "no_room").touch()
    process = supervisor("exec sleep 60")
    for program in ("agent", "replication"):
        words = (f"program={program}", "temporarily unavailable")
        until(lambda words=words: len(lines(tmp_path, "program_not_started", *words)) >= 2)
    (tmp_path / "no_room").unlink()
    until(lambda: read_pid(tmp_path / "agent.pid"))
    until(lambda: read_pid(tmp_path / "replication.pid"))
    process.terminate()
    assert process.wait(10) == 0


def test_one_that_cannot_be_noted_is_ended_and_another_started(
    supervisor: Start, tmp_path: Path
) -> None:
    (tmp_path / "agent.pid").mkdir()
    process = supervisor(f"echo $$ >>{tmp_path}/starts; exec sleep 60")
    until(lambda: len(lines(tmp_path, "program_not_started", "program=agent")) >= 3)
    (tmp_path / "agent.pid").rmdir()
    until(lambda: read_pid(tmp_path / "agent.pid"))
    until(lambda: f"{read_pid(tmp_path / 'agent.pid')}" in (tmp_path / "starts").read_text())
    *others, last = map(int, (tmp_path / "starts").read_text().split())
    assert read_pid(tmp_path / "agent.pid") == last
    assert not any(map(start_time, others))
    process.terminate()
    assert process.wait(10) == 0


def test_a_disk_that_is_full_stops_nobody(supervisor: Start, tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    process = supervisor(f"echo x >>{tmp_path}/starts")
    until((tmp_path / "starts").exists)
    until(lambda: len((tmp_path / "starts").read_text().split()) >= 3)
    process.terminate()
    assert process.wait(10) == 0


# The deputy, its files elsewhere, and a supervisor that can't be started twice.
DEPUTY = """
import errno, sys
from pathlib import Path
from agents import deputy, supervise
deputy.RUN, deputy._AGAIN = Path(sys.argv[1]), 0.01
failures = [RuntimeError("it ended"), OSError(errno.EAGAIN, "too many")]
def start(config, unit):
    if failures:
        raise failures.pop()
    (deputy.RUN / "started").touch()
supervise.start = start
deputy.main(["--config", "x", "--id", "1"])
"""


def test_a_deputy_goes_on_when_no_supervisor_can_be_started(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DEPUTY, str(tmp_path)]
    root = Path(supervise.__file__).parents[1]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, stderr=log, cwd=root) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        until((tmp_path / "started").exists)
        process.terminate()
        assert process.wait(10) == 0
    assert len(lines(tmp_path, "supervisor_not_started")) == 2
