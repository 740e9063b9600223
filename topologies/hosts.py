"""The hosts of a running lab: commands on them, and connections from them.

A command on a host is started by `topologies/enter.py`, which joins the host's namespaces.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import config_key, config_token
from topologies.enter import join, namespaces

_ENTER = Path(__file__).with_name("enter.py")
_SHOWN = 200  # characters of a command that an error shows
_AROUND = 1  # the process id of the sandbox's first process, inside


class LabError(Exception):
    """Why a lab did not come up, or a command in it failed; for a person to read."""


class Misnamed(LabError):
    """Something that this lab doesn't have; says what it has."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """`init`: the sandbox's first process; `shells`: by host, a process there; `config`: the
    cluster's file, which commands find in SYNOD_CONFIG, and beside it the operator's token and the
    cluster's key.
    """

    init: int
    shells: Mapping[str, int]
    config: Path

    def argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` on a host. Misnamed if there is no such host."""
        if host not in self.shells:
            known = ", ".join(sorted(self.shells)) or "none: the lab is down"
            raise Misnamed(f"there is no host {host!r}; there are {known}")
        return self._entering(self.shells[host], argv)

    def switch_argv(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` where the switches are: in the sandbox, on no host."""
        return self._entering(_AROUND, argv)

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout: float = 60,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, its output captured as text. Without `input`, its standard
        input is empty. LabError if it fails and `check` is set.
        """
        source: dict[str, Any] = {"input": input} if input else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            self.argv(host, argv),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self.environment(env),
            **source,
        )
        if check and done.returncode != 0:
            command = " ".join(argv)[:_SHOWN]
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"{host}: '{command}' failed with {done.returncode}: {said}")
        return done

    def popen(
        self, host: str, argv: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Starts a command: `subprocess.Popen` with its options. Signals sent to what it returns
        reach the command; if that is killed, so is the command.
        """
        return subprocess.Popen(self.argv(host, argv), env=self.environment(env), **options)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What commands find: this environment, with Synod's programs first on the path."""
        programs = str(Path(sys.executable).parent)
        path = os.pathsep.join((programs, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
        ours = {
            "SYNOD_CONFIG": str(self.config),
            config_token.VARIABLE: str(self.config.with_name("token")),
            config_key.VARIABLE: str(self.config.with_name("key")),
        }
        return {**os.environ, "PATH": path, **ours, **(more or {})}

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A TCP connection from a host to its own loopback address. OSError if there is none."""
        if host not in self.shells:
            raise OSError(f"no host {host}")
        opened: list[socket.socket | OSError] = []

        def open_there() -> None:
            try:
                join(namespaces(self.init, self.shells[host])[1:2])
                opened.append(socket.socket())
            except OSError as error:
                opened.append(error)

        # A socket stays in the network that it was opened in; only this thread goes there.
        thread = threading.Thread(target=open_there)
        thread.start()
        thread.join()
        result = opened[0]
        if isinstance(result, OSError):
            raise result
        result.settimeout(timeout)
        try:
            result.connect(("127.0.0.1", port))
        except OSError:
            result.close()
            raise
        return result

    def ask(self, host: str, port: int, path: str, timeout: float) -> bytes:
        """What a web server on a host's loopback address answers to a GET. OSError if there is no
        answer, or it is not 200.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        connection.sock = self.connect(host, port, timeout)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
            except http.client.HTTPException as error:
                raise OSError(f"{path}: {error!r}") from error
        if answer.status != http.client.OK:
            raise OSError(f"{path}: {answer.status} {answer.reason}")
        return body

    def runs(self, pid: int) -> bool:
        """Whether there is a process of that id in the sandbox."""
        return Path(f"/proc/{self.init}/root/proc/{pid}").exists()

    def _entering(self, node: int, argv: Sequence[str]) -> list[str]:
        return [sys.executable, "-I", "-S", str(_ENTER), str(self.init), str(node), *argv]
