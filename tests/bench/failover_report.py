"""`tests.bench.failover` for a person: a row for each kind of failure, and what must be so."""

from dataclasses import replace

from tests.bench import failover
from tests.bench.benchmark import Benchmark, Figures, Rows

NAMES = {
    "synod_auxiliary_killed": "Synod: an auxiliary killed",
    "synod_primary_killed": "Synod: the primary killed",
    "synod_auxiliary_dark": "Synod: an auxiliary without power",
    "synod_primary_dark": "Synod: the primary without power",
    "synod_drained": "Synod: an auxiliary drained at once",
    "synod_promoted": "Synod: an auxiliary promoted",
    "keepalived_usual_active_dark": "keepalived, 1 s: the active without power",
    "keepalived_usual_backup_dark": "keepalived, 1 s: the backup without power",
    "keepalived_fastest_active_dark": "keepalived, 10 ms: the active without power",
    "keepalived_fastest_backup_dark": "keepalived, 10 ms: the backup without power",
}
# The longest that any session may wait for bytes that are due, in ms.
AT_MOST = {
    "synod_auxiliary_killed": 500,
    "synod_auxiliary_dark": 500,
    "synod_primary_killed": 800,
    "synod_primary_dark": 800,
    "synod_drained": 50,
    "synod_promoted": 50,
}


def rows(figures: Figures) -> Rows:
    """Stall: of the transfer that had it worst, at each strike; the median of all strikes, the
    least, the worst. Before: the worst with nothing struck. New: the slowest new session of each.
    """
    heading = ("", "times", "stall", "least", "worst", "before", "lost", "refused", "new", "worst")
    found: Rows = [heading]
    for name, each in figures["series"].items():
        stall, slowest = each["stall_ms"], each["slowest_call_ms"]
        lost = each["lost"] + each["corrupt"]
        found.append(
            (
                *(NAMES[name], str(each["strikes"])),
                *(f"{stall[which]:,.0f}" for which in ("median", "least", "worst")),
                f"{each['undisturbed_ms']['worst']:,.0f}",
                f"{lost} of {each['transfers']:,}",
                f"{each['refused']} of {each['calls']:,}",
                *(f"{slowest[which]:,.0f}" for which in ("median", "worst")),
            )
        )
    return found


def promises(figures: Figures) -> dict[str, bool]:
    """The targets."""
    series, alarms = figures["series"], figures["alarms"]
    kept = {
        f"{NAMES[name]}: no session waits longer than {most} ms": (
            series[name]["stall_ms"]["worst"] <= most
        )
        for name, most in AT_MOST.items()
        if name in series
    }
    ours = [series[name] for name in AT_MOST if name in series]
    kept["Synod: no session lost or corrupt"] = not any(
        each["lost"] or each["corrupt"] for each in ours
    )
    kept["Synod: no new session refused"] = not any(each["refused"] for each in ours)
    if alarms:
        kept |= _undisturbed(alarms)
    return kept


def _undisturbed(alarms: Figures) -> dict[str, bool]:
    noted = alarms["synod"]
    busy = f"{alarms['cores_used']:g} of {alarms['cores']} cores busy"
    said = ", ".join(f"{name} {number}" for name, number in noted.items())
    text = f"{alarms['minutes']} minutes with {busy}, nothing broken: {said}"
    return {text: not (noted["unit_dead"] or noted["primary_promoted"])}


def notes(figures: Figures) -> list[str]:
    """What else a reader should know."""
    alarms, machine = figures["alarms"], figures["machine"]
    found = [
        f"{machine['cores']} cores ({machine['processor']}), load average before"
        f" {machine['load_average'][0]:g}; every gap is in {figures['raw']}"
    ]
    if alarms:
        times = alarms["keepalived_role_changes"]
        found.insert(
            0, f"in the same minutes, keepalived at its fastest changed roles {times} times"
        )
    return found


BENCHMARK = Benchmark(
    "200 transfers and 100 new sessions a second, and something fails: ms",
    failover.measure,
    rows,
    promises,
    notes=notes,
    quick=lambda: failover.measure(quick=True),
    by_name=True,
    about="How long sessions wait, and whether any is lost, when a unit fails or is moved: three"
    " units of Synod's, and two routers by keepalived and conntrackd.",
    minutes=45,
)

MOVES = replace(
    BENCHMARK,
    title="200 transfers and 100 new sessions a second, and a unit is drained or promoted: ms",
    measure=failover.measure_moves,
    quick=lambda: failover.measure_moves(quick=True),
    about="What is planned, of failover: an auxiliary drained, one promoted, twenty times each.",
    minutes=5,
)
