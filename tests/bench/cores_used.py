"""Who uses the machine's cores: the processes of a lab, by host. It reads /proc and starts nothing.

What the kernel does for packets in threads of its own is nobody's here.
"""

import contextlib
import os
import time
from pathlib import Path

from topologies import faults, registry
from topologies.lab import Lab

SWITCHES = "the switches between them"
_TICKS = os.sysconf("SC_CLK_TCK")


def process_id(lab: Lab, host: str, program: str) -> int:
    """Of a program of a unit's, or of the app, as this machine numbers it."""
    line = faults.program_named(lab.options, host, program).line
    for pid, where in processes(lab).items():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            if where == host and line.match(words):
                return pid
    raise AssertionError(f"{host} has no {program}: {line.pattern}")


def processes(lab: Lab) -> dict[int, str]:
    """The hosts of all processes of a lab, by the network that they are in."""
    state = registry.read(registry.RUN / lab.options.name)
    assert state is not None, "the lab is gone"
    shells = Path(f"/proc/{state.init}/root/proc")
    networks = {_network(shells / str(shell)): host for host, shell in state.hosts.items()}
    networks[_network(Path(f"/proc/{state.init}"))] = SWITCHES
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if host := networks.get(_network(path)):
                found[int(path.name)] = host
    return found


def during(lab: Lab, pids: dict[str, int], seconds: float) -> dict[str, dict[str, float]]:
    """How much of a core each of these uses for so long, in itself and in the kernel; and so, by
    host, all that run at its beginning and its end.
    """
    hosts = processes(lab)
    before = {pid: spent(pid) for pid in hosts}
    time.sleep(seconds)  # the passing of time is what is measured
    used = {name: {"itself": 0.0, "kernel": 0.0} for name in (*pids, *hosts.values())}
    names = {pid: [host] for pid, host in hosts.items()}
    for name, pid in pids.items():
        names[pid].append(name)
    for pid, then in before.items():
        for where, now in spent(pid).items():
            for name in names[pid]:
                used[name][where] += max(0.0, now - then[where]) / seconds
    return {name: {where: round(n, 3) for where, n in all_.items()} for name, all_ in used.items()}


def spent(pid: int) -> dict[str, float]:
    """Seconds on a CPU: in itself, in the kernel (proc(5)); none if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"itself": 0.0, "kernel": 0.0}
    return {"itself": int(fields[11]) / _TICKS, "kernel": int(fields[12]) / _TICKS}


def _network(process: Path) -> tuple[int, int]:
    found = os.stat(process / "ns/net")
    return found.st_dev, found.st_ino
