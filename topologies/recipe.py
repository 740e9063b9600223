"""What a lab consists of, as text: its options, its files, the command of each of its programs.

Pure: `topologies.lab` writes and runs it, `synod-lab up --print` shows it.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from agents import config_key, config_tls, config_token, pki
from agents.bringup import Host, plan
from agents.bringup_steps import shell
from agents.config import Cluster
from agents.priority import NICENESS
from agents.switch import DATABASE
from agents.systemd import over_tls_at
from topologies.cluster import CONTROLLER_ADDRESS, MAX_UNITS, NETWORKS, Network, SynodTopo
from topologies.registry import RUN

SANDBOX = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
OPENFLOW_PORT = 6653
KEYS = "pki"  # the folder of keys and certificates, in the lab's
HTTP_PORT = 8080

METHODS = (
    "round-robin",
    "weighted-round-robin",
    "least-connection",
    "weighted-least-connection",
    "source-hash",
)
SESSION_TABLES = ("flows", "conntrack")
BALANCE = ("all", "labelled")
BEHIND = "198.51.100.0/24"  # whose router the server is, by the cluster's routes

DEFAULT_RULES = """\
# The user's own rules, the same on every unit. Those of the lab: hosts inside go out by the
# cluster's outside address, and what they announce on FTP's control connections is followed.
table ip lab {
    ct helper ftp {
        type "ftp" protocol tcp;
    }
    chain prerouting {
        type filter hook prerouting priority filter; policy accept;
        tcp dport 21 ct helper set "ftp"
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 10.1.0.0/24 oifname "ext" snat to 203.0.113.1
    }
}
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What a lab can be asked to be."""

    name: str = "lab"
    units: int = 3
    interfaces: int = 2
    method: str = "round-robin"
    weights: tuple[int, ...] = ()
    session_table: str = "flows"
    balance: str = "all"
    override: int = 0  # the unit that has the highest priority and takes the role back
    rules: str = DEFAULT_RULES

    def errors(self) -> list[str]:
        """What is wrong with them, all at once, in words."""
        found = []
        if not self.name.replace("-", "").replace("_", "").isalnum() or len(self.name) > 32:
            found.append(f"name: {self.name!r} is not letters, digits and dashes, at most 32")
        if not 1 <= self.units <= MAX_UNITS:
            found.append(f"units: {self.units} is not in 1 to {MAX_UNITS}")
        if not 2 <= self.interfaces <= len(NETWORKS):
            found.append(f"interfaces: {self.interfaces} is not in 2 to {len(NETWORKS)}")
        if self.weights and len(self.weights) != self.units:
            found.append(f"weights: {len(self.weights)} given for {self.units} units")
        if any(not 0 <= weight <= 255 for weight in self.weights):
            found.append("weights: each must be in 0 to 255")
        if not 0 <= self.override <= self.units:
            found.append(f"override: {self.override} is no unit, nor 0")
        for what, value, known in (
            ("method", self.method, METHODS),
            ("session table", self.session_table, SESSION_TABLES),
            ("balance", self.balance, BALANCE),
        ):
            if value not in known:
                found.append(f"{what}: {value!r} is not one of {', '.join(known)}")
        return found

    @property
    def directory(self) -> Path:
        """Where the lab's files and logs are."""
        return RUN / self.name

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks between which the cluster stands."""
        return NETWORKS[: self.interfaces]


def cluster_file(options: Options) -> str:
    """The cluster's file (YAML), the same for the app and on every unit."""
    weights = options.weights or (1,) * options.units
    first = ", priority: 200, override: true"
    lines = [
        f"name: {options.name}",
        "group: 1",
        f"method: {options.method}",
        f"balance: {options.balance}",
        f"session_table: {options.session_table}",
        "interfaces:",
        *(
            f"  {net.interface}: {{nic: nic-{net.interface}, addresses: [{net.cluster_address}]}}"
            for net in options.networks
        ),
        f"routes: [{{to: {BEHIND}, via: {NETWORKS[1].address}}}]",
        "ha: {nic: nic-ha, subnet: 169.254.83.0/24}",
        "units:",
        *(
            f"  - {{id: {number}, weight: {weight}{first if number == options.override else ''}}}"
            for number, weight in enumerate(weights, 1)
        ),
        f'controllers: ["ssl:{CONTROLLER_ADDRESS}:{OPENFLOW_PORT}"]',
    ]
    return "\n".join([*lines, ""])


def token_file(config: Path) -> Path:
    """The operator's token, beside the cluster's file."""
    return config.with_name("token")


def key_file(config: Path) -> Path:
    """The cluster's key, beside the cluster's file."""
    return config.with_name("key")


def app_argv(config: Path) -> list[str]:
    """The app, under a plain ryu-manager; before others, and so its session (`agents.priority`)."""
    first = f'echo {NICENESS} >/proc/self/autogroup; exec nice -n {NICENESS} "$@"'
    return [
        *("sh", "-c", first, "sh", "env", f"SYNOD_CONFIG={config}"),
        f"{config_token.VARIABLE}={token_file(config)}",
        program("ryu-manager"),
        *over_tls_at(str(OPENFLOW_PORT), str(config.with_name(KEYS) / pki.CONTROLLER)),
        *("--wsapi-host", "127.0.0.1", "--wsapi-port", str(HTTP_PORT)),
        "ryu_apps.load_balancer",
    ]


def unit_argv(action: str, config: Path, number: int) -> list[str]:
    """`synod unit up` or `down`."""
    argv = [sys.executable, "-m", "agents.cli", "unit", action]
    return [*argv, "--config", str(config), "--id", str(number)] if action == "up" else argv


def agent_argv(action: str, config: Path, number: int) -> list[str]:
    """The agent's supervisor, to start or to stop."""
    argv = [sys.executable, "-m", "agents.supervise", action]
    return [*argv, "--config", str(config), "--id", str(number)] if action == "start" else argv


def keeper_argv(options: Options, tied: bool) -> list[str]:
    """The sandbox, and a shell that waits for its end, then removes the lab's directory: killing
    the sandbox leaves nothing. If the shell is killed, the sandbox dies; `tied`, both die with the
    process that starts the shell.
    """
    deadly = ["setpriv", "--pdeathsig", "KILL"]
    directory = str(options.directory)
    sandbox = [
        *(*deadly, *SANDBOX, "--", sys.executable, "-m", "topologies.sandbox"),
        *(directory, str(options.units), str(options.interfaces)),
    ]
    script = 'dir=$1; shift; "$@"; rm -rf -- "$dir"; rmdir "${dir%/*}" 2>/dev/null'
    keeper = ["sh", "-c", script, "synod-lab", directory, *sandbox]
    return [*deadly, *keeper] if tied else keeper


def program(name: str) -> str:
    """A program of the virtual environment that this Python is of."""
    return str(Path(sys.executable).parent / name)


def by_hand(options: Options, cluster: Cluster, datapath: str) -> str:
    """All of it as shell commands, for a reader who wants to do it without this program."""
    directory = options.directory
    config, keys = directory / "cluster.yaml", directory / KEYS
    sections = [
        (
            "A sandbox: a shell that has its own network, mounts and processes",
            [shlex.join([*SANDBOX, "--mount-proc", "bash"])],
        ),
        (
            f"The cluster's file, {config}",
            [f"mkdir -p {directory}", _here(config, cluster_file(options))],
        ),
        (
            "Keys and certificates",
            [shlex.join([program("synod"), "pki", "make", "-c", str(config), str(keys)])],
        ),
        ("Hosts, switches and cables", list(_wiring(options))),
        ("The cluster's key", [f"synod key make --file {key_file(config)}"]),
    ]
    for number in range(1, options.units + 1):
        host = Host(datapath=datapath, database=DATABASE, python=sys.executable)
        own = keys / pki.unit_folder(number)
        copied = f"mkdir -p /etc/synod && cp -aT {own} {config_tls.UNIT_PATH}\n"
        steps = [copied, *(shell(step) for step in plan(cluster, number, str(config), host))]
        title = (
            f"On u{number} (with its own /run/openvswitch, /etc, /run/synod): "
            f"synod unit up --id {number}"
        )
        sections.append((title, [f"export {config_key.VARIABLE}={key_file(config)}", *steps]))
    sections += [
        ("On every unit: the user's rules", [f"nft -f - <<'EOF'\n{options.rules.rstrip()}\nEOF"]),
        (
            "On controller: the operator's token, and the app",
            [config_token.recipe(str(token_file(config))), shlex.join(app_argv(config))],
        ),
    ]
    return "\n".join(f"### {title}\n" + "\n".join(lines) + "\n" for title, lines in sections)


def _wiring(options: Options) -> list[str]:
    """The topology as `ip` commands, one network namespace for each host."""
    topology = SynodTopo(options.units, options.interfaces)
    lines = [f"ip netns add {name}" for name in topology.hosts()]
    for name in topology.switches():
        lines += [f"ip link add {name} type bridge stp_state 0", f"ip link set {name} up"]
    for host, switch, link in topology.links(sort=True, withInfo=True):
        near, far = link["intfName1"], link["intfName2"]
        lines += [
            f"ip link add {far} address {link['addr2']} type veth "
            f"peer name {near} address {link['addr1']} netns {host}",
            f"ip link set {far} master {switch} up",
            f"ethtool -K {far} tx off; ip netns exec {host} ethtool -K {near} tx off",
            f"ip -n {host} link set {near} up",
        ]
        if address := link["params1"].get("ip"):
            lines.append(f"ip -n {host} address add {address} dev {near}")
    lines += [
        f"ip -n {network.host} route add default via {network.gateway}"
        for network in options.networks
    ]
    return lines


def _here(path: Path, text: str) -> str:
    return f"cat >{path} <<'EOF'\n{text.rstrip()}\nEOF"
