"""Carries out the steps that `agents.bringup` planned, and takes them back.

Every step that has been done is written to a journal at once, with the exact commands that undo it
on this machine (settings as they were found). A step that fails undoes all before it, so that a
host is a unit or what it was before. What the steps are, and why, is not decided here.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agents import config_tls, machine, priority, queues, switch_keys
from agents.bringup import Host, plan
from agents.bringup_steps import (
    BLOCK_BEGIN,
    BLOCK_END,
    Block,
    Command,
    Offloads,
    Step,
    Sysctls,
    block_text,
    offload_argv,
    sysctl_argv,
)
from agents.config import Cluster
from agents.machine import ProvisionError
from agents.mending import Seen, is_missing
from agents.obstacles import problems_with
from agents.running import RUN, SUPERVISOR, read_pid
from agents.switch import DATABASE, OVSDB_SOCKET

__all__ = ["ProvisionError", "down", "look", "mend", "read_journal", "up"]

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
    running = machine.answers(OVSDB_SOCKET)
    database = os.path.realpath(DATABASE)
    links = machine.links()
    datapath = datapath or ("system" if machine.has_kernel_datapath() else "netdev")
    return Host(
        datapath=datapath,
        ovs_running=running,
        database=None if running or os.path.exists(database) else database,
        max_idle=machine.max_idle() if running else None,
        datapath_known=running and machine.knows_datapath(datapath),
        links_up=frozenset(name for name, link in links.items() if "UP" in link["flags"]),
        python=sys.executable,
    )


def up(
    cluster: Cluster,
    unit_id: int,
    config: str,
    report: Callable[[Step], None],
    datapath: str | None = None,
    *,
    foreground: bool = False,
) -> bool:
    """Makes this host the unit; False if it is already. Where it is but for something that is no
    longer there, such as what was killed, that is done again. ProvisionError, and nothing changed,
    if a host that was no unit does not become one.
    """
    before = read_journal()
    if before:
        if (before.cluster, before.unit, before.digest) == (cluster.name, unit_id, cluster.digest):
            return mend(cluster, unit_id, config, report, foreground=foreground)
        raise ProvisionError(
            f"this host is unit {before.unit} of {before.cluster!r} already, "
            "by another configuration: run 'synod unit down' first"
        )
    _check(cluster, unit_id)
    host = replace(look(datapath), foreground=foreground)
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


def mend(
    cluster: Cluster,
    unit_id: int,
    config: str,
    report: Callable[[Step], None],
    anew: frozenset[str] | None = None,
    *,
    foreground: bool = False,
) -> bool:
    """Does again what `up` has done and is no longer so; whether anything was. ProvisionError if
    that fails; then it may be tried again.

    Whether a NIC is up is not looked at: one that is fenced is down. With `anew` (links that are
    others than before) Open vSwitch isn't either.
    """
    journal = read_journal()
    if journal is None:
        return False
    unit = cluster.unit(unit_id)
    nics = frozenset((*unit.nics, unit.ha_nic))
    host = Host(
        ovs_running=anew is not None, links_up=nics, python=sys.executable, foreground=foreground
    )
    undone = [argv for _why, argv in journal.undo]
    links: list[Command] = []
    mended, seen = False, _see(anew)
    for step in plan(cluster, unit_id, config, host):
        # What can be undone and isn't to be was not done, or by somebody else.
        if isinstance(step, Command) and step.undo and list(step.undo) not in undone:
            continue
        if not is_missing(step, seen):
            continue
        report(step)
        mended = True
        if isinstance(step, Command) and step.argv[0] == "ip":
            links.append(step)
            continue
        _all_at_once(links)
        _do_again(step)
        seen = _see(anew)
    _all_at_once(links)
    return mended


def _all_at_once(commands: list[Command]) -> None:
    """Addresses, then links up, then routes, by one `ip`; none is left. A primary with only some of
    its routes would tell clients that there is no way.
    """
    order = ("address", "link", "route")
    argvs = sorted(
        (command.argv[1:] for command in commands), key=lambda argv: order.index(argv[0])
    )
    if argvs:
        machine.run(("ip", "-batch", "-"), "".join(" ".join(argv) + "\n" for argv in argvs))
    commands.clear()


def _see(anew: frozenset[str] | None) -> Seen:
    running = {daemon for daemon in ("ovsdb-server", "ovs-vswitchd") if machine.runs(daemon)}
    if read_pid(RUN / SUPERVISOR):
        running.add(SUPERVISOR)
    return Seen(
        machine.links(),
        machine.tables(),
        frozenset(running),
        _setting,
        anew or frozenset(),
        queues.short(),
        priority.switch_waits(int(priority.NICENESS)),
        machine.routes(),
    )


def _setting(key: str) -> str | None:
    try:
        return machine.setting(key)
    except ProvisionError:
        return None


def _do_again(step: Step) -> None:
    """The journal knows already how to undo it."""
    match step:
        case Command(_, argv, _, stdin):
            machine.run(argv, stdin)
        case Sysctls(_, values):
            machine.run(sysctl_argv(values))


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
            machine.run(argv, stdin)
        case Sysctls(why, values):
            found = ((key, machine.setting(key), str(value)) for key, value in values)
            was = tuple((key, old) for key, old, new in found if old != new)
            _note(journal, why, sysctl_argv(was) if was else ())
            machine.run(sysctl_argv(values))
        case Offloads(why, nic, features):
            on = [feature for feature in features if feature in machine.features_on(nic)]
            if on:
                _note(journal, why, offload_argv(nic, dict.fromkeys(on, "on")))
                machine.run(offload_argv(nic, dict.fromkeys(on, "off")))
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
            machine.run(tuple(argv))
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
    ours = bool(machine.external_id(cluster.bridge))
    problems = problems_with(cluster, unit_id, machine.links(), machine.routes(), ours)
    if cluster.tls:
        problems += switch_keys.problems(config_tls.of(config_tls.UNIT_PATH))
    if problems:
        raise ProvisionError("\n".join(problems))


def _remove_remains(cluster: Cluster, host: Host) -> None:
    """After a reboot the database still has our bridge, but nothing else of the unit is there:
    begin anew.
    """
    if host.ovs_running and machine.external_id(cluster.bridge):
        machine.run(("ovs-vsctl", "--timeout=15", "--if-exists", "del-br", cluster.bridge))
    elif not host.ovs_running and host.database is None:
        named, columns = [["name", "==", cluster.bridge]], ["_uuid", "external_ids"]
        rows = machine.in_file(op="select", table="Bridge", where=named, columns=columns)["rows"]
        ours = ["set", [row["_uuid"] for row in rows if "synod" in dict(row["external_ids"][1])]]
        gone = [["bridges", "delete", ours]]
        machine.in_file(op="mutate", table="Open_vSwitch", where=[], mutations=gone)
