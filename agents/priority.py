"""How soon a program gets a core: by its niceness within its session, and by that of the session.

    python -m agents.priority N        gives the switch's session niceness N

Linux gives sessions (setsid(2)) equal shares, however nice the processes in them are, as long as
these are in no control group of their own for the processor (sched(7), "The autogroup feature"). A
daemon that ovs-ctl(8) starts at -10 then waits for a core as long as any other. So what must come
first has a session of its own, and that the same niceness. Where there are no such groups nothing
is to be done, and nothing is. The niceness of the processes themselves is left as it is.
"""

import sys
import time
from pathlib import Path

from agents import switch

# As ovs-ctl(8) starts the switch: what says that a unit lives must not wait for what it carries.
NICENESS = "-10"

_AGAIN, _PATIENCE = 0.05, 5.0  # seconds


def of_session(pid: int, niceness: int) -> None:
    """Makes the session of that process so nice, -20 to 19. OSError if there is no such process, or
    it isn't allowed: less than 0 takes root.
    """
    file, deadline = _group(pid), time.monotonic() + _PATIENCE
    while file.exists():
        try:
            file.write_text(str(niceness))
        except BlockingIOError:
            # Whoever lacks CAP_SYS_ADMIN may do this ten times a second, all together
            # (proc_sched_autogroup_set_nice() in kernel/sched/autogroup.c).
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN)
        else:
            return


def switch_waits(niceness: int) -> bool:
    """Whether the switch's session is nicer than that; False without a switch."""
    try:
        found = _group(switch.process()).read_text()
    except OSError:  # no switch, or no such groups
        return False
    return int(found.split()[-1]) > niceness  # "/autogroup-42 nice 0"


def _group(pid: int) -> Path:
    return Path(f"/proc/{pid}/autogroup")


def main(argv: list[str]) -> int:
    """The command line."""
    return switch.attempt(
        lambda: of_session(switch.process(), int(argv[0])),
        "the switch waits for a core as others do",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
