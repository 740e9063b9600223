"""What a shell is offered for an unfinished word: units that there are, methods that there are.

A shell waits for it with every press of the key, and shows nothing of what goes wrong: so it is
quick, and says nothing rather than something wrong.
"""

import os
from collections.abc import Iterator

import typer

from agents.app_http import DEFAULT_URL, AppError, ask
from agents.config import DEFAULT_PATH, ConfigErrors, load
from agents.config_form import METHODS

_TIMEOUT = 0.5  # seconds

Offers = list[tuple[str, str]]  # word, help


def unit_ids(context: typer.Context, incomplete: str) -> Offers:
    """The units, as the app tells; if it doesn't, as the cluster's file does."""
    url = context.params.get("url") or os.environ.get("SYNOD_URL") or DEFAULT_URL
    try:
        units = ask(url, "/v1/status", _TIMEOUT)["units"]
        found = [(str(unit["id"]), f"{unit['role']}, {unit['state']}") for unit in units]
    except (AppError, KeyError, TypeError):
        found = list(_configured())
    return [(unit, words) for unit, words in found if unit.startswith(incomplete)]


def _configured() -> Iterator[tuple[str, str]]:
    try:
        for unit in load(os.environ.get("SYNOD_CONFIG", DEFAULT_PATH)).units:
            yield str(unit.id), f"weight {unit.weight}"
    except ConfigErrors:
        return


def method_names(incomplete: str) -> list[str]:
    """The methods."""
    return [name for name in METHODS if name.startswith(incomplete)]
