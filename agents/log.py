"""The log of a program that runs on a unit: one line an event, as `agents.wire.log_line` has it, on
standard error, which is the unit's log file or systemd's journal.

Each line is written at once and whole: several programs write to the same log. None is written more
than so many times a second; how many were left out is told with the next. One that can't be
written, as the disk is full, is lost: nobody stops working for that.
"""

import contextlib
import sys
import time

from agents.wire.log_line import Pace, encode

_PACE = Pace()


def tell(event: str, **fields: object) -> None:
    """What has happened, under its name."""
    if _PACE.admits(time.monotonic(), event):
        line = encode(time.time(), event, _PACE.told(event, fields)) + "\n"
        with contextlib.suppress(OSError):
            sys.stderr.write(line)
            sys.stderr.flush()
