"""What can be broken in a lab: the verbs, the hosts, cables and programs, the commands that break
and mend them.

Pure: `topologies.faulting` runs them. What is broken now: `topologies.damage`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.bringup import Host, plan
from agents.bringup_steps import Command
from agents.config import parse
from topologies.cluster import SynodTopo
from topologies.hosts import Misnamed
from topologies.recipe import Options, cluster_file

CONTROLLER = "controller"
SWITCHES = ""  # in place of a host: where the switches are
MANAGEMENT = "mgmt"
WAYS = ("both", "in", "out")


# The commands of `synod-lab fault`, and what they do.
VERBS = {
    "kill": "SIGKILL of all that runs on a unit, at once; of the app.",
    "power-off": "A unit off the wires, then dead, then without memory of connections, rules, "
    "addresses and settings. Nobody is told.",
    "restart": "Bring back a unit that was killed or powered off: cables in, the empty /run of a "
    "boot, `synod unit up`, the lab's rules. Or the app. What is whole is left alone.",
    "stop": "SIGSTOP of a program: it hangs.",
    "continue": "SIGCONT of a program.",
    "crash": "SIGKILL of one program alone.",
    "restart-switch": "End vswitchd in order, if it runs, and start it again, as `systemctl "
    "restart` does: flows are not saved. Or have it take its ports away, and make others.",
    "cut": "Pull a cable: the host's NIC loses its carrier. Or lose frames one way, or set the NIC "
    "down.",
    "heal": "Plug in what was cut, continue what was stopped: everywhere, on a host, or one cable. "
    "What is dead stays dead, and is told.",
    "list": "What is broken now, and what mends it.",
}

# -- what there is


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable of a host: the host's end is `nic`, the switch's is `port`."""

    host: str
    name: str
    nic: str
    port: str
    address: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a host, known by its command line. `again`: what starts it when it is dead;
    `keeper`: the program that does so by itself, if one of these does.
    """

    name: str
    line: re.Pattern[str]
    again: str
    keeper: str = ""


REBOOT, _SWITCH = "restart {host}", "restart-switch {host}"
OF_A_UNIT = (
    Program("vswitchd", re.compile(r"(nice -n \S+ )?(\S*/)?ovs-vswitchd "), _SWITCH),
    Program("ovsdb-server", re.compile(r"(\S*/)?ovsdb-server "), _SWITCH),
    Program(
        "agent",
        re.compile(r".* -m agents\.cli agent "),
        "its supervisor; else " + REBOOT,
        keeper="supervisor",
    ),
    Program(
        "conntrackd",
        re.compile(r"(setpriv .* )?conntrackd -C |.* -m agents\.replication "),
        "its supervisor; else " + REBOOT,
        keeper="supervisor",
    ),
    Program(
        "supervisor", re.compile(r".* -m agents\.supervise run "), "its deputy; else " + REBOOT
    ),
)
APP = Program("app", re.compile(r"\S+ (\S*/)?ryu-manager "), REBOOT)


def hosts(options: Options) -> list[str]:
    """The hosts that can be broken."""
    return [*(f"u{number}" for number in range(1, options.units + 1)), CONTROLLER]


def host_named(options: Options, name: str) -> str:
    """A unit or the controller. Misnamed if it is neither."""
    known = hosts(options)
    if name not in known:
        raise Misnamed(f"there is no {name!r}; there are {', '.join(known)}")
    return name


def unit_named(options: Options, name: str) -> int:
    """A unit's id, by its host's name. Misnamed if there is none."""
    known = hosts(options)[:-1]
    if name not in known:
        raise Misnamed(f"there is no unit {name!r}; there are {', '.join(known)}")
    return int(name[1:])


def programs(host: str) -> tuple[Program, ...]:
    """The programs of a host that can be broken."""
    return (APP,) if host == CONTROLLER else OF_A_UNIT


def coming(host: str, states: Mapping[str, str]) -> list[str]:
    """The programs of a host that don't run, and that another which runs is just to start again.
    `states`: of those that run (letters of proc(5)).
    """
    return [
        program.name
        for program in programs(host)
        if program.name not in states and states.get(program.keeper, "T") != "T"
    ]


def program_named(options: Options, host: str, name: str) -> Program:
    """A program of a host; unnamed, the only one. Misnamed if the host has no such program."""
    known = {each.name: each for each in programs(host_named(options, host))}
    if not name and len(known) == 1:
        return APP
    if name not in known:
        lacks = f"has no program {name!r}" if name else "has several programs"
        raise Misnamed(f"{host} {lacks}; it has {', '.join(known)}")
    return known[name]


def cables(options: Options) -> tuple[Cable, ...]:
    """The cables of the hosts that can be broken, as the topology has them."""
    topology = SynodTopo(options.units, options.interfaces)
    breakable = hosts(options)
    return tuple(
        Cable(
            host=host,
            name=link["intfName1"].removeprefix("nic-"),
            nic=link["intfName1"],
            port=link["intfName2"],
            address=link["params1"].get("ip", ""),
        )
        for host, _switch, link in topology.links(sort=True, withInfo=True)
        if host in breakable
    )


def cables_of(options: Options, host: str) -> list[Cable]:
    """The cables of one host."""
    host_named(options, host)
    return [cable for cable in cables(options) if cable.host == host]


def cable_named(options: Options, host: str, name: str) -> Cable:
    """A cable of a host. Misnamed if it has none of that name."""
    known = {cable.name: cable for cable in cables_of(options, host)}
    if name not in known:
        raise Misnamed(f"{host} has no cable {name!r}; it has {', '.join(known)}")
    return known[name]


# -- the commands


@dataclass(frozen=True, slots=True)
class Act:
    """A command that breaks or mends; `host` may be SWITCHES."""

    host: str
    argv: tuple[str, ...]
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """A way in which a cable can be cut, and mended."""

    says: str
    cut: Callable[[Cable], Act]
    mend: Callable[[Cable], Act]


def _link(state: str, at_switch: bool = True) -> Callable[[Cable], Act]:
    """An end of the cable up or down. If the switch's is down, the host's has no carrier."""

    def act(cable: Cable) -> Act:
        host, device = (SWITCHES, cable.port) if at_switch else (cable.host, cable.nic)
        return Act(host, ("ip", "link", "set", device, state))

    return act


def lost_table(cable: Cable, way: str) -> str:
    """The nftables table, where the switches are, that loses the frames of one way."""
    return f"lost-{way}-{cable.port}"


def _lose(way: str, hook: str) -> Callable[[Cable], Act]:
    """At the switch's end, where what goes to the host leaves and what comes from it arrives."""

    def act(cable: Cable) -> Act:
        table = lost_table(cable, way)
        lines = (
            f"table netdev {table} {{",
            "    chain lose {",
            f'        type filter hook {hook} device "{cable.port}" priority 0; policy drop;',
            "    }",
            "}",
            "",
        )
        return Act(SWITCHES, ("nft", "-f", "-"), "\n".join(lines))

    return act


def _deliver(way: str) -> Callable[[Cable], Act]:
    def act(cable: Cable) -> Act:
        table = f"table netdev {lost_table(cable, way)}"
        return Act(SWITCHES, ("nft", "-f", "-"), f"add {table}\ndelete {table}\n")

    return act


CUTS = {
    "both": Cut("pulled out", _link("down"), _link("up")),
    "in": Cut("frames in are lost", _lose("in", "egress"), _deliver("in")),
    "out": Cut("frames out are lost", _lose("out", "ingress"), _deliver("out")),
    "nic": Cut("the host's NIC is down", _link("down", False), _link("up", False)),
}


def cut(cable: Cable, way: str = "both", nic: bool = False) -> Act:
    """Cuts a cable. Misnamed if there is no such way to."""
    if way not in WAYS:
        raise Misnamed(f"way: {way!r} is not one of {', '.join(WAYS)}")
    if nic and way != "both":
        raise Misnamed(f"a NIC that is down loses both ways: '--nic', or '--way {way}'")
    return CUTS["nic" if nic else way].cut(cable)


def cut_off(options: Options, host: str) -> Act:
    """Pulls all cables of a host at once."""
    lines = [f"link set {cable.port} down\n" for cable in cables_of(options, host)]
    return Act(SWITCHES, ("ip", "-batch", "-"), "".join(lines))


# What a machine that loses power forgets; the arguments are its NICs. Sockets first: closed ones
# whose end could not be sent are sent again, by a kernel that goes on. Then the kernel's datapath
# of Open vSwitch, if that is used, and the interfaces that were made.
_FORGET = """
ss -K -a -t -4 >/dev/null
nft flush ruleset
conntrack -F
conntrack -F expect
for datapath in $(ovs-dpctl dump-dps); do ovs-dpctl del-dp "$datapath"; done
for link in $(ip -o link show | cut -d ' ' -f 2 | cut -d : -f 1 | cut -d @ -f 1); do
    case " lo $* " in
        *" $link "*) ip link set "$link" promisc off ;;
        *) ip link delete "$link" ;;
    esac
done
for nic; do ip address flush dev "$nic"; done
ip neighbour flush all
exit 0
"""
_SETTINGS = ("sysctl", "ethtool")


def forget(options: Options, host: str, journal: str) -> list[Act]:
    """What a unit's kernel holds goes: settings become what they were before `synod unit up`, by
    its journal (JSON; may be empty).
    """
    undo = json.loads(journal)["undo"] if journal else []
    settings = [Act(host, tuple(argv)) for _why, argv in reversed(undo) if argv[0] in _SETTINGS]
    nics = [cable.nic for cable in cables_of(options, host)]
    return [*settings, Act(host, ("sh", "-c", _FORGET, "sh", *nics))]


def boot(options: Options, host: str) -> list[Act]:
    """All that a boot does before `synod unit up`: /run is empty, management has its address."""
    clear = ("find", "/run/synod", "/run/openvswitch", "-mindepth", "1", "-delete")
    return [
        Act(host, clear),
        *(
            Act(host, ("ip", "address", "replace", cable.address, "dev", cable.nic))
            for cable in cables_of(options, host)
            if cable.address
        ),
    ]


def switch_argv(options: Options, unit: int) -> list[tuple[Program, tuple[str, ...]]]:
    """Open vSwitch's programs of a unit and the commands that start them, in that order."""
    steps = plan(parse(cluster_file(options)), unit, "", Host())
    return [
        (program, step.argv)
        for step in steps
        if isinstance(step, Command)
        for program in OF_A_UNIT
        if program.line.match(" ".join(step.argv))
    ]
