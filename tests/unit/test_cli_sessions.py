"""`synod sessions`: what is asked of the app, and what a person and a program get."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner

from agents import cli, cli_sessions

Query = dict[str, str]
Reply = tuple[int, Any]


def session(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "src": f"10.1.0.10:{number}",
        "dst": "203.0.113.10:80",
        "nat_src": f"203.0.113.1:{number}",
        "nat_dst": "203.0.113.10:80",
        "unit": 2,
        "decided": 1000.0,
        **changes,
    }


def page(*shown: dict[str, Any], next: str | None = None, **changes: Any) -> dict[str, Any]:
    whole = {"time": 1075.2, "live": len(shown), "matching": len(shown)}
    return whole | {"sessions": list(shown), "next": next} | changes


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[tuple[str, Query]]]]:
    """Starts an app that gives these answers, one after the other; what it was asked."""
    servers: list[HTTPServer] = []
    asked: list[tuple[str, Query]] = []

    def start(*replies: Reply) -> list[tuple[str, Query]]:
        left = list(replies)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked.append((parts.path, dict(parse_qsl(parts.query))))
                code, body = left.pop(0)
                self.send_response(code)
                self.end_headers()
                self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("SYNOD_URL", f"http://127.0.0.1:{server.server_port}")
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def run(*argv: str) -> Any:
    return CliRunner().invoke(cli.app, argv, catch_exceptions=False)


def rows(output: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in output.splitlines()
        if line.startswith("│")
    ]


def test_a_person_gets_a_table(app: Any) -> None:
    asked = app((200, page(session(40000))))
    found = run("sessions")
    assert found.exit_code == 0
    assert asked == [("/v1/sessions", {"limit": "100"})]
    assert rows(found.output) == [
        ["2", "10.1.0.10:40000", "203.0.113.10:80", "203.0.113.1:40000", "1m 15s ago"]
    ]
    assert "1 session\n" in found.output


def test_what_is_wanted_is_the_apps_to_choose(app: Any) -> None:
    asked = app((200, page(live=7)))
    found = run(
        *("sessions", "--unit", "3", "--src", "10.1.0.0/24"),
        *("--dst", "203.0.113.10", "--port", "443", "--limit", "5"),
    )
    assert asked[0][1] == {
        "unit": "3",
        "src": "10.1.0.0/24",
        "dst": "203.0.113.10",
        "port": "443",
        "limit": "5",
    }
    assert "0 sessions of 7 live ones\n" in found.output


def test_many_come_in_pages(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_sessions, "PAGE", 2)
    first = page(session(1), session(2), next="aa", live=9, matching=4)
    second = page(session(3), next="bb", live=9, matching=4)
    asked = app((200, first), (200, second))
    found = run("sessions", "--limit", "3", "--json")
    assert [query for _, query in asked] == [{"limit": "2"}, {"limit": "1", "after": "aa"}]
    assert [each["src"][-1] for each in json.loads(found.output)["sessions"]] == ["1", "2", "3"]


def test_it_says_how_many_are_not_shown(app: Any) -> None:
    app((200, page(session(1), next="aa", live=9, matching=4)))
    assert "4 sessions of 9 live ones, 1 shown (--limit)" in run("sessions", "--limit", "1").output


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"nat_src": "10.1.0.10:1"}, "the same"),
        ({"nat_src": "10.1.0.10:1", "nat_dst": "10.2.0.5:8080"}, "→ 10.2.0.5:8080"),
        ({"nat_dst": "10.2.0.5:8080"}, "203.0.113.1:1 → 10.2.0.5:8080"),
    ],
)
def test_what_translation_makes_of_it(changes: dict[str, str], text: str) -> None:
    assert cli_sessions.leaves_as(session(1, **changes)) == text


@pytest.mark.parametrize(
    ("decided", "text"),
    [
        (None, "before the app began"),
        (1075.0, "0s ago"),
        (1080.0, "0s ago"),
        (1075.2 - 7322, "2h 2m ago"),
    ],
)
def test_when_it_was_decided(decided: float | None, text: str) -> None:
    assert cli_sessions.ago(session(1, decided=decided), 1075.2) == text


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        ((400, {"error": "src: 'x' is not an IPv4 address or network"}), 2, "src: 'x' is not an"),
        ((503, {"error": "ask again"}), 1, "ask again"),
        ((404, "<html>"), 3, "said 404"),
        ((200, "<html>"), 3, "is not the app"),
        ((200, "[]"), 3, "is not the app"),
    ],
)
def test_a_refusal_is_told(app: Any, reply: Reply, code: int, text: str) -> None:
    app(reply)
    found = run("sessions", "--src", "x")
    assert found.exit_code == code
    assert text in found.stderr


def test_no_answer_is_told(app: Any) -> None:
    found = run("sessions", "--url", "http://127.0.0.1:1")
    assert (found.exit_code, "no answer from the app" in found.stderr) == (3, True)


# -- synod explain


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "state": "ESTABLISHED",
        "timeout": 300,
        "assured": True,
        "mark": 5,
        "labels": ["unit-2", "in-1"],
        **changes,
    }


def unit(number: int, **changes: Any) -> dict[str, Any]:
    usual = {"role": "auxiliary", "state": "up", "serves": False, "answered": True, "entry": None}
    return {"id": number, **usual, **changes}


def flow(**changes: Any) -> dict[str, Any]:
    return {
        "table": 2,
        "name": "session",
        "cookie": "0x5359020200000090",
        "of": "10.1.0.10:40000 > 203.0.113.10:80",
        "answered": True,
        "there": True,
        "packets": 6,
        "bytes": 472,
        **changes,
    }


EXPLAINED = {
    "src": "10.1.0.10:40000",
    "dst": "203.0.113.10:80",
    "summary": ["Unit 2 serves it, decided 4 s ago.", "[not markup]"],
    "units": [
        unit(1, role="primary", entry=entry(timeout=0x7FFFFFFF, assured=False)),
        unit(2, serves=True, entry=entry()),
        unit(3),
        unit(4, answered=False, state="silent"),
    ],
    "flows": [
        flow(),
        flow(there=False, packets=None, bytes=None),
        flow(there=False, answered=False, packets=None, bytes=None),
    ],
    "tracked": [],
    "syn": None,
}
ENDS = ("10.1.0.10:40000", "203.0.113.10:80")


def test_an_explanation_is_sentences_and_what_they_are_based_on(app: Any) -> None:
    asked = app((200, EXPLAINED))
    found = run("explain", *ENDS)
    assert found.exit_code == 0
    assert asked == [("/v1/explain", {"src": ENDS[0], "dst": ENDS[1]})]
    lines = found.output.splitlines()
    assert lines[:3] == [
        "10.1.0.10:40000 > 203.0.113.10:80",
        "  Unit 2 serves it, decided 4 s ago.",
        "  [not markup]",
    ]
    told = rows(found.output)
    assert told[:4] == [
        ["1", "primary", "ESTABLISHED, not assured", "until told", "0x5", "unit-2,in-1"],
        ["2 ←", "auxiliary", "ESTABLISHED", "300 s", "0x5", "unit-2,in-1"],
        ["3", "auxiliary", "no entry", "", "", ""],
        ["4", "auxiliary", "no answer (silent)", "", "", ""],
    ]
    name = ["2", "session", "0x5359020200000090"]
    of = "10.1.0.10:40000 > 203.0.113.10:80"
    assert told[4:] == [
        [*name, "6", "472", of],
        [*name, "not there", "", of],
        [*name, "no answer", "", of],
    ]


def test_what_would_become_of_a_syn_is_shown(app: Any) -> None:
    commands = [{"command": "ovs-appctl ofproto/trace", "output": "Flow: tcp [x]\n", "flows": []}]
    app((200, EXPLAINED | {"units": [unit(1)], "flows": [], "syn": {"commands": commands}}))
    found = run("explain", *ENDS)
    assert found.output.splitlines()[-2:] == ["$ ovs-appctl ofproto/trace", "Flow: tcp [x]"]
    assert not rows(found.output)


def test_a_primary_that_did_not_answer_shows_nothing(app: Any) -> None:
    app((200, EXPLAINED | {"units": [unit(1)], "flows": [], "syn": {"answered": False}}))
    assert run("explain", *ENDS).output.splitlines()[-1] == "  [not markup]"


def test_a_program_gets_what_the_app_explained(app: Any) -> None:
    app((200, EXPLAINED))
    assert json.loads(run("explain", *ENDS, "--json").output) == EXPLAINED


def test_nonsense_is_refused_by_the_app(app: Any) -> None:
    app((400, {"error": "src: 'x' is not like 10.1.0.10:40000"}))
    found = run("explain", "x", "y")
    assert (found.exit_code, "is not like" in found.stderr) == (2, True)


def test_marks_of_the_switch_are_told(app: Any) -> None:
    marks = [("a > b", True, 2), ("b > a", True, 0), ("b > c", False, None)]
    told = [{"of": of, "answered": answered, "mark": mark} for of, answered, mark in marks]
    app((200, EXPLAINED | {"tracked": told}))
    assert run("explain", *ENDS).output.splitlines()[-3:] == [
        "on the primary's switch: a > b has mark 2",
        "on the primary's switch: b > a has no mark, so the primary's",
        "on the primary's switch: no answer about b > c",
    ]
