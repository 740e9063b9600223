"""The processes of a host of a lab: those in its network, its own shell apart.

Each is held by its open directory in /proc. So what is asked, and what a signal reaches, is that
process or none, whatever its id has come to mean.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process. `directory`: its directory in /proc, open."""

    directory: int
    line: str  # its command line

    @property
    def state(self) -> str:
        """The letter of its state, as proc(5) has it; X if it is gone."""
        try:
            stat = _read(self.directory, "stat")
        except OSError:
            return "X"
        return stat.rpartition(")")[2].split()[0]

    @property
    def ended(self) -> bool:
        """Whether it has ended, waited for or not."""
        return self.state in "ZX"

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; nothing if it is gone."""
        # A directory in /proc can stand for a process id file descriptor (pidfd_open(2)).
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.directory, number)


@contextmanager
def on_host(init: int, shell: int) -> Iterator[list[Process]]:
    """The processes of a host of the sandbox whose first process is `init`; `shell` is the host's
    own, as the sandbox numbers it.
    """
    proc = Path(f"/proc/{init}/root/proc")
    network = os.stat(proc / str(shell) / "ns/net")
    with ExitStack() as stack:
        found = []
        for path in proc.glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, directory)
                theirs = os.stat("ns/net", dir_fd=directory)
                if os.path.samestat(theirs, network) and path.name != str(shell):
                    line = _read(directory, "cmdline").replace("\0", " ")
                    found.append(Process(directory, line))
        yield found


def _read(directory: int, name: str) -> str:
    with open(
        os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), errors="replace"
    ) as file:
        return file.read()
