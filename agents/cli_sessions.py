"""`synod sessions`, `explain`: single sessions, as the app tells of them over HTTP."""

import urllib.parse
from typing import Annotated, Any

import typer
from rich.table import Table

from agents.app_http import DEFAULT_URL
from agents.cli_app import UrlOption, ask
from agents.cli_completion import unit_ids
from agents.cli_output import JsonOption, out, say, show_whole_table
from agents.status_view import span

_ADDRESS = "ADDR[/LEN]"
_FOR_EVER = 10_000_000  # seconds; the kernel's longest are far below, an agent's longest above
PAGE = 1000  # sessions that the app tells at once
PATIENCE = 15.0  # seconds: the app asks units and bridges, and others wait, too


def sessions(  # noqa: PLR0917 - typer calls it, by name
    unit: Annotated[
        int | None,
        typer.Option(help="Those that this unit serves.", autocompletion=unit_ids),
    ] = None,
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
        say(found)
    else:
        show_whole_table(sessions_table(found))
        out.print(shown_of(found))


def explain(
    src: Annotated[str, typer.Argument(help="The client's end.", metavar="SRC:PORT")],
    dst: Annotated[str, typer.Argument(help="The server's end.", metavar="DST:PORT")],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Say which unit has a session, why, and whether it survives that unit.

    Either direction will do, before translation or after it. Of a session that isn't there it says
    what would become of its SYN on the primary, and which unit would be chosen now; nothing is
    sent, and nobody loses their turn. Units that don't answer within a second are named.
    """
    found = fetch(url, "/v1/explain", {"src": src, "dst": dst})
    if as_json:
        say(found)
        return
    out.print(f"[bold]{found['src']} > {found['dst']}")
    for line in found["summary"]:
        out.print(f"  {line}", markup=False)
    if any(unit["entry"] for unit in found["units"]):
        show_whole_table(entries_table(found))
    if found["flows"]:
        show_whole_table(flows_table(found))
    for each in found["tracked"]:
        out.print(f"on the primary's switch: {tracked(each)}")
    for each in (found["syn"] or {}).get("commands", ()):
        out.print(f"\n[bold]$ {each['command']}")
        out.print(each["output"].rstrip(), markup=False)


def entries_table(found: dict[str, Any]) -> Table:
    """What each unit's kernel has of the session."""
    table = Table(title="in each unit's kernel: conntrack -L -o labels", title_justify="left")
    for column in ("unit", "role", "state", "for", "mark", "labels"):
        table.add_column(column, justify="right" if column == "unit" else "left", no_wrap=True)
    for unit in found["units"]:
        entry = unit["entry"]
        number = f"{unit['id']} ←" if unit["serves"] else f"{unit['id']}  "
        if entry is None:
            state = "no entry" if unit["answered"] else f"no answer ({unit['state']})"
            table.add_row(number, unit["role"], state)
            continue
        flags = "" if entry["assured"] else ", not assured"
        cells = (f"{entry['state']}{flags}", lasts(entry["timeout"]), f"0x{entry['mark']:x}")
        table.add_row(number, unit["role"], *cells, ",".join(entry["labels"]))
    return table


def flows_table(found: dict[str, Any]) -> Table:
    """The flows of the primary's bridge that carry the session."""
    table = Table(title="on the primary's bridge: ovs-ofctl dump-flows", title_justify="left")
    for column in ("table", "flow", "cookie", "packets", "bytes", "for"):
        right = column in ("table", "packets", "bytes")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for flow in found["flows"]:
        counts = (str(flow["packets"]), str(flow["bytes"]))
        if not flow["there"]:
            counts = ("not there" if flow["answered"] else "no answer", "")
        table.add_row(str(flow["table"]), flow["name"], flow["cookie"], *counts, flow["of"])
    return table


def tracked(each: dict[str, Any]) -> str:
    """What the switch's connection tracker has of one direction."""
    if not each["answered"]:
        return f"no answer about {each['of']}"
    whose = f"mark {each['mark']}" if each["mark"] else "no mark, so the primary's"
    return f"{each['of']} has {whose}"


def lasts(timeout: int) -> str:
    """How long an entry is kept if no packet comes."""
    return f"{timeout} s" if timeout < _FOR_EVER else "until told"


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
    return f"{span(now - session['decided'])} ago"


def shown_of(found: dict[str, Any]) -> str:
    """How many there are, beside those that are listed."""
    shown, matching, live = len(found["sessions"]), found["matching"], found["live"]
    which = "" if matching == live else f" of {live} live ones"
    more = "" if shown >= matching else f", {shown} shown (--limit)"
    return f"{matching} session{'' if matching == 1 else 's'}{which}{more}"


def fetch(url: str, path: str, query: dict[str, str]) -> dict[str, Any]:
    """The app's answer to a question about sessions."""
    return ask(url, f"{path}?{urllib.parse.urlencode(query)}", PATIENCE)


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
