"""`synod events` and `synod top`: what happens to the cluster, and the cluster as it is, live."""

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from agents import cli_app
from agents.app_http import DEFAULT_URL, AppError, ask
from agents.cli_app import UrlOption
from agents.cli_output import MISUSED, JsonOption, err, fail, out, say
from agents.status_view import app_line, event_line, lacking, status_table

INTERVAL = 1.0  # seconds
_TIMEOUT = 2.0  # seconds that the screen may stand still for want of an answer
_TABLE = 9  # lines of the screen that are neither units nor events


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens; ends on ctrl-C.")
    ] = False,
    last: Annotated[
        int | None, typer.Option("--last", "-n", min=0, help="Only so many. Default: all.")
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """What has happened to the cluster: units that came and went, who became primary, orders.

    The app remembers the last 500 since it was started. What became of single sessions is not
    among them: that is counted, in 'synod status --json' and in /metrics. With [bold]--json[/bold]
    each is an object on a line of its own.
    """
    with contextlib.suppress(KeyboardInterrupt):
        found = cli_app.ask(url, "/v1/events")
        told = found["events"]
        for event in told[len(told) - last :] if last is not None and last < len(told) else told:
            _tell(event, as_json)
        for event in _later(url, found) if follow else ():
            _tell(event, as_json)


def top(
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds from one look to the next.")
    ] = INTERVAL,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """'synod status', live, with the last events. Ends on q or ctrl-C.

    With [bold]--json[/bold] it is what 'synod status --json' says, each time on a line of its own.
    """
    if as_json:
        _stream(interval, url)
        return
    if not out.is_terminal:
        fail("top draws on a terminal; for programs there is 'synod top --json'", MISUSED)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the terminal is put right before it ends
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        screen = _Screen(url)
        with _keys() as pressed, Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                live.update(screen.look(out.height), refresh=True)
                if pressed(interval) in ("q", "Q"):
                    return


class _Screen:
    """What was heard last, so that it stays to be read while the app is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._status: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []

    def look(self, height: int) -> RenderableType:
        """Ask, and draw what is known then."""
        fault = ""
        try:
            self._status = ask(self._url, "/v1/status", _TIMEOUT)
            self._events = ask(self._url, "/v1/events", _TIMEOUT)["events"]
        except AppError as error:
            fault = str(error)
        return self._drawn(fault, height)

    def _drawn(self, fault: str, height: int) -> RenderableType:
        parts: list[RenderableType] = []
        if fault:
            parts.append(Text(fault, style="red"))
        if not self._status:
            return Group(*parts)
        if fault:
            heard = datetime.fromtimestamp(self._status["time"]).strftime("%H:%M:%S")
            parts.append(Text(f"as it was at {heard}:", style="red"))
        parts += [status_table(self._status), Text(app_line(self._status))]
        lines = lacking(self._status)
        parts += [Text(line, style="yellow") for line in lines]
        room = height - _TABLE - len(lines) - len(self._status["units"])
        latest = self._events[-max(room, 1) :]
        parts += ["", *(Text.from_markup(event_line(each), overflow="ellipsis") for each in latest)]
        parts += [Text("q ends", style="dim")]
        return Group(*parts)


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """Waits so many seconds for a key, and says which was pressed. The terminal is afterwards as it
    was.
    """
    if not sys.stdin.isatty():
        yield time.sleep
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode("latin-1") or "q" if ready else ""

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _stream(interval: float, url: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            say(cli_app.ask(url, "/v1/status"), indent=None)
            time.sleep(interval)


def _later(url: str, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What happens from now on, through restarts of the app."""
    away = False
    while True:
        time.sleep(INTERVAL)
        boot, after = found["boot"], found["next"]
        try:
            found = ask(url, f"/v1/events?after={after}")
            if found["boot"] != boot:
                found = ask(url, "/v1/events")
        except AppError as error:
            if not away:
                err.print(str(error), markup=False, style="red")
            away = True
            continue
        away = False
        yield from found["events"]


def _tell(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(event, indent=None)
    else:
        out.print(event_line(event))
