"""Units that die, hang and return, any role: nobody's session ends, who returns is an auxiliary.

Each row is a fault of a unit, with what the app is to say of it, and how long clients may have to
ask twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from tests.lab.failing import Cluster
from tests.lab.traffic import traffic
from topologies.faulting import Faults

Verb = Callable[[Faults, str], object]


@dataclass(frozen=True, slots=True)
class Row:
    """A fault of a unit: how it comes and goes, the state that the app sees, and whether the
    cluster does without the unit from then on, as with one that is dead.
    """

    comes: Verb
    goes: Verb
    state: str
    dead: bool
    outage: float  # seconds


FAULTS = {
    "killed": Row(Faults.kill, Faults.restart, "dead", True, 1.5),
    "without power": Row(Faults.power_off, Faults.restart, "dead", True, 1.5),
    "its switch hangs": Row(
        partial(Faults.stop, program="vswitchd"),
        partial(Faults.continue_, program="vswitchd"),
        "dead",
        True,
        1.5,
    ),
    "its agent hangs": Row(
        partial(Faults.stop, program="agent"),
        partial(Faults.continue_, program="agent"),
        "silent",
        False,
        2.0,
    ),
}


@pytest.mark.parametrize("role", ["auxiliary", "primary"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_session_ends(cluster: Cluster, fault: str, role: str) -> None:
    row, victim, before = FAULTS[fault], cluster.unit(role), cluster.primary
    with traffic(cluster.world) as running:
        row.comes(cluster.faults, f"u{victim}")
        cluster.until_state(victim, row.state)
        if row.dead and victim == before:
            cluster.until(lambda: cluster.primary not in (None, victim))
        running.answered()
        running.flows()
        row.goes(cluster.faults, f"u{victim}")
        cluster.until_whole()
        cluster.until_all_serve()
    assert cluster.roles()[victim] == ("auxiliary" if row.dead else role)
    running.unharmed(row.outage)
