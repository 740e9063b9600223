"""The two command lines: what they accept, say and return. Nothing is started."""

import json
import threading
from collections.abc import Iterator

# Not as http.server.HTTPServer: once eventlet is imported, that is its own (green/http/server.py).
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents import cli as synod
from agents import journal, provision
from agents.status_view import lacking
from topologies import cli as synod_lab
from topologies import registry
from topologies.lab import Lab
from topologies.recipe import Options, cluster_file

STATUS = {
    "cluster": "lab",
    "primary": 1,
    "method": "round-robin",
    "units": [
        {
            "id": 1,
            "role": "primary",
            "state": "up",
            "weight": 5,
            "sessions": {"live": 2, "served": 40},
        },
        {
            "id": 2,
            "role": "none",
            "state": "down",
            "weight": 3,
            "sessions": {"live": 0, "served": 0},
        },
    ],
}


def invoke(app: Any, *argv: str) -> Any:
    return CliRunner().invoke(app, argv, catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(cluster_file(Options(units=2)))
    return path


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RUN", tmp_path / "synod-lab")
    monkeypatch.setattr(journal, "JOURNAL", tmp_path / "unit.json")
    monkeypatch.setattr(Lab, "up", lambda *_, **__: pytest.fail("a lab was started"))
    monkeypatch.setattr(provision, "up", lambda *_, **__: pytest.fail("a unit was brought up"))
    for name in ("SYNOD_CONFIG", "SYNOD_URL", "SYNOD_LAB"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def app_at() -> Iterator[Any]:
    """Starts a web server that gives one answer to everything; returns its address."""
    servers: list[HTTPServer] = []

    def serve(body: str, code: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code if self.path == "/v1/status" else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_status_says_who_lacks_what() -> None:
    assert lacking(STATUS) == []
    first, second = (unit | {"links_down": []} for unit in STATUS["units"])  # type: ignore[attr-defined]
    first |= {"unheld": [2]}
    second |= {"unheard": [1, 3], "links_down": ["int", "ext"], "unheld": [1]}
    second |= {"state": "up", "settled": False}
    assert lacking({"units": [first, second]}) == [
        "unit 1 lacks the sessions of 2",
        "unit 2 lacks a link on int; a link on ext; the HA link to 1, 3; the sessions of 1; "
        "new sessions until those that it had are the primary's",
    ]


@pytest.mark.parametrize("app", [synod.app, synod_lab.app])
def test_without_arguments_it_teaches(app: Any) -> None:
    assert "Commands" in invoke(app).output
    assert invoke(app, "--help").exit_code == 0
    assert invoke(app, "nonsense").exit_code == 2


class TestStatus:
    def test_a_person_gets_a_table(self, app_at: Any) -> None:
        found = invoke(synod.app, "status", "--url", app_at(json.dumps(STATUS)))
        assert found.exit_code == 0
        assert "lab: unit 1 is primary, round-robin" in found.output
        rows = [line.split() for line in found.output.splitlines()]
        # As an app told that knew less than this program.
        assert ["1", "primary", "up", "-", "-", "5", "2", "40", "-", "-"] in rows
        assert ["2", "none", "down", "-", "-", "3", "0", "0", "-", "-"] in rows

    def test_a_program_gets_what_the_app_said(self, app_at: Any) -> None:
        url = app_at(json.dumps(STATUS))
        found = invoke(synod.app, "status", "--json", "--url", url + "/")
        assert json.loads(found.output) == STATUS

    def test_there_may_be_no_primary(self, app_at: Any) -> None:
        url = app_at(json.dumps(STATUS | {"primary": None}))
        assert "no primary yet" in invoke(synod.app, "status", "--url", url).output

    @pytest.mark.parametrize(("body", "code"), [("<html>", 200), ("[]", 200), ("{}", 500)])
    def test_another_answer_is_a_failure(self, app_at: Any, body: str, code: int) -> None:
        found = invoke(synod.app, "status", "--url", app_at(body, code))
        assert (found.exit_code, found.stdout) == (3, "")
        assert "http://127.0.0.1" in found.stderr

    def test_no_answer_is_a_failure(self) -> None:
        found = invoke(synod.app, "status", "--url", "http://127.0.0.1:1")
        assert found.exit_code == 3
        assert "no answer" in found.stderr


class TestConfig:
    def test_a_right_file(self, config: Path) -> None:
        found = invoke(synod.app, "config", "check", str(config))
        assert found.exit_code == 0
        assert "cluster lab, 2 units, interfaces int, ext, round-robin" in found.output

    def test_all_errors_with_their_paths(self, config: Path) -> None:
        text = config.read_text().replace("round-robin", "guess").replace("id: 2", "id: 1")
        config.write_text(text)
        found = invoke(synod.app, "config", "check", str(config))
        assert (found.exit_code, found.stdout) == (2, "")
        lines = found.stderr.splitlines()
        assert all(line.startswith(f"{config}: ") for line in lines)
        assert {line.split(": ")[1].partition("[")[0] for line in lines} == {"method", "units"}

    def test_no_file(self, tmp_path: Path) -> None:
        found = invoke(synod.app, "config", "check", str(tmp_path / "none"))
        assert found.exit_code == 2
        assert found.stderr.count("none") == 1


class TestUnit:
    def test_print_shows_the_plan_and_changes_nothing(self, config: Path, tmp_path: Path) -> None:
        argv = ("unit", "up", "--config", str(config), "--id", "2", "--print")
        found = invoke(synod.app, *argv, "--datapath", "netdev")
        assert found.exit_code == 0
        assert "-- add-br br-synod" in found.stdout
        assert f"--config {config} --id 2" in found.stdout
        assert not (tmp_path / "unit.json").exists()

    @pytest.mark.parametrize("more", [("--id", "3"), ("--id", "1", "--datapath", "x"), ()])
    def test_used_wrongly(self, config: Path, more: tuple[str, ...]) -> None:
        assert invoke(synod.app, "unit", "up", "--config", str(config), *more).exit_code == 2

    def test_a_wrong_file_touches_nothing(self, tmp_path: Path) -> None:
        argv = ("unit", "up", "--config", str(tmp_path / "none"), "--id", "1")
        assert invoke(synod.app, *argv).exit_code == 2

    def test_a_host_that_is_no_unit_can_be_none(self) -> None:
        found = invoke(synod.app, "unit", "down")
        assert (found.exit_code, found.stdout) == (0, "this host is no unit\n")
        assert invoke(synod.app, "unit", "down", "--print").stdout == ""


class TestLab:
    def test_print_starts_nothing(self, tmp_path: Path) -> None:
        found = invoke(synod_lab.app, "up", "--units", "2", "--print")
        assert found.exit_code == 0
        assert "ovs-vsctl" in found.stdout
        assert "ryu_apps.load_balancer" in found.stdout
        assert not (tmp_path / "synod-lab").exists()

    def test_the_users_rules_are_printed(self, tmp_path: Path) -> None:
        rules = tmp_path / "rules.nft"
        rules.write_text("table ip mine {}\n")
        found = invoke(synod_lab.app, "up", "--rules", str(rules), "--print")
        assert "table ip mine {}" in found.stdout
        assert "table ip lab" not in found.stdout

    @pytest.mark.parametrize(
        "argv",
        [
            ("--units", "0"),
            ("--weights", "5,3"),
            ("--weights", "5,x,2"),
            ("--method", "guess"),
            ("--interfaces", "1"),
            ("--rules", "/nonexistent"),
            ("--rules", "/bin/ls"),
            ("--name", ""),
            ("--name", "a/b"),
            ("--session-table", "x"),
            ("--balance", "x"),
        ],
    )
    def test_used_wrongly(self, argv: tuple[str, ...]) -> None:
        found = invoke(synod_lab.app, "up", *argv)
        assert found.exit_code == 2
        assert found.stderr

    def test_there_is_no_command(self) -> None:
        found = invoke(synod_lab.app, "exec", "client", "--")
        assert (found.exit_code, found.stderr) == (2, "a command is missing, after --\n")

    @pytest.mark.parametrize("argv", [("status",), ("down",), ("cli",), ("exec", "client", "ls")])
    def test_there_is_no_lab(self, argv: tuple[str, ...]) -> None:
        found = invoke(synod_lab.app, *argv)
        assert found.exit_code == 1
        assert "synod-lab up" in found.stderr

    def test_list_of_none(self) -> None:
        found = invoke(synod_lab.app, "list")
        assert (found.exit_code, found.output) == (0, "")
