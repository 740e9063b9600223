"""What the programs of a unit or of the controller take: memory, and time on a CPU.

    python -m tests.bench.footprint        on a host of a lab: a JSON object, by program

Memory is the PSS (proc(5), smaps_rollup): what a program has for itself, and its part of what it
shares. CPU time is that of all its threads. What the kernel does on nobody's behalf isn't in it.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from topologies.lab import Lab

# What is looked for in a command line, and the program it is.
PROGRAMS = {
    "ryu-manager": "app",
    "agents.cli": "agent",
    "ovs-vswitchd": "vswitchd",
    "conntrackd": "conntrackd",
    "nginx: worker": "nginx",
}
_TICK = os.sysconf("SC_CLK_TCK")


def footprint(lab: Lab, host: str) -> dict[str, dict[str, float]]:
    """Of each program on that host: `pss_bytes` and `cpu_seconds`."""
    argv = [sys.executable, "-m", "tests.bench.footprint"]
    found: dict[str, dict[str, float]] = json.loads(lab.run(host, argv).stdout)
    return found


def whole(lab: Lab) -> dict[str, dict[str, float]]:
    """Of all programs of a lab, by host and program: `u1.vswitchd`, say."""
    hosts = ["controller", "server", *(f"u{number}" for number in lab.units)]
    return {f"{host}.{name}": each for host in hosts for name, each in footprint(lab, host).items()}


def _mine() -> dict[str, dict[str, float]]:
    network = os.stat("/proc/self/ns/net")
    found: dict[str, dict[str, float]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            name = next((name for part, name in PROGRAMS.items() if part in line), "")
            if name and os.path.samestat((directory / "ns/net").stat(), network):
                taken = found.setdefault(name, {"pss_bytes": 0, "cpu_seconds": 0.0})
                taken["pss_bytes"] += _pss(directory)
                taken["cpu_seconds"] += _cpu(directory)
    return found


def _pss(directory: Path) -> int:
    lines = (directory / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def _cpu(directory: Path) -> float:
    """User's and system's time, fields 14 and 15 of proc(5)'s stat."""
    fields: list[Any] = (directory / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


if __name__ == "__main__":
    print(json.dumps(_mine()))
