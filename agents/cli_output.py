"""What the commands of `synod` and `synod-lab` share: where they write, and how they end.

A person reads stdout, and on stderr why something wasn't done. A program that asks by `--json`
reads stdout alone: one JSON value, which is {"error": why} if it wasn't done, as the app's HTTP API
has it. Exit codes are the same for both, and listed in docs/scripts.md.
"""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

# 0: done. Another: not done; which one says whose turn it is to do something.
FAILED, MISUSED, NO_ANSWER, NOT_ALLOWED = 1, 2, 3, 4
FOR_PROGRAMS = "--json"
_WIDE = 120  # columns

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

JsonOption = Annotated[
    bool, typer.Option(FOR_PROGRAMS, help="For programs: one JSON value, errors too.")
]


class Failure(typer.TyperException):
    """A command ends: `code`, why, and what programs are told besides."""

    def __init__(self, message: str, code: int, **details: Any) -> None:
        super().__init__(message)
        self.exit_code = code
        self.details = details


class Commands(TyperGroup):
    """A command line that tells those who asked for JSON of its misuse by JSON, too."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs it, and ends this process."""
        words = list(sys.argv[1:] if args is None else args)
        for_programs = FOR_PROGRAMS in words[: words.index("--") if "--" in words else None]
        try:
            code = super().main(
                words, prog_name, complete_var, not for_programs, windows_expand_args, **extra
            )
        except Failure as failure:
            if for_programs:
                say({"error": str(failure), **failure.details})
            else:
                err.print(str(failure), markup=False, style="red")
            sys.exit(failure.exit_code)
        except typer.TyperException as misuse:  # a wrong option, say: only of those for programs
            say({"error": misuse.format_message()})
            sys.exit(MISUSED)
        sys.exit(code)


def say(found: Any, *, indent: int | None = 2) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(found, indent=indent) + "\n")
    sys.stdout.flush()


def show_table(table: Table) -> None:
    """On a terminal as wide as that is; else as wide as it needs to be."""
    out.print(table, width=None if out.is_terminal else _WIDE)


def show_whole_table(table: Table) -> None:
    """So wide that nothing is cut off, however narrow the terminal, or if there is none."""
    Console(width=max(out.width, _WIDE), highlight=False).print(table)


def fail(message: str, code: int = FAILED, **details: Any) -> NoReturn:
    """The end of a command, and why; `details` are for programs."""
    raise Failure(message, code, **details)
