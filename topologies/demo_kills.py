"""The end of the demonstration: an auxiliary is killed under running downloads, then the primary.

The downloads are paced transfers, all of them open all the while: what a kill costs is how long
each waited for its next bytes, and at the end whether every byte came. Who serves which is read
from the primary's conntrack, when what was noticed from the app's log. All times are ms from the
moment before the first process is killed.
"""

import time
from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.rule import Rule
from rich.table import Table

from topologies.app_log import AppLog, Event, until_deaths_count
from topologies.faulting import Faults
from topologies.lab import Lab
from topologies.observe import entries
from topologies.paced import PORT, Paced, Transfer
from topologies.paced_client import WHOLE

DOWNLOADS = 12
PATIENCE = 15.0  # seconds after a kill in which every download must have gone on
_STEADY = 1.0  # seconds that they run before a kill and after it
_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Kill:
    """What is killed, and what the app then notes, last of all."""

    victim: int
    role: str
    finally_: str
    says: str


def show(lab: Lab, out: Console) -> bool:
    """Both kills, told as they happen. Whether no download was lost, and every byte was right."""
    out.print(Rule(f"killed under {DOWNLOADS} running downloads: an auxiliary, then the primary"))
    with Paced(lab) as paced:
        ports = [download.port for download in paced.open(DOWNLOADS)]
        served = _until_served(lab, ports)
        until_deaths_count(lab.log_dir / "app.log")
        primary = int(lab.status()["primary"])
        victim = max(unit for unit in lab.units if unit != primary)
        kill = Kill(victim, "auxiliary", "unit_rehomed", "its sessions are the primary's")
        kept = _kill(lab, paced, out, kill, served)
        served = _until_served(lab, ports)
        kill = Kill(primary, "primary", "primary_promoted", "another unit is primary")
        kept = _kill(lab, paced, out, kill, served) and kept
        outcome = paced.finish()
    whole = [each for each in outcome.transfers if each.state == WHOLE]
    failed = DOWNLOADS - len(whole)
    size = sum(each.received for each in outcome.transfers) / 1e6
    out.print(
        f"{len(whole)} downloads complete, {size:.1f} MB, every byte compared by SHA-256; "
        f"[{'red' if failed else 'green'}]{failed} lost or corrupt"
    )
    return kept and not failed


def _kill(lab: Lab, paced: Paced, out: Console, kill: Kill, served: dict[int, int]) -> bool:
    """One kill: before, timeline, after. Whether no session was lost."""
    name = f"u{kill.victim}"
    log, faults = AppLog(lab.log_dir / "app.log"), Faults(lab)
    with _progress(out) as progress:
        _watch(paced, progress, time.monotonic() + _STEADY)
        before = [each for each in paced.look() if not each.lost]
        at = paced.mark()
        faults.kill(name)
        log.wait(lambda each: each.name == kill.finally_, PATIENCE)
        _watch_until_all_go_on(paced, progress, at)
    after = paced.look()
    lost = [each for each in after if each.lost or each.last < at + _STEADY]
    now = _served(lab, [each.port for each in after if each not in lost])
    hit = [each for each in after if kill.role == "primary" or served[each.port] == kill.victim]
    rows = [(at, f"SIGKILL of all that runs on {name}, the {_title(kill, served)}")]
    rows += _noticed(log, kill)
    rows += _resumed(hit, lost)
    out.print(_timeline(at, rows))
    out.print(_sessions(lab, [("before", served), ("after", now)], kill.victim))
    colour = "red" if lost else "green"
    longest = max((each.gap for each in after), default=0)
    out.print(
        f"{len(before)} before, [{colour}]{len(lost)} lost[/], {len(after) - len(lost)} after; "
        f"the longest wait for bytes of any: {longest * 1000:.0f} ms\n"
    )
    return not lost


def _title(kill: Kill, served: dict[int, int]) -> str:
    own = sum(unit == kill.victim for unit in served.values())
    more = f" and balances all {len(served)}" if kill.role == "primary" else ""
    return f"{kill.role} (it serves {own} of them{more})"


def _noticed(log: AppLog, kill: Kill) -> list[tuple[float, str]]:
    """What the app's log says."""
    said = {
        "unit_down": "its bridge has gone",
        "unit_dead": "detected: the other units don't hear it either",
        kill.finally_: f"re-homed: {kill.says}",
    }
    first: dict[str, Event] = {}
    for event in log.events(*said):
        first.setdefault(event.name, event)
    return [(event.at, f"{said[name]}  [dim]{event.text}[/]") for name, event in first.items()]


def _resumed(hit: list[Transfer], lost: list[Transfer]) -> list[tuple[float, str]]:
    """When those whose way had gone got bytes again."""
    times = sorted(each.resumed for each in hit if each not in lost)
    if not times:
        return []
    return [
        (times[0], "first packet after, of the first download"),
        (times[-1], f"first packet after, of the last of {len(times)}"),
    ]


def _timeline(at: float, rows: list[tuple[float, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for when, what in sorted(rows):
        table.add_row(f"[bold]{(when - at) * 1000:.0f} ms", what)
    return table


def _sessions(lab: Lab, rows: list[tuple[str, dict[int, int]]], victim: int) -> Table:
    """Who serves how many, by the primary's conntrack; whoever is not there is dead."""
    states = {unit["id"]: unit["state"] for unit in lab.status()["units"]}
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("served by")
    for unit in lab.units:
        table.add_column(f"u{unit}", justify="right")
    for name, served in rows:
        count = Counter(served.values())
        alive = [
            states[unit] != "dead" or (unit == victim and name == "before") for unit in lab.units
        ]
        numbers = [
            str(count[unit]) if there else "[red]dead"
            for unit, there in zip(lab.units, alive, strict=True)
        ]
        table.add_row(name, *numbers)
    return table


def _progress(out: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(40), TextColumn("{task.fields[now]}"))
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


def _watch(paced: Paced, progress: Progress, until: float) -> None:
    """Shows the downloads at work for a while."""
    task = progress.add_task("downloads", total=None, now="")
    while time.monotonic() < until:
        found = paced.look()
        running = sum(time.monotonic() - each.last < _POLL * 2 for each in found)
        received = sum(each.received for each in found) / 1e3
        progress.update(task, now=f"{running} of {len(found)} move, {received:.0f} kB")
        time.sleep(_POLL)
    progress.remove_task(task)


def _watch_until_all_go_on(paced: Paced, progress: Progress, at: float) -> None:
    """Until each has had bytes some time after the kill, or is lost."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        _watch(paced, progress, max(at + _STEADY, time.monotonic()) + _POLL)
        if all(each.lost or each.last > at + _STEADY for each in paced.look()):
            return


def _served(lab: Lab, ports: list[int]) -> dict[int, int]:
    """By client's port, the unit that serves it, as the primary's kernel has it."""
    found = entries(lab, int(lab.status()["primary"]))
    return {
        each.original.sport: each.unit
        for each in found
        if each.original.dport == PORT and each.original.sport in ports
    }


def _until_served(lab: Lab, ports: list[int]) -> dict[int, int]:
    """Once all of them have a unit, or as far as it comes."""
    deadline = time.monotonic() + PATIENCE
    while len(found := _served(lab, ports)) < len(ports) or not all(found.values()):
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    return {port: found.get(port, 0) for port in ports}
