"""What of a unit is no longer as its plan says, by what is seen of the machine.

Open vSwitch's userspace datapath makes the bridge's internal ports anew when the switch was ended
with `exit --cleanup`: they have no addresses then, are down, and neither the kernel's settings nor
the hooks of netdev tables are those of the ports before. So it is asked what is missing, not what
has happened. Pure: `agents.provision` looks, and does the steps again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.bringup_steps import Command, Step, Sysctls
from agents.running import SUPERVISOR


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found on the machine.

    `links`: by name, as `ip -json address` has them; `routes`: those by way of a neighbour, as
    (network, neighbour, name of the link); `tables`: the nftables tables, as (family,
    name); `running`: the daemons and the supervisor that run, by name; `setting`: a kernel setting,
    None if there is none; `anew`: the links that are others than when the steps were done last;
    `short_queues`: the switch reads a NIC from a queue that is too short; `switch_waits`: it waits
    for a core as others do.
    """

    links: Mapping[str, Any]
    tables: frozenset[tuple[str, str]]
    running: frozenset[str]
    setting: Callable[[str], str | None]
    anew: frozenset[str] = frozenset()
    short_queues: bool = False
    switch_waits: bool = False
    routes: frozenset[tuple[str, str, str]] = frozenset()


def is_missing(step: Step, seen: Seen) -> bool:
    """Whether a step is to be done again: of programs, the switch's queues and session, addresses,
    links that are to be up, routes, kernel settings and tables. A link that isn't there is waited
    for; what Open vSwitch's database says is there as long as that is.
    """
    match step:
        case Command(argv=(_, "-m", "agents.queues")):
            return seen.short_queues
        case Command(argv=(_, "-m", "agents.priority", _)):
            return seen.switch_waits
        case Command():
            return _has_no_effect(step, seen)
        case Sysctls(values=values):
            found = [(seen.setting(key), str(value)) for key, value in values]
            return any(is_now not in (None, wanted) for is_now, wanted in found)
        case _:
            return False


def _has_no_effect(command: Command, seen: Seen) -> bool:
    match command:
        case Command(undo=("ovs-appctl", "-t", program, "exit")):
            return program not in seen.running
        case Command(argv=(_, "-m", "agents.supervise", "start", *_)):
            return SUPERVISOR not in seen.running
        case Command(argv=("ip", *words)):
            return _is_lacking(words, seen)
        case Command(argv=("nft", "-f", "-"), undo=(_, _, _, family, table), stdin=text):
            # A hook is one of the link that there was, and nft lists it by name all the same.
            lost = any(f'"{name}"' in text for name in seen.anew)
            return (family, table) not in seen.tables or (family == "netdev" and lost)
        case _:
            return False


def _is_lacking(words: list[str], seen: Seen) -> bool:
    match words:
        case ("address", "replace", address, "dev", name):
            return name in seen.links and address not in _addresses(seen.links[name])
        case ("link", "set", name, "up"):
            return name in seen.links and "UP" not in seen.links[name]["flags"]
        case ("route", "replace", to, "via", via, "dev", name):
            return name in seen.links and (to, via, name) not in seen.routes
        case _:
            return False


def _addresses(link: Mapping[str, Any]) -> set[str]:
    return {f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]}
