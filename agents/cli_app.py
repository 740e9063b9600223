"""What the commands share that ask or order the app: where it is, and how they end without it."""

from typing import Annotated, Any

import typer

from agents import app_http
from agents.cli_output import FAILED, MISUSED, NO_ANSWER, NOT_ALLOWED, fail

UrlOption = Annotated[str, typer.Option(envvar="SYNOD_URL", help="Where the app answers.")]

_CODES: dict[type[app_http.AppError], int] = {
    app_http.Misunderstood: MISUSED,
    app_http.Unreachable: NO_ANSWER,
    app_http.TurnedAway: NOT_ALLOWED,
}


def ask(url: str, path: str, timeout: float = app_http.TIMEOUT) -> dict[str, Any]:
    """The app's answer to a question; the command's end if there is none, or it is refused."""
    try:
        return app_http.ask(url, path, timeout)
    except app_http.AppError as error:
        fail(str(error), code_of(error))


def order(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Have it done, by the same rules."""
    try:
        return app_http.order(url, path, body)
    except app_http.AppError as error:
        fail(str(error), code_of(error))


def code_of(error: app_http.AppError) -> int:
    """With which exit code a command ends that this has kept from being done."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), FAILED)
