"""Whole short sessions a second beside 100,000 that are open, and beside 1,000.

For each session table two clusters whose sessions are all the auxiliary's: one with few idle
sessions (`idle_sessions`), one with many. In turns, wrk opens as many short ones as it can. These
leave entries, too: after each, the units and the app remember it for two minutes, so that "beside
1,000" is beside some 30,000 that are over. Both have them.
"""

from contextlib import ExitStack
from typing import Any

from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.idle_sessions import Idle, idle_sessions
from tests.bench.short_sessions import TABLES, Contender, check_handed_over, cluster_options
from topologies.lab import Lab

FEW, MANY = 1_000, 100_000
LEAST = 0.9  # of what it is beside few, with `conntrack`


def measure(rounds: int = 5, seconds: int = 2) -> Figures:
    """Each table by itself: its two labs taking turns."""
    tables = {table: _beside(table, rounds, seconds) for table in TABLES}
    return {"rounds": rounds, "seconds": seconds, "few": FEW, "many": MANY, **tables}


def _beside(table: str, rounds: int, seconds: int) -> Figures:
    with ExitStack() as stack:
        contenders: dict[int, Contender] = {}
        held: dict[int, Idle] = {}
        opened: dict[int, Any] = {}
        for live in (FEW, MANY):
            contender = Contender(stack.enter_context(Lab(2, **cluster_options(table))))
            held[live] = stack.enter_context(idle_sessions(contender.lab))
            opened[live] = held[live].grow(live)
            contenders[live] = contender
        for turn in range(rounds + 1):  # the first warms up
            for contender in contenders.values():
                contender.turn(seconds, counts=turn > 0)
        figures: Figures = {}
        for live, contender in contenders.items():
            check_handed_over(contender.lab, contender.sessions + live)
            took = opened[live]
            figures[f"beside_{live}"] = contender.figures() | {
                "live_lost": live - held[live].alive(),
                "opened_per_second": round(took["opened"] / took["seconds"]),
            }
    few, many = figures.values()
    ratio = many["sessions_per_second"] / few["sessions_per_second"]
    return figures | {"ratio": round(ratio, 3)}


def _rows(figures: Figures) -> Rows:
    rows: Rows = [
        ("", "median a second", "lowest", "highest", "failed", "live lost", "opened a second")
    ]
    keys = ("sessions_per_second", "lowest", "highest", "failed", "live_lost", "opened_per_second")
    for table in TABLES:
        for live in (FEW, MANY):
            found = figures[table][f"beside_{live}"]
            rows.append((f"{table}, beside {live:,}", *(f"{found[key]:,}" for key in keys)))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    marks = figures["conntrack"]["ratio"]
    everybody = [figures[table][f"beside_{live}"] for table in TABLES for live in (FEW, MANY)]
    return {
        f"conntrack: beside 100,000 at least {LEAST} of beside 1,000: {marks}": marks >= LEAST,
        "none failed, and no live one was lost": not any(
            each["failed"] or each["live_lost"] for each in everybody
        ),
    }


BENCHMARK = Benchmark(
    "Short sessions beside many that live",
    measure,
    _rows,
    _promises,
    notes=lambda figures: [f"with flows it is {figures['flows']['ratio']} of beside 1,000"],
    by_name=True,
    about="Whole short sessions a second beside 100,000 idle TCP connections, with either session"
    " table, against the same beside 1,000.",
    minutes=2.5,
)
