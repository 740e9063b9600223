"""The app's answers as a person reads them: tables and lines for a terminal.

Answers of an app that is older than this program lack some keys: what isn't told is shown as
a dash.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_COLUMNS = ("unit", "role", "state", "since", "heard", "weight", "live", "served", "new/s", "share")
_WORDS = ("role", "state")  # the columns that aren't numbers
NOTHING = "-"
_ALONE = "more sessions begin than are shared out, the primary serves the rest alone: {why}"
_WHY = {
    "budget": "they are beyond the budget of decisions",
    "undecided": "they are not decided in time",
    "full": "the app remembers no more",
}


def status_table(found: dict[str, Any]) -> Table:
    """The cluster's status."""
    title = f"{found['cluster']}: {primary_words(found)}"
    title += f", {found['method']}" if "method" in found else ""
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in _WORDS else "right", no_wrap=True)
    for unit in found["units"]:
        table.add_row(*_row(unit, found.get("time")))
    return table


def primary_words(found: Mapping[str, Any]) -> str:
    """Who is primary; and how that unit is, if it isn't there."""
    if not (primary := found["primary"]):
        return "no primary yet"
    if found.get("primary_present", True):
        return f"unit {primary} is primary"
    (state,) = (unit["state"] for unit in found["units"] if unit["id"] == primary)
    return f"unit {primary} is primary, and {state}"


def _row(unit: dict[str, Any], now: float | None) -> Iterable[str]:
    colour = "green" if unit["state"] == "up" and not unit.get("drained") else "yellow"
    sessions, since, heard = unit["sessions"], unit.get("since"), unit.get("heard")
    yield str(unit["id"])
    yield unit["role"]
    yield f"[{colour}]{unit['state']}{', drained' if unit.get('drained') else ''}"
    yield NOTHING if since is None or now is None else span(now - since)
    yield NOTHING if heard is None else f"{heard:.1f} s" if heard < 60 else span(heard)
    yield str(unit["weight"])
    yield str(sessions["live"])
    yield str(sessions["served"])
    yield f"{sessions['per_second']:.1f}" if "per_second" in sessions else NOTHING
    yield NOTHING if unit.get("share") is None else f"{unit['share']:.0%}"


def span(seconds: float) -> str:
    """`2d 3h`, `5m 7s`, `9s`: the two largest steps."""
    left = max(0, int(seconds))
    words: list[str] = []
    for step, letter in _STEPS:
        count, left = divmod(left, step)
        if count or words or letter == "s":
            words.append(f"{count}{letter}")
    return " ".join(words[:2])


def app_line(found: dict[str, Any]) -> str:
    """Which app says so, for how long it has been there, and what it decides now."""
    app = found.get("app")
    if app is None:
        return "an app of an older version"
    does = "decides on new sessions" if found["balancing"] else "isn't asked about new sessions"
    return f"app {app['version']}, up for {span(found['time'] - app['since'])}: {does}"


def lacking(found: dict[str, Any]) -> list[str]:
    """What is more than the app decides, who isn't taken or is about to lose what it has, and what
    units that work would need when the next thing fails: a line for each that lacks it.
    """
    lines = [_ALONE.format(why=_WHY.get(why, why)) for why in found.get("overloaded", ())]
    present = found.get("primary") and found.get("primary_present", True)
    if present and not found.get("balancing", True) and len(found["units"]) > 1:
        lines.append(f"unit {found['primary']} serves all new sessions: no other takes any")
    for unit in found["units"]:
        if refusal := unit.get("refusal"):
            lines.append(f"unit {unit['id']} isn't taken: {refusal}")
        if unit.get("deadline") is not None:
            left = span(unit["deadline"])
            lines.append(
                f"unit {unit['id']} is drained: what is left of its sessions moves in {left}"
            )
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


def event_line(event: dict[str, Any]) -> str:
    """When, what, and what of it; in rich's markup."""
    at = datetime.fromtimestamp(event["time"]).strftime("%Y-%m-%d %H:%M:%S")
    fields = " ".join(f"{name}={value}" for name, value in event["fields"].items())
    text = escape(f"{event['event']:<17} {fields}".rstrip())
    return f"[dim]{at}[/dim]  " + (f"[yellow]{text}[/yellow]" if event["warning"] else text)


def _numbers(units: Iterable[int]) -> str:
    return ", ".join(map(str, units))
