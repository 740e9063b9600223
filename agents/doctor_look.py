"""Looks at this machine, for the doctor: what `agents.doctor_checks` is to see of a unit.

Asks, and changes nothing. Who is to be root is told by what calls this.
"""

import importlib.metadata
import json
import os
import platform
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from agents import (
    __version__,
    config_key,
    config_tls,
    journal,
    machine,
    priority,
    provision,
    queues,
    switch,
    switch_keys,
)
from agents.bringup import CONNLABEL_FILES, plan
from agents.config import Cluster
from agents.doctor_cluster import Report, table_digests
from agents.doctor_keys import KeysSeen
from agents.doctor_seen import Look
from agents.mending import Seen
from agents.running import AGENT, FENCE, REPLICATION, RUN, SUPERVISOR, read_pid
from agents.systemd import TOKEN
from agents.wire.ports import MAGIC

_PROC_SYS = Path("/proc/sys")
# Kernel settings in which units should not differ: how long sessions live, and how many.
_COMPARED = ("net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_tcp_timeout_*")
_RULES = Path("/etc/nftables.conf")
# Seconds that what Open vSwitch's database says of connections may be old, and one to spare
# (stats-update-interval in ovs-vswitchd.conf.db(5)).
_STALE = 6.0
_LOADS_RULES = "/etc/systemd/system/*.wants/nftables.service"


def look(cluster: Cluster, unit: int, config: str) -> Look:
    """All that is to be seen. ProvisionError if something can't be asked."""
    bridge = cluster.bridge if machine.external_id(cluster.bridge) else ""
    host = provision.look(machine.datapath_type(bridge) if bridge else None)
    nics = (*cluster.unit(unit).nics, cluster.unit(unit).ha_nic)
    # As if its links were all up, and its switch running: what is planned then is what must be so.
    host = replace(host, ovs_running=True, links_up=frozenset(nics))
    links = machine.links()
    key_fault, cluster_keys = _cluster_keys()
    running = SUPERVISOR if read_pid(RUN / SUPERVISOR) else ""
    controllers, errors = controllers_of(bridge) if bridge else ({}, {})
    return Look(
        cluster=cluster,
        unit=unit,
        plan=plan(cluster, unit, config, host),
        seen=Seen(
            links,
            machine.tables(),
            frozenset((running,)),
            _setting,
            short_queues=queues.short(),
            switch_waits=priority.switch_waits(int(priority.NICENESS)),
            routes=machine.routes(),
        ),
        brought_up=journal.read(),
        versions=versions(),
        offloads=_offloads(nics, links) if host.datapath == "netdev" else {},
        cookies=_cookies(bridge) if bridge else (),
        ports=_ports(bridge) if bridge else {},
        controllers=controllers,
        conntrack=_conntrack(),
        programs=_programs(cluster),
        files={path: _text(Path(path)) for path in CONNLABEL_FILES},
        strangers=tuple(_strangers()),
        fenced=FENCE.exists(),
        flushing=_flushing(),
        synchronised=_synchronised(),
        token=TOKEN.stat().st_mode if TOKEN.exists() else None,
        key_fault=key_fault,
        cluster_keys=cluster_keys,
        keys=switch_keys.held() if cluster.tls else None,
        errors=errors,
    )


def _cluster_keys() -> tuple[str, tuple[str, ...]]:
    """Why the file of the cluster's key is unfit, if it is, and what its keys are called."""
    try:
        return "", config_key.names(config_key.load(config_key.path()))
    except config_key.KeyFileError as error:
        return str(error), ()


def keys(folder: str, now: float) -> KeysSeen:
    """Of the files in a folder of keys."""
    files = config_tls.of(folder)
    paths = [path for path in (files.certificate, files.ca) if Path(path).exists()]
    found = {path: _ends(Path(path).read_text(errors="replace")) for path in paths}
    return KeysSeen(
        tuple(config_tls.faults(files)),
        {path: (min(ends) - now) / 86400 for path, ends in found.items() if ends},
    )


def _ends(text: str) -> list[int]:
    """When the certificates in a file do, in seconds since the epoch."""
    asked = ("openssl", "x509", "-noout", "-enddate")
    found = []
    for certificate in re.findall(r"-{5}BEGIN CERT.*?-{5}END CERTIFICATE-{5}", text, re.S):
        said = machine.run(asked, certificate)
        found.append(ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter=")))
    return found


def report(found: Look) -> Report:
    """What of a unit is compared with others."""
    tables = table_digests(machine.run(("nft", "--json", "--stateless", "list", "ruleset")))
    keys = (str(path.relative_to(_PROC_SYS)) for each in _COMPARED for path in _PROC_SYS.glob(each))
    settings = {key: machine.setting(key) for key in sorted(keys)}
    about = found.unit, found.cluster.digest, found.versions
    return Report(*about, tables, settings, found.cluster_keys)


def versions() -> dict[str, str]:
    """Of what a unit runs on, as far as it is there."""
    asked = {
        "ovs": ("ovs-vsctl", "--version"),
        "nft": ("nft", "--version"),
        "conntrackd": ("conntrackd", "-v"),
    }
    found = {"synod": __version__, "kernel": platform.release()}
    found["python"] = platform.python_version()
    for name, argv in asked.items():
        try:
            said = machine.run(argv)
        except machine.ProvisionError:
            continue
        if match := re.search(r"\d+\.\d+(\.\d+)*", said):
            found[name] = match[0]
    return found


def app_versions() -> dict[str, str]:
    """Of what the app runs on, as far as this Python has it."""
    found = {}
    for name in ("c65ryu", "eventlet"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _setting(key: str) -> str | None:
    try:
        return machine.setting(key)
    except machine.ProvisionError:
        return None


def _offloads(nics: tuple[str, ...], links: Iterable[str]) -> dict[str, set[str]]:
    return {nic: machine.features_on(nic) for nic in nics if nic in links}


def _cookies(bridge: str) -> tuple[int, ...]:
    """Those that aren't Synod's, without a list of all flows: there may be two for each session."""
    ours = f"cookie={MAGIC << 48:#x}/{0xFFFF << 48:#x}"
    if _count(bridge) == _count(bridge, ours):
        return ()
    found: list[str] = []
    for bit in (1 << place for place in range(48, 64)):
        # What differs from ours in this bit: there is no way to ask for what differs at all.
        other = f"cookie={~(MAGIC << 48) & bit:#x}/{bit:#x}"
        listed = machine.run(("ovs-ofctl", "dump-flows", bridge, other))
        found += re.findall(r"cookie=0x([0-9a-f]+)", listed)
    return tuple(int(each, 16) for each in found)


def _count(bridge: str, *match: str) -> int:
    said = machine.run(("ovs-ofctl", "dump-aggregate", bridge, *match))
    return int(re.findall(r"flow_count=(\d+)", said)[0])


def _ports(bridge: str) -> dict[str, int]:
    names = machine.run(("ovs-vsctl", "--timeout=15", "list-ports", bridge)).split()
    gets = [word for name in names for word in ("--", "get", "interface", name, "ofport")]
    numbers = machine.run(("ovs-vsctl", "--timeout=15", *gets)).split() if names else []
    return {name: int(number) for name, number in zip(names, numbers, strict=True)}


def controllers_of(bridge: str) -> tuple[dict[str, bool], dict[str, str]]:
    """By target: whether it is connected, and what is said of the last try if it isn't. One that
    has connected a moment ago is waited for: the database is told now and then only.
    """
    deadline = time.monotonic() + _STALE
    while True:
        connected, errors = _controllers_now(bridge)
        if not connected or any(connected.values()) or time.monotonic() > deadline:
            return connected, errors
        time.sleep(0.2)


def _controllers_now(bridge: str) -> tuple[dict[str, bool], dict[str, str]]:
    ovs = ("ovs-vsctl", "--timeout=15")
    targets = machine.run((*ovs, "get-controller", bridge)).split()
    columns = ("target", "is_connected", "status")
    listing = (*ovs, "--format=json", f"--columns={','.join(columns)}", "list", "controller")
    rows = json.loads(machine.run(listing))["data"] if targets else []
    connected = {target: is_connected for target, is_connected, _ in rows}
    said = {target: dict(status[1]).get("last_error", "") for target, _, status in rows}
    away = [target for target in targets if not connected.get(target)]
    return (
        {target: target not in away for target in targets},
        {target: said[target] for target in away if said.get(target)},
    )


def _conntrack() -> tuple[int, int]:
    entries, most = (_setting(f"net/netfilter/nf_conntrack_{each}") for each in ("count", "max"))
    return int(entries or 0), int(most or 1)


def _programs(cluster: Cluster) -> dict[str, str]:
    notes = {"the supervisor": SUPERVISOR, "the agent": AGENT}
    if cluster.pickup != "off":
        notes["conntrackd"] = REPLICATION
    found = {name: _state(read_pid(RUN / note)) for name, note in notes.items()}
    try:
        return {"the switch": _state(switch.process()), **found}
    except ProcessLookupError:
        return {"the switch": "", **found}


def _state(process: int | None) -> str:
    if process is None:
        return ""
    return _text(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()[0]


def _strangers() -> Iterator[int]:
    """Other conntrackds of this machine, or what stands for one: of this network."""
    here, ours = os.stat("/proc/self/ns/net"), read_pid(RUN / REPLICATION)
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int(path.name) == ours or (path / "comm").read_text().strip() != "conntrackd":
                continue
            if os.path.samestat(os.stat(path / "ns/net"), here):
                yield int(path.name)
        except OSError:  # it has ended meanwhile
            continue


def _flushing() -> bool:
    enabled = any(Path("/").glob(_LOADS_RULES.lstrip("/")))
    return enabled and re.search(r"^\s*flush ruleset", _text(_RULES), re.M) is not None


def _synchronised() -> bool | None:
    if not Path("/run/systemd/system").exists():
        return None
    try:
        said = machine.run(("timedatectl", "show", "--property=NTPSynchronized", "--value"))
    except machine.ProvisionError:
        return None
    return said.strip() == "yes"


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
