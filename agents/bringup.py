"""A host becomes a unit: what has to be done, as data.

`plan()` computes from the cluster's file, the unit id and what the host is like a tuple of steps:
the `ovs-vsctl`, `ip`, `nft`, `sysctl` and `ethtool` commands that an administrator would type, each
with the reason for it and with the command that takes it back. Nothing here runs anything or looks
at the machine: `agents.provision` does, and `synod unit up --print` shows the steps instead. What
kinds of step there are is `agents.bringup_steps`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agents import config_tls
from agents.bringup_ports import commands, ports_of
from agents.bringup_steps import Block, Command, Offloads, Step, Sysctls
from agents.config import Cluster, Interface, Route, Unit
from agents.nft import agent_port_rules, inet_rules, nic_rules
from agents.priority import NICENESS
from agents.switch import DATABASE, OVSDB_SOCKET
from agents.wire.labels import connlabel_conf
from agents.wire.ports import CT_ZONE, HA_KERNEL_NAME, SYNOD_NAME, datapath_id

# Milliseconds that an unused megaflow lives. With more, stale ones reset sessions under load
# (measured).
MAX_IDLE = 1000

# Seconds that an entry of the switch's connection tracker lives (session_table: conntrack), in
# whatever state the tracker takes its connection to be: nearly the longest that there is. A kernel
# with HZ=1000 compares 31 bits of jiffies, 24.8 days; OVS itself multiplies by 1,000 in 32 bits,
# 49.7 days (conn_init_expiration__() in lib/conntrack-tp.c).
ENTRY_SECONDS = 24 * 86400
TCP_STATES = (
    *("syn_sent", "syn_recv", "established", "fin_wait", "close_wait"),
    *("last_ack", "time_wait", "close"),
)

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
CONNLABEL_FILES = ("/etc/connlabel.conf", "/etc/xtables/connlabel.conf")  # nft's, conntrack's


@dataclass(frozen=True, slots=True)
class Host:
    """What the plan must know of the machine. The defaults describe an empty one without the
    kernel's OVS module.
    """

    datapath: str = "netdev"  # or system: the kernel's
    ovs_running: bool = False  # a database server answers on the default socket
    database: str | None = None  # where OVS's database must be created; None: there is one
    max_idle: str | None = None  # what other_config:max-idle is now
    datapath_known: bool = False  # the database has a record of that datapath
    links_up: frozenset[str] = frozenset()
    python: str = "python3"
    foreground: bool = False  # who brings it up becomes what keeps the agent running
    tls: str = config_tls.UNIT_PATH  # the folder of the switch's keys


def plan(cluster: Cluster, unit_id: int, config: str, host: Host) -> tuple[Step, ...]:
    """All steps, in order, that make `host` unit `unit_id`; `config` is the cluster's file, for the
    agent.

    The order matters, there and back. The kernel is off the NICs before the cluster's addresses
    exist and until they are gone (else it would answer ARP there), and the bridge is fail-safe and
    has its controller before it has a port (setting the first controller flushes all flows).
    """
    unit = cluster.unit(unit_id)
    return (
        *_ovs_steps(host),
        *_tls_steps(cluster, host),
        *_nic_steps(unit, host),
        *_kernel_steps(cluster, unit_id, host),
        *_label_steps(cluster),
        *_bridge_steps(cluster, unit, host),
        *_tracker_steps(cluster, host),
        *_queue_steps(host),
        _priority_step(host),
        *_port_steps(cluster, unit),
        _agent_step(config, unit_id, host),
    )


def _ovs_steps(host: Host) -> tuple[Step, ...]:
    module = (
        (Command("the kernel's datapath", ("modprobe", "openvswitch")),)
        if host.datapath == "system"
        else ()
    )
    if host.ovs_running:
        return module
    daemon = ("--pidfile", "--detach", "--no-chdir", "--log-file", "-vconsole:off", "-vsyslog:off")
    directories = ("/var/run/openvswitch", "/var/log/openvswitch", "/etc/openvswitch")
    create = (
        Command(
            "Open vSwitch's database",
            ("ovsdb-tool", "create", host.database, SCHEMA),
            undo=("rm", "-f", host.database),
        )
        if host.database
        else None
    )
    return (
        *module,
        Command("where Open vSwitch keeps its things", ("mkdir", "-p", *directories)),
        *((create,) if create else ()),
        Command(
            "Open vSwitch's database server: none answers here",
            ("ovsdb-server", host.database or DATABASE, f"--remote=punix:{OVSDB_SOCKET}", *daemon),
            undo=("ovs-appctl", "-t", "ovsdb-server", "exit"),
        ),
        Command("the database gets its one row", ("ovs-vsctl", "--no-wait", "init")),
        Command(
            "the switch",
            ("nice", "-n", NICENESS, "ovs-vswitchd", *daemon),
            undo=("ovs-appctl", "-t", "ovs-vswitchd", "exit"),
        ),
    )


def _tls_steps(cluster: Cluster, host: Host) -> tuple[Step, ...]:
    keys, ovs = config_tls.of(host.tls), ("ovs-vsctl", "--timeout=15")
    set_them = Command(
        "OpenFlow over TLS: the switch's key and certificate, and by whom the app's is signed",
        (*ovs, "set-ssl", keys.key, keys.certificate, keys.ca),
        undo=(*ovs, "del-ssl"),
    )
    return (set_them,) if cluster.tls else ()


def _bridge_steps(cluster: Cluster, unit: Unit, host: Host) -> tuple[Step, ...]:
    bridge = cluster.bridge
    create = [
        ["add-br", bridge],
        [
            *("set", "bridge", bridge, "fail_mode=secure", f"datapath_type={host.datapath}"),
            f"other_config:datapath-id={datapath_id(cluster.group, unit.id):016x}",
            "other_config:disable-in-band=true",
            f"external_ids:synod={cluster.name}/{unit.id}",
            "controller=@controller",
        ],
        [
            *("--id=@controller", "create", "controller", f'target="{cluster.controller}"'),
            *("connection_mode=out-of-band", "max_backoff=1000"),
        ],
    ]
    ports = [command for port in ports_of(cluster, unit) for command in commands(bridge, port)]
    idle = ("set", "open_vswitch", ".", f"other_config:max-idle={MAX_IDLE}")
    was = ("set", "open_vswitch", ".", f"other_config:max-idle={host.max_idle}")
    unset = ("remove", "open_vswitch", ".", "other_config", "max-idle")
    return (
        Command(
            "megaflows that are no longer used must go soon",
            ("ovs-vsctl", *idle),
            undo=("ovs-vsctl", *(was if host.max_idle else unset)),
        ),
        Command(
            "the bridge: deaf without flows, its controller set before that can cost it any",
            _transaction(create),
            undo=("ovs-vsctl", "--timeout=15", "--if-exists", "del-br", bridge),
        ),
        Command(
            "its ports: NICs, and what the unit's kernel and agent see of them", _transaction(ports)
        ),
    )


def _nic_steps(unit: Unit, host: Host) -> tuple[Step, ...]:
    nics = (*unit.nics, unit.ha_nic)
    filters: tuple[Step, ...] = ()
    if host.datapath == "netdev":
        features = ("tx", "gro", "lro")
        filters = (
            Command(
                "frames that the NICs get are the bridge's, not the kernel's IP stack's too",
                ("nft", "-f", "-"),
                undo=("nft", "delete", "table", "netdev", "synod"),
                stdin=nic_rules(nics),
            ),
            *(Offloads(f"whole frames, whole checksums on {nic}", nic, features) for nic in nics),
        )
    ups = tuple(
        Command(
            f"{nic} up",
            ("ip", "link", "set", nic, "up"),
            undo=("ip", "link", "set", nic, "down"),
        )
        for nic in nics
        if nic not in host.links_up
    )
    return (*filters, _no_ipv6(nics), *ups)


def _no_ipv6(names: Iterable[str]) -> Sysctls:
    values = tuple((f"net/ipv6/conf/{name}/disable_ipv6", 1) for name in names)
    return Sysctls("IPv6 is not spoken", values)


def _kernel_steps(cluster: Cluster, unit_id: int, host: Host) -> tuple[Step, ...]:
    # Where the datapath is the kernel's, its tracker is, too, and knows the windows of no session.
    tracked = cluster.session_table == "conntrack" and host.datapath == "system"
    pickup = cluster.pickup != "off" or tracked
    liberal = (("net/netfilter/nf_conntrack_tcp_be_liberal", 1),) if pickup else ()
    return (
        Command(
            "Synod's own rules: labels, marks of handed-over SYNs, no untracked TCP",
            ("nft", "-f", "-"),
            undo=("nft", "delete", "table", "inet", "synod"),
            stdin=inet_rules(cluster),
        ),
        Sysctls(
            "a unit forwards, tells what it tracks, trusts no session that it didn't see begin, "
            "and knows no windows of those that it picks up",
            (
                ("net/ipv4/ip_forward", 1),
                ("net/ipv4/conf/all/send_redirects", 0),
                ("net/netfilter/nf_conntrack_events", 1),
                ("net/netfilter/nf_conntrack_tcp_loose", 0),
                *liberal,
            ),
        ),
    )


def _label_steps(cluster: Cluster) -> tuple[Step, ...]:
    text = connlabel_conf(each.name for each in cluster.interfaces)
    return tuple(Block("conntrack labels have names", path, text) for path in CONNLABEL_FILES)


def _port_steps(cluster: Cluster, unit: Unit) -> tuple[Step, ...]:
    """The ports' own settings; most vanish with the bridge, and there is nothing to take back."""
    names = [each.name for each in cluster.interfaces]
    redirects = tuple((f"net/ipv4/conf/{name}/send_redirects", 0) for name in names)
    return (
        Command(
            "what the bridge gives the agent, and what the agent is to see",
            ("nft", "-f", "-"),
            undo=("nft", "delete", "table", "netdev", "synod0"),
            stdin=agent_port_rules(cluster),
        ),
        _no_ipv6((*names, HA_KERNEL_NAME, SYNOD_NAME)),
        Sysctls("hosts are never sent around the cluster", redirects),
        Command("the agent's port up", ("ip", "link", "set", SYNOD_NAME, "up")),
        Command(
            "this unit's address on the HA link",
            # Not add: the unit's supervisor, which mends, may just have done it.
            ("ip", "address", "replace", str(unit.ha_address), "dev", HA_KERNEL_NAME),
        ),
        Command("the HA link up", ("ip", "link", "set", HA_KERNEL_NAME, "up")),
        *(step for each in cluster.interfaces for step in _interface_steps(each)),
        *map(_route_step, cluster.routes),
    )


def _route_step(route: Route) -> Command:
    way = f"{route.to} via {route.via} dev {route.interface}"
    return Command(
        f"the route to {route.to} by way of {route.via}", ("ip", "route", "replace", *way.split())
    )


def _interface_steps(interface: Interface) -> list[Step]:
    name = interface.name
    addresses: list[Step] = [
        Command(
            f"the cluster's address on {name}",
            ("ip", "address", "replace", str(address), "dev", name),
        )
        for address in interface.addresses
    ]
    return [*addresses, Command(f"{name} up", ("ip", "link", "set", name, "up"))]


def _tracker_steps(cluster: Cluster, host: Host) -> tuple[Step, ...]:
    """How long the sessions in the switch's connection tracker stay there: 30 s else."""
    if cluster.session_table != "conntrack":
        return ()
    datapath = host.datapath
    timeouts = (f"tcp_{state}={ENTRY_SECONDS}" for state in TCP_STATES)
    policy = ["--may-exist", "add-zone-tp", datapath, f"zone={CT_ZONE}", *timeouts]
    lift = [["--if-exists", "del-zone-tp", datapath, f"zone={CT_ZONE}"]]
    record: list[list[str]] = []
    if not host.datapath_known:
        record = [
            ["--id=@datapath", "create", "datapath", "datapath_version=0"],
            ["set", "open_vswitch", ".", f"datapaths:{datapath}=@datapath"],
        ]
        lift.append(["remove", "open_vswitch", ".", "datapaths", datapath])
    return (
        Command(
            "sessions in the switch's connection tracker stay until they are removed",
            _transaction([*record, policy]),
            undo=_transaction(lift),
        ),
    )


def _queue_steps(host: Host) -> tuple[Step, ...]:
    if host.datapath != "netdev":
        return ()
    argv = (host.python, "-m", "agents.queues")
    return (Command("the switch's queues hold a burst of frames from a NIC", argv),)


def _priority_step(host: Host) -> Command:
    priority = (host.python, "-m", "agents.priority")
    return Command(
        "the switch comes first, as what it was started with says",
        (*priority, NICENESS),
        undo=(*priority, "0"),
    )


def _agent_step(config: str, unit_id: int, host: Host) -> Command:
    supervise = (host.python, "-m", "agents.supervise")
    stop = (*supervise, "stop")
    if host.foreground:
        return Command("none but this keeps the agent and session pickup running", stop, undo=stop)
    return Command(
        "the agent, session pickup, and what restarts them",
        (*supervise, "start", "--config", config, "--id", str(unit_id)),
        undo=stop,
    )


def _transaction(commands: list[list[str]]) -> tuple[str, ...]:
    """One `ovs-vsctl` for all: they take effect together or not at all."""
    argv = ["ovs-vsctl", "--timeout=15"]
    for command in commands:
        argv += ["--", *command]
    return tuple(argv)
