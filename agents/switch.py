"""Open vSwitch's daemon as a process of this host: which one it is. Nothing here touches it."""

from pathlib import Path

PID_FILE = Path("/var/run/openvswitch/ovs-vswitchd.pid")
SWITCH = "ovs-vswitchd"


def process() -> int:
    """Its id; ProcessLookupError if it doesn't run: a file that is left over may name another's
    process, or one that has ended and is not waited for.
    """
    try:
        pid = int(PID_FILE.read_text())
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        pid, before, after = 0, "", ""
    # proc(5): field 2 is the name, in parentheses, 3 the state
    if before.partition("(")[2] != SWITCH or after.split()[0] in "ZX":
        raise ProcessLookupError(f"{PID_FILE} names no {SWITCH} that runs")
    return pid
