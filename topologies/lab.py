"""A lab as a Python object.

    with Lab(units=3) as lab:
        lab.run("client", ["curl", "http://203.0.113.10/"])

What it does is start programs in namespaces: the sandbox (`topologies.sandbox`), then the app, what
the hosts serve and, on each unit, `synod unit up`. It decides nothing about the cluster and has no
door of its own into it: what it knows are the app's HTTP answers and the output of commands on
hosts.
"""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from topologies import making, recipe, registry, services
from topologies.hosts import Hosts, LabError
from topologies.recipe import Options

__all__ = ["Lab", "LabError"]

_POLL = 0.1  # seconds

_numbers = itertools.count(1)


class Lab:
    """A lab: not there yet, there, or gone. As a context manager it goes with this process, however
    that ends.
    """

    def __init__(
        self,
        units: int = 3,
        *,
        method: str = "round-robin",
        weights: Sequence[int] = (),
        interfaces: int = 2,
        session_table: str = "flows",
        balance: str = "all",
        override: int = 0,
        rules: str = recipe.DEFAULT_RULES,
        name: str | None = None,
    ) -> None:
        """ValueError with all that is wrong with the options. Unnamed, it names itself."""
        self.options = Options(
            f"lab-{os.getpid()}-{next(_numbers)}" if name is None else name,
            units,
            interfaces,
            method,
            tuple(weights),
            session_table,
            balance,
            override,
            rules,
        )
        if errors := self.options.errors():
            raise ValueError("\n".join(errors))
        self._hosts = Hosts(0, {}, self.config)
        self._state: registry.State | None = None

    @classmethod
    def attach(cls, name: str) -> Self:
        """The running lab of that name; LabError if there is none."""
        registry.sweep()
        state = registry.read(registry.RUN / name)
        if state is None:
            raise LabError(f"there is no lab {name!r}: start it with 'synod-lab up --name {name}'")
        lab = cls(**state.options)
        lab._adopt(state)
        return lab

    @property
    def directory(self) -> Path:
        """The lab's files, seen from everywhere: cluster.yaml, log/, web/."""
        return self.options.directory

    @property
    def config(self) -> Path:
        """The cluster's file."""
        return self.directory / "cluster.yaml"

    @property
    def log_dir(self) -> Path:
        """Logs: app.log, sandbox.log, u1/synod/agent.log, u1/openvswitch/ovs-vswitchd.log, …"""
        return self.directory / "log"

    @property
    def hosts(self) -> list[str]:
        """The names of the hosts; none while the lab is not there."""
        return sorted(self._hosts.shells)

    @property
    def units(self) -> range:
        """The unit ids."""
        return range(1, self.options.units + 1)

    def __enter__(self) -> Self:
        """Up, bound to this process."""
        self.up(tied=True)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Down."""
        self.down()

    # -- coming and going

    def up(
        self,
        report: Callable[[str], None] = lambda _step: None,
        tied: bool = False,
        timeout: float = 60,
    ) -> None:
        """Starts everything; returns when all units have joined and sessions are balanced.

        `report` is told each step as it begins. LabError if it fails, with what the logs say; then
        nothing is left.
        """
        making.make_directory(self.options, self.config)
        try:
            report("network: hosts, switches, cables")
            self._adopt(making.start_sandbox(self.options, tied))
            report("servers, app")
            self._start_servers()
            self.start_app()
            report(f"{self.options.units} units: Open vSwitch, filters, addresses, agent")
            making.units_up(self.popen, self.config, self.log_dir, self.units)
            self.load_rules(self.options.rules)
            report("units join")
            self.wait_whole(timeout)
        except BaseException as failure:
            words = making.post_mortem(self.log_dir, failure)
            self.down()
            if isinstance(failure, LabError | OSError | subprocess.SubprocessError):
                raise LabError(words) from failure
            raise

    def down(self) -> None:
        """Kills the sandbox, and with it all that runs there; removes the directory."""
        if self._state:
            self._state.kill()
        self._state, self._hosts = None, Hosts(0, {}, self.config)
        shutil.rmtree(self.directory, ignore_errors=True)
        registry.sweep()

    # -- its hosts

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
        """Runs a command on a host to its end: see `Hosts.run`."""
        return self._hosts.run(host, argv, check=check, timeout=timeout, input=input, env=env)

    def popen(
        self, host: str, argv: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Starts a command on a host: see `Hosts.popen`."""
        return self._hosts.popen(host, argv, env, **options)

    def connect(self, host: str, port: int, timeout: float = 5) -> socket.socket:
        """A TCP connection from a host to its own loopback address. OSError if there is none."""
        return self._hosts.connect(host, port, timeout)

    def argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` on a host. Misnamed if the lab has no such host."""
        return self._hosts.argv(host, argv)

    def switch_argv(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` where the switches are: in the sandbox, on no host."""
        return self._hosts.switch_argv(argv)

    def prompt_argv(self) -> list[str]:
        """The command that opens Mininet's prompt on the hosts."""
        program = [sys.executable, "-m", "topologies.prompt"]
        size = [str(self.options.units), str(self.options.interfaces)]
        return self.switch_argv([*program, *size, json.dumps(dict(self._hosts.shells))])

    def environment(self) -> dict[str, str]:
        """What commands on hosts find in their environment."""
        return self._hosts.environment()

    # -- what the app says

    def status(self) -> dict[str, Any]:
        """The app's answer to /v1/status. OSError if it doesn't answer."""
        return self.get("/v1/status")

    def get(self, path: str, timeout: float = 5) -> dict[str, Any]:
        """The app's answer (JSON) to any path. OSError if there is none, or it is not 200."""
        found: dict[str, Any] = json.loads(
            self._hosts.ask("controller", recipe.HTTP_PORT, path, timeout)
        )
        return found

    def wait(
        self, predicate: Callable[[dict[str, Any]], object], timeout: float = 30
    ) -> dict[str, Any]:
        """Polls the status until the predicate likes it, and returns that status.

        While the app is away there is no status, and the predicate is not asked. LabError after
        `timeout` seconds.
        """
        last: object = "no answer from the app"
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                last = found = self.status()
                if predicate(found):
                    return found
            self._check_alive()
            time.sleep(_POLL)
        raise LabError(f"not within {timeout:g} s; the last status: {json.dumps(last)}")

    def wait_whole(self, timeout: float = 30) -> dict[str, Any]:
        """Waits until the cluster is complete and the primary's agent knows it: from now on,
        sessions are balanced.

        The app tells an agent how things are when that announces itself. The first answer after the
        cluster is complete may still be on its way, so two more announcements are waited for.
        """
        heard = _answers(self.wait(self.complete, timeout))
        return self.wait(lambda now: self.complete(now) and _answers(now) >= heard + 2, timeout)

    def complete(self, status: dict[str, Any]) -> bool:
        """Every unit is up, and one of them primary."""
        states = {unit["id"]: unit["state"] for unit in status["units"]}
        return bool(status["primary"]) and all(states.get(number) == "up" for number in self.units)

    def held(self, status: dict[str, Any]) -> bool:
        """Every unit is known to hold the sessions of all others."""
        units = set(self.units)
        return all({*(unit["synced"] or ()), unit["id"]} == units for unit in status["units"])

    # -- its parts

    def start_app(self) -> None:
        """Starts the app on the controller; it answers a moment later."""
        self._launch("controller", recipe.app_argv(self.config), "app")

    def stop_app(self) -> None:
        """Ends the app; returns when it is gone."""
        script = 'p=$(cat "$1") && rm "$1" && kill $p && while kill -0 $p 2>&-; do sleep 0.05; done'
        self.run("controller", ["sh", "-c", script, "sh", str(self._pid_file("app"))], timeout=20)

    def start_agent(self, unit: int) -> None:
        """Starts the agent of a unit, with its supervisor."""
        self.run(f"u{unit}", recipe.agent_argv("start", self.config, unit))

    def stop_agent(self, unit: int) -> None:
        """Ends the agent of a unit, and its supervisor: it stays away."""
        self.run(f"u{unit}", recipe.agent_argv("stop", self.config, unit))

    def start_unit(self, unit: int) -> None:
        """`synod unit up` on a unit."""
        self.run(f"u{unit}", recipe.unit_argv("up", self.config, unit), timeout=120)

    def stop_unit(self, unit: int) -> None:
        """`synod unit down` on a unit. The user's rules stay."""
        self.run(f"u{unit}", recipe.unit_argv("down", self.config, unit), timeout=120)

    def load_rules(self, text: str, units: Sequence[int] = ()) -> None:
        """`nft -f -` on these units; on all if none is named."""
        for number in units or self.units:
            self.run(f"u{number}", ["nft", "-f", "-"], input=text)

    def keep_logs(self, directory: Path) -> None:
        """Copies the logs somewhere that outlives the lab."""
        shutil.copytree(self.log_dir, directory, dirs_exist_ok=True)

    # -- how it is made

    def _adopt(self, state: registry.State) -> None:
        self._state = state
        self._hosts = Hosts(state.init, state.hosts, self.config)

    def _start_servers(self) -> None:
        for network in self.options.networks:
            prefix = self.directory / "web" / network.host
            services.furnish(prefix, network.host)
            for what, argv in services.servers(prefix).items():
                self._launch(network.host, argv, f"{what}-{network.host}")

    def _launch(self, host: str, argv: Sequence[str], name: str) -> None:
        """Starts a program that stays; its log is NAME.log."""
        script = 'log=$1 pid=$2; shift 2; setsid "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid"'
        log, pid = self.log_dir / f"{name}.log", self._pid_file(name)
        self.run(host, ["sh", "-c", script, "sh", str(log), str(pid), *argv])

    def _pid_file(self, name: str) -> Path:
        return self.directory / f"{name}.pid"

    def _check_alive(self) -> None:
        """LabError if the sandbox is gone, or the app is although nobody stopped it."""
        if not (self._state and self._state.alive()):
            raise LabError("the sandbox has died")
        app = self._pid_file("app")
        if app.exists() and not self._hosts.runs(int(app.read_text())):
            raise LabError("the app has ended by itself")


def _answers(status: dict[str, Any]) -> int:
    """How often the primary's agent has heard the app, by its own last announcement."""
    primary = next(unit for unit in status["units"] if unit["id"] == status["primary"])
    count: int = primary["agent"].get("state", 0)
    return count
