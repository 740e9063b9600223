"""Traffic through all units while something fails, and what became of it.

Downloads whose bytes are known run all the while, slowly, so that each of them is under way at each
moment; new sessions are begun at a steady pace. Neither knows of faults.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.lab.world import CLIENT, PORT, SERVER, PeerProcess, World
from topologies.observe import Endpoints

SIZE = 24 << 20  # bytes of a download
RATE = 256 << 10  # bytes of it that come in a second, until it is told to end
PACE = 0.05  # seconds between new sessions
LATE = 0.8  # seconds: less than a client waits before it sends its SYN again
APART = 0.5  # seconds between late sessions of one outage
_MOST = 12  # downloads until every unit serves one


@dataclass
class Traffic:
    """What runs, and how it went; complete when its block is over."""

    world: World
    peer: PeerProcess
    content: str  # the digest of what is downloaded
    units: dict[int, int] = field(default_factory=dict)  # by download, who served it at first
    ports: dict[int, int] = field(default_factory=dict)  # by download, the client's port
    outages: list[float] = field(default_factory=list)  # seconds, each
    failed: list[str] = field(default_factory=list)
    hushed: bool = False

    def begin(self) -> None:
        """As many downloads as it takes for each unit to serve one."""
        while set(self.units.values()) != set(self.world.units):
            assert len(self.units) < _MOST, f"a unit is never chosen: {self.units}"
            began = self.peer("download", address=SERVER, path="/random", rate=RATE)
            self.ports[began["id"]] = began["port"]
            endpoints = Endpoints(CLIENT, began["port"], SERVER, 80)
            entry = self.world.until(
                lambda wanted=endpoints: self.world.entry(wanted), f"no label: {endpoints}"
            )
            self.units[began["id"]] = entry.unit

    def flows(self, more: int = 64 << 10) -> None:
        """Returns when so much more has come of each download; AssertionError if it doesn't."""
        before = self.peer("sizes")
        self.world.until(
            lambda: all(now >= before[id] + more for id, now in self.peer("sizes").items()),
            lambda: f"stands still: {before} {self.peer('sizes')} {self.units}",
            timeout=20,
        )

    def answered(self, more: int = 20) -> None:
        """Returns when so many more new sessions have been answered."""
        before = self.peer("answered")
        self.world.until(
            lambda: self.peer("answered") >= before + more, "no new session is answered", 20
        )

    def holders(self) -> dict[int, int]:
        """By download, who serves it now, by the primary's label."""
        found = {}
        for id, port in self.ports.items():
            entry = self.world.entry(Endpoints(CLIENT, port, SERVER, 80))
            found[id] = entry.unit if entry else 0
        return found

    def unharmed(self, outage: float) -> None:
        """Every download has come whole; no new session has failed, and at no time clients had to
        ask twice for longer than so many seconds.
        """
        print("outages:", ", ".join(f"{each:.2f} s" for each in self.outages) or "none")
        assert self.failed == []
        assert max(self.outages, default=0) <= outage, f"{self.outages}"

    def hush(self) -> None:
        """No new sessions any more; what became of them is known."""
        if self.hushed:
            return
        self.hushed, calls = True, self.peer("hush")
        self.failed += [f"a new session: {result}" for _, _, result in calls if result != "ok"]
        assert calls
        self.outages = spans([began for began, took, _ in calls if took > LATE])

    def end(self) -> None:
        """All downloads have come to their ends."""
        sizes = self.peer("sizes")
        assert max(sizes.values()) < SIZE, f"some were over before: {sizes}"
        for id, found in self.peer("finish").items():
            if (found["digest"], found["size"], found["problem"]) != (self.content, SIZE, ""):
                self.failed.append(f"download {id}, at first served by {self.units}: {found}")


def spans(late: list[float]) -> list[float]:
    """For how long there were late sessions: some in a row, of which few in between were not."""
    found: list[list[float]] = []
    for began in late:
        if found and began - found[-1][-1] <= APART:
            found[-1].append(began)
        else:
            found.append([began])
    return [span[-1] - span[0] + PACE for span in found]


@contextmanager
def traffic(world: World) -> Iterator[Traffic]:
    """Traffic while the block runs; it is over, and judged by `unharmed`, after it."""
    pages = world.lab.directory / "web" / "server" / "pages"
    (pages / "random").write_bytes(content := random.randbytes(SIZE))
    world.peer("server")  # it answers new sessions
    peer = world.another_peer("client", "tests.lab.traffic_peer")
    found = Traffic(world, peer, hashlib.sha256(content).hexdigest())
    found.begin()
    peer("call", address=SERVER, port=PORT, every=PACE)
    found.answered()
    found.flows()
    yield found
    found.flows()
    found.hush()
    found.end()
