"""A program on a host of a lab that answers lines of JSON, asked from outside.

A request is `[operation, {arguments}]`, its answer `{"ok": value}` or `{"error": text}`. Nothing
here knows of an operation.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from agents import priority
from topologies.lab import Lab


class Refused(Exception):
    """The program's word for why it didn't do what it was asked."""


class Ended(Exception):
    """It is no longer there; with its exit code."""


class Answering:
    """One such program: a module, run by this Python."""

    def __init__(
        self,
        lab: Lab,
        host: str,
        module: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        niceness: int = 0,
    ) -> None:
        """`niceness`, if not 0, is that of a session of its own (`agents.priority`)."""
        self._process: subprocess.Popen[str] = lab.popen(
            host,
            [sys.executable, "-m", module, *arguments],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=bool(niceness),
        )
        if niceness:
            priority.of_session(self._process.pid, niceness)

    def line(self) -> str:
        """The next line that it says; empty if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def ask(self, operation: str, **arguments: Any) -> Any:
        """What it answers. Refused, Ended."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps([operation, arguments]) + "\n")
        stdin.flush()
        line = self.line()
        if not line:
            raise Ended(self._process.wait())
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]

    def stop(self) -> None:
        """Ends it, and with it every socket it holds."""
        self._process.terminate()
        self._process.communicate(timeout=10)
