"""Open vSwitch's daemon as a process of this host: which one it is, where its database is, and what
a command line says that does something to it from outside. Nothing here touches it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

DATABASE = "/etc/openvswitch/conf.db"
OVSDB_SOCKET = "/var/run/openvswitch/db.sock"
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


def attempt(act: Callable[[], object], otherwise: str) -> int:
    """The exit code of a command line that does this: 1 if it can't be done (OSError); standard
    error has been told by then what is so instead, and why.
    """
    try:
        act()
    except OSError as problem:
        root = " (it takes root)" if isinstance(problem, PermissionError) else ""
        print(f"{otherwise}: {problem}{root}", file=sys.stderr)
        return 1
    return 0
