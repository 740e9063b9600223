"""What tests of faults ask of a cluster and do to it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.world import PORT, SERVER, Session, World
from topologies.faulting import Faults

SIZE = 16 << 20  # bytes of a download, of which one or two MiB a second come
CURL = ("curl", "-sS", "-m", "60", "--limit-rate", "1M")


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
    def auxiliaries(self) -> list[int]:
        """All others; the first of them is the primary's heir."""
        return [unit for unit in self.world.units if unit != self.primary]

    @property
    def auxiliary(self) -> int:
        """An auxiliary: never the one that would be primary next."""
        return max(self.auxiliaries)

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

    def one_on_each_unit(self) -> dict[int, Session]:
        """As many sessions as it takes: whose turn it is depends on what was before, and a unit
        that has just returned first gives up those that it had.
        """
        sessions: dict[int, Session] = {}

        def complete() -> bool:
            sessions.setdefault((session := self.world.connect()).unit, session)
            return set(sessions) == set(self.world.units)

        self.world.until(complete, self.world.situation)
        return sessions

    def until_picked_up(self, sessions: dict[int, Session]) -> None:
        """Until every unit holds every one of these sessions, as established, and is known to: else
        another than the first auxiliary may be heir.
        """
        world = self.world

        def everywhere() -> bool:
            if not world.lab.held(world.status()):
                return False
            entries = [
                world.entry(session.endpoints, unit)
                for session in sessions.values()
                for unit in world.units
            ]
            return all(entry and entry.state == "ESTABLISHED" for entry in entries)

        world.until(everywhere, world.situation)

    def alive(self, session: Session) -> bool:
        """Does a line come back?"""
        return bool(self.world.client("talk", id=session.id, text="alive?") == "alive?")

    @contextmanager
    def downloads(self, folder: Path, count: int = 6) -> Iterator[None]:
        """So many run all the while, over all units; afterwards each must come whole."""
        pages = self.world.lab.directory / "web" / "server" / "pages"
        (pages / "random").write_bytes(content := random.randbytes(SIZE))
        files = [folder / str(number) for number in range(count)]
        url = f"http://{SERVER}/random"
        running = [self.world.popen("client", *CURL, "-o", str(file), url) for file in files]
        self.world.until(
            lambda: all(f.exists() and f.stat().st_size for f in files), "nothing comes"
        )
        yield
        assert {process.poll() for process in running} == {None}, "over before what was to happen"
        for process, file in zip(running, files, strict=True):
            assert process.wait(60) == 0
            assert file.read_bytes() == content

    def roles(self) -> dict[int, str]:
        """The role of each unit, as the app has it."""
        return {row["id"]: row["role"] for row in self.world.status()["units"]}

    def dead(self) -> int:
        """How many deaths the app has seen."""
        return self.world.counters()["unit_dead"]


def mend(world: World) -> None:
    """Heals and restarts all that is broken, takes back what is drained, and waits until the
    cluster is whole.
    """
    faults = Faults(world.lab)
    for broken in faults.heal():
        faults.restart(broken.host)
    world.until(world.healthy, lambda: f"not whole: {world.situation()}", timeout=30)
    status = world.status()
    for row in status["units"]:
        if row["drained"]:
            world.lab.run("controller", ["synod", "undrain", str(row["id"])])
    world.primary = int(status["primary"])


def mended(world: World) -> Iterator[Cluster]:
    """For a fixture: a cluster that is whole before and after. What runs in it ends either way."""
    try:
        mend(world)
        yield Cluster(world, Faults(world.lab))
        mend(world)
    finally:
        world.stop()
