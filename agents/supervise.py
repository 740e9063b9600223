"""Keeps a unit whole: the agent and conntrackd run, and the bridge's ports are as they should be.

    python -m agents.supervise start --config FILE --id N   returns when the supervisor stands
    python -m agents.supervise stop                         returns when all of them are gone
    python -m agents.supervise run --config FILE --id N     the supervisor itself, in the foreground

A program that ends is started again after half a second, then after twice as long each time, up to
ten seconds; one that lived for half a minute counts as healthy again. If the supervisor dies, its
programs end, and `agents.deputy` starts it again. Which processes they are: `agents.running`.

Ports that Open vSwitch has made anew are given what they had (`agents.mending`); then both programs
are started again, as their sockets were bound to the ports before.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from agents import priority, signals
from agents.config import Cluster, load
from agents.log import tell
from agents.priority import NICENESS
from agents.running import (
    AGENT,
    DEPUTY,
    REPLICATION,
    RUN,
    SUPERVISOR,
    read_pid,
    write_pid,
)
from agents.wire.ports import HA_KERNEL_NAME, SYNOD_NAME

LOG = Path("/var/log/synod/agent.log")

# What runs, by the file with its id: a module and its first arguments.
_PROGRAMS: dict[str, tuple[str, ...]] = {
    AGENT: ("agents.cli", "agent"),
    REPLICATION: ("agents.replication",),
}

FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0  # seconds
HEALTHY = 30.0  # seconds

# What has time: session pickup's preparations, a walk through all entries among them.
UNHURRIED = "10"

# What the agent may of all that root may: packet sockets, conntrack, neighbours and links.
_AGENTS = "-all,+net_admin,+net_raw"

# A program that is ended by this signal is to begin anew, and at once. (conntrackd has no handler
# of it.)
ANEW = signal.SIGUSR1

_WATCH = 0.2  # seconds between looks at a program, and at the ports
_REMAINS = 2.0  # seconds that a program has to end which its supervisor's death has ended
_SURVEY = 5.0  # seconds between looks at all that the ports should have


def next_wait(last: float, lived: float) -> float:
    """Seconds to wait before the next start, after the `last` wait and a program that `lived`."""
    if last == 0 or lived >= HEALTHY:
        return FIRST_WAIT
    return min(last * 2, LONGEST_WAIT)


def run(config: str, unit_id: int) -> int:
    """The supervisor: returns 0 after a SIGTERM or SIGINT, once its programs are gone. Tells
    systemd, if that has started it, when it stands.
    """
    with signals.heard() as told:
        _run_until(told, config, unit_id)
    return 0


def _run_until(told: socket.socket, config: str, unit_id: int) -> None:
    stopping = threading.Event()
    RUN.mkdir(parents=True, exist_ok=True)
    write_pid(RUN / SUPERVISOR, os.getpid())
    cluster = load(config)
    names = [AGENT, REPLICATION] if cluster.pickup != "off" else [AGENT]
    ports = Ports(cluster)
    threads = [
        threading.Thread(target=_keep, args=(name, config, unit_id, ports, stopping))
        for name in names
    ]
    threads.append(threading.Thread(target=_mend, args=(cluster, unit_id, config, ports, stopping)))
    for thread in threads:
        thread.start()
    _tell_ready()
    told.recv(1)
    stopping.set()
    for thread in threads:
        thread.join()
    (RUN / SUPERVISOR).unlink(missing_ok=True)


def _tell_ready() -> None:
    """What sd_notify(3) does."""
    if address := os.environ.pop("NOTIFY_SOCKET", ""):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            # One that begins with @ is in the abstract namespace: unix(7).
            teller.sendto(b"READY=1", address.replace("@", "\0", 1))


def start(config: str, unit_id: int, log: Path = LOG) -> None:
    """Starts the supervisor detached, and its deputy; does nothing if they run. RuntimeError if the
    supervisor dies at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = ("--config", config, "--id", str(unit_id))
    if not read_pid(RUN / SUPERVISOR):
        process = _detached(log, "agents.supervise", "run", *arguments)
        while read_pid(RUN / SUPERVISOR) != process.pid:
            if process.poll() is not None:
                raise RuntimeError(f"the supervisor ended with {process.returncode}: see {log}")
            time.sleep(0.02)
    _start_deputy(config, unit_id, log)


def _start_deputy(config: str, unit_id: int, log: Path) -> None:
    if not read_pid(RUN / DEPUTY):
        process = _detached(log, "agents.deputy", "--config", config, "--id", str(unit_id))
        write_pid(RUN / DEPUTY, process.pid)


def _detached(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-u", "-m", *arguments]
    with log.open("ab") as output:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def stop(patience: float = 5.0) -> None:
    """Ends all of them; kills those that are still there after `patience` seconds."""
    names = (DEPUTY, SUPERVISOR, *_PROGRAMS)
    pids = {name: read_pid(RUN / name) for name in names}
    deadline = time.monotonic() + patience
    # The deputy first: it would start another supervisor.
    for name, waited_for in ((DEPUTY, (DEPUTY,)), (SUPERVISOR, names)):
        pid = read_pid(RUN / name)
        if pid:
            os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline and any(read_pid(RUN / each) for each in waited_for):
            time.sleep(0.02)
    for name, pid in pids.items():
        if pid and read_pid(RUN / name):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)


class Ports:
    """The bridge's internal ports, by their numbers (ifindex; 0: there is none)."""

    def __init__(self, cluster: Cluster) -> None:
        names = [*(each.name for each in cluster.interfaces), HA_KERNEL_NAME, SYNOD_NAME]
        self.names: tuple[str, ...] = tuple(names)
        self.settled = self.look()  # those that have all they should have

    def look(self) -> tuple[int, ...]:
        """As they are now."""
        return tuple(map(_index, self.names))


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _mend(
    cluster: Cluster, unit_id: int, config: str, ports: Ports, stopping: threading.Event
) -> None:
    """Gives the ports what they lack: soon when one is another than before, else now and then."""
    from agents import provision  # noqa: PLC0415 - it stands above agents.bringup, which imports this

    survey = time.monotonic() + _SURVEY
    while not stopping.wait(_WATCH):
        _look_after_deputy(config, unit_id, stopping)
        found = ports.look()
        pairs = zip(ports.names, ports.settled, found, strict=True)
        anew = frozenset(name for name, before, now in pairs if before != now)
        if 0 in found or not (anew or time.monotonic() >= survey):
            continue
        survey = time.monotonic() + _SURVEY
        try:
            provision.mend(
                cluster, unit_id, config, lambda step: tell("mended", what=step.why), anew
            )
        except (provision.ProvisionError, OSError) as failure:
            tell("mending_failed", why=failure)
        else:
            ports.settled = found


def _look_after_deputy(config: str, unit_id: int, stopping: threading.Event) -> None:
    if not (RUN / DEPUTY).exists():  # one that was told to end leaves nothing behind
        return
    try:
        _start_deputy(config, unit_id, LOG)
    except OSError as failure:
        _tell_not_started(DEPUTY, failure, LONGEST_WAIT)
        stopping.wait(LONGEST_WAIT)


def _tell_not_started(name: str, why: OSError, wait: float) -> None:
    """Too many processes, no memory, no room in /run: it may pass."""
    program = name.removesuffix(".pid")
    tell("program_not_started", program=program, why=why, again_in=f"{wait:g}")


def _keep(name: str, config: str, unit_id: int, ports: Ports, stopping: threading.Event) -> None:
    """Keeps one program running until `stopping`."""
    _outlive(name, stopping)
    wait = 0.0
    while not stopping.is_set():
        began, on = time.monotonic(), ports.settled
        try:
            code: int | OSError = _run(name, config, unit_id, ports, stopping)
        except OSError as failure:
            code = failure
        lived = time.monotonic() - began
        if code == -ANEW:
            continue
        wait = next_wait(wait, lived)
        if isinstance(code, OSError):
            _tell_not_started(name, code, wait)
        elif not stopping.is_set():
            program = name.removesuffix(".pid")
            seconds = {"lived": f"{lived:.1f}", "again_in": f"{wait:g}"}
            tell("program_ended", program=program, code=code, **seconds)
        until = time.monotonic() + wait
        while time.monotonic() < until and ports.settled == on and not stopping.wait(_WATCH):
            pass
    (RUN / name).unlink(missing_ok=True)


def _outlive(name: str, stopping: threading.Event) -> None:
    """Waits for the end of the program that a supervisor before this one has left behind."""
    deadline = time.monotonic() + _REMAINS
    while (left := read_pid(RUN / name)) and not stopping.wait(_WATCH):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(left, signal.SIGKILL)


def _run(name: str, config: str, unit_id: int, ports: Ports, stopping: threading.Event) -> int:
    """Runs it until it ends, or the ports are others; OSError if it can't be started. It doesn't
    outlive the supervisor: setpriv(1) becomes the program, which is signalled when the thread ends
    that started it (PR_SET_PDEATHSIG(2const)).
    """
    on = ports.settled
    niceness = NICENESS if name == AGENT else UNHURRIED
    bounds = ["--bounding-set", _AGENTS] if name == AGENT else []
    program = ["nice", "-n", niceness, "setpriv", "--pdeathsig", "TERM", *bounds]
    program += [sys.executable, "-m", *_PROGRAMS[name]]
    argv = [*program, "--config", config, "--id", str(unit_id)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            write_pid(RUN / name, process.pid)
        except OSError:  # one of which nobody knows could not be ended
            process.kill()
            raise
        with contextlib.suppress(OSError):  # it has ended, or waits for a core as others do
            priority.of_session(process.pid, int(niceness))
        while process.poll() is None:
            if stopping.wait(_WATCH) or ports.settled != on:
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
