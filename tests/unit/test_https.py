"""How the app serves HTTP: for good, and nobody holds it up for long.

Over TLS, by the app as its users start it: tests/switch/test_https.py.
"""

import errno
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from eventlet.greenio import GreenSocket
from ryu.app import wsgi
from ryu.lib import hub

from agents import config_http
from ryu_apps import https

REQUEST = b"GET / HTTP/1.1\r\nHost: app\r\n\r\n"


def answering(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Makes a connection to Ryu's server as the app has it, on a port of its own."""
    monkeypatch.setattr(https, "SILENCE", 0.2)
    monkeypatch.setattr(https, "MOST", 2)
    monkeypatch.delenv(config_http.KEY, raising=False)
    made = hub.WSGIServer(("127.0.0.1", 0), answering)
    monkeypatch.setattr(wsgi, "start_service", lambda _apps: made)
    https.listen()
    running = hub.spawn(wsgi.start_service(SimpleNamespace()).serve_forever)

    def connected() -> Any:
        found = GreenSocket(socket.socket())
        found.connect(("127.0.0.1", made.server.getsockname()[1]))
        return found

    yield connected
    hub.kill(running)
    made.server.close()


def asked(connection: Any) -> bytes:
    """The answer to a request."""
    connection.sendall(REQUEST)
    return read(connection)


def read(connection: Any) -> bytes:
    with hub.Timeout(5):
        return bytes(connection.recv(1000))


def test_a_connection_is_asked_more_than_once_and_then_is_idle(connect: Any) -> None:
    connection = connect()
    assert [asked(connection).startswith(b"HTTP/1.1 200 OK") for _ in range(2)] == [True, True]
    assert read(connection) == b"", "it is hung up on"


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost:"])
def test_who_says_nothing_or_not_all_is_hung_up_on(connect: Any, said: bytes) -> None:
    connection = connect()
    connection.sendall(said)
    assert read(connection) == b""


def test_silent_ones_hold_up_others_for_a_while_at_most(connect: Any) -> None:
    silent = [connect() for _ in range(https.MOST)]
    assert asked(connect()).endswith(b"ok")
    assert [read(each) for each in silent] == [b"", b""]


def test_an_error_of_accept_is_not_the_end(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = GreenSocket.accept
    errors = [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ECONNRESET, errno.ENOTCONN]

    def sometimes(self: Any) -> Any:
        if errors:
            raise OSError(errors.pop(), "no room, or gone")
        return accept(self)

    assert asked(connect()).endswith(b"ok")
    monkeypatch.setattr(GreenSocket, "accept", sometimes)
    for _ in range(2):  # the first is taken by the accept that waits already
        assert asked(connect()).endswith(b"ok")
    assert errors == []
