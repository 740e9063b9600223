"""`synod`: make a host a unit, run its agent, check the cluster's file, ask and order the app.

A thin shell: each command loads the configuration, calls one function and turns what it raises into
a message and an exit code (docs/scripts.md).
"""

import socket
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agents import (
    __version__,
    bringup,
    bringup_steps,
    cli_cluster,
    cli_doctor,
    cli_install,
    cli_key,
    cli_pki,
    cli_sessions,
    cli_watching,
    config_key,
    journal,
    log,
    provision,
    supervise,
)
from agents.cli_config import (
    DEFAULT_CONFIG,
    ConfigOption,
    DatapathOption,
    IdOption,
    check_datapath,
    check_id,
    cluster_or_exit,
)
from agents.cli_output import FAILED, MISUSED, Commands, JsonOption, fail, out, say
from agents.config import Cluster
from agents.wire.ports import SYNOD_NAME

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""An active-active cluster of firewalls: one primary decides, all units serve.

    [bold]On every unit[/bold], with the same file and the same key:

        synod key make
        synod config check /etc/synod/cluster.yaml
        synod unit install --id 1

    [bold]Where the app runs[/bold]:

        synod app install
        synod status
        synod top
        synod events --follow
        synod sessions --unit 2
        synod explain 10.1.0.10:40000 203.0.113.10:80
        synod drain 2 --deadline 10m
        synod undrain 2
        synod promote 2
        synod weight 2 5
        synod method weighted-round-robin

    Orders need the app's token: /etc/synod/token, or where SYNOD_TOKEN_FILE says.
    Drains, weights and the method hold until the app is started again.

    Exit codes: 0 done, 1 not done, 2 used or configured wrongly,
    3 no answer from the app, 4 not allowed.
    With [bold]--json[/bold] errors are JSON, too.""",
)
unit_app = typer.Typer(no_args_is_help=True, help="Make this host a unit, and what it was before.")
app_app = typer.Typer(no_args_is_help=True, help="The host that runs the controller app.")
config_app = typer.Typer(no_args_is_help=True, help="The cluster's file.")
pki_app = typer.Typer(no_args_is_help=True, help="Keys and certificates for OpenFlow over TLS.")
app.add_typer(unit_app, name="unit")
app.add_typer(app_app, name="app")
app.add_typer(config_app, name="config")
app.add_typer(pki_app, name="pki")
app.add_typer(cli_key.key_app, name="key")
for command in (
    *(cli_cluster.status, cli_watching.top, cli_watching.events),
    *(cli_cluster.drain, cli_cluster.undrain, cli_cluster.promote),
    *(cli_cluster.weight, cli_cluster.method),
):
    app.command()(command)
app.command()(cli_sessions.sessions)
app.command()(cli_sessions.explain)
app.command()(cli_doctor.doctor)
unit_app.command("install")(cli_install.unit_install)
unit_app.command("uninstall")(cli_install.unit_uninstall)
app_app.command("install")(cli_install.app_install)
app_app.command("uninstall")(cli_install.app_uninstall)
pki_app.command("make")(cli_pki.make)


def _tell_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"synod {__version__}\n")
        raise typer.Exit


@app.callback()
def _synod(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Which this is."),
    ] = False,
) -> None:
    del version  # it has been told


@unit_app.command("up")
def unit_up(  # noqa: PLR0917 - typer calls it, by name
    unit_id: IdOption,
    config: ConfigOption = DEFAULT_CONFIG,
    show: Annotated[
        bool, typer.Option("--print", help="Show the commands and change nothing.")
    ] = False,
    datapath: DatapathOption = None,
    foreground: Annotated[
        bool,
        typer.Option(
            "--foreground", help="Then stay, and keep the agent running, until a SIGTERM."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this host a unit: its bridge, filters, settings, addresses and agent.

    If a step fails, or it is broken off, those before it are undone. Done twice, the second does
    nothing.
    [bold]synod unit install[/bold] has systemd do it, now and after each start of the machine.
    """
    cluster = cluster_or_exit(config)
    check_datapath(datapath)
    if foreground and as_json and not show:
        fail("--foreground writes a log, and no JSON", MISUSED)
    check_id(cluster, unit_id, config)
    path = str(config.resolve())
    if not show:
        _check_key()
    try:
        if show:
            host = replace(provision.look(datapath), foreground=foreground)
            _show(bringup.plan(cluster, unit_id, path, host), as_json)
            return
        if foreground:
            raise typer.Exit(_stay_up(cluster, unit_id, path, datapath))
        done: list[str] = []
        fresh = provision.up(
            cluster, unit_id, path, lambda step: _tell(step.why, done, as_json), datapath
        )
    except provision.ProvisionError as error:
        fail(str(error))
    if as_json:
        say({"cluster": cluster.name, "unit": unit_id, "changed": fresh, "steps": done})
    else:
        out.print(f"unit {unit_id} of {cluster.name} is up" + ("" if fresh else " already"))


def _stay_up(cluster: Cluster, unit_id: int, path: str, datapath: str | None) -> int:
    """Up, and then its supervisor: all of it in the words of a log. The exit code."""
    names = {"unit": unit_id, "cluster": cluster.name}
    try:
        fresh = provision.up(
            cluster,
            unit_id,
            path,
            lambda step: log.tell("step", what=step.why),
            datapath,
            foreground=True,
        )
    except provision.ProvisionError as error:
        for line in str(error).splitlines():
            log.tell("not_brought_up", **names, why=line)
        return FAILED
    log.tell("brought_up", **names, changed=fresh)
    supervise.stop()  # one that somebody has started before
    return supervise.run(path, unit_id)


@unit_app.command("down")
def unit_down(
    show: Annotated[
        bool, typer.Option("--print", help="Show the commands and change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Undo precisely what `synod unit up` did on this host."""
    try:
        if show:
            done = journal.read()
            undo = done.undoing() if done else ()
            _show([bringup_steps.Command(why, tuple(argv)) for why, argv in undo], as_json)
            return
        undone: list[str] = []
        was_unit = provision.down(lambda why: _tell(f"undone: {why}", undone, as_json))
    except provision.ProvisionError as error:
        fail(str(error))
    if as_json:
        say({"changed": was_unit, "steps": undone})
        return
    out.print("this host is no unit any more" if was_unit else "this host is no unit")


def _show(steps: Iterable[bringup_steps.Step], as_json: bool) -> None:
    """Steps that are not done now, as commands of a shell."""
    if as_json:
        say({"steps": [{"why": step.why, "command": bringup_steps.lines(step)} for step in steps]})
    else:
        sys.stdout.writelines(bringup_steps.shell(step) + "\n" for step in steps)


def _tell(what: str, told: list[str], as_json: bool) -> None:
    """A step that is being done."""
    told.append(what)
    if not as_json:
        out.print(f"[dim]{what}")


@app.command()
def agent(unit_id: IdOption, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run a unit's agent in the foreground. (`synod unit up` runs it in the background, and
    restarts it.)
    """
    cluster = cluster_or_exit(config)
    check_id(cluster, unit_id, config)
    if not any(name == SYNOD_NAME for _, name in socket.if_nameindex()):
        fail("this host is no unit: 'synod unit up' makes it one, and runs its agent")
    from agents.agent import run  # noqa: PLC0415 - it opens kernel interfaces that the other commands do without

    try:
        code = run(cluster, unit_id)
    except config_key.KeyFileError as error:
        fail(str(error), MISUSED)
    raise typer.Exit(code)


def _check_key() -> None:
    """Exit code 2 if there is no key that an agent could take."""
    try:
        config_key.load(config_key.path())
    except config_key.KeyFileError as error:
        fail(str(error), MISUSED)


@config_app.command("check")
def config_check(
    file: Annotated[
        Path, typer.Argument(envvar="SYNOD_CONFIG", help="The cluster's file.")
    ] = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check the cluster's file: every error at once, each with its path."""
    cluster = cluster_or_exit(file)
    if as_json:
        found = {
            "cluster": cluster.name,
            "units": [unit.id for unit in cluster.units],
            "interfaces": [each.name for each in cluster.interfaces],
            "method": cluster.method,
            "session_table": cluster.session_table,
            "digest": cluster.digest,
        }
        say({"file": str(file), **found})
        return
    units = f"{len(cluster.units)} units" if len(cluster.units) > 1 else "1 unit"
    names = ", ".join(each.name for each in cluster.interfaces)
    out.print(
        f"{file} is right: cluster {cluster.name}, {units}, interfaces {names}, {cluster.method}"
    )


def main() -> None:
    """The command line."""
    app(prog_name="synod")


if __name__ == "__main__":
    main()
