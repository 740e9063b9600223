"""What can be wrong with a unit: a table of checks, each with its name and its remedy.

Pure: a check is given what was seen of the machine (`agents.doctor_look` looks) and says what it
finds, a line for each fault. What a unit should be like is its bring-up's plan, step by step; a
step that has lost its effect is a fault, as for `agents.mending`. What only shows beside others is
`agents.doctor_cluster`'s.
"""

import re
from collections.abc import Callable, Iterable

from agents import config_tls
from agents.bringup_steps import Block, Command, Sysctls, block_text
from agents.doctor_seen import Check, Look
from agents.mending import is_missing
from agents.wire.ports import MAGIC, mac_bytes, mac_text

# Those of Debian 12: what is older has never been tried.
OLDEST = {
    "kernel": (6, 1),
    "ovs": (3, 1),
    "nft": (1, 0, 6),
    "conntrackd": (1, 4, 7),
    "python": (3, 11),
}
FULL = 0.8  # of conntrack's table


def number(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _not_up(look: Look) -> Iterable[str]:
    found = look.brought_up
    if found is None:
        yield "this host is no unit"
    elif not found.complete:
        yield "'synod unit up', or 'down', was broken off: this host is a unit by half"
    elif (found.cluster, found.unit) != (look.cluster.name, look.unit):
        yield f"this host is unit {found.unit} of {found.cluster}"
    elif found.digest != look.cluster.digest:
        yield "the cluster's file has changed since this host became a unit"


def _old(look: Look) -> Iterable[str]:
    for what, least in OLDEST.items():
        version = look.versions.get(what, "")
        if (found := number(version)) and found < least:
            yield f"{what} {version} is older than {'.'.join(map(str, least))}"


def _settings(look: Look) -> Iterable[str]:
    for step in look.plan:
        if isinstance(step, Sysctls):
            for key, wanted in step.values:
                found = look.seen.setting(key)
                if found not in (None, str(wanted)):
                    yield f"{key} is {found}, not {wanted}"


def _lost(*words: str) -> Callable[[Look], Iterable[str]]:
    """Steps of the plan whose command begins so, or is run by Python as one, and has no effect."""

    def faults(look: Look) -> Iterable[str]:
        for step in look.plan:
            named = isinstance(step, Command) and words in (step.argv[: len(words)], step.argv[2:3])
            if named and is_missing(step, look.seen):
                yield step.why

    return faults


def _tables(look: Look) -> Iterable[str]:
    for step in look.plan:
        if isinstance(step, Command) and step.argv[0] == "nft" and is_missing(step, look.seen):
            yield f"there is no table {' '.join(step.undo[-2:])}: {step.why}"


def _absent(look: Look) -> Iterable[str]:
    for port in (*look.nics, *look.kernel_ports):
        if port.name not in look.seen.links:
            yield f"there is no {port.name}"


def _nics_down(look: Look) -> Iterable[str]:
    for nic in look.nics:
        flags = look.seen.links.get(nic.name, {"flags": ["UP", "LOWER_UP"]})["flags"]
        if "UP" not in flags:
            yield f"{nic.name} is down"
        elif "LOWER_UP" not in flags:
            yield f"{nic.name} has no carrier"


def _nic_addresses(look: Look) -> Iterable[str]:
    for nic in look.nics:
        for each in look.seen.links.get(nic.name, {"addr_info": []})["addr_info"]:
            if each["family"] == "inet":
                yield f"{nic.name} has the address {each['local']}"


def _macs(look: Look) -> Iterable[str]:
    for port in look.kernel_ports:
        found = look.seen.links.get(port.name, {}).get("address")
        if port.mac and found and mac_bytes(found) != port.mac:
            yield f"{port.name} has the MAC address {found}, not {mac_text(port.mac)}"


def _mtus(look: Look) -> Iterable[str]:
    for port in (*look.kernel_ports, *look.nics):
        found = look.seen.links.get(port.name, {}).get("mtu", port.mtu)
        if found < port.mtu:
            yield f"{port.name} has an MTU of {found}, not {port.mtu}"


def _offloads(look: Look) -> Iterable[str]:
    for nic, features in look.offloads.items():
        if on := sorted(features):
            yield f"{nic} has {', '.join(on)} on"


def _cookies(look: Look) -> Iterable[str]:
    foreign = sorted({cookie for cookie in look.cookies if cookie >> 48 != MAGIC})
    for cookie in foreign:
        yield f"{look.cluster.bridge} has flows with the cookie {cookie:#x}"


def _ports(look: Look) -> Iterable[str]:
    wanted = {port.name: port.number for port in (*look.kernel_ports, *look.nics)}
    for name, number in wanted.items():
        if name in look.ports and look.ports[name] != number:
            yield f"{name} is port {look.ports[name]}, not {number}"
    for name in look.ports.keys() - wanted.keys() - {look.cluster.bridge}:
        yield f"{look.cluster.bridge} has a port {name} that the cluster's file doesn't know"


def _controllers(look: Look) -> Iterable[str]:
    for target in {look.cluster.controller} ^ look.controllers.keys():
        has = "has" if target in look.controllers else "lacks"
        yield f"{look.cluster.bridge} {has} the controller {target}"


def _keys(look: Look) -> Iterable[str]:
    if look.cluster.tls and look.brought_up and look.keys != config_tls.of(config_tls.UNIT_PATH):
        yield (
            f"Open vSwitch has {look.keys.key if look.keys else 'no key'} for TLS, and should "
            + (f"have {config_tls.UNIT_PATH}/{config_tls.KEY}")
        )


def _away(look: Look) -> Iterable[str]:
    if look.controllers and not any(look.controllers.values()):
        said = (
            f"{target} ({look.errors[target]})" if target in look.errors else target
            for target in sorted(look.controllers)
        )
        yield f"no connection to {', '.join(said)}"


def _conntrack(look: Look) -> Iterable[str]:
    entries, most = look.conntrack
    if entries > FULL * most:
        yield f"{entries} of {most} entries are taken"


def _programs(look: Look) -> Iterable[str]:
    for name, state in look.programs.items():
        if not state:
            yield f"{name} doesn't run"


def _stopped(look: Look) -> Iterable[str]:
    for name, state in look.programs.items():
        if state in ("T", "t"):
            yield f"{name} is stopped"


def _strangers(look: Look) -> Iterable[str]:
    for process in look.strangers:
        yield f"process {process} is a conntrackd that isn't Synod's"


def _labels(look: Look) -> Iterable[str]:
    for step in look.plan:
        if isinstance(step, Block) and block_text(step.text) not in look.files.get(step.path, ""):
            yield f"{step.path} doesn't name Synod's labels, or not all"


def _said(condition: Callable[[Look], bool], what: str) -> Callable[[Look], Iterable[str]]:
    return lambda look: [what] if condition(look) else []


_AGAIN = (
    "the supervisor does it again within some seconds; if it isn't there, 'systemctl start "
    "synod-unit' does, or 'synod unit up --id N' without systemd"
)
_ANEW = (
    "'systemctl restart synod-unit', or 'synod unit down' and 'synod unit up --id N' without "
    "systemd; the unit is out of the cluster meanwhile: drain it, or promote another, first"
)

UNIT: tuple[Check[Look], ...] = (
    Check(
        "not_up",
        "'synod unit up --id N'; if it is another unit, or another file's: 'synod unit down' first",
        _not_up,
    ),
    Check("version_old", "install Debian 12's or later: older ones have not been tried", _old),
    Check(
        "setting_changed",
        "find who sets it (/etc/sysctl.d, a script, another program); " + _AGAIN,
        _settings,
    ),
    Check(
        "rules_missing",
        "who flushes the ruleset? Reload your own tables only; " + _AGAIN,
        _tables,
    ),
    Check(
        "rules_flushed_at_reload",
        "take 'flush ruleset' out of it: name and delete your own tables (docs/install.md)",
        _said(
            lambda look: look.flushing,
            "/etc/nftables.conf, which nftables.service loads, flushes Synod's tables, too",
        ),
    ),
    Check(
        "port_missing",
        "a NIC: is it the name that the kernel gives it now (ip link)? A port: is the switch "
        "running (systemctl status ovs-vswitchd)? " + _AGAIN,
        _absent,
    ),
    Check("address_missing", "who took it away? " + _AGAIN, _lost("ip", "address")),
    Check("route_missing", "who took it away? " + _AGAIN, _lost("ip", "route")),
    Check("port_down", "who set it down? " + _AGAIN, _lost("ip", "link")),
    Check(
        "nic_down",
        "cable, switch port, 'ip link set NIC up'; if the unit is fenced, the app must be heard",
        _nics_down,
    ),
    Check(
        "nic_has_address",
        "take it off the NIC (/etc/network/interfaces, DHCP): the cluster's ports have addresses",
        _nic_addresses,
    ),
    Check("mac_wrong", _ANEW, _macs),
    Check(
        "mtu_small",
        "'ip link set NAME mtu N': a SYN that doesn't fit with its SYN data isn't balanced, and "
        "what session pickup says and doesn't fit is lost",
        _mtus,
    ),
    Check(
        "offload_on",
        "'ethtool -K NIC FEATURE off': the bridge would see frames that the wire never carried",
        _offloads,
    ),
    Check(
        "queues_short",
        _AGAIN,
        _lost("agents.queues"),
    ),
    Check(
        "switch_waits",
        _AGAIN,
        _lost("agents.priority"),
    ),
    Check(
        "flow_foreign",
        "'ovs-ofctl del-flows BRIDGE cookie=COOKIE/-1'; who has written them?",
        _cookies,
    ),
    Check("port_wrong", _ANEW, _ports),
    Check(
        "cluster_key_unfit",
        "the same file on all units, its owner's alone: 'synod key show' on each names its keys",
        lambda look: [look.key_fault] if look.key_fault else [],
    ),
    Check("switch_keys_wrong", _ANEW, _keys),
    Check("controller_wrong", _ANEW, _controllers),
    Check(
        "controller_away",
        "does the app run, and can this unit reach it ('ovs-vsctl show', a firewall between)? "
        "Protocol error: one side doesn't take the other's certificate. Which, the app's log says "
        "(tls_refused), and ovs-vswitchd.log",
        _away,
    ),
    Check(
        "conntrack_full",
        "raise net.netfilter.nf_conntrack_max on all units, or find who opens so many",
        _conntrack,
    ),
    Check("program_missing", _AGAIN + "; the log says why it ended", _programs),
    Check("program_stopped", "'kill -CONT' it; who stopped it?", _stopped),
    Check(
        "conntrackd_foreign",
        "'systemctl disable --now conntrackd': Synod runs its own",
        _strangers,
    ),
    Check("labels_unnamed", _ANEW, _labels),
    Check(
        "fenced",
        "another unit is primary, and the app isn't heard here: mend the way to the app, no more",
        _said(lambda look: look.fenced, "this unit has taken its NICs down"),
    ),
    Check(
        "clock_unsynchronised",
        "install systemd-timesyncd or chrony: logs of several machines are compared by their times",
        _said(lambda look: look.synchronised is False, "the clock follows no other"),
    ),
    Check(
        "token_readable",
        "'chmod 600' it, and make another if others may have read it",
        _said(lambda look: bool((look.token or 0) & 0o077), "others can read the token's file"),
    ),
)
