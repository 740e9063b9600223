"""The app's log: whoever writes to it writes lines of one kind, and no flood."""

import io
import logging
from collections.abc import Iterator

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.wire.log_line import LINES, decode
from ryu_apps import log
from ryu_apps.core.events import Line

OTHERS = "ryu.lib.hub"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a handler that nobody has chosen a format for writes."""
    text, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(text)
    level, filters = root.level, list(logging.getLogger(OTHERS).filters)
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    log.begin()
    yield text
    root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger(OTHERS).filters = filters


def request(words: str, status: int) -> str:
    """As eventlet writes it."""
    return f'127.0.0.1 - - [27/Nov/2026 13:00:00] "{words}" {status} 983 0.002891'


def test_our_own_lines_and_an_exception_below_one(written: io.StringIO) -> None:
    log.write(Line(False, "decided", {"unit": 3}))
    try:
        raise KeyError("nobody")
    except KeyError:
        log.bug("Tick")
    first, bug, *below = written.getvalue().splitlines()
    found = decode(first)
    assert found
    assert (found.event, found.fields) == ("decided", {"unit": "3"})
    found = decode(bug)
    assert found
    assert (found.event, found.fields) == ("bug", {"in": "Tick"})
    assert all(line.startswith("  ") for line in below)
    assert "KeyError: 'nobody'" in below[-1]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("(812) accepted ('127.0.0.1', 40022)", None),
        ("(812) timed out ('127.0.0.1', 40022)", None),
        (request("GET /v1/status HTTP/1.1", 200), None),
        (request("GET / HTTP/1.1", 304), None),
        (request("HEAD / HTTP/1.0", 200), None),
        (request("GET /nix HTTP/1.1", 404), ("http_request", "404")),
        (request("POST /v1/units/2/drain HTTP/1.1", 200), ("http_request", "200")),
        ("(812) wsgi starting up on http://127.0.0.1:8080", ("log", None)),
        ("Traceback (most recent call last):\n  File 'x'\nKeyError: 1", ("log", None)),
    ],
)
def test_of_others_what_changes_or_fails(
    written: io.StringIO, message: str, told: tuple[str, str | None] | None
) -> None:
    logging.getLogger(OTHERS).info(message)
    lines = [decode(line) for line in written.getvalue().splitlines()]
    assert [(line.event, line.fields.get("status")) for line in lines if line] == (
        [told] if told else []
    )
    assert None not in lines
    if told and told[0] == "log":
        assert lines[0]
        assert lines[0].fields == {"logger": OTHERS, "level": "info", "text": message}


def test_who_asks_again_and_again_fills_no_disk(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 7.0)
    (sieve,) = (f for h in logging.getLogger().handlers for f in h.filters if written_by(f))
    monkeypatch.setattr(sieve, "_clock", lambda: 7.0)
    for _ in range(5000):
        logging.getLogger(OTHERS).info(request("POST /v1/units/2/drain HTTP/1.1", 401))
    assert len(written.getvalue().splitlines()) == LINES
    monkeypatch.setattr(sieve, "_clock", lambda: 8.0)
    logging.getLogger(OTHERS).info(request("POST /v1/units/2/drain HTTP/1.1", 401))
    last = decode(written.getvalue().splitlines()[-1])
    assert last
    assert last.fields["suppressed"] == str(5000 - LINES)
    assert last.fields["address"] == "127.0.0.1"


def written_by(each: object) -> bool:
    return type(each).__module__ == log.__name__


def test_who_has_chosen_a_format_keeps_it() -> None:
    handler = logging.StreamHandler(io.StringIO())
    chosen = logging.Formatter("%(message)s")
    handler.setFormatter(chosen)
    logging.getLogger().addHandler(handler)
    try:
        log.begin()
        assert (handler.formatter, handler.filters) == (chosen, [])
    finally:
        logging.getLogger().removeHandler(handler)
