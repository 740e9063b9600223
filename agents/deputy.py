"""Starts the supervisor of a unit again when it has died, as the supervisor does with this.

    python -m agents.deputy --config FILE --id N

So neither of the two is the one whose death leaves a unit without its agent for good. Both are
started, and ended, by `agents.supervise`.
"""

import argparse
import contextlib
import os
import signal
import threading

from agents import supervise
from agents.log import tell
from agents.running import DEPUTY, RUN, SUPERVISOR, read_pid, write_pid

_WATCH = 0.2  # seconds between looks at the supervisor
_AGAIN = 2.0  # seconds until one that doesn't stand is started again


def main(argv: list[str] | None = None) -> None:
    """The command line; returns after a SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m agents.deputy", description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--id", type=int, required=True)
    options = parser.parse_args(argv)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    write_pid(RUN / DEPUTY, os.getpid())
    wait = 0.0
    while not stopping.wait(_WATCH + wait):
        wait = 0.0
        if read_pid(RUN / SUPERVISOR):
            continue
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)  # the remains of one that this has started
        tell("supervisor_died")
        try:
            supervise.start(options.config, options.id)
        except (RuntimeError, OSError) as failure:
            tell("supervisor_not_started", why=failure)
            wait = _AGAIN
    (RUN / DEPUTY).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
