"""`synod-lab fault`: break a running lab, and mend it.

A thin shell around `topologies.faulting`. Exit codes: 0 done, 1 failed, 2 used wrongly.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.table import Table

from agents.cli_output import MISUSED, fail, out
from topologies.damage import Broken
from topologies.faulting import Faults
from topologies.faults import VERBS, WAYS
from topologies.hosts import LabError, Misnamed
from topologies.which import NameOption, attach

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Break a lab, and mend it.

        synod-lab fault power-off u2
        synod-lab fault list
        synod-lab fault restart u2

    Hosts: u1…uN, and controller where that makes sense.
    Cables: int, ext, dmz (with three interfaces), ha, mgmt; the controller's: mgmt.
    Programs: vswitchd, ovsdb-server, agent, conntrackd, supervisor; the controller's: app.""",
)

HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="u1…uN, or controller.")]
ProgramArgument = Annotated[
    str, typer.Argument(metavar="[PROGRAM]", help="Of a unit. The controller has only the app.")
]


_ON_A_HOST: dict[str, Callable[[Faults, str], object]] = {
    "kill": Faults.kill,
    "power-off": Faults.power_off,
    "restart": Faults.restart,
}
_ON_A_PROGRAM: dict[str, Callable[[Faults, str, str], None]] = {
    "stop": Faults.stop,
    "continue": Faults.continue_,
    "crash": Faults.crash,
}


def _on_a_host(verb: Callable[[Faults, str], object]) -> Callable[..., None]:
    def command(host: HostArgument, name: NameOption = "lab") -> None:
        with _faults(name) as faults:
            verb(faults, host)

    return command


def _on_a_program(verb: Callable[[Faults, str, str], None]) -> Callable[..., None]:
    def command(
        host: HostArgument, program: ProgramArgument = "", name: NameOption = "lab"
    ) -> None:
        with _faults(name) as faults:
            verb(faults, host, program)

    return command


for _name, _verb in _ON_A_HOST.items():
    app.command(_name, help=VERBS[_name])(_on_a_host(_verb))
for _name, _change in _ON_A_PROGRAM.items():
    app.command(_name, help=VERBS[_name])(_on_a_program(_change))


@app.command("restart-switch", help=VERBS["restart-switch"])
def restart_switch(
    host: HostArgument,
    anew: Annotated[bool, typer.Option("--anew", help="With other ports than before.")] = False,
    name: NameOption = "lab",
) -> None:
    """Faults.restart_switch."""
    with _faults(name) as faults:
        faults.restart_switch(host, anew)


@app.command(help=VERBS["cut"])
def cut(
    host: HostArgument,
    cable: Annotated[str, typer.Argument(metavar="CABLE", help="int, ext, dmz, ha or mgmt.")],
    way: Annotated[
        str, typer.Option(help="Frames that are lost: " + ", ".join(WAYS) + ".")
    ] = "both",
    nic: Annotated[bool, typer.Option("--nic", help="Set the host's NIC down instead.")] = False,
    name: NameOption = "lab",
) -> None:
    """Faults.cut."""
    with _faults(name) as faults:
        faults.cut(host, cable, way, nic)


@app.command(help=VERBS["heal"])
def heal(
    host: Annotated[str, typer.Argument(metavar="[HOST]", help="Only what is broken there.")] = "",
    cable: Annotated[str, typer.Argument(metavar="[CABLE]", help="Only this cable.")] = "",
    name: NameOption = "lab",
) -> None:
    """Faults.heal."""
    with _faults(name) as faults:
        stays = faults.heal(host, cable)
    if stays:
        out.print(_table(stays, "stays broken"))


@app.command("list", help=VERBS["list"])
def list_(name: NameOption = "lab") -> None:
    """Faults.broken."""
    with _faults(name) as faults:
        found = faults.broken()
    out.print(_table(found, "what is broken") if found else "nothing is broken")


@contextmanager
def _faults(name: str) -> Iterator[Faults]:
    """The faults of the lab of that name. Errors become a message and an exit code."""
    lab = attach(name)
    try:
        yield Faults(lab)
    except Misnamed as error:
        fail(str(error), MISUSED)
    except LabError as error:
        fail(str(error))


def _table(found: list[Broken], title: str) -> Table:
    table = Table("where", title, "synod-lab fault …")
    for each in found:
        table.add_row(each.where, each.says, each.remedy)
    return table
