"""A machine that bring-up's tests play: what would be done to it is noted."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from agents import bringup, journal, provision, queues
from agents import machine as machine_
from agents.bringup import Host
from agents.config import Cluster
from agents.provision import ProvisionError

Argv = tuple[str, ...]
HOST = Host(database="/db", python=sys.executable)
DAEMONS = ("ovsdb-server", "ovs-vswitchd")
LINKS = ("int", "ext", "ha", "synod0", "nic-int", "nic-ext", "nic-ha")
TABLES = (("inet", "synod"), ("netdev", "synod"), ("netdev", "synod0"))


class Machine:
    """What `provision` would do to this machine: commands noted instead of run, settings in a
    dictionary. At the command of number `fails` it raises `error`, or gets the signal `told`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[Argv] = []
        self.fails: int | None = None
        self.error: BaseException | None = ProvisionError("no")
        self.told: signal.Signals | None = None
        self.settings: dict[str, str] = {}
        self.features = {"tx", "gro"}
        self.running: set[str] = set()
        self.short = False  # the switch's queues

    def run(self, argv: Argv, stdin: str = "") -> str:
        if argv[:2] == ("ethtool", "-k"):
            return ""
        if argv == ("ip", "-batch", "-"):
            self.ran += [("ip", *line.split()) for line in stdin.splitlines()]
            return ""
        self.ran.append(argv)
        if self.fails == len(self.ran) - 1:
            if self.told:
                os.kill(os.getpid(), self.told)
            if self.error:
                raise self.error
        if argv[0] == "sysctl":
            self.settings.update(dict(pair.split("=") for pair in argv[3:]))
        self.short &= "agents.queues" not in argv
        self.running |= {word for word in argv if word in DAEMONS or word == "agents.supervise"}
        return ""

    def links(self) -> dict[str, Any]:
        """All links of the plan, as far as commands have come with them."""
        found = {name: {"flags": [], "addr_info": []} for name in LINKS}
        for argv in self.ran:
            if argv[:3] == ("ip", "address", "replace"):
                local, length = argv[3].split("/")
                found[argv[5]]["addr_info"].append({"local": local, "prefixlen": int(length)})
            if argv[:3] == ("ip", "link", "set"):
                found[argv[3]]["flags"].append(argv[4].upper())
        return found

    def routes(self) -> frozenset[tuple[str, str, str]]:
        return frozenset(
            (argv[3], argv[5], argv[7])
            for argv in self.ran
            if argv[:3] == ("ip", "route", "replace")
        )

    def sysctl(self, key: str) -> str:
        return self.settings.setdefault(key, "1" if key.endswith("tcp_loose") else "0")


def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    files = (str(tmp_path / "connlabel.conf"), str(tmp_path / "xtables" / "connlabel.conf"))
    monkeypatch.setattr(bringup, "CONNLABEL_FILES", files)
    monkeypatch.setattr(journal, "JOURNAL", tmp_path / "run" / "unit.json")
    monkeypatch.setattr(journal, "FENCE", tmp_path / "fenced")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine_, "run", made.run)
    monkeypatch.setattr(machine_, "setting", made.sysctl)
    monkeypatch.setattr(machine_, "links", made.links)
    monkeypatch.setattr(machine_, "routes", made.routes)
    monkeypatch.setattr(machine_, "tables", lambda: frozenset(TABLES))
    monkeypatch.setattr(machine_, "runs", lambda daemon: daemon in made.running)
    monkeypatch.setattr(
        provision, "read_pid", lambda _path: int("agents.supervise" in made.running) or None
    )
    monkeypatch.setattr(queues, "short", lambda: made.short)
    monkeypatch.setattr(machine_, "features_on", lambda _nic: made.features)
    monkeypatch.setattr(provision, "_check", lambda *_: None)
    monkeypatch.setattr(provision, "look", lambda _datapath: HOST)
    return made


def up(cluster: Cluster, unit: int = 1) -> bool:
    return provision.up(cluster, unit, "cluster.yaml", lambda _step: None)


def quiet(_words: str) -> None:
    pass
