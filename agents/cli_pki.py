"""`synod pki make`: keys and certificates for OpenFlow over TLS."""

from pathlib import Path
from typing import Annotated

import typer

from agents import config_tls, pki
from agents.cli_config import DEFAULT_CONFIG, ConfigOption, cluster_or_exit
from agents.cli_output import JsonOption, fail, out, say
from agents.machine import ProvisionError


def make(
    folder: Annotated[
        Path, typer.Argument(help="Where they are kept: private, and on no unit if you can.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make the keys and certificates by which units and controller know each other.

    A folder for each machine, to be copied there as it is, and the two CAs that sign, which stay
    where they are. Done again, it makes what is missing, as for a unit that has come to the
    cluster's file, and changes nothing that is there. It calls ovs-pki (openvswitch-common).
    """
    cluster = cluster_or_exit(config)
    try:
        fresh = pki.make(
            folder,
            (unit.id for unit in cluster.units),
            lambda what: None if as_json else out.print(f"[dim]{what}"),
        )
    except ProvisionError as error:
        fail(str(error))
    if as_json:
        say({"folder": str(folder), "made": list(fresh)})
        return
    if not fresh:
        out.print(f"{folder} has all of it already")
        return
    if pki.CONTROLLER in fresh:
        out.print(f"copy {folder / pki.CONTROLLER} to the app's machine: {config_tls.APP_PATH}")
    for name in fresh:
        if name != pki.CONTROLLER:
            out.print(f"copy {folder / name} to that unit: {config_tls.UNIT_PATH}")
