"""The machine that figures come from, what measures on it, and files of what was measured."""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Who measures, who is measured and who is measured beside; how each says its version.
_TOOLS = {
    "Open vSwitch": ["ovs-vswitchd", "--version"],
    "nftables": ["nft", "--version"],
    "nginx": ["nginx", "-v"],
    "wrk": ["wrk", "-v"],
    "curl": ["curl", "--version"],
    "iperf3": ["iperf3", "--version"],
    "keepalived": ["keepalived", "--version"],
    "conntrackd": ["conntrackd", "-v"],
}
_VERSION = re.compile(r"\d+(?:\.\d+)+[^\s,)]*")
_COMMIT = ["git", "describe", "--always", "--dirty"]
_CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
_BUSY = 0.25  # of the cores: from then on, what others do shows in the figures


def describe() -> dict[str, Any]:
    """What it is, what runs on it, and how busy it was with other things."""
    about = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", about)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "time": now(),
        "processor": model[1] if model else platform.machine(),
        "virtual": bool(re.search(r"^flags\s*:.*\bhypervisor\b", about, re.MULTILINE)),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "tcp_congestion_control": Path(_CONGESTION).read_text().strip(),
        "python": platform.python_version(),
        "load_average": load_average(),
        "tools": {name: found for name, argv in _TOOLS.items() if (found := version(said(argv)))},
        "commit": said(_COMMIT).strip(),
    }


def sentences(machine: dict[str, Any]) -> list[str]:
    """The same for a person: what it is, what measures, and a warning if it is busy."""
    kind = "virtual machine" if machine["virtual"] else "machine"
    tools = {**machine["tools"], "Python": machine["python"]}
    found = [
        f"{kind}, {machine['cores']} cores of {machine['processor']},"
        f" {machine['memory_gib']:g} GiB, Linux {machine['kernel']}",
        ", ".join(f"{name} {number}" for name, number in tools.items())
        + f"; Synod {machine['commit']}",
        f"load average before: {machine['load_average'][0]:g}",
    ]
    if machine["load_average"][0] > _BUSY * machine["cores"]:
        found.append("This machine is busy: what else it does is in the figures. Measure again.")
    return found


def load_average() -> list[float]:
    """Of the last minute, five and fifteen."""
    return [round(each, 2) for each in os.getloadavg()]


def now() -> str:
    """The time, for a person."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_file(folder: Path, kind: str) -> Path:
    """Where something that was measured now belongs: KIND-TIME.json."""
    return folder / f"{kind}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}.json"


def write(document: dict[str, Any], file: Path) -> None:
    """Writes it, at once: the file has all of it, or what it had before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps(document))
    beside.replace(file)


def version(text: str) -> str | None:
    """The first that is named there."""
    found = _VERSION.search(text)
    return found[0].rstrip(".") if found else None


def said(argv: list[str]) -> str:
    """What a command says of itself; nothing if it isn't installed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout or done.stderr
