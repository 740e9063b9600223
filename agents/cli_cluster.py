"""`synod status`, `drain`, `undrain`, `promote`: what the app is asked over HTTP."""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.table import Table

from agents.cli_output import MISUSED, fail, out

DEFAULT_URL = "http://127.0.0.1:8080"

_UNITS = {"s": 1, "m": 60, "h": 3600}

UnitArgument = Annotated[int, typer.Argument(help="The unit's id.", metavar="UNIT")]
UrlOption = Annotated[str, typer.Option(envvar="SYNOD_URL", help="Where the app answers.")]


def status(
    as_json: Annotated[
        bool, typer.Option("--json", help="What the app said, for programs.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Who is in the cluster, who is primary, who serves how many sessions.

    [bold]live[/bold] sessions are open now; [bold]served[/bold] counts all since the app started. A
    unit is [bold]up[/bold] (takes sessions), [bold]joining[/bold], [bold]silent[/bold] (its bridge
    is connected, its agent says nothing), [bold]degraded[/bold] (a NIC of it has no link),
    [bold]down[/bold] (its bridge is not connected) or [bold]dead[/bold] (nor does another unit hear
    of it).

    A unit that [bold]lacks[/bold] something is named below: a link on an interface, the HA link to
    units that are there, or, with session pickup, up-to-date copies of their sessions.
    """
    try:
        found = fetch_status(url)
    except OSError as error:
        fail(f"no answer from the app at {url}: {getattr(error, 'reason', error)}")
    except ValueError:
        fail(f"what answers at {url} is not the app: no JSON came back")
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        out.print(status_table(found))
        for line in lacking(found):
            out.print(f"[yellow]{line}", soft_wrap=True)


def drain(
    unit: UnitArgument,
    deadline: Annotated[
        str | None,
        typer.Option(help="Move what is left of its sessions then: 90s, 10m, 1h. 0s: at once."),
    ] = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Give a unit no new sessions. Those that it has end by themselves, or move at the deadline.

    Moving resets nothing: the primary serves them from then on. 'synod undrain' takes it back;
    sessions that have moved stay where they are.
    """
    seconds = None if deadline is None else _seconds(deadline)
    _give(url, unit, "drain", {} if seconds is None else {"deadline": seconds})
    when = "" if seconds is None else f"; what is left moves in {deadline}"
    out.print(f"unit {unit} gets no new sessions{when}")


def undrain(unit: UnitArgument, url: UrlOption = DEFAULT_URL) -> None:
    """Give a drained unit new sessions again."""
    _give(url, unit, "undrain", {})
    out.print(f"unit {unit} gets new sessions again")


def promote(
    unit: UnitArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Even if sessions of other units are lost.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Make a unit the primary. The present one steps back first, and goes on as an auxiliary.

    Nothing is lost: it is refused unless the unit is up, not drained, has all its links and holds
    the sessions of all others. [bold]--force[/bold] overrides the last of these, and loses what the
    unit doesn't hold. To take a primary out of service: promote another, then drain it.
    """
    _give(url, unit, "promote", {"force": True} if force else {})
    out.print(f"unit {unit} is about to be primary")


def fetch_status(url: str, timeout: float = 5.0) -> dict[str, Any]:
    """The app's answer to /v1/status. OSError if there is none, ValueError if it is no object."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/v1/status", timeout=timeout) as answer:
        found = json.load(answer)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def status_table(found: dict[str, Any]) -> Table:
    """The cluster's status as a person reads it."""
    primary = found["primary"]
    title = f"{found['cluster']}: " + (
        f"unit {primary} is primary" if primary else "no primary yet"
    )
    table = Table(
        title=title + (f", {found['method']}" if "method" in found else ""), title_justify="left"
    )
    for column in ("unit", "role", "state", "weight", "live", "served"):
        table.add_column(column, justify="left" if column in ("role", "state") else "right")
    for unit in found["units"]:
        colour = "green" if unit["state"] == "up" else "yellow"
        sessions = unit["sessions"]
        cells = (unit["id"], unit["role"], f"[{colour}]{unit['state']}", unit["weight"])
        table.add_row(*map(str, cells), str(sessions["live"]), str(sessions["served"]))
    return table


def lacking(found: dict[str, Any]) -> list[str]:
    """What units that work would need when the next thing fails: a line for each that lacks it."""
    lines = []
    for unit in found["units"]:
        lacks = [f"a link on {name}" for name in unit.get("links_down", ())]
        if unheard := unit.get("unheard"):
            lacks.append(f"the HA link to {_numbers(unheard)}")
        if unheld := unit.get("unheld"):
            lacks.append(f"the sessions of {_numbers(unheld)}")
        if not unit.get("settled", True) and unit["state"] == "up":
            lacks.append("new sessions until those that it had are the primary's")
        if lacks:
            lines.append(f"unit {unit['id']} lacks {'; '.join(lacks)}")
    return lines


def _numbers(units: Iterable[int]) -> str:
    return ", ".join(map(str, units))


def _give(url: str, unit: int, verb: str, body: dict[str, float] | dict[str, bool]) -> None:
    request = urllib.request.Request(
        f"{url.rstrip('/')}/v1/units/{unit}/{verb}",
        data=json.dumps(body).encode() if body else b"",
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=5):
            pass
    except urllib.error.HTTPError as error:
        fail(_reason(error))
    except OSError as error:
        fail(f"no answer from the app at {url}: {getattr(error, 'reason', error)}")


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, TypeError, KeyError):
        return f"the app answered {error.code} {error.reason}"


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([smh])", text)
    if not match:
        fail(f"--deadline: {text!r} is not like 90s, 10m or 1h", MISUSED)
    return int(match[1]) * _UNITS[match[2]]
