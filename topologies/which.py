"""Which lab a command of `synod-lab` means: its option --name."""

from typing import Annotated

import typer

from agents.cli_output import fail
from topologies.lab import Lab, LabError

NameOption = Annotated[str, typer.Option("--name", envvar="SYNOD_LAB", help="Which lab.")]


def attach(name: str) -> Lab:
    """The running lab of that name; if there is none, a message and the end."""
    try:
        return Lab.attach(name)
    except LabError as error:
        fail(str(error))
