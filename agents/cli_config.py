"""What the commands share that read the cluster's file: their options, and what is said of a wrong
one.
"""

from pathlib import Path
from typing import Annotated

import typer

from agents.cli_output import MISUSED, fail
from agents.config import DEFAULT_PATH, Cluster, ConfigErrors, load

DEFAULT_CONFIG = Path(DEFAULT_PATH)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="SYNOD_CONFIG", help="The cluster's file, the same on every unit."
    ),
]
IdOption = Annotated[int, typer.Option("--id", help="Which of the file's units this host is.")]
DatapathOption = Annotated[
    str | None,
    typer.Option(help="OVS's datapath, netdev or system. Default: system if the kernel has it."),
]


def cluster_or_exit(path: Path) -> Cluster:
    """The cluster that the file describes; exit code 2 with all its errors if there are any."""
    try:
        return load(path)
    except ConfigErrors as errors:
        lines = [
            f"{path}: {where}: {what}" if where not in ("", str(path)) else f"{path}: {what}"
            for where, what in errors.errors
        ]
        if path == DEFAULT_CONFIG and not path.exists():
            lines.append("Is it elsewhere? --config FILE, or SYNOD_CONFIG. What stands in it:")
            lines.append("docs/configuration.md")
        told = [{"path": where, "error": what} for where, what in errors.errors]
        fail("\n".join(lines), MISUSED, errors=told)


def check_datapath(datapath: str | None) -> None:
    """Exit code 2 if there is no such datapath."""
    if datapath not in (None, "netdev", "system"):
        fail("--datapath: netdev or system", MISUSED)


def check_id(cluster: Cluster, unit_id: int, path: Path) -> None:
    """Exit code 2 if the file has no such unit."""
    if not any(unit.id == unit_id for unit in cluster.units):
        known = ", ".join(str(unit.id) for unit in cluster.units)
        fail(f"{path} has no unit {unit_id}; it has {known}", MISUSED)
