"""Whole short sessions a second: through the auxiliary of a cluster, and through a plain gateway.

Three labs on the same bridges with the same rules. In two, clusters of two units, one for each
session table, the primary has weight 0, so that every session is handed over. The third has one
unit, so that no SYN is diverted: a gateway. In turns, wrk opens as many sessions as it can, one
request each, from nginx. No session may fail in any, of at least so many.
"""

import re
import statistics
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.bench.benchmark import Benchmark, Figures, Rows, rates
from topologies.cluster import NETWORKS
from topologies.lab import Lab

AT_LEAST = 10_000  # sessions, in each
# With few at a time it would be the app's round trip that is measured, not what can be carried.
TOGETHER = 128
PROMISED = {"conntrack": 0.5, "flows": 0.25}  # of the gateway's, by session table
TABLES = tuple(PROMISED)
_NAMES = {
    "gateway": "a plain gateway",
    "conntrack": "the auxiliary of two, conntrack",
    "flows": "the auxiliary of two, flows",
}
# The server listens on all of these, and turns take them by turns: of each, the client has some
# 28,000 ports, and one that is used again within two minutes is another case: it meets what its
# last session has left.
PORTS = (80, 443, 8000)
SERVER = NETWORKS[1].address

_REQUESTS = re.compile(r"(\d+) requests in ([\d.]+)(ms|s|m),")
_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(slots=True)
class Contender:
    """One lab, and what was measured in it."""

    lab: Lab
    rates: list[float] = field(default_factory=list)
    sessions: int = 0
    failed: int = 0
    turns: int = 0

    def turn(self, seconds: int, counts: bool, address: str = SERVER) -> None:
        """One run of wrk, to that address of the server's."""
        said = run_wrk(self.lab, seconds, PORTS[self.turns % len(PORTS)], address)
        requests, took, failed = parse_wrk(said)
        self.turns += 1
        self.sessions += requests
        self.failed += failed
        if counts:
            self.rates.append(requests / took)

    def figures(self) -> dict[str, Any]:
        """What there is to say, with what each round gave."""
        return {
            "sessions_per_second": round(statistics.median(self.rates)),
            "lowest": round(min(self.rates)),
            "highest": round(max(self.rates)),
            "rounds_sessions_per_second": [round(each) for each in self.rates],
            "sessions": self.sessions,
            "failed": self.failed,
        }


def run_wrk(lab: Lab, seconds: int, port: int, address: str = SERVER) -> str:
    """What wrk says; a new connection for each request."""
    url = f"http://{address}:{port}/"
    load = ["wrk", "-t1", f"-c{TOGETHER}", f"-d{seconds}s", "--timeout", "10s"]
    return lab.run("client", [*load, "-H", "Connection: close", url]).stdout


def parse_wrk(text: str) -> tuple[int, float, int]:
    """Requests answered, seconds, failures of any kind."""
    found = _REQUESTS.search(text)
    if not found:
        raise ValueError(f"wrk said: {text}")
    errors = _ERRORS.search(text)
    refused = _REFUSED.search(text)
    failed = sum(map(int, errors.groups())) if errors else 0
    return (
        int(found[1]),
        float(found[2]) * _SECONDS[found[3]],
        failed + (int(refused[1]) if refused else 0),
    )


def served(lab: Lab) -> int:
    """Decisions for any unit."""
    return sum(unit["sessions"]["served"] for unit in lab.status()["units"])


def handed_over(lab: Lab) -> tuple[int, int]:
    """SYNs that the primary's agent handed over, and that it let go out itself."""
    agent = primary_agent(lab)
    own = sum(number for name, number in agent.items() if name.startswith(("released", "served")))
    return agent["handed_over"], own


def primary_agent(lab: Lab) -> Counter[str]:
    """Counters of the primary's agent, as it has last announced them."""
    return Counter(primary(lab)["agent"])


def primary(lab: Lab) -> dict[str, Any]:
    """What the status says of the primary."""
    found: dict[str, Any] = next(u for u in lab.status()["units"] if u["role"] == "primary")
    return found


def cluster_options(session_table: str) -> dict[str, Any]:
    """Of a lab of two units whose sessions are all the auxiliary's."""
    return {"method": "weighted-round-robin", "weights": (0, 1), "session_table": session_table}


def check_handed_over(lab: Lab, wanted: int) -> None:
    """All sessions were the auxiliary's, and there were so many.

    A port used again within TIME_WAIT stays with its unit: no new decision, but handed over.
    """
    lab.wait(lambda _: handed_over(lab)[0] >= wanted)
    assert handed_over(lab)[1] == 0, f"not all were the auxiliary's: {lab.status()}"


def measure(rounds: int = 5, seconds: int = 2) -> Figures:
    """Medians of so many rounds, the three taking turns."""
    with ExitStack() as stack:
        plain = Contender(stack.enter_context(Lab(1)))
        clusters = {
            table: Contender(stack.enter_context(Lab(2, **cluster_options(table))))
            for table in TABLES
        }
        everybody = (plain, *clusters.values())
        turn = 0
        while turn <= rounds or min(each.sessions for each in everybody) < AT_LEAST:
            for contender in everybody:
                contender.turn(seconds, counts=turn > 0)  # the first warms up
            turn += 1
        assert served(plain.lab) == 0, "the gateway's sessions went to the app"
        for contender in clusters.values():
            check_handed_over(contender.lab, contender.sessions)
    figures = {"gateway": plain.figures()}
    figures |= {table: contender.figures() for table, contender in clusters.items()}
    ratios = {f"{table}_ratio": _ratio(figures[table], figures["gateway"]) for table in clusters}
    return {"rounds": turn - 1, "seconds": seconds, "together": TOGETHER, **figures, **ratios}


def _ratio(ours: Figures, peer: Figures) -> float:
    return round(ours["sessions_per_second"] / peer["sessions_per_second"], 3)


def _rows(figures: Figures) -> Rows:
    rows = rates(figures, _NAMES, "sessions_per_second")
    more = [("sessions", "failed")]
    more += [(f"{figures[name]['sessions']:,}", str(figures[name]["failed"])) for name in _NAMES]
    return [(*row, *extra) for row, extra in zip(rows, more, strict=True)]


def _promises(figures: Figures) -> dict[str, bool]:
    kept = {
        f"{table}: at least {least} of the gateway: {figures[f'{table}_ratio']}": (
            figures[f"{table}_ratio"] >= least
        )
        for table, least in PROMISED.items()
    }
    return kept | {
        "none failed, of 10,000 and more in each": not any(
            figures[name]["failed"] or figures[name]["sessions"] < AT_LEAST for name in _NAMES
        ),
    }


BENCHMARK = Benchmark(
    "Whole short sessions",
    measure,
    _rows,
    _promises,
    about="Whole short sessions a second (wrk, nginx), all served by an auxiliary, with either"
    " session table, against a plain gateway on the same bridges with the same rules.",
    minutes=1,
)
