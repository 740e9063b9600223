"""The demonstration (`script/demo`): real sessions through three units, counted, one followed, and
twelve that go on when units are killed (`topologies.demo_kills`).

Everything that it prints was measured a moment before: sessions are curl's, one TCP connection
each; who served them is read from conntrack on the units, not asked of the app alone.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table

from topologies import demo_kills
from topologies.journey import SERVER, Journey, follow, macs
from topologies.lab import Lab, LabError
from topologies.observe import describe, entries

ROUNDS = (("round-robin", (1, 1, 1)), ("weighted-round-robin", (5, 3, 2)))
WIDTH = 118
PORTS, MOST = 10_000, 20_000  # of the client, the first and how many: below those that kernels pick

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def main(
    sessions: Annotated[
        int, typer.Option(min=10, max=MOST, help="HTTP sessions in each round.")
    ] = 1000,
) -> None:
    """Builds a cluster of three units in a sandbox on this machine, and shows it at work."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = time.monotonic()
    try:
        exact = [_round(method, weights, sessions) for method, weights in ROUNDS]
    except LabError as error:
        out.print(f"[red]{error}")
        raise typer.Exit(1) from None
    took = time.monotonic() - started
    out.print(f"\nAll in {took:.0f} s; the lab is gone. To play in one: [bold]sudo synod-lab up")
    if not all(exact):
        raise typer.Exit(1)


def _round(method: str, weights: tuple[int, ...], sessions: int) -> bool:
    """One lab, one method. Did every session succeed, and each unit get precisely its share? In the
    last lab, units are killed, too: no session may be lost.
    """
    out.print(Rule(f"{method}, weights {':'.join(map(str, weights))}"))
    with _lab(method, weights) as lab:
        ok = _traffic(lab, sessions)
        served = Counter({unit["id"]: unit["sessions"]["served"] for unit in lab.status()["units"]})
        exact = _shares(lab, weights, sessions, ok, served)
        if method == "round-robin":
            with tempfile.TemporaryDirectory() as folder:
                _show(follow(lab, Path(folder)), macs(lab))
        if (method, weights) == ROUNDS[-1]:
            exact = demo_kills.show(lab, out) and exact
    return exact


@contextmanager
def _lab(method: str, weights: tuple[int, ...]) -> Iterator[Lab]:
    """A lab that says what it does while it starts, and is gone afterwards whatever happens."""
    lab = Lab(len(weights), method=method, weights=weights)
    try:
        with out.status("") as status:
            lab.up(lambda step: status.update(f"{step} …"), tied=True)
        yield lab
    finally:
        lab.down()


def _traffic(lab: Lab, sessions: int) -> int:
    """curl opens the sessions, each a connection of its own; how many were answered with 200.

    Each from a port of its own: a kernel that picks them takes some a second time now and then, and
    such a session stays with the unit that the one before had.
    """
    requests = lab.directory / "requests"
    requests.write_text("next\n".join(map(_request, range(sessions))))
    with (
        Progress(
            TextColumn(f"curl http://{SERVER}/"),
            BarColumn(40),
            MofNCompleteColumn(),
            TextColumn("sessions"),
            TimeElapsedColumn(),
            console=out,
        ) as progress,
        lab.popen(
            "client",
            ["curl", "-K", str(requests)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as curl,
    ):
        task = progress.add_task("", total=sessions)
        ok = 0
        assert curl.stdout is not None
        for line in curl.stdout:
            ok += line == "200 1\n"
            progress.advance(task)
    return ok


def _request(number: int) -> str:
    """A block of curl's configuration file."""
    return f"""\
url = "http://{SERVER}/?{number}"
local-port = {PORTS + number}
header = "Connection: close"
output = "/dev/null"
write-out = "%{{http_code}} %{{num_connects}}\\n"
max-time = 60
silent
show-error
"""


def _shares(
    lab: Lab, weights: tuple[int, ...], sessions: int, ok: int, served: Counter[int]
) -> bool:
    """A table of who served what, by the app and by each kernel; whether all of it is right."""
    held = _held(lab)
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("unit", "role", "weight", "decided by the app", "in its own conntrack", ""):
        table.add_column(column, justify="left" if column in ("unit", "role", "") else "right")
    exact = ok == sessions
    for unit, weight in enumerate(weights, 1):
        share = sessions * weight / sum(weights)
        # Of a number that the weights don't divide, somebody has one more.
        right = abs(served[unit] - share) < 1 and held[unit] == served[unit]
        exact = exact and right
        role = "primary" if unit == 1 else "auxiliary"
        mark = "[green]exact" if right else f"[red]{share:g} expected"
        table.add_row(f"u{unit}", role, str(weight), str(served[unit]), str(held[unit]), mark)
    out.print(table)
    failed = sessions - ok
    out.print(f"{ok} sessions answered, [{'red' if failed else 'green'}]{failed} failed\n")
    return exact


def _held(lab: Lab) -> Counter[int]:
    """How many sessions to the web server each unit's kernel has, as the unit that serves them."""
    return Counter(
        unit
        for unit in lab.units
        for entry in entries(lab, unit)
        if entry.unit == unit and entry.original.dport == 80
    )


def _show(journey: Journey, names: dict[str, str]) -> None:
    """The session hop by hop, its entries, its flows."""
    out.print(Rule(f"one session, hop by hop: {journey.session}, served by u{journey.unit}"))
    for number, hop in enumerate(journey.hops, 1):
        out.print(f"[bold]{number:2}  {hop.where}[/bold]: {hop.what}")
        out.print(f"    [cyan]{describe(hop.frame)}", soft_wrap=True)
        if hop.note:
            out.print(f"    [green]{hop.note}")
    out.print("\n[bold]The MAC addresses[/bold]")
    seen = {mac for hop in journey.hops for mac in (hop.frame.src, hop.frame.dst)}
    for mac, name in names.items():
        if mac in seen:
            out.print(f"    {mac}  {name}")
    out.print("\n[bold]The session in conntrack[/bold]: conntrack -L -o labels")
    for unit, entry in journey.entries.items():
        labels = ",".join(sorted(entry.labels))
        out.print(
            f"    u{unit}  {entry.state:11} {entry.original}  answers {entry.reply}  {labels}",
            soft_wrap=True,
        )
    out.print("\n[bold]The flows that carry it[/bold]: ovs-ofctl dump-flows br-synod, on u1")
    for flow in journey.flows:
        out.print(f"    {flow}", soft_wrap=True, style="dim")


if __name__ == "__main__":
    typer.run(main)
