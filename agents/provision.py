"""Carries out the steps that `agents.bringup` planned, and takes them back.

Every step that has been done is written to a journal at once, with the exact commands that undo it
on this machine (settings as they were found). A step that fails undoes all before it, so that a
host is a unit or what it was before. What the steps are, and why, is not decided here.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.bringup import (
    BLOCK_BEGIN,
    BLOCK_END,
    DATABASE,
    OVSDB_SOCKET,
    Block,
    Command,
    Host,
    Offloads,
    Step,
    Sysctls,
    block_text,
    offload_argv,
    plan,
    sysctl_argv,
)
from agents.config import Cluster
from agents.wire.ports import HA_KERNEL_NAME, SYNOD_NAME, mac_bytes

JOURNAL = Path("/run/synod/unit.json")

# What is called, and the Debian package that has it.
_TOOLS = {
    "ovs-vsctl": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "nft": "nftables",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "sysctl": "procps",
    "conntrackd": "conntrackd",
}


class ProvisionError(Exception):
    """Why the host did not become a unit, or not again what it was; for a person to read."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What `up` has done: whose unit this host is, and the commands that undo it, last first."""

    cluster: str
    unit: int
    digest: str
    undo: list[tuple[str, list[str]]]  # (why the step was done, command)

    def write(self) -> None:
        """Replaces the file in one step."""
        JOURNAL.parent.mkdir(parents=True, exist_ok=True)
        fresh = JOURNAL.with_suffix(".new")
        fields = {
            "cluster": self.cluster,
            "unit": self.unit,
            "digest": self.digest,
            "undo": self.undo,
        }
        fresh.write_text(json.dumps(fields, indent=1))
        fresh.replace(JOURNAL)


def read_journal() -> Journal | None:
    """The journal, if this host is a unit (or was on its way to be one)."""
    try:
        fields = json.loads(JOURNAL.read_text())
    except FileNotFoundError:
        return None
    undo = [(why, list(argv)) for why, argv in fields["undo"]]
    return Journal(fields["cluster"], fields["unit"], fields["digest"], undo)


def look(datapath: str | None = None) -> Host:
    """What the plan must know of this machine; `datapath` overrides what was found."""
    running = _answers(OVSDB_SOCKET)
    database = os.path.realpath(DATABASE)
    links = {link["ifname"]: link for link in _links()}
    return Host(
        datapath=datapath or ("system" if _kernel_datapath() else "netdev"),
        ovs_running=running,
        database=None if running or os.path.exists(database) else database,
        max_idle=_max_idle() if running else None,
        links_up=frozenset(name for name, link in links.items() if "UP" in link["flags"]),
        python=sys.executable,
    )


def up(
    cluster: Cluster,
    unit_id: int,
    config: str,
    report: Callable[[Step], None],
    datapath: str | None = None,
) -> bool:
    """Makes this host the unit; False if it is already. ProvisionError, and nothing changed, if
    that fails.
    """
    before = read_journal()
    if before:
        if (before.cluster, before.unit, before.digest) == (cluster.name, unit_id, cluster.digest):
            return False
        raise ProvisionError(
            f"this host is unit {before.unit} of {before.cluster!r} already, "
            "by another configuration: run 'synod unit down' first"
        )
    _check(cluster, unit_id)
    host = look(datapath)
    _remove_remains(cluster, host)
    journal = Journal(cluster.name, unit_id, cluster.digest, [])
    journal.write()
    for step in plan(cluster, unit_id, config, host):
        report(step)
        try:
            _do(step, journal)
        except ProvisionError as failure:
            _undo(journal, lambda _why: None)
            raise ProvisionError(f"{step.why}: {failure}") from None
    return True


def down(report: Callable[[str], None]) -> bool:
    """Undoes what `up` did, the last first; False if this host is no unit. All that can be undone
    is, errors or not.
    """
    journal = read_journal()
    if journal is None:
        return False
    failures = _undo(journal, report)
    if failures:
        raise ProvisionError("\n".join(failures))
    return True


def _do(step: Step, journal: Journal) -> None:
    """Does one step. The journal has its undoing first: of a step half done, as much as was done
    must be undone.
    """
    match step:
        case Command(why, argv, undo, stdin):
            _note(journal, why, undo)
            _run(argv, stdin)
        case Sysctls(why, values):
            found = ((key, _sysctl(key), str(value)) for key, value in values)
            was = tuple((key, old) for key, old, new in found if old != new)
            _note(journal, why, sysctl_argv(was) if was else ())
            _run(sysctl_argv(values))
        case Offloads(why, nic, features):
            on = [feature for feature in features if feature in _features_on(nic)]
            if on:
                _note(journal, why, offload_argv(nic, dict.fromkeys(on, "on")))
                _run(offload_argv(nic, dict.fromkeys(on, "off")))
        case Block(why, path, text):
            _write_block(journal, why, Path(path), text)


def _write_block(journal: Journal, why: str, path: Path, text: str) -> None:
    old = path.read_text() if path.exists() else ""
    if block_text(text) in old:
        return
    if not path.parent.exists():
        _note(journal, why, ("rmdir", str(path.parent)))
        path.parent.mkdir()
    remove = ("sed", "-i", f"/^{BLOCK_BEGIN}$/,/^{BLOCK_END}$/d", str(path))
    _note(journal, why, remove if path.exists() else ("rm", "-f", str(path)))
    with path.open("a") as file:
        file.write("\n" if old and not old.endswith("\n") else "")
        file.write(block_text(text))


def _note(journal: Journal, why: str, undo: tuple[str, ...]) -> None:
    if undo:
        journal.undo.append((why, list(undo)))
        journal.write()


def _undo(journal: Journal, report: Callable[[str], None]) -> list[str]:
    """What could not be undone. The journal goes: trying again would fare no better."""
    failures = []
    for why, argv in reversed(journal.undo):
        report(why)
        try:
            _run(tuple(argv))
        except ProvisionError as failure:
            failures.append(str(failure))
    JOURNAL.unlink(missing_ok=True)
    return failures


def _check(cluster: Cluster, unit_id: int) -> None:
    """ProvisionError with all that would make a step fail, or cut somebody off, and can be seen
    before the first: nothing is touched.
    """
    if os.geteuid() != 0:
        raise ProvisionError("only root can make a host a unit")
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        packages = " ".join(sorted({_TOOLS[tool] for tool in missing}))
        raise ProvisionError(f"{', '.join(missing)} not found: apt-get install {packages}")
    links = {link["ifname"]: link for link in _links()}
    problems = problems_with(cluster, unit_id, links, ours=bool(_external_id(cluster.bridge)))
    if problems:
        raise ProvisionError("\n".join(problems))


def problems_with(
    cluster: Cluster, unit_id: int, links: Mapping[str, Any], ours: bool
) -> list[str]:
    """What stands in the way of a unit among the interfaces, as `ip -json address` gives them;
    `ours`: the bridge is there, and Synod's.
    """
    found = []
    unit = cluster.unit(unit_id)
    for nic in (*unit.nics, unit.ha_nic):
        if nic not in links:
            found.append(f"there is no interface {nic}")
            continue
        addresses = [a["local"] for a in links[nic]["addr_info"] if a["family"] == "inet"]
        if addresses:
            listed = ", ".join(addresses)
            found.append(f"{nic} has the address {listed}: the cluster's NICs must have none")
        if mac_bytes(links[nic]["address"]) in (*unit.macs, unit.ha_mac):
            found.append(f"{nic} has the MAC address of a kernel port: the two must differ")
    if not ours:
        names = [each.name for each in cluster.interfaces]
        taken = [*names, HA_KERNEL_NAME, SYNOD_NAME, cluster.bridge]
        found += [f"there is a {name} already, not Synod's" for name in taken if name in links]
    return found


def _remove_remains(cluster: Cluster, host: Host) -> None:
    """After a reboot the database still has our bridge, but nothing else of the unit is there:
    begin anew.
    """
    if host.ovs_running and _external_id(cluster.bridge):
        _run(("ovs-vsctl", "--timeout=15", "--if-exists", "del-br", cluster.bridge))
    elif not host.ovs_running and host.database is None:
        named, columns = [["name", "==", cluster.bridge]], ["_uuid", "external_ids"]
        rows = _in_file(op="select", table="Bridge", where=named, columns=columns)["rows"]
        ours = ["set", [row["_uuid"] for row in rows if "synod" in dict(row["external_ids"][1])]]
        gone = [["bridges", "delete", ours]]
        _in_file(op="mutate", table="Open_vSwitch", where=[], mutations=gone)


def _in_file(**operation: Any) -> Any:
    """Does an operation of RFC 7047 on the database's file, which no server has open."""
    argv = ("ovsdb-tool", "transact", DATABASE, json.dumps(["Open_vSwitch", operation]))
    return json.loads(_run(argv))[0]


def _run(argv: tuple[str, ...], stdin: str = "") -> str:
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProvisionError(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or "no output"
        raise ProvisionError(f"'{' '.join(argv)[:200]}' failed with {done.returncode}: {words}")
    return done.stdout


def _links() -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(_run(("ip", "-json", "address", "show")))
    return links


def _sysctl(key: str) -> str:
    try:
        return Path("/proc/sys", key).read_text().strip()
    except OSError as error:
        raise ProvisionError(f"{key}: {error.strerror}") from None


# Short names, as `ethtool -K` takes them, of the lines of `ethtool -k`.
_FEATURES = {
    "tx": "tx-checksumming",
    "gro": "generic-receive-offload",
    "lro": "large-receive-offload",
}


def _features_on(nic: str) -> set[str]:
    lines = _run(("ethtool", "-k", nic)).splitlines()
    return {short for short, long in _FEATURES.items() if f"{long}: on" in lines}


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def _kernel_datapath() -> bool:
    if Path("/sys/module/openvswitch").exists():
        return True
    probe = ("modprobe", "--dry-run", "--quiet", "openvswitch")
    return bool(shutil.which("modprobe")) and subprocess.run(probe, check=False).returncode == 0


def _max_idle() -> str | None:
    argv = (
        "ovs-vsctl",
        "--timeout=15",
        "--if-exists",
        "get",
        "open_vswitch",
        ".",
        "other_config:max-idle",
    )
    return _run(argv).strip().strip('"') or None


def _external_id(bridge: str) -> str | None:
    """Whose unit the bridge of that name is; None if there is none, or it is not Synod's."""
    if not _answers(OVSDB_SOCKET):
        return None
    argv = (
        "ovs-vsctl",
        "--timeout=15",
        "--if-exists",
        "get",
        "bridge",
        bridge,
        "external_ids:synod",
    )
    return _run(argv).strip().strip('"') or None
