"""Which of a unit's own programs run: their processes' ids in /run/synod, one file a program.

Beside each id stands the time at which its process started: an id that the system has given to
another process since is nobody's. Nothing here starts or ends a program (`agents.supervise` does).
And what an agent must know of the one before it.
"""

from pathlib import Path

RUN = Path("/run/synod")
SUPERVISOR = "supervisor.pid"
DEPUTY = "deputy.pid"  # of what starts the supervisor again
AGENT = "agent.pid"
REPLICATION = "replication.pid"
# There while the unit is fenced: the NICs that its agent has taken down.
FENCE = RUN / "fenced"


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
