"""Carries out the steps that `agents.bringup` planned, and takes them back.

Every step is written to a journal (`agents.journal`) before it is done. One that fails, or is
broken off, undoes all before it, so that a host is a unit or what it was before. What the steps
are, and why, is not decided here.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from agents import config_tls, journal, machine, priority, queues, signals, switch_keys
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
from agents.journal import Journal
from agents.machine import ProvisionError
from agents.mending import Seen, is_missing
from agents.obstacles import problems_with
from agents.running import RUN, SUPERVISOR, read_pid
from agents.switch import DATABASE, OVSDB_SOCKET

__all__ = ["ProvisionError", "down", "look", "mend", "up"]

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
    longer there, such as what was killed, that is done again; where it is by half, as it was broken
    off, that is undone first. ProvisionError, and nothing changed, if a host that was no unit does
    not become one.
    """
    _require_root()
    before = journal.read()
    if before and before.complete:
        if (before.cluster, before.unit, before.digest) == (cluster.name, unit_id, cluster.digest):
            return mend(cluster, unit_id, config, report, foreground=foreground)
        raise ProvisionError(
            f"this host is unit {before.unit} of {before.cluster!r} already, "
            "by another configuration: run 'synod unit down' first"
        )
    if before:
        _undo(before, lambda _why: None)
    _check(cluster, unit_id)
    host = replace(look(datapath), foreground=foreground)
    _remove_remains(cluster, host)
    fresh = Journal(cluster.name, unit_id, cluster.digest, [])
    _do_all(plan(cluster, unit_id, config, host), fresh, report)
    return True


def _do_all(steps: Iterable[Step], fresh: Journal, report: Callable[[Step], None]) -> None:
    """Does them, or none: whatever goes wrong, what was done is undone. A signal is heeded between
    two steps.
    """
    try:
        with signals.noted() as told:
            fresh.write()
            for step in steps:
                report(step)
                try:
                    _do(step, fresh)
                except ProvisionError as failure:
                    _heed(told)  # a terminal's Ctrl-C ends the command, too
                    raise ProvisionError(f"{step.why}: {failure}") from None
                _heed(told)
            replace(fresh, complete=True).write()
        _heed(told)
    except BaseException:
        with signals.ignored():
            _undo(fresh, lambda _why: None)
        raise


def _heed(told: list[int]) -> None:
    if signal.SIGINT in told:
        raise KeyboardInterrupt
    if told:
        raise ProvisionError(f"broken off by {signal.Signals(told[0]).name}; all is undone")


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
    before = journal.read()
    if before is None:
        return False
    unit = cluster.unit(unit_id)
    nics = frozenset((*unit.nics, unit.ha_nic))
    host = Host(
        ovs_running=anew is not None, links_up=nics, python=sys.executable, foreground=foreground
    )
    undone = [argv for _why, argv in before.undo]
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
    before = journal.read()
    if before is None:
        return False
    failures = _undo(before, report)
    if failures:
        raise ProvisionError("\n".join(failures))
    return True


def _do(step: Step, fresh: Journal) -> None:
    """Does one step. The journal has its undoing first: of a step half done, as much as was done
    must be undone.
    """
    match step:
        case Command(why, argv, undo, stdin):
            _note(fresh, why, undo)
            machine.run(argv, stdin)
        case Sysctls(why, values):
            found = ((key, machine.setting(key), str(value)) for key, value in values)
            was = tuple((key, old) for key, old, new in found if old != new)
            _note(fresh, why, sysctl_argv(was) if was else ())
            machine.run(sysctl_argv(values))
        case Offloads(why, nic, features):
            on = [feature for feature in features if feature in machine.features_on(nic)]
            if on:
                _note(fresh, why, offload_argv(nic, dict.fromkeys(on, "on")))
                machine.run(offload_argv(nic, dict.fromkeys(on, "off")))
        case Block(why, path, text):
            _write_block(fresh, why, Path(path), block_text(text).encode())


def _write_block(fresh: Journal, why: str, path: Path, block: bytes) -> None:
    """Bytes: whoever else has lines in that file writes them in whatever encoding."""
    try:
        old = path.read_bytes() if path.exists() else b""
        if block in old:
            return
        if not path.parent.exists():
            _note(fresh, why, ("rmdir", str(path.parent)))
            path.parent.mkdir()
        remove = ("sed", "-i", f"/^{BLOCK_BEGIN}$/,/^{BLOCK_END}$/d", str(path))
        _note(fresh, why, remove if path.exists() else ("rm", "-f", str(path)))
        with path.open("ab") as file:
            file.write(b"\n" if old and not old.endswith(b"\n") else b"")
            file.write(block)
    except OSError as error:
        raise ProvisionError(f"{path}: {error.strerror}") from None


def _note(fresh: Journal, why: str, undo: tuple[str, ...]) -> None:
    if undo:
        fresh.undo.append((why, list(undo)))
        fresh.write()


def _undo(done: Journal, report: Callable[[str], None]) -> list[str]:
    """What could not be undone. The journal goes: trying again would fare no better."""
    failures = []
    with contextlib.suppress(ProvisionError):  # no room, say: no reason to stay a unit
        replace(done, complete=False).write()
    for why, argv in done.undoing():
        report(why)
        try:
            machine.run(tuple(argv))
        except ProvisionError as failure:
            failures.append(str(failure))
    journal.forget()
    return failures


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ProvisionError("only root can make a host a unit")


def _check(cluster: Cluster, unit_id: int) -> None:
    """ProvisionError with all that would make a step fail, or cut somebody off, and can be seen
    before the first: nothing is touched.
    """
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
