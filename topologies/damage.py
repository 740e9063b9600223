"""What is broken in a lab, by what was seen of it, and what mends it.

Pure: `topologies.faulting` looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from topologies.faults import CONTROLLER, CUTS, REBOOT, cables_of, hosts, programs
from topologies.recipe import Options


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a lab.

    `programs`: by host, the programs that run and their states (letters of proc(5)); `cuts`: which
    cables (host, name) are cut in which ways; `dark`: the units whose management has no address, as
    if without power; `units`: the hosts that are units, by their journals.
    """

    programs: Mapping[str, Mapping[str, str]]
    cuts: Mapping[tuple[str, str], tuple[str, ...]]
    dark: frozenset[str]
    units: frozenset[str]


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that is broken: a host (no `part`), a cable or a program of it."""

    host: str
    part: str
    kind: str

    def __str__(self) -> str:
        """For a person."""
        return f"{self.where}: {self.says}"

    @property
    def where(self) -> str:
        """The host, and the part of it."""
        return f"{self.host} {self.part}".rstrip()

    @property
    def says(self) -> str:
        """What is wrong."""
        return _KINDS[self.kind][0]

    @property
    def remedy(self) -> str:
        """What mends it, as words after `synod-lab fault`."""
        again = (each.again for each in programs(self.host) if each.name == self.part)
        words = next(again) if self.kind == "dead" else _KINDS[self.kind][1]
        return words.format(host=self.host, where=self.where)


_KINDS = {
    "off": ("powered off", REBOOT),
    "killed": ("nothing runs", REBOOT),
    "down": ("is no unit", REBOOT),
    "dead": ("doesn't run", ""),  # by program
    "stopped": ("stopped", "continue {where}"),
    **{way: (cut.says, "heal {where}") for way, cut in CUTS.items()},
}
STAYS = frozenset(("off", "killed", "down", "dead"))  # what heal can't mend


def broken(options: Options, seen: Seen) -> list[Broken]:
    """All that is broken, by host."""
    return [each for host in hosts(options) for each in _of_host(options, seen, host)]


def _of_host(options: Options, seen: Seen, host: str) -> list[Broken]:
    if host in seen.dark:
        return [Broken(host, "", "off")]
    found = [
        Broken(host, cable.name, kind)
        for cable in cables_of(options, host)
        for kind in seen.cuts.get((host, cable.name), ())
    ]
    run = seen.programs.get(host, {})
    names = [program.name for program in programs(host)]
    if run or host == CONTROLLER:
        found += [Broken(host, name, "dead") for name in names if name not in run]
    else:
        found.append(Broken(host, "", "killed" if host in seen.units else "down"))
    return found + [Broken(host, name, "stopped") for name in names if run.get(name) == "T"]
