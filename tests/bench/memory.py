"""Bytes that a live session takes in each program: the app, the agents, the switches.

For each session table a cluster whose sessions are all the auxiliary's, with 1,000 idle sessions
and then with 100,000 (`idle_sessions`). The difference of each program's PSS, by their number, is
what one session takes, with all that a program keeps free for itself meanwhile.
"""

from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.footprint import whole
from tests.bench.idle_sessions import idle_sessions
from tests.bench.live_sessions import FEW, MANY
from tests.bench.short_sessions import TABLES, check_handed_over, cluster_options
from topologies.lab import Lab

MOST = 300  # bytes a session in the app, with `conntrack`
_PROGRAMS = {
    "controller.app": "the app",
    "u1.agent": "the primary's agent",
    "u2.agent": "the auxiliary's agent",
    "u1.vswitchd": "the primary's switch",
    "u2.vswitchd": "the auxiliary's switch",
    "u1.conntrackd": "the primary's conntrackd",
    "u2.conntrackd": "the auxiliary's conntrackd",
}


def measure() -> Figures:
    """One table after the other."""
    return {"few": FEW, "many": MANY, **{table: _grown(table) for table in TABLES}}


def _grown(table: str) -> Figures:
    with Lab(2, **cluster_options(table)) as lab, idle_sessions(lab) as held:
        held.grow(FEW)
        before = whole(lab)
        took = held.grow(MANY)
        after = whole(lab)
        check_handed_over(lab, MANY)
        alive = held.alive()
    pss = {name: [each[name]["pss_bytes"] for each in (before, after)] for name in _PROGRAMS}
    spent = {name: after[name]["cpu_seconds"] - before[name]["cpu_seconds"] for name in _PROGRAMS}
    return {
        "bytes_per_session": {
            name: round((much - little) / (MANY - FEW)) for name, (little, much) in pss.items()
        },
        "cpu_us_per_session_opened": {
            name: round(each * 1e6 / took["opened"], 1) for name, each in spent.items()
        },
        "pss_bytes": pss,
        "opened_per_second": round(took["opened"] / took["seconds"]),
        "live_lost": MANY - alive,
    }


def _rows(figures: Figures) -> Rows:
    rows: Rows = [("bytes a live session", *TABLES)]
    for name, text in _PROGRAMS.items():
        found = [figures[table]["bytes_per_session"][name] for table in TABLES]
        rows.append((text, *(f"{each:,}" for each in found)))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    app = figures["conntrack"]["bytes_per_session"]["controller.app"]
    return {
        f"conntrack: at most {MOST} bytes in the app: {app}": app <= MOST,
        "none was lost": not any(figures[table]["live_lost"] for table in TABLES),
    }


BENCHMARK = Benchmark(
    "Memory of a live session",
    measure,
    _rows,
    _promises,
    by_name=True,
    about="Bytes that a live session takes in each program, by the difference of 1,000 and 100,000"
    " idle TCP connections.",
    minutes=2,
)
