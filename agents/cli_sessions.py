"""`synod sessions`: single sessions, as the app tells of them over HTTP."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from agents.cli_cluster import DEFAULT_URL, UrlOption
from agents.cli_output import MISUSED, fail, out

_ADDRESS = "ADDR[/LEN]"
WIDTH = 100  # columns of the widest table
PAGE = 1000  # sessions that the app tells at once

JsonOption = Annotated[bool, typer.Option("--json", help="What the app said, for programs.")]


def sessions(  # noqa: PLR0917 - typer calls it, by name
    unit: Annotated[int | None, typer.Option(help="Those that this unit serves.")] = None,
    src: Annotated[
        str | None, typer.Option(help="Whose client is this, or in this network.", metavar=_ADDRESS)
    ] = None,
    dst: Annotated[
        str | None, typer.Option(help="Whose server is this, or in this network.", metavar=_ADDRESS)
    ] = None,
    port: Annotated[int | None, typer.Option(help="With this port, on either side.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """List live sessions: from where to where, as what they leave, and who serves them.

    Addresses and ports are found before translation and after it. In the order of the clients'
    addresses.
    """
    asked = {"unit": unit, "src": src, "dst": dst, "port": port}
    query = {name: str(value) for name, value in asked.items() if value is not None}
    found = _pages(url, query, limit)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        # Of an address nothing is cut off, however narrow the terminal, or if there is none.
        Console(width=max(out.width, WIDTH), highlight=False).print(sessions_table(found))
        out.print(shown_of(found))


def sessions_table(found: dict[str, Any]) -> Table:
    """Sessions as a person reads them."""
    table = Table()
    for column in ("unit", "from", "to", "leaves as", "decided"):
        table.add_column(column, justify="right" if column == "unit" else "left", no_wrap=True)
    for each in found["sessions"]:
        table.add_row(
            str(each["unit"]), each["src"], each["dst"], leaves_as(each), ago(each, found["time"])
        )
    return table


def leaves_as(session: dict[str, Any]) -> str:
    """What translation makes of a session's packets."""
    changed = [
        f"{arrow}{session[new]}"
        for arrow, old, new in (("", "src", "nat_src"), ("→ ", "dst", "nat_dst"))
        if session[old] != session[new]
    ]
    return " ".join(changed) or "the same"


def ago(session: dict[str, Any], now: float) -> str:
    """How long ago the session was decided."""
    if session["decided"] is None:
        return "before the app began"
    seconds = max(0, round(now - session["decided"]))
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60} min ago"
    return f"{minutes} min {seconds % 60} s ago" if minutes else f"{seconds} s ago"


def shown_of(found: dict[str, Any]) -> str:
    """How many there are, beside those that are listed."""
    shown, matching, live = len(found["sessions"]), found["matching"], found["live"]
    which = "" if matching == live else f" of {live} live ones"
    more = "" if shown >= matching else f", {shown} shown (--limit)"
    return f"{matching} session{'' if matching == 1 else 's'}{which}{more}"


def fetch(url: str, path: str, query: dict[str, str], timeout: float = 10.0) -> dict[str, Any]:
    """The app's answer to a question. Ends the command if there is none, or the app refuses."""
    asked = f"{url.rstrip('/')}{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            found = json.load(answer)
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except urllib.error.HTTPError as error:
        fail(_reason(error), MISUSED if error.code == 400 else 1)
    except OSError as error:
        fail(f"no answer from the app at {url}: {getattr(error, 'reason', error)}")
    except ValueError:
        fail(f"what answers at {url} is not the app: no JSON came back")
    return found


def _pages(url: str, query: dict[str, str], limit: int) -> dict[str, Any]:
    """So many sessions, in as many pages as it takes."""
    whole: dict[str, Any] = {}
    listed: list[Any] = []
    after: dict[str, str] = {}
    while not whole or (whole["next"] and len(listed) < limit):
        part = {"limit": str(min(PAGE, limit - len(listed)))}
        whole = fetch(url, "/v1/sessions", query | part | after)
        listed += whole["sessions"]
        after = {"after": str(whole["next"])}
    return whole | {"sessions": listed}


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, TypeError, KeyError):
        return f"the app answered {error.code} {error.reason}"
