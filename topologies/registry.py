"""Which labs there are on this machine: one directory each in /run/synod-lab.

A directory is a lab's while the first process of its sandbox, noted there with its start time, is
still that process. (A process id alone could be another's by now: nothing is ever killed by it.)
What labs leave that were killed, whoever comes next removes.
"""

import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.running import read_pid, start_time, write_pid

RUN = Path("/run/synod-lab")

_STATE = "lab.json"
_BUILDER = "builder.pid"  # who is making the lab, while there is no lab.json yet


@dataclass(frozen=True, slots=True)
class State:
    """A lab that stands. `hosts` gives each host's shell by its process id inside the sandbox."""

    init: int
    started: int
    hosts: dict[str, int]
    options: dict[str, Any]

    def alive(self) -> bool:
        """Whether the sandbox is there."""
        return start_time(self.init) == self.started

    def kill(self) -> None:
        """Kills the sandbox, and with it all that runs there; returns when it is gone."""
        deadline = time.monotonic() + 10
        while self.alive() and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
            time.sleep(0.02)


def create(directory: Path) -> None:
    """Makes a lab's directory. FileExistsError if there is a lab of that name.

    It is there with its builder's note or not at all: others that are made meanwhile sweep away
    what has none.
    """
    sweep()
    new = directory.parent.with_name(f".{directory.parent.name}-{directory.name}-{os.getpid()}")
    new.mkdir(parents=True)
    try:
        write_pid(new / _BUILDER, os.getpid())
        while not _rename(new, directory):
            pass
    except BaseException:
        shutil.rmtree(new)
        raise


def _rename(new: Path, directory: Path) -> bool:
    """False if the last of other labs has just taken the parent along."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        raise FileExistsError(directory)
    try:
        new.rename(directory)
    except FileNotFoundError:
        return False
    return True


def write(directory: Path, state: State) -> None:
    """Notes that the lab stands."""
    (directory / _STATE).write_text(json.dumps(asdict(state)))


def read(directory: Path) -> State | None:
    """The lab of that directory; None if there is none, or it is dead."""
    try:
        state = State(**json.loads((directory / _STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state if state.alive() else None


def running() -> list[str]:
    """The names of the labs that run, in order."""
    return sorted(path.name for path in RUN.glob("*") if read(path))


def sweep() -> None:
    """Removes the directories of labs that are dead; /run/synod-lab too if there is no lab."""
    for path in RUN.glob("*"):
        if read(path) is None and read_pid(path / _BUILDER) is None:
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        RUN.rmdir()
