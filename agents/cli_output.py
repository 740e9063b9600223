"""What the commands of `synod` and `synod-lab` share: where they write, and how they end."""

from typing import NoReturn

import typer
from rich.console import Console

FAILED, MISUSED = 1, 2

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """A message on stderr, and the end."""
    err.print(message, markup=False, style="red")
    raise typer.Exit(code)
