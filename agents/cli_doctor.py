"""`synod doctor`: what is wrong with this unit, and with the cluster by the app and other units.

A thin shell: it has `agents.doctor_look` look, the tables of checks find, and prints.
"""

import os
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from agents import config_tls, doctor_look, journal, provision
from agents.app_http import DEFAULT_URL, AppError, ask
from agents.cli_app import code_of
from agents.cli_config import DEFAULT_CONFIG, ConfigOption, check_id, cluster_or_exit
from agents.cli_output import FAILED, MISUSED, JsonOption, fail, out, say
from agents.config import Cluster
from agents.doctor_checks import UNIT
from agents.doctor_cluster import ALIKE, CLUSTER, Pair, Report, read
from agents.doctor_keys import KEYS
from agents.doctor_seen import Finding, findings


def doctor(
    unit_id: Annotated[
        int | None, typer.Option("--id", help="Which unit this host is, or should be.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    others: Annotated[
        list[Path] | None,
        typer.Option("--from", help="What 'synod doctor --json' said on another unit; repeat it."),
    ] = None,
    as_json: JsonOption = False,
    url: Annotated[
        str | None, typer.Option(envvar="SYNOD_URL", help="Where the app answers.")
    ] = None,
) -> None:
    """Look what is wrong with this unit and the cluster, and say what to do. Changes nothing.

    On a unit it looks at the unit: settings, rules, ports, addresses, MTUs, offloads, flows,
    programs. Where the app answers it looks at the cluster. With [bold]--from[/bold] it compares
    this unit with others:

        u2# synod doctor --json >u2.json
        u1# synod doctor --from u2.json

    Exit codes: 0 nothing found, 1 something, 2 used wrongly, or there is nothing here to look at, 3
    no answer at --url.
    """
    if os.geteuid() != 0:
        fail("only root sees all that is to be looked at", MISUSED)
    cluster = cluster_or_exit(config)
    found: list[Finding] = []
    unseen: list[str] = []
    report = _unit(cluster, unit_id, config, found)
    if cluster.tls:
        _keys(report is not None, found)
    if report is None and others:
        fail("--from: this host is no unit: there is nothing to compare with", MISUSED)
    for path in others or ():
        assert report is not None
        found += findings(ALIKE, Pair(report, _read(path)))
    app = _cluster(url, found, unseen)
    if not (report or app):
        fail("this host is no unit, and no app answers: give --id, or --url", MISUSED)
    if as_json:
        facts = asdict(report) if report else {"unit": None}
        about = {"cluster": cluster.name, "host": socket.gethostname(), "time": time.time()}
        said = {**about, **facts, "app": app or None, "unseen": unseen}
        said["findings"] = [asdict(each) for each in found]
        say(said, indent=1)
    else:
        _print(cluster, report, found, unseen)
    raise typer.Exit(FAILED if found else 0)


def _unit(
    cluster: Cluster, unit_id: int | None, config: Path, found: list[Finding]
) -> Report | None:
    """What is found of the unit that this host is; None if it is none, and none was asked for."""
    before = journal.read()
    if unit_id is None and before is None:
        return None
    known = {unit.id for unit in cluster.units}
    if unit_id is None and before and before.unit in known:
        unit_id = before.unit
    if unit_id is None:
        fail(f"this host is a unit that {config} doesn't have: give --id", MISUSED)
    check_id(cluster, unit_id, config)
    try:
        look = doctor_look.look(cluster, unit_id, str(config.resolve()))
        found += findings(UNIT, look)
        return doctor_look.report(look)
    except provision.ProvisionError as error:
        fail(f"can't be looked at: {error}", MISUSED)


def _keys(is_unit: bool, found: list[Finding]) -> None:
    """What is found of the keys that this host has, or should have."""
    folders = [config_tls.UNIT_PATH] if is_unit else []
    if Path(config_tls.APP_PATH).exists():
        folders.append(config_tls.APP_PATH)
    for folder in folders:
        try:
            found += findings(KEYS, doctor_look.keys(folder, time.time()))
        except provision.ProvisionError as error:
            fail(f"can't be looked at: {error}", MISUSED)


def _cluster(url: str | None, found: list[Finding], unseen: list[str]) -> dict[str, str]:
    """What the app says is wrong; what it runs on. Empty if none answers."""
    try:
        status = ask(url or DEFAULT_URL, "/v1/status")
    except AppError as error:
        if url:
            fail(str(error), code_of(error))
        unseen.append(f"the cluster: {error}")
        return {}
    found += findings(CLUSTER, status)
    return {"url": url or DEFAULT_URL, **doctor_look.app_versions()}


def _read(path: Path) -> Report:
    try:
        return read(path.read_bytes())
    except OSError as error:
        fail(f"{path}: {error.strerror}", MISUSED)
    except ValueError:
        fail(f"{path}: not what 'synod doctor --json' says on a unit", MISUSED)


def _print(
    cluster: Cluster, report: Report | None, found: list[Finding], unseen: list[str]
) -> None:
    what = f"unit {report.unit} of {cluster.name}" if report else f"the cluster {cluster.name}"
    out.print(f"{what}: {_count(len(found))}")
    for each in found:
        out.print(f"[yellow]{each.name}[/] {escape(each.what)}")
        out.print(f"    {escape(each.remedy)}")
    for line in unseen:
        out.print(f"[dim]not looked at: {escape(line)}")


def _count(number: int) -> str:
    return {0: "nothing found", 1: "1 finding"}.get(number, f"{number} findings")
