"""What established sessions can carry: through the primary alone, and through an auxiliary.

Labs of two units each, on the same bridges with the same rules: in one the primary serves all, in
the others the auxiliary does (weights decide), with either session table. In turns, a session
downloads a file as fast as it can for some seconds (nginx, curl), and 64 sessions have their
smallest segments sent as fast as they get through (`small_segments`). The client's packets cross
the primary's bridge twice if it serves (in to its kernel, out of it); if an auxiliary does, they
cross the primary's once and the auxiliary's twice.
"""

import json
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.bench.benchmark import Benchmark, Figures, Rows, spread
from topologies.cluster import NETWORKS
from topologies.lab import Lab

SERVER = NETWORKS[1].address
SESSIONS = 64  # whose segments are sent
LEAST = 0.45  # of what the primary carries alone
CONTENDERS = {
    "primary": ("the primary serves", 1, "flows"),
    "flows": ("an auxiliary serves, session table flows", 2, "flows"),
    "conntrack": ("an auxiliary serves, session table conntrack", 2, "conntrack"),
}
_KINDS = {
    "megabits_per_second": "one session, Mbit/s",
    "packets_per_second": "64-byte packets a second",
}
_TIME_IS_UP = 28  # curl(1)


@dataclass(slots=True)
class Contender:
    """One lab, what was measured in it, and which of its units serves."""

    lab: Lab
    unit: int
    found: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in _KINDS})
    sessions: int = 0
    lost: int = 0

    def turn(self, seconds: int, counts: bool) -> None:
        """A download, then small segments."""
        now = {
            "megabits_per_second": download(self.lab, seconds) * 8 / 1e6,
            "packets_per_second": self._segments(seconds),
        }
        self.sessions += 1 + SESSIONS
        for kind, value in now.items():
            if counts:
                self.found[kind].append(value)

    def check(self) -> None:
        """AssertionError unless all was that unit's: who serves what decides the figures. Where
        no other unit may be chosen, the app isn't asked, and has decided nothing.
        """
        units = {each["id"]: each["sessions"]["served"] for each in self.lab.status()["units"]}
        decided = 0 if self.unit == 1 else self.sessions
        assert units == {1: 0, 2: decided}, f"served {units} instead of unit {self.unit}"

    def _segments(self, seconds: int) -> float:
        """How many a second got through."""
        command = ["sh", "-c", "echo $$; exec sleep 600"]
        waiting = self.lab.popen("server", command, stdout=subprocess.PIPE, text=True)
        try:
            assert waiting.stdout is not None
            pid = waiting.stdout.readline().strip()
            argv = [SERVER, "80", str(SESSIONS), str(seconds), pid]
            program = ["python3", "-m", "tests.bench.small_segments", *argv]
            said = json.loads(self.lab.run("client", program).stdout)
        finally:
            waiting.terminate()
            waiting.communicate()
        self.lost += said["lost"]
        rate: float = said["segments"] / said["seconds"]
        return rate


def download(lab: Lab, seconds: int) -> float:
    """Bytes a second of one session, of a file that is larger than what comes in so long."""
    asked = ["-m", str(seconds), "-w", "%{size_download} %{time_total}", f"http://{SERVER}/1G"]
    done = lab.run("client", ["curl", "-s", "-o", "/dev/null", *asked], check=False)
    if done.returncode not in (0, _TIME_IS_UP):
        raise AssertionError(f"curl ended with {done.returncode}: {done.stderr}")
    size, took = done.stdout.split()
    return int(size) / float(took)


def measure(rounds: int = 5, seconds: int = 3) -> dict[str, Any]:
    """Medians of so many rounds, all taking turns."""
    with ExitStack() as stack:
        contenders = {}
        for name, (_, unit, table) in CONTENDERS.items():
            how = {"method": "weighted-round-robin", "session_table": table}
            weights = tuple(int(each == unit) for each in (1, 2))
            lab = stack.enter_context(Lab(2, weights=weights, **how))  # type: ignore[arg-type]
            # With them, the smallest segment would be 66 bytes.
            lab.run("client", ["sysctl", "-q", "-w", "net.ipv4.tcp_timestamps=0"])
            contenders[name] = Contender(lab, unit)
        for turn in range(rounds + 1):
            for contender in contenders.values():
                contender.turn(seconds, counts=turn > 0)  # the first warms up
        for contender in contenders.values():
            contender.check()
    figures: dict[str, Any] = {"rounds": rounds, "seconds": seconds, "sessions": SESSIONS}
    for kind in _KINDS:
        figures[kind] = {name: spread(each.found[kind]) for name, each in contenders.items()}
        alone = figures[kind]["primary"]["median"]
        for found in figures[kind].values():
            found["ratio"] = round(found["median"] / alone, 3)
    figures["packets_lost"] = {name: each.lost for name, each in contenders.items()}
    return figures


def _rows(figures: Figures) -> Rows:
    rows: Rows = [("", "median", "lowest", "highest", "of the primary's")]
    for kind, text in _KINDS.items():
        for name, (who, _, _) in CONTENDERS.items():
            found = figures[kind][name]
            numbers = (f"{found[each]:,}" for each in ("median", "lowest", "highest"))
            rows.append((f"{text}: {who}", *numbers, str(found["ratio"])))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    promises = {}
    for kind, text in _KINDS.items():
        for name in ("flows", "conntrack"):
            ratio = figures[kind][name]["ratio"]
            said = f"{text}, {name}: at least {LEAST} of the primary's: {ratio}"
            promises[said] = ratio >= LEAST
    return promises


BENCHMARK = Benchmark(
    "What established sessions carry",
    measure,
    _rows,
    _promises,
    about="Mbit/s of one session (nginx, curl) and 64-byte packets a second of many, through an"
    " auxiliary with either session table, against through the primary alone.",
    minutes=2,
)
