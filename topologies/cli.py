"""`synod-lab`: a whole cluster with its client and server in a sandbox on this machine.

A thin shell around `topologies.lab`. Exit codes: 0 done, 1 failed, 2 used wrongly; `exec` gives its
command's own.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agents.cli_output import MISUSED, Commands, JsonOption, fail, out, say, show_table
from agents.config import parse
from agents.provision import look
from agents.status_view import status_table
from topologies import capturing, fault_cli, recipe, registry
from topologies.forwarding import Forwarding
from topologies.hosts import Misnamed
from topologies.lab import Lab, LabError
from topologies.which import NameOption, attach

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A cluster to play with, in a sandbox on this machine. Needs root.

        synod-lab up --units 3 --weights 5,3,2 --method weighted-round-robin
        synod-lab exec client -- curl -s http://203.0.113.10/
        synod-lab exec controller -- synod status
        synod-lab exec u1 -- ovs-ofctl dump-flows br-synod
        synod-lab exec u2 -- conntrack -L -o labels
        synod-lab down

    [bold]Hosts[/bold]: client (10.1.0.10), server (203.0.113.10), dmz (10.2.0.10, with three
    interfaces), u1…uN, controller. Several labs can run at once, each with a --name of its own.""",
)

app.add_typer(fault_cli.app, name="fault")


@app.command()
def up(  # noqa: PLR0917 - typer calls it, by name
    units: Annotated[int, typer.Option(help="How many units.")] = 3,
    method: Annotated[str, typer.Option(help=", ".join(recipe.METHODS) + ".")] = "round-robin",
    weights: Annotated[
        str, typer.Option(help="One for each unit, as 5,3,2. Default: 1 each.")
    ] = "",
    session_table: Annotated[
        str, typer.Option(help=", ".join(recipe.SESSION_TABLES) + ".")
    ] = "flows",
    interfaces: Annotated[
        int, typer.Option(help="Of the cluster: int and ext; with 3 also dmz.")
    ] = 2,
    balance: Annotated[
        str,
        typer.Option(
            help="all, or labelled: only connections that the rules give the label 'balance'."
        ),
    ] = "all",
    override: Annotated[
        int,
        typer.Option(
            help="The unit with the highest priority, that takes the primary's role back. 0: none."
        ),
    ] = 0,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="The user's nftables rules, for every unit. Default: SNAT of int to ext."
        ),
    ] = None,
    name: NameOption = "lab",
    show: Annotated[
        bool, typer.Option("--print", help="Show the commands and change nothing.")
    ] = False,
) -> None:
    """Start a lab in the background; returns when every unit has joined."""
    try:
        lab = Lab(
            units,
            method=method,
            weights=_weights(weights),
            interfaces=interfaces,
            session_table=session_table,
            balance=balance,
            override=override,
            rules=_rules(rules) if rules else recipe.DEFAULT_RULES,
            name=name,
        )
    except ValueError as error:
        fail(str(error), MISUSED)
    if show:
        sys.stdout.write(_by_hand(lab))
        return
    try:
        with out.status("") as progress:
            lab.up(progress.update)
        found = lab.status()
    except LabError as error:
        fail(str(error))
    show_table(status_table(found))
    out.print(f"[dim]Next: synod-lab exec client -- curl -s http://{_server(lab)}/")


@app.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
def exec_(
    host: Annotated[str, typer.Argument(help="client, server, dmz, u1…uN or controller.")],
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    name: NameOption = "lab",
) -> None:
    """Run a command on a host. Its streams and its exit code are the command's own."""
    words = command[1:] if command[0] == "--" else command
    if not words:
        fail("a command is missing, after --", MISUSED)
    lab = attach(name)
    try:
        argv = lab.argv(host, words)
    except LabError as error:
        fail(str(error), MISUSED)
    _become(argv, lab)


@app.command()
def capture(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The pcapng file to write.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(help="A command of this machine, after --: capture as long as it runs."),
    ] = None,
    *,
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST[/INTERFACE]", help="Where; repeat it. Default: all units."),
    ] = None,
    expression: Annotated[str, typer.Option("--filter", help="As tcpdump's: 'arp or tcp'.")] = "",
    duration: Annotated[float, typer.Option(min=0, help="Seconds. Default: until Ctrl-C.")] = 0,
    name: NameOption = "lab",
) -> None:
    """Capture on all units at once into one file, for Wireshark.

    With a command, until it has ended, and what is left of its sessions has gone by:

        synod-lab capture FILE -- synod-lab exec client -- curl -s http://203.0.113.10/
    """
    lab = attach(name)
    code = 0
    for number in (signal.SIGTERM, signal.SIGHUP):  # all that ends it, ends what it started
        signal.signal(number, signal.default_int_handler)
    try:
        with (
            capturing.capturing(lab, path, on or (), expression) as found,
            out.status("listening") as progress,
        ):
            if command:
                code, duration = _run(command, lab), duration or capturing.REST
            capturing.listen(found, duration, lambda count: progress.update(f"{count} packets"))
    except Misnamed as error:
        fail(str(error), MISUSED)
    except LabError as error:
        fail(str(error))
    out.print(f"{path}: written")
    if code:
        fail(f"'{command[0] if command else ''}' ended with {code}")


def _run(command: list[str], lab: Lab) -> int:
    """Runs it on this machine, for this lab."""
    environment = {**os.environ, "SYNOD_LAB": lab.options.name}
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}", MISUSED)


@app.command()
def page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine. 0: any.")] = 8080,
    name: NameOption = "lab",
) -> None:
    """Lead this machine's browser to the app's web page, until Ctrl-C."""
    lab = attach(name)
    try:
        forwarding = Forwarding(port, lambda: lab.connect("controller", recipe.HTTP_PORT))
    except OSError as error:
        fail(f"port {port}: {error.strerror}: choose another with --port")
    with forwarding, contextlib.suppress(KeyboardInterrupt):
        out.print(f"http://127.0.0.1:{forwarding.port}/ until Ctrl-C")
        forwarding.serve_forever()


@app.command()
def cli(name: NameOption = "lab") -> None:
    """Open Mininet's prompt on the lab's hosts."""
    lab = attach(name)
    _become(lab.prompt_argv(), lab)


@app.command()
def status(
    name: NameOption = "lab",
    as_json: JsonOption = False,
) -> None:
    """What 'synod status' says on the lab's controller."""
    try:
        found = attach(name).status()
    except OSError as error:
        fail(f"no answer from the app of {name!r}: {error}")
    if as_json:
        say(found)
    else:
        show_table(status_table(found))


@app.command()
def down(name: NameOption = "lab") -> None:
    """End a lab. Nothing of it stays."""
    attach(name).down()


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """The labs that run."""
    registry.sweep()
    found = list(registry.running())
    if as_json:
        say({"labs": found})
    else:
        sys.stdout.writelines(f"{name}\n" for name in found)


def _become(argv: list[str], lab: Lab) -> NoReturn:
    """This process turns into the command, so that nothing stands between it and its terminal."""
    sys.stdout.flush()
    os.execvpe(argv[0], argv, lab.environment())


def _weights(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"weights: {text!r} is not numbers with commas between") from None


def _rules(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ValueError(f"rules: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"rules: {path}: not text") from error


def _by_hand(lab: Lab) -> str:
    cluster = parse(recipe.cluster_file(lab.options))
    return recipe.by_hand(lab.options, cluster, look().datapath)


def _server(lab: Lab) -> str:
    return next(each.address for each in lab.options.networks if each.host == "server")


def main() -> None:
    """The command line."""
    app(prog_name="synod-lab")


if __name__ == "__main__":
    main()
