"""`synod status`, and orders to the app: `drain`, `undrain`, `promote`, `weight`, `method`."""

import contextlib
import re
from typing import Annotated, Any

import typer

from agents import app_http
from agents.app_http import DEFAULT_URL
from agents.cli_app import UrlOption, ask, order
from agents.cli_completion import method_names, unit_ids
from agents.cli_output import MISUSED, JsonOption, fail, out, say, show_table
from agents.config_form import LONGEST_DEADLINE, METHODS, MOST_WEIGHT
from agents.status_view import app_line, event_line, lacking, status_table

_UNITS = {"s": 1, "m": 60, "h": 3600}
LATEST = 5  # events below the status

UnitArgument = Annotated[
    int, typer.Argument(help="The unit's id.", metavar="UNIT", autocompletion=unit_ids)
]


def status(as_json: JsonOption = False, url: UrlOption = DEFAULT_URL) -> None:
    """Who is in the cluster, who is primary, who serves how many sessions; what happened last.

    A unit is [bold]up[/bold] (takes sessions), [bold]joining[/bold], [bold]silent[/bold] (its
    bridge is connected, its agent says nothing), [bold]degraded[/bold] (a NIC of it has no link),
    [bold]down[/bold] (its bridge is not connected) or [bold]dead[/bold] (nor does another unit hear
    of it): [bold]since[/bold] how long; and its agent was [bold]heard[/bold] so long ago.

    [bold]live[/bold] sessions are open now, [bold]served[/bold] counts all since the app started,
    [bold]new/s[/bold] are those of the last ten seconds, and its [bold]share[/bold] is that of the
    last minute's. Weights and the method are those in force.

    Below it stands since when the [bold]app[/bold] is there, and whether new sessions are its to
    decide, or the primary's alone.

    A unit that [bold]lacks[/bold] something is named below: a link on an interface, the HA link to
    units that are there, or, with session pickup, up-to-date copies of their sessions.
    """
    found = ask(url, "/v1/status")
    if as_json:
        say(found)
        return
    show_table(status_table(found))
    out.print(app_line(found))
    for line in lacking(found):
        out.print(f"[yellow]{line}", soft_wrap=True)
    with contextlib.suppress(app_http.AppError):  # an app that is older than this tells none
        for event in app_http.ask(url, "/v1/events")["events"][-LATEST:]:
            out.print(event_line(event))


def drain(
    unit: UnitArgument,
    deadline: Annotated[
        str | None,
        typer.Option(
            help="Move what is left of its sessions then: 90s, 10m, 1h; 168h at most. 0s: at once."
        ),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Give a unit no new sessions. Those that it has end by themselves, or move at the deadline.

    Moving resets nothing: the primary serves them from then on. 'synod undrain' takes it back;
    sessions that have moved stay where they are.
    """
    body = {} if deadline is None else {"deadline": _seconds(deadline)}
    when = "" if deadline is None else f"; what is left moves in {deadline}"
    _give(url, f"units/{unit}/drain", body, f"unit {unit} gets no new sessions{when}", as_json)


def undrain(unit: UnitArgument, as_json: JsonOption = False, url: UrlOption = DEFAULT_URL) -> None:
    """Give a drained unit new sessions again."""
    _give(url, f"units/{unit}/undrain", {}, f"unit {unit} gets new sessions again", as_json)


def promote(
    unit: UnitArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Even if sessions of other units are lost.")
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Make a unit the primary. The present one steps back first, and goes on as an auxiliary.

    Nothing is lost: it is refused unless the unit is up, not drained, has all its links and holds
    the sessions of all others. [bold]--force[/bold] overrides the last of these, and loses what the
    unit doesn't hold. To take a primary out of service: promote another, then drain it.
    """
    body = {"force": True} if force else {}
    _give(url, f"units/{unit}/promote", body, f"unit {unit} is about to be primary", as_json)


def weight(
    unit: UnitArgument,
    number: Annotated[
        int, typer.Argument(metavar="N", min=0, max=MOST_WEIGHT, help="0: no new sessions.")
    ],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Give a unit another weight, for new sessions; those that run stay where they are.

    The methods whose name begins with 'weighted-', and source-hash, go by weights; all of them
    leave out a unit of weight 0. It is in force until the app is started again: then the weights
    of the cluster's file are.
    """
    _give(
        url,
        f"units/{unit}/weight",
        {"weight": number},
        f"unit {unit} has weight {number}, until the app is started again",
        as_json,
    )


def method(
    name: Annotated[
        str, typer.Argument(help=", ".join(METHODS) + ".", autocompletion=method_names)
    ],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Share new sessions out by another method; those that run stay where they are.

    It is in force until the app is started again: then the one of the cluster's file is.
    'synod status' says which one is in force.
    """
    if name not in METHODS:
        fail(f"{name!r} is not one of {', '.join(METHODS)}", MISUSED)
    _give(
        url, "method", {"method": name}, f"the method is {name}, until the app is started again",
        as_json,
    )  # fmt: skip


def _give(url: str, path: str, body: dict[str, Any], done: str, as_json: bool) -> None:
    answer = order(url, f"/v1/{path}", body)
    if as_json:
        say(answer)
    else:
        out.print(done)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([smh])", text)
    if not match:
        fail(f"--deadline: {text!r} is not like 90s, 10m or 1h", MISUSED)
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST_DEADLINE:
        most = f"{LONGEST_DEADLINE / 3600:.0f}h, seven days, the longest"
        fail(f"--deadline: {text} is more than {most}", MISUSED)
    return seconds
