"""The machine that figures come from, and the file that keeps what they were made of."""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_VERSIONS = {
    "open_vswitch": ["ovs-vswitchd", "--version"],
    "keepalived": ["keepalived", "--version"],
    "conntrackd": ["conntrackd", "-v"],
    "commit": ["git", "rev-parse", "--short", "HEAD"],
}
_CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"


def describe() -> dict[str, Any]:
    """What it is, what runs on it, and how busy it was with other things."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "tcp_congestion_control": Path(_CONGESTION).read_text().strip(),
        "python": platform.python_version(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        **{name: _first_line(argv) for name, argv in _VERSIONS.items()},
    }


def keep(raw: dict[str, Any], folder: Path) -> Path:
    """Writes it down; the file."""
    folder.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = folder / f"failover-{stamp}.json"
    file.write_text(json.dumps(raw))
    return file


def _first_line(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()
