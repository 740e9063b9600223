"""`synod` on the real app: orders, what happened, and the screen."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from typer.testing import CliRunner

from agents import cli
from tests.polling import until
from tests.switch.app import ROOT, App, Scene
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of

PROGRAM = (sys.executable, "-m", "agents.cli")
LEFT = b"\x1b[?1049l"  # the terminal's other screen, which `top` draws on, is left


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture(autouse=True)
def all_up(scene: Scene) -> None:
    """Each test finds all units up, and leaves them so."""
    until(scene.formed, "all units are up", 20)


def environment(app: App, **more: str) -> dict[str, str]:
    known = {"SYNOD_URL": app.url, "SYNOD_TOKEN_FILE": str(app.token), "TERM": "xterm"}
    return os.environ | known | {"COLUMNS": "120", "LINES": "40"} | more


def synod(scene: Scene, *argv: str, **more: str) -> Any:
    """In this process, to save time: what came of it."""
    return CliRunner().invoke(cli.app, argv, env=environment(scene.app, **more), prog_name="synod")


def test_weights_and_the_method(scene: Scene) -> None:
    done = synod(scene, "weight", "3", "4")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "unit 3 has weight 4, until the app is started again\n"
    told = synod(scene, "method", "weighted-round-robin", "--json")
    assert json.loads(told.stdout) == {"method": "weighted-round-robin"}
    assert sorted(scene.offer(*range(6)).values()) == [1, 2, 3, 3, 3, 3]
    said = synod(scene, "status").stdout
    assert "lab: unit 1 is primary, weighted-round-robin" in said
    assert re.search(r" 3 +auxiliary +up +\S+( \S+)? +\d\.\d s +4 +4 +4 ", said)
    assert "unit_weighted     unit=3 weight=4 was=1" in said
    assert synod(scene, "method", "round-robin").exit_code == 0
    told = synod(scene, "weight", "3", "1", "--json")
    assert json.loads(told.stdout)["weight"] == 1


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("weight", "9", "1"), 2, "there is no unit 9; there are 1, 2, 3"),
        (("undrain", "2"), 1, "unit 2 is not drained"),
        (("weight", "2", "1001"), 2, "less than or equal to 1000"),
        (("method", "guess"), 2, "'guess' is not one of round-robin, "),
        (("drain", "2", "--deadline", "soon"), 2, "'soon' is not like"),
        (("top",), 2, "top draws on a terminal"),
    ],
)
def test_what_is_not_done_is_said_and_told_by_the_exit_code(
    scene: Scene, argv: tuple[str, ...], code: int, words: str
) -> None:
    done = synod(scene, *argv)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in done.stderr


def test_a_program_is_told_by_json_what_is_not_done(scene: Scene) -> None:
    done = synod(scene, "undrain", "2", "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {"error": "unit 2 is not drained"}


def test_who_has_no_token_or_another_changes_nothing(scene: Scene, tmp_path: Path) -> None:
    token = tmp_path / "token"
    done = synod(scene, "drain", "2", SYNOD_TOKEN_FILE=str(token))
    assert done.exit_code == 4
    assert f"here is none, at {token}" in done.stderr
    token.write_text("another-token-1234")
    done = synod(scene, "drain", "2", SYNOD_TOKEN_FILE=str(token))
    assert (done.exit_code, "chmod 600" in done.stderr) == (4, True)
    token.chmod(0o600)
    done = synod(scene, "drain", "2", SYNOD_TOKEN_FILE=str(token))
    assert (done.exit_code, "not the token" in done.stderr) == (4, True)
    assert not scene.app.unit(2)["drained"]


def test_events_as_lines_and_as_json(scene: Scene) -> None:
    _, told = scene.app.ask("/v1/events")
    lines = synod(scene, "events").stdout.splitlines()
    assert len(lines) >= len(told["events"])  # more may have come
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  app_started       method=.*", lines[0])
    last = synod(scene, "events", "--last", "2", "--json").stdout.splitlines()
    found = [json.loads(line) for line in last]
    first = found[0]["number"]
    _, told = scene.app.ask(f"/v1/events?after={first - 1}")
    assert (len(found), found) == (2, told["events"][:2])
    assert synod(scene, "events", "-n", "0").stdout == ""


@contextlib.contextmanager
def running(scene: Scene, *argv: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        (*PROGRAM, *argv),
        cwd=ROOT,
        env=environment(scene.app),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_events_are_followed_through_a_restart_of_the_app(scene: Scene) -> None:
    with running(scene, "events", "--follow", "--json", "--last", "1") as process:
        assert process.stdout is not None

        def next_event() -> dict[str, Any]:
            assert process.stdout is not None
            found: dict[str, Any] = json.loads(process.stdout.readline())
            return found

        next_event()
        scene.app.order("/v1/units/2/drain")
        while next_event()["event"] != "unit_drained":
            pass  # on a busy machine units fall silent, and come back
        scene.app.stop()
        scene.app.start()
        while next_event()["event"] != "app_started":
            pass
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=20)
        assert process.returncode == 0
    assert len(complaints.splitlines()) <= 1  # it may have asked while the app was away


def test_the_screen_as_a_stream_of_json(scene: Scene) -> None:
    with running(scene, "top", "--json", "--interval", "0.1") as process:
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        assert (first["cluster"], first["time"] < second["time"]) == ("lab", True)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


class Terminal:
    """A terminal with `synod top` on it."""

    def __init__(self, scene: Scene) -> None:
        self._far, near = pty.openpty()
        self.before = termios.tcgetattr(near)
        self.near = near
        self.seen = b""
        os.set_blocking(self._far, False)
        termios.tcsetwinsize(near, (40, 120))
        self.process = subprocess.Popen(
            ("setsid", "--ctty", *PROGRAM, "top", "--interval", "0.2"),
            cwd=ROOT,
            env=environment(scene.app),
            stdin=near,
            stdout=near,
            stderr=near,
        )

    def shows(self, *words: str) -> bool:
        """Read on: was each of them drawn since that was last forgotten?"""
        with contextlib.suppress(BlockingIOError):
            self.seen += os.read(self._far, 65536)
        return all(word.encode() in self.seen for word in words)

    def type(self, keys: bytes) -> None:
        os.write(self._far, keys)

    def ended(self) -> int:
        """Its exit code; the terminal must be as it was."""
        until(lambda: self.shows("\0") or self.process.poll() is not None, "it ends", 20)
        self.shows()
        assert LEFT in self.seen
        assert self.seen.rindex(b"\x1b[?25h") > self.seen.rfind(b"\x1b[?25l")  # the cursor is back
        assert termios.tcgetattr(self.near) == self.before
        os.close(self.near)
        os.close(self._far)
        return self.process.returncode


@pytest.mark.parametrize("end", [b"q", b"\x03", signal.SIGTERM, signal.SIGHUP])
def test_the_screen_ends_and_leaves_the_terminal_as_it_was(
    scene: Scene, end: bytes | signal.Signals
) -> None:
    terminal = Terminal(scene)
    until(lambda: terminal.shows("unit 1 is primary", "q ends", "app_started"), "it draws", 20)
    terminal.type(b"x")  # means nothing
    if isinstance(end, bytes):
        terminal.type(end)
    else:
        terminal.process.send_signal(end)
    assert terminal.ended() == 0


def test_the_screen_is_live_and_outlives_the_app(scene: Scene) -> None:
    terminal = Terminal(scene)
    until(lambda: terminal.shows("round-robin", "q ends"), "it draws", 20)
    assert scene.app.order("/v1/units/2/drain")[0] == 200
    until(lambda: terminal.shows("up, drained", "unit_drained"), "the drain is drawn", 20)
    scene.app.stop()
    until(lambda: terminal.shows("no answer from the app", "as it was at"), "its end, too", 20)
    scene.app.start()
    terminal.seen = b""
    until(lambda: terminal.shows("app_started"), "it is back", 20)
    terminal.type(b"q")
    assert terminal.ended() == 0


class TestCompletion:
    def test_bash_offers_what_the_program_tells_it(self, scene: Scene) -> None:
        program = Path(sys.executable).with_name("synod")
        script = f"""
            source <(_SYNOD_COMPLETE=source_bash {program})
            COMP_WORDS=(synod weight "") COMP_CWORD=2
            _synod_completion {program}
            echo "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "-c", script],
            env=environment(scene.app),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == "1 2 3\n"

    def offered(self, scene: Scene, line: str, **more: str) -> list[str]:
        """What bash is told of the last word of a line."""
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        done = synod(scene, _SYNOD_COMPLETE="complete_bash", **asked, **more)
        found: list[str] = done.stdout.split()
        return found

    def test_units_methods_and_commands_are_offered(self, scene: Scene) -> None:
        assert self.offered(scene, "synod drain ") == ["1", "2", "3"]
        assert self.offered(scene, "synod weight 2") == ["2"]
        methods = self.offered(scene, "synod method weighted")
        assert methods == ["weighted-round-robin", "weighted-least-connection"]
        assert self.offered(scene, "synod und") == ["undrain"]

    def test_without_the_app_units_are_those_of_the_file(self, scene: Scene) -> None:
        nowhere, file = "http://127.0.0.1:1", str(scene.app.config)
        found = self.offered(scene, "synod drain ", SYNOD_URL=nowhere, SYNOD_CONFIG=file)
        assert found == ["1", "2", "3"]
        assert self.offered(scene, "synod drain ", SYNOD_URL=nowhere, SYNOD_CONFIG="/none") == []

    def test_zsh_is_offered_them_with_what_they_are(self, scene: Scene) -> None:
        done = synod(
            scene, _SYNOD_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="synod promote "
        ).stdout
        assert '"1":"primary, up"' in done
        assert '"3":"auxiliary, up"' in done

    def test_each_shell_has_a_script(self, scene: Scene) -> None:
        for shell, words in (("bash", "complete -o default -F"), ("zsh", "#compdef synod")):
            assert words in synod(scene, _SYNOD_COMPLETE=f"source_{shell}").stdout
