"""The app as its users start it, and agents that are played by frames on the switch's ports."""

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from agents.config import Cluster
from agents.pki import CONTROLLER
from agents.systemd import over_tls_at
from agents.wire import control, ports
from tests.polling import until
from tests.switch import keys
from tests.switch.ovs import Switch
from tests.switch.units import CLIENT, CLUSTER, SERVER, UnitBridge, cluster_text

ROOT = Path(__file__).parents[2]
START = 20.0  # seconds that Ryu may take to start on a busy machine


def session(number: int) -> tuple[bytes, bytes]:
    """orig and reply of a session that is translated to the cluster's address."""
    port = (40000 + number).to_bytes(2, "big")
    return CLIENT + SERVER + port + b"\0\x50", SERVER + CLUSTER + b"\0\x50" + port


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def ended(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An app that ends by itself, as it can't start so, and what it says."""
    return subprocess.run(
        (sys.executable, "-W", "ignore", "-m", "ryu.cmd.manager", *arguments),
        cwd=ROOT,
        env=os.environ | {"SYNOD_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class App:
    """The app under `ryu-manager`."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.port, self.http = free_port(), free_port()
        self.config = folder / "cluster.yaml"
        text = cluster_text(len(cluster.units), cluster.session_table, cluster.controller)
        self.config.write_text(text)
        self.tls = cluster.tls
        self.token = folder / "token"
        self.token.touch(mode=0o600)
        self.token.write_text("only-for-this-test\n")
        self.log = folder / "app.log"
        self.process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        """Of `ryu-manager`."""
        openflow = ["--ofp-tcp-listen-port", str(self.port)]
        if self.tls:
            openflow = over_tls_at(str(self.port), str(keys.made("lab") / CONTROLLER))
        return [*openflow, "--wsapi-port", str(self.http), "ryu_apps.load_balancer"]

    @property
    def openflow(self) -> str:
        """Where switches find it, as Open vSwitch writes it."""
        return f"{'ssl' if self.tls else 'tcp'}:127.0.0.1:{self.port}"

    def start(self, *python: str) -> None:
        """Start it; it answers when this returns, unless `python` says what to run instead."""
        command = (sys.executable, "-W", "ignore", *(python or ("-m", "ryu.cmd.manager")))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*command, *self.arguments()),
                cwd=ROOT,
                env=os.environ
                | {"SYNOD_CONFIG": str(self.config), "SYNOD_TOKEN_FILE": str(self.token)},
                stdout=log,
                stderr=log,
            )
        if not python:
            try:
                until(self.status, "the app answers", START)
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End it, at once and without a farewell."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def status(self) -> dict[str, Any]:
        """What it tells; nothing while it isn't there."""
        try:
            return self.ask("/v1/status")[1]
        except (urllib.error.URLError, ConnectionError):
            return {}

    def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Code and answer to a GET."""
        return self._ask(urllib.request.Request(self.url + path))

    def order(
        self, path: str, body: bytes = b"", authorization: str = "Bearer only-for-this-test"
    ) -> tuple[int, dict[str, Any]]:
        """Code and answer to a POST, by default with the token."""
        headers = {"Authorization": authorization} if authorization else {}
        return self._ask(urllib.request.Request(self.url + path, body, headers, method="POST"))

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.http}"

    def _ask(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def metrics(self, accept: str = "") -> tuple[str, str]:
        """What Prometheus is told: content type and text."""
        asked = urllib.request.Request(self.url + "/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(asked) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    def unit(self, number: int) -> dict[str, Any]:
        """A unit's part of the status."""
        found: dict[str, Any] = self.status()["units"][number - 1]
        return found


class Scene:
    """A cluster's bridges on one switch, its app, and its agents."""

    def __init__(self, switch: Switch, cluster: Cluster, folder: Path) -> None:
        self.switch = switch
        self.cluster = cluster
        self.app = App(folder, cluster)
        self.units = {unit.id: UnitBridge(switch, cluster, unit.id) for unit in cluster.units}
        self.told: dict[int, control.State] = {}
        self.arps: list[bytes] = []
        self.heard: dict[int, list[control.Message]] = {unit: [] for unit in self.units}
        self.silent: set[int] = set()
        self._started = ExitStack()
        self._over = threading.Event()
        self._agents = threading.Thread(target=self._announce, daemon=True)

    def __enter__(self) -> Self:
        """Start; every unit is up when this returns."""
        if self.app.tls:
            keys.give(self.switch, keys.of_any())
        with ExitStack() as stack:
            self.app.start()
            stack.callback(self.app.stop)
            for unit in self.units.values():
                self.connect(unit)
            self._agents.start()
            stack.callback(self._agents.join)
            stack.callback(self._over.set)
            until(self.formed, "all units are up", START)
            self._started = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop agents and app."""
        self._started.close()

    def connect(self, unit: UnitBridge) -> None:
        """Make the bridge look for its controller; it soon tries again if that is away."""
        self.switch.vsctl(
            *("set-controller", unit.name, self.app.openflow),
            *("--", "set", "controller", unit.name, "max_backoff=1000"),
        )

    def formed(self) -> bool:
        """Are all up, and is there balancing?"""
        status = self.app.status()
        return bool(
            status and status["balancing"] and {u["state"] for u in status["units"]} == {"up"}
        )

    def put(self, unit: int, *frames: bytes) -> None:
        """Frames from an agent."""
        bridge = self.units[unit]
        bridge.bridge.put(bridge.port("synod"), *frames)

    def await_messages(self, unit: int, kind: int) -> list[control.Message]:
        """Wait for a message of that kind to an agent."""

        def of_kind() -> list[control.Message]:
            return [message for message in tuple(self.heard[unit]) if message.kind == kind]

        return until(of_kind, f"{control.KINDS[kind]} to unit {unit}")

    def answer_census(self, unit: int, records: list[control.Counted]) -> None:
        """What the app has asked that unit last: it asks again if it has waited for too long."""
        request = self.await_messages(unit, control.CENSUS_REQUEST)[-1]
        self.put(unit, *control.census_frames(1, unit, request.token, records))

    def offer(self, *numbers: int, known: int = 0) -> dict[int, int]:
        """The primary's agent offers sessions; offer id -> unit of the answer."""
        self.heard[1].clear()
        offers = [control.Offer(number, known, 1, 2, 0, *session(number)) for number in numbers]
        self.put(1, *control.offer_frames(1, 1, offers))
        messages = self.await_messages(1, control.DECIDED)
        return dict(each for message in messages for each in control.decided(message))

    def _announce(self) -> None:
        """Play the agents: announce, and read. Censuses are a test's to answer."""
        while not self._over.wait(0.25):
            for unit in self.units.keys() - self.silent:
                told = self.told.get(unit)
                macs = zip(self.cluster.interfaces, self.cluster.unit(unit).macs, strict=True)
                announce = control.Announce(
                    unit=unit,
                    group=self.cluster.group,
                    boot=unit,
                    name="lab",
                    version="1",
                    role=told.role if told else "none",
                    primary=told.primary if told else 0,
                    macs={interface.name: ports.mac_text(mac) for interface, mac in macs},
                    digest=self.cluster.digest,
                    serving=0,
                    resync=0,
                    hears=tuple(sorted(self.units.keys() - self.silent - {unit})),
                )
                self.put(unit, *control.announce_frames(announce))
                for frame in self.units[unit].bridge.sent(self.units[unit].port("synod")):
                    if frame[12:14] == b"\x88\xb5":
                        self._hear(unit, control.parse(frame))
                    elif frame[12:14] == b"\x08\x06":
                        self.arps.append(frame)

    def _hear(self, unit: int, message: control.Message) -> None:
        if message.kind == control.STATE:
            self.told[unit] = control.state(message)
        else:
            self.heard[unit].append(message)
