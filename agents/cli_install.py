"""`synod unit install`, `synod app install`, and `uninstall`: services of systemd."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from agents import installing, systemd
from agents.cli_config import (
    DEFAULT_CONFIG,
    ConfigOption,
    DatapathOption,
    IdOption,
    check_datapath,
    check_id,
    cluster_or_exit,
)
from agents.cli_output import MISUSED, JsonOption, fail, out, say
from agents.machine import ProvisionError

PrintOption = Annotated[
    bool, typer.Option("--print", help="Show the service's file and change nothing.")
]
StartOption = Annotated[
    bool, typer.Option("--start/--no-start", help="Start it now, or with the machine only.")
]


def unit_install(  # noqa: PLR0917 - typer calls it, by name
    unit_id: IdOption,
    config: ConfigOption = DEFAULT_CONFIG,
    show: PrintOption = False,
    start: StartOption = True,
    datapath: DatapathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make this host a unit now, and whenever it starts: a service of systemd.

    Its name is synod-unit: 'systemctl status synod-unit', 'journalctl -u synod-unit'. Stopping it
    is [bold]synod unit down[/bold]. Done twice, the second changes what is other: another id, say.
    """
    cluster = cluster_or_exit(config)
    check_datapath(datapath)
    check_id(cluster, unit_id, config)
    path = str(config.resolve())
    _install(
        systemd.UNIT,
        lambda place: systemd.unit_file(cluster, unit_id, path, place, datapath),
        show,
        start,
        as_json,
    )


def unit_uninstall(as_json: JsonOption = False) -> None:
    """Undo 'synod unit install': the host is no unit any more, and won't be when it starts."""
    _uninstall(systemd.UNIT, as_json)


def app_install(
    config: ConfigOption = DEFAULT_CONFIG,
    show: PrintOption = False,
    start: StartOption = True,
    as_json: JsonOption = False,
) -> None:
    """Run the controller app on this host now, and whenever it starts: a service of systemd.

    Its name is synod-app. It runs as a user of its own, synod. It listens for the units at the
    address that the file's [bold]controllers[/bold] has.
    """
    cluster = cluster_or_exit(config)
    path = str(config.resolve())
    _install(
        systemd.APP, lambda place: systemd.app_file(cluster, path, place), show, start, as_json
    )


def app_uninstall(as_json: JsonOption = False) -> None:
    """Undo 'synod app install'. Sessions go on; the primary serves new ones alone."""
    _uninstall(systemd.APP, as_json)


def _install(
    name: str,
    text_for: Callable[[systemd.Place], str],
    show: bool,
    start: bool,
    as_json: bool,
) -> None:
    place, path = systemd.Place.here(), systemd.DIRECTORY / name
    text = text_for(place)
    if show:
        if as_json:
            say({"path": str(path), "text": text})
        else:
            sys.stdout.write(text)
        return
    if hidden := place.hidden():
        fail(
            f"{', '.join(hidden)}: services see no homes. Install Synod elsewhere, as /opt/synod, "
            "with a Python that is elsewhere, as Debian's",
            MISUSED,
        )
    try:
        if name == systemd.APP:
            installing.add_user()
        fresh = installing.install(name, text, start)
    except ProvisionError as error:
        fail(f"{error}\nSee 'journalctl -u {name}'")
    if as_json:
        say({"path": str(path), "changed": fresh})
        return
    out.print(f"{path} is {'installed' if fresh else 'installed already'}")


def _uninstall(name: str, as_json: bool) -> None:
    path: Path = systemd.DIRECTORY / name
    try:
        was_there = installing.uninstall(name)
        if name == systemd.APP:
            installing.remove_user()
    except ProvisionError as error:
        fail(str(error))
    if as_json:
        say({"path": str(path), "changed": was_there})
        return
    out.print(f"{path} is {'gone' if was_there else 'not there'}")
