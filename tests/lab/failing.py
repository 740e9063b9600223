"""What tests of faults ask of a cluster and do to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.lab.world import PORT, SERVER, World
from topologies.faulting import Faults


@dataclass(frozen=True, slots=True)
class Cluster:
    """A world and its faults, and who is what in it now."""

    world: World
    faults: Faults

    @property
    def primary(self) -> int:
        """The unit that the app holds for the primary."""
        return int(self.world.status()["primary"])

    @property
    def auxiliary(self) -> int:
        """An auxiliary: never the one that would be primary next."""
        return max(unit for unit in self.world.units if unit != self.primary)

    def unit(self, role: str) -> int:
        """A unit of that role."""
        return self.primary if role == "primary" else self.auxiliary

    def state(self, unit: int) -> str:
        """A unit's state, as the app has it."""
        return str(self.world.unit_status(unit)["state"])

    def until_state(self, unit: int, *wanted: str, timeout: float = 10) -> None:
        """Polls until a unit is in one of these states."""
        self.until(lambda: self.state(unit) in wanted, timeout)

    def until_whole(self, timeout: float = 30) -> None:
        """Polls until every unit is up and sessions are balanced."""
        self.until(self.world.healthy, timeout)

    def until(self, condition: Callable[[], Any], timeout: float = 10) -> None:
        """Polls a condition; the app need not be there."""

        def holds() -> bool:
            try:
                return bool(condition())
            except OSError:
                return False

        self.world.until(holds, self.world.situation, timeout)

    def until_all_serve(self, timeout: float = 20) -> None:
        """Polls until new sessions are served by every unit: each has returned. As many at a time
        as there are units: single ones, in step with those of traffic, would go to one unit for
        long, in turn.
        """
        seen: set[int] = set()
        self.world.primary = self.primary

        def all_serve() -> bool:
            opened = [
                self.world.client("connect", address=SERVER, port=PORT) for _ in self.world.units
            ]
            for each in opened:
                entry = self.world.entry_of_port(each["port"], self.world.primary)
                seen.add(entry.unit if entry else 0)
                self.world.client("close", id=each["id"])
            return seen >= set(self.world.units)

        self.world.until(all_serve, lambda: f"{seen} {self.world.situation()}", timeout)

    def roles(self) -> dict[int, str]:
        """The role of each unit, as the app has it."""
        return {row["id"]: row["role"] for row in self.world.status()["units"]}

    def dead(self) -> int:
        """How many deaths the app has seen."""
        return self.world.counters()["unit_dead"]


def mend(world: World) -> None:
    """Heals and restarts all that is broken, and waits until the cluster is whole."""
    faults = Faults(world.lab)
    for broken in faults.heal():
        faults.restart(broken.host)
    world.until(world.healthy, lambda: f"not whole: {world.situation()}", timeout=30)
    world.primary = int(world.status()["primary"])


def mended(world: World) -> Iterator[Cluster]:
    """For a fixture: a cluster that is whole before and after."""
    mend(world)
    yield Cluster(world, Faults(world.lab))
    mend(world)
    world.stop()
