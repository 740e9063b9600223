"""What the programs of a lab take: memory, and time on a CPU.

Memory is the PSS (proc(5), smaps_rollup): what a program has for itself, and its part of what it
shares. CPU time is that of all its threads. What the kernel does on nobody's behalf isn't in it.
"""

from contextlib import suppress
from pathlib import Path

from tests.bench.cores_used import processes, spent
from topologies.lab import Lab

# What is looked for in a command line, and the program it is.
PROGRAMS = {
    "ryu-manager": "app",
    "agents.cli": "agent",
    "ovs-vswitchd": "vswitchd",
    "conntrackd": "conntrackd",
    "nginx: worker": "nginx",
}


def whole(lab: Lab) -> dict[str, dict[str, float]]:
    """Of all programs of a lab `pss_bytes` and `cpu_seconds`, by host and program: `u1.vswitchd`,
    say.
    """
    found: dict[str, dict[str, float]] = {}
    for pid, host in processes(lab).items():
        directory = Path(f"/proc/{pid}")
        with suppress(OSError):  # it has ended meanwhile
            line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            name = next((name for part, name in PROGRAMS.items() if part in line), "")
            if name:
                taken = found.setdefault(f"{host}.{name}", {"pss_bytes": 0, "cpu_seconds": 0.0})
                taken["pss_bytes"] += _pss(directory)
                taken["cpu_seconds"] += sum(spent(pid).values())
    return found


def _pss(directory: Path) -> int:
    lines = (directory / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
