"""Open vSwitch's daemon as a process of this host: which one it is. Nothing here touches it."""

from pathlib import Path

PID_FILE = Path("/var/run/openvswitch/ovs-vswitchd.pid")
SWITCH = "ovs-vswitchd"


def process() -> int:
    """Its id; ProcessLookupError if it doesn't run: a file that is left over may name another's
    process.
    """
    try:
        pid = int(PID_FILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        pid, name = 0, ""
    if name != SWITCH:
        raise ProcessLookupError(f"{PID_FILE} names no {SWITCH} that runs")
    return pid
