"""What the commands of `synod` and `synod-lab` share: where they write, and how they end."""

from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table

FAILED, MISUSED = 1, 2
_WIDE = 120  # columns

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show_table(table: Table) -> None:
    """On a terminal as wide as that is; else as wide as it needs to be."""
    out.print(table, width=None if out.is_terminal else _WIDE)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """A message on stderr, and the end."""
    err.print(message, markup=False, style="red")
    raise typer.Exit(code)
