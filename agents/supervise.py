"""Keeps the agent of a unit running: starts it detached, and again whenever it ends.

    python -m agents.supervise start --config FILE --id N   returns when the supervisor stands
    python -m agents.supervise stop                         returns when it and the agent are gone
    python -m agents.supervise run --config FILE --id N     the supervisor itself, in the foreground

An agent that ends is started again after half a second, then after twice as long each time, up to
ten seconds; one that lived for half a minute counts as healthy again. Both processes' ids are in
/run/synod, with the time each started: an id that the system has given to another process since is
never signalled.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

RUN = Path("/run/synod")
LOG = Path("/var/log/synod/agent.log")
SUPERVISOR = "supervisor.pid"
AGENT = "agent.pid"

FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0  # seconds
HEALTHY = 30.0  # seconds

_WATCH = 0.2  # seconds between looks at the agent


def next_wait(last: float, lived: float) -> float:
    """Seconds to wait before the next start, after the `last` wait and an agent that `lived`."""
    if last == 0 or lived >= HEALTHY:
        return FIRST_WAIT
    return min(last * 2, LONGEST_WAIT)


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is no such process (or only
    its remains).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (
        None if fields[0] in "ZX" else int(fields[19])
    )  # proc(5): field 3 is the state, 22 the start time


def write_pid(path: Path, pid: int) -> None:
    """Notes a process and its start time."""
    path.write_text(f"{pid} {start_time(pid) or 0}\n")


def read_pid(path: Path) -> int | None:
    """The process noted there, if it is still that one; else None."""
    try:
        pid, started = map(int, path.read_text().split())
    except (OSError, ValueError):
        return None
    return pid if started and start_time(pid) == started else None


def run(config: str, unit_id: int) -> int:
    """The supervisor: returns 0 after a SIGTERM or SIGINT, once the agent is gone."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    RUN.mkdir(parents=True, exist_ok=True)
    write_pid(RUN / SUPERVISOR, os.getpid())
    wait = 0.0
    while not stopping.is_set():
        began = time.monotonic()
        code = _run_agent(config, unit_id, stopping)
        lived = time.monotonic() - began
        wait = next_wait(wait, lived)
        if not stopping.is_set():
            print(f"synod: the agent ended with {code} after {lived:.1f} s: again in {wait:g} s")
            stopping.wait(wait)
    for name in (AGENT, SUPERVISOR):
        (RUN / name).unlink(missing_ok=True)
    return 0


def start(config: str, unit_id: int, log: Path = LOG) -> None:
    """Starts the supervisor detached; does nothing if one runs. RuntimeError if it dies at once."""
    if read_pid(RUN / SUPERVISOR):
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-u", "-m", "agents.supervise", "run"]
    argv = [*program, "--config", config, "--id", str(unit_id)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    while read_pid(RUN / SUPERVISOR) != process.pid:
        if process.poll() is not None:
            raise RuntimeError(f"the agent's supervisor ended with {process.returncode}: see {log}")
        time.sleep(0.02)


def stop(patience: float = 5.0) -> None:
    """Ends supervisor and agent; kills them if they are still there after `patience` seconds."""
    supervisor, agent = read_pid(RUN / SUPERVISOR), read_pid(RUN / AGENT)
    if supervisor:
        os.kill(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and (read_pid(RUN / SUPERVISOR) or read_pid(RUN / AGENT)):
        time.sleep(0.02)
    for name, pid in ((SUPERVISOR, supervisor), (AGENT, agent)):
        if pid and read_pid(RUN / name):
            os.kill(pid, signal.SIGKILL)


def _run_agent(config: str, unit_id: int, stopping: threading.Event) -> int:
    """Runs it to its end. It doesn't outlive the supervisor: setpriv(1) becomes the agent."""
    program = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "agents.cli", "agent"]
    argv = [*program, "--config", config, "--id", str(unit_id)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        write_pid(RUN / AGENT, process.pid)
        while process.poll() is None:
            if stopping.wait(_WATCH):
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_WATCH)
        return process.returncode


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m agents.supervise", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("start", "run"):
        action = actions.add_parser(name)
        action.add_argument("--config", required=True)
        action.add_argument("--id", type=int, required=True)
    actions.add_parser("stop")
    options = parser.parse_args(argv)
    match options.action:
        case "run":
            return run(options.config, options.id)
        case "start":
            start(options.config, options.id)
        case _:
            stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
