"""A switch that floods the app, and one that doesn't take its answers: the others hardly notice.

The switches are played (tests/bench/decisions.py): what is asked of the app is what it does between
two blocks of a connection.
"""

import json
import urllib.request
from collections.abc import Iterator

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.config import parse
from agents.wire import control, ports
from tests.bench.decisions import CLUSTER, App, Session, announcing, message, packet_in
from tests.polling import until

SESSIONS = 150_000
ECHO, ECHO_REPLY = 2, 3


@pytest.fixture
def app() -> Iterator[App]:
    cluster = parse(CLUSTER)
    with App("ryu_apps.load_balancer", cluster, (1, 2)) as running, announcing(running):
        yield running


@pytest.fixture(scope="module")
def flood() -> bytes:
    """All offers, as packet-ins of as many as fit."""
    offers = (Session(number).offer() for number in range(SESSIONS))
    frames = control.offer_frames(1, 1, offers)
    return b"".join(packet_in(frame, ports.SYNOD) for frame in frames)


def served(app: App) -> int:
    """Sessions that were decided, as the app tells it over HTTP."""
    with urllib.request.urlopen(f"http://127.0.0.1:{app.http}/v1/status") as answer:
        return sum(unit["sessions"]["served"] for unit in json.load(answer)["units"])


def test_everybody_else_has_a_turn_while_a_switch_floods_the_app(app: App, flood: bytes) -> None:
    app.datapaths[0].send(flood)
    until(lambda: served(app), "the flood has begun")
    other = app.datapaths[1]
    pings = other.counts["pings"]
    other.send(message(ECHO, b"?"))
    other.wait("echo_replies", 1)
    until(lambda: other.counts["pings"] > pings, "the clock goes on")
    assert 0 < served(app) < SESSIONS
    app.datapaths[0].wait("decided", SESSIONS)


def test_from_a_switch_that_takes_no_answers_little_is_read(app: App, flood: bytes) -> None:
    primary = app.datapaths[0]
    primary.reading.clear()
    app.datapaths[0].send(flood)
    told: list[int] = [-1]

    def stands_still() -> bool:
        told.append(served(app))
        return 0 < told[-1] == told[-min(len(told), 20)]

    until(stands_still, "the app reads no more")
    assert told[-1] < SESSIONS * 2 // 3
    primary.reading.set()
    primary.wait("decided", SESSIONS)
