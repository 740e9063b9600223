"""`--json`: what programs get of each command of `synod`, and which exit code; docs/scripts.md has
both.
"""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import agents
from agents import (
    bringup_steps,
    cli,
    cli_config,
    cli_output,
    config_key,
    installing,
    journal,
    machine,
    provision,
    systemd,
)
from agents.bringup import Host
from topologies.recipe import Options, cluster_file

PAGE = (Path(__file__).parents[2] / "docs" / "scripts.md").read_text()
NOWHERE = "http://127.0.0.1:1"
STEP = bringup_steps.Command("make it", ("true",), ("false",))


def commands(group: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """All that can be called, by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *words, name)
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))
ROWS = {
    name: set(re.findall(r"`(\w+)`", keys))
    for name, keys in re.findall(r"^\| `synod ([\w ]+)` \|([^|]*)\|", PAGE, re.M)
}


def synod(*argv: str) -> tuple[int, Any]:
    """Its exit code, and what it tells a program: one JSON value, and nothing else."""
    done = CliRunner().invoke(cli.app, argv, catch_exceptions=False)
    assert done.stderr == ""
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(cluster_file(Options(units=2)))
    monkeypatch.setenv("SYNOD_CONFIG", str(path))
    monkeypatch.setenv("SYNOD_URL", NOWHERE)
    return path


@pytest.fixture(autouse=True)
def nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would change this machine is done to the test's own folder, or not at all."""
    monkeypatch.setattr(journal, "JOURNAL", tmp_path / "unit.json")
    monkeypatch.setattr(journal, "FENCE", tmp_path / "fenced")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(provision, "_check", lambda *_: None)
    monkeypatch.setattr(provision, "_remove_remains", lambda *_: None)
    monkeypatch.setattr(provision, "plan", lambda *_: [STEP])
    monkeypatch.setattr(provision, "look", lambda *_: Host())
    monkeypatch.setattr(provision, "mend", lambda *_, **__: False)
    monkeypatch.setattr(machine, "run", lambda *_, **__: "")
    monkeypatch.setattr(systemd, "DIRECTORY", tmp_path)
    monkeypatch.setattr(installing, "DIRECTORY", tmp_path)
    for name in ("_check", "add_user", "remove_user"):
        monkeypatch.setattr(installing, name, lambda: None)
    monkeypatch.setattr(installing, "run", lambda *_, **__: "inactive")
    monkeypatch.setattr(systemd.Place, "hidden", lambda _: [])
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(config_key.text([bytes(32)]))
    monkeypatch.setenv(config_key.VARIABLE, str(key))


def test_each_command_takes_it_and_is_described() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any(cli_output.FOR_PROGRAMS in parameter.opts for parameter in command.params)
    }
    assert without == {"agent"}
    assert set(ROWS) == set(COMMANDS) - without


def test_each_exit_code_is_described() -> None:
    known = {0, *(getattr(cli_output, name) for name in ("FAILED", "MISUSED"))}
    known |= {cli_output.NO_ANSWER, cli_output.NOT_ALLOWED}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.M)} == known


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        (("config", "check"), None),
        (("key", "show"), None),
        (("unit", "up", "--id", "2"), "first"),
        (("unit", "down"), "never"),
        (("unit", "install", "--id", "1"), "always"),  # it isn't active after it was started
        (("unit", "uninstall"), "never"),
        (("app", "install", "--no-start"), "first"),
        (("app", "uninstall"), "never"),
    ],
)
def test_what_a_command_on_this_machine_tells(
    config: Path, argv: tuple[str, ...], changes: str | None, times: int
) -> None:
    for _ in range(times):
        code, found = synod(*argv, "--json")
    assert code == 0
    name = next(name for name in ROWS if " ".join(argv).startswith(name))
    assert set(found) == ROWS[name]
    if changes:
        assert found["changed"] == (changes == "always" or (changes == "first" and times == 1))


def test_what_was_done_and_undone(config: Path) -> None:
    _, up = synod("unit", "up", "--id", "2", "--json")
    assert up == {"cluster": "lab", "unit": 2, "changed": True, "steps": ["make it"]}
    _, shown = synod("unit", "down", "--print", "--json")
    assert shown == {"steps": [{"why": "make it", "command": "false"}]}
    assert synod("unit", "down", "--json") == (
        0, {"changed": True, "steps": ["undone: make it"]},
    )  # fmt: skip


def test_what_would_be_done(config: Path, tmp_path: Path) -> None:
    _, shown = synod("unit", "up", "--id", "2", "--datapath", "netdev", "--print", "--json")
    assert any("add-br br-synod" in step["command"] for step in shown["steps"])
    _, shown = synod("unit", "install", "--id", "2", "--datapath", "system", "--print", "--json")
    assert re.search(r"^ExecStart=.* --datapath system$", shown["text"], re.M)
    _, shown = synod("app", "install", "--print", "--json")
    assert shown["path"] == str(tmp_path / "synod-app.service")
    assert "ExecStart=" in shown["text"]


def test_all_that_is_wrong_with_a_file(config: Path) -> None:
    text = config.read_text().replace("round-robin", "guess").replace("id: 2", "id: 1")
    config.write_text(text)
    code, found = synod("config", "check", str(config), "--json")
    assert code == 2
    assert "method" in {each["path"] for each in found["errors"]}
    assert len(found["errors"]) == len(found["error"].splitlines()) > 1


def misuse() -> Callable[..., Any]:
    return pytest.mark.parametrize(
        ("argv", "code", "words"),
        [
            (("status",), 3, f"no answer from the app at {NOWHERE}"),
            (("events",), 3, "no answer"),
            (("sessions",), 3, "no answer"),
            (("explain", "1.2.3.4:5", "1.2.3.4:6"), 3, "no answer"),
            (("drain", "2"), 3, "no answer"),
            (("doctor",), 3, "no answer"),
            (("drain",), 2, "Missing argument 'UNIT'"),
            (("drain", "two"), 2, "should be a valid integer"),
            (("drain", "2", "--deadline", "soon"), 2, "'soon' is not like 90s"),
            (("drain", "2", "--deadline", "200h"), 2, "--deadline: 200h is more than 168h"),
            (("unit", "install", "--id", "1", "--datapath", "fast"), 2, "netdev or system"),
            (("weight", "2", "-1"), 2, "No such option"),
            (("status", "--nonsense"), 2, "No such option: --nonsense"),
            (("nonsense",), 2, "No such command 'nonsense'"),
            (("method", "guess"), 2, "'guess' is not one of"),
            (("unit", "up", "--id", "3"), 2, "has no unit 3; it has 1, 2"),
            (("unit", "install"), 2, "Missing option '--id'"),
            (("config", "check", "/nonexistent"), 2, "/nonexistent: cannot be read"),
            (("status", "--url", "127.0.0.1:8080"), 2, "is not where an app answers, as http://"),
            (("status", "--url", "http://127.0.0.1:port"), 2, "is not where an app answers"),
            (("drain", "1", "--url", "http://"), 2, "is not where an app answers"),
        ],
    )


@misuse()
def test_why_something_is_not_done(
    config: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], code: int, words: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert synod(*argv, "--json")[0] == code
    assert words in synod(*argv, "--json")[1]["error"]


@misuse()
def test_a_person_is_told_the_same(
    config: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], code: int, words: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = CliRunner().invoke(cli.app, argv, catch_exceptions=False, env={"COLUMNS": "300"})
    assert done.exit_code == code
    assert words in done.stderr


def test_its_version(config: Path) -> None:
    done = CliRunner().invoke(cli.app, ("--version",))
    assert (done.exit_code, done.stdout) == (0, f"synod {agents.__version__}\n")


def test_an_agent_runs_on_a_unit_only(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo")])
    done = CliRunner().invoke(cli.app, ("agent", "--id", "1"), catch_exceptions=False)
    assert (done.exit_code, "'synod unit up' makes it one" in done.stderr) == (1, True)


def test_where_the_file_may_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli_config, "DEFAULT_CONFIG", tmp_path / "none.yaml")
    argv = ("config", "check", str(tmp_path / "none.yaml"))
    done = CliRunner().invoke(cli.app, argv, catch_exceptions=False)
    assert (done.exit_code, "--config FILE, or SYNOD_CONFIG" in done.stderr) == (2, True)


def test_another_service_that_answers_is_not_the_app(config: Path) -> None:
    """As one of SSH does: it speaks first, and no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            with listening.accept()[0] as caller:
                caller.recv(1000)
                caller.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        threading.Thread(target=speak, daemon=True).start()
        code, found = synod(
            "status", "--json", "--url", f"http://127.0.0.1:{listening.getsockname()[1]}"
        )
    assert (code, "is not the app" in found["error"]) == (3, True)


def test_of_what_is_for_programs_only(config: Path) -> None:
    assert synod("top", "--json")[0] == 3
    code, found = synod("unit", "up", "--id", "1", "--foreground", "--json")
    assert (code, found) == (2, {"error": "--foreground writes a log, and no JSON"})


def test_what_comes_after_two_dashes_is_another_programs() -> None:
    done = CliRunner().invoke(cli.app, ("status", "--url", "x", "--", "--json"))
    assert (done.exit_code, done.stdout) == (2, "")
