"""Faults picked at random, as many at once as the cluster promises to survive: which, for how long.

Pure: `tests.lab.faults_at_random` carries them out. A plan is made by a seed, or read from a file,
and is words of `synod-lab fault`, so that each fault can be had by hand as well.

At once means: one unit is broken, or the controller, in one way. Of two ways together one is
promised (docs/failover.md, "Two primaries"): a unit that has lost its controller and its HA link.
Not promised, and so never picked: two units at once; the app and a unit at once; frames of a data
link that get lost while the NIC has its carrier ("what isn't seen"); the primary without its
controller and a data link. The next fault comes when every unit holds all others' sessions again.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from topologies.faulting import Faults

SHORTEST, LONGEST = 0.05, 5.0  # seconds that a fault lasts
REST = 1.0  # seconds at most between the end of one's consequences and the next: any phase is met


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to break something: what does it, what mends it (nothing: it mends itself), for how
    many seconds clients may have to ask twice (no fewer than the tests of each of them alone
    allow), and how often it is picked, beside others.
    """

    does: tuple[str, ...]
    mends: tuple[str, ...]
    outage: float
    weight: int = 2


def _cuts(cable: str, ways: Iterable[str], outage: float) -> Iterator[Kind]:
    for way in ways:
        yield Kind((f"cut {{unit}} {cable}{way}",), (f"heal {{unit}} {cable}",), outage, 1)


_BOTH, _ONE_WAY, _NIC = ("",), (" --way in", " --way out"), (" --nic",)
KINDS = (
    Kind(("kill {unit}",), ("restart {unit}",), 1.5, 3),
    Kind(("power-off {unit}",), ("restart {unit}",), 1.5, 3),
    Kind(("stop {unit} vswitchd",), ("continue {unit} vswitchd",), 1.5, 3),
    Kind(("stop {unit} agent",), ("continue {unit} agent",), 2.5),
    Kind(("stop {unit} ovsdb-server",), ("continue {unit} ovsdb-server",), 1.0, 1),
    Kind(("stop {unit} conntrackd",), ("continue {unit} conntrackd",), 1.0, 1),
    Kind(("stop {unit} supervisor",), ("continue {unit} supervisor",), 1.0, 1),
    Kind(("crash {unit} agent",), (), 2.5),
    Kind(("crash {unit} conntrackd",), (), 0.5),
    Kind(("crash {unit} supervisor",), (), 2.5),
    Kind(("crash {unit} vswitchd",), ("restart-switch {unit}",), 2.5),
    Kind(("restart-switch {unit}",), (), 2.5),
    Kind(("restart-switch {unit} --anew",), (), 5.0),
    *_cuts("ha", (*_BOTH, *_ONE_WAY, *_NIC), 1.0),
    *_cuts("mgmt", (*_BOTH, *_ONE_WAY, *_NIC), 3.0),
    *_cuts("int", (*_BOTH, *_NIC), 2.0),
    *_cuts("ext", (*_BOTH, *_NIC), 2.0),
    Kind(
        ("cut {unit} mgmt", "cut {unit} ha"), ("heal {unit} ha", "heal {unit} mgmt"), 4.0
    ),
    Kind(("kill controller",), ("restart controller",), 2.5),
    Kind(("stop controller app",), ("continue controller app",), 2.5),
    Kind(("cut controller mgmt",), ("heal controller mgmt",), 3.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One of a plan: after a rest of so many seconds it comes, and lasts for so many."""

    rest: float
    does: tuple[str, ...]
    lasts: float
    mends: tuple[str, ...]
    outage: float

    def __str__(self) -> str:
        """For a person."""
        if not self.mends:
            return ", ".join(self.does)
        return f"{', '.join(self.does)}; {self.lasts:.2f} s later {', '.join(self.mends)}"


def plan(seed: int, units: int = 3) -> Iterator[Fault]:
    """Faults without end, the same for the same seed."""
    chance = random.Random(seed)
    weights = [kind.weight for kind in KINDS]
    while True:
        (kind,) = chance.choices(KINDS, weights)
        unit = f"u{chance.randint(1, units)}"
        # As many short ones as long ones: what is over before it is noticed is as telling.
        lasts = SHORTEST * (LONGEST / SHORTEST) ** chance.random()
        yield Fault(
            round(chance.uniform(0, REST), 3),
            tuple(words.format(unit=unit) for words in kind.does),
            round(lasts, 3),
            tuple(words.format(unit=unit) for words in kind.mends),
            kind.outage,
        )


def written(fault: Fault) -> str:
    """A line of a file of faults."""
    return json.dumps(asdict(fault))


def read(lines: Iterable[str]) -> list[Fault]:
    """The faults of such a file."""
    return [_fault(json.loads(line)) for line in lines if line.strip()]


def _fault(table: dict[str, Any]) -> Fault:
    does, mends = tuple(table["does"]), tuple(table["mends"])
    return Fault(float(table["rest"]), does, float(table["lasts"]), mends, float(table["outage"]))


def carry_out(faults: Faults, words: str) -> None:
    """What `synod-lab fault WORDS` would do. ValueError if these are no such words."""
    verb, host, *rest = words.split()
    match verb, rest:
        case "kill", []:
            faults.kill(host)
        case "power-off", []:
            faults.power_off(host)
        case "restart", []:
            faults.restart(host)
        case "restart-switch", [] | ["--anew"]:
            faults.restart_switch(host, anew=bool(rest))
        case "stop", [program]:
            faults.stop(host, program)
        case "continue", [program]:
            faults.continue_(host, program)
        case "crash", [program]:
            faults.crash(host, program)
        case "cut", [cable]:
            faults.cut(host, cable)
        case "cut", [cable, "--nic"]:
            faults.cut(host, cable, nic=True)
        case "cut", [cable, "--way", way]:
            faults.cut(host, cable, way)
        case "heal", [cable]:
            faults.heal(host, cable)
        case _:
            raise ValueError(f"synod-lab fault {words}: no such words")
