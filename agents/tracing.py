"""Runs the commands that a question of the app's takes (`agents.core_answering`), beside the
agent's loop: one at a time, at the lowest priority, their output read as it comes.

Decides nothing, and waits for nothing: whoever polls calls `turn()`.
"""

import os
import select
import subprocess
import time
from typing import IO

from agents.core_answering import Command, Tracing
from agents.wire.inquiry import LONGEST, Traced

PATIENCE = 2.0  # seconds for one command
_NICEST = 19


class Tracer:
    """The command that runs, if there is one. `poll` is told what to wait for."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._tracing: Tracing | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""
        self._until = 0.0

    def begin(self, tracing: Tracing) -> Traced | None:
        """Start its first command; what was found, if it needs none."""
        self._tracing = tracing
        return self._next(None)

    def turn(self) -> Traced | None:
        """Go on if the command has said something; what was found, once all have run."""
        process = self._process
        if process is None or not self._has_ended(process):
            return None
        self._poll.unregister(_output(process))
        _output(process).close()
        process.wait()  # its output has ended, or it was killed
        self._process = None
        return self._next(self._read.decode(errors="replace"))

    def close(self) -> None:
        """End what runs."""
        if self._process:
            self._process.kill()
            self._process.wait()
            _output(self._process).close()
            self._process = None

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        if time.monotonic() > self._until:
            process.kill()
            return True
        while True:
            try:
                part = os.read(_output(process).fileno(), LONGEST)
            except BlockingIOError:
                return False
            if not part:
                return True
            self._read = (self._read + part)[:LONGEST]

    def _next(self, said: str | None) -> Traced | None:
        """Have it told what the last command said, and start the next."""
        assert self._tracing
        while True:
            try:
                command = next(self._tracing) if said is None else self._tracing.send(said)
            except StopIteration as end:
                self._tracing = None
                found: Traced = end.value
                return found
            try:
                self._start(command)
            except OSError as problem:
                said = f"{command[0]}: {problem.strerror}"
            else:
                return None

    def _start(self, command: Command) -> None:
        self._process = process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICEST)
        os.set_blocking(_output(process).fileno(), False)
        self._poll.register(_output(process), select.POLLIN)
        self._read, self._until = b"", time.monotonic() + PATIENCE


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout
    return process.stdout
