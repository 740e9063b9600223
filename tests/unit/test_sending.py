"""Messages go to a switch at once if it takes them; and whole, whoever else writes to it."""

import random
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

import ryu.base.app_manager  # noqa: F401 - before the controller: see ryu_apps.receiving
from eventlet.greenio import GreenSocket
from ryu.controller import controller
from ryu.lib import hub

from ryu_apps.receiving import Sieve
from ryu_apps.sending import Connection
from tests.unit.tls_peer import Both, Peer, greeted, switch_context

ONE, OTHER = 1, 2


def message(whose: int, number: int, length: int) -> bytes:
    """An OpenFlow header, and so many bytes that can be told from a header."""
    return struct.pack("!BBHI", 4, whose, 8 + length, number) + b"\xff" * length


def messages(data: bytes) -> list[tuple[int, int]]:
    """Whose, and the number, of each."""
    found, at = [], 0
    while at < len(data):
        version, whose, length, number = struct.unpack_from("!BBHI", data, at)
        assert version == 4
        assert data[at + 8 : at + length].strip(b"\xff") == b""
        found.append((whose, number))
        at += length
    return found


class Switch:
    """The other end, and ours: a connection, and Ryu's datapath with its greenlet that writes.
    With `keys`, over TLS.
    """

    def __init__(self, ours: socket.socket, theirs: socket.socket, keys: Both | None) -> None:
        self.ours = GreenSocket(ours)
        self.theirs = Peer(GreenSocket(theirs), switch_context(keys.switch) if keys else None)
        self.sieve = Sieve(greeted(self.ours, self.theirs, keys) if keys else self.ours)
        self.datapath: Any = controller.Datapath(self.sieve, ("switch", 0))
        self.connection = Connection(1, 1, self.datapath)
        self.loop: Any = None

    def start(self) -> None:
        """Ryu's greenlet writes."""
        self.loop = hub.spawn(self.datapath._send_loop)

    def read(self, length: int) -> bytes:
        """So many bytes."""
        data = b""
        while len(data) < length:
            data += self.theirs.recv()
        return data


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both.made(tmp_path_factory.mktemp("keys"))


@pytest.fixture(params=["plain", "tls"])
def found(request: pytest.FixtureRequest, keys: Both) -> Iterator[Switch]:
    """One that reads when it is told to. It and its side take some kilobytes meanwhile."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.socket() as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            ours.connect(listener.getsockname())
            with listener.accept()[0] as theirs:
                made = Switch(ours, theirs, keys if request.param == "tls" else None)
                yield made
                made.connection.close()
                if made.loop:
                    hub.kill(made.loop)


def test_what_is_taken_is_written_before_anybody_else_has_a_turn(found: Switch) -> None:
    found.connection.send(message(ONE, 1, 100))
    found.connection.send(message(ONE, 2, 100))
    assert messages(found.theirs.now()) == [(ONE, 1), (ONE, 2)]
    assert not found.connection.behind


def test_what_ryu_has_to_write_goes_first(found: Switch) -> None:
    found.datapath.send(message(OTHER, 1, 10))
    found.connection.send(message(ONE, 2, 10))
    assert found.theirs.now() == b""
    found.start()
    assert messages(found.read(36)) == [(OTHER, 1), (ONE, 2)]


def test_what_is_not_taken_at_once_comes_whole_and_before_what_ryu_says_then(found: Switch) -> None:
    found.connection.send(message(ONE, 1, 60_000))
    found.connection.send(message(ONE, 2, 60_000))
    found.datapath.send(message(OTHER, 3, 60_000))
    found.start()
    assert messages(found.read(3 * 60_008)) == [(ONE, 1), (OTHER, 3), (ONE, 2)]


def test_nothing_is_written_into_what_ryu_is_writing(found: Switch) -> None:
    found.datapath.send(message(OTHER, 1, 60_000))
    found.start()
    hub.sleep(0)  # it has written a part, and waits
    plain, read = found.ours.fd, b""
    while not select.select((), (plain,), (), 0)[1]:
        read += found.theirs.now()
    found.connection.send(message(ONE, 2, 10))
    assert messages(read + found.read(60_026 - len(read))) == [(OTHER, 1), (ONE, 2)]


def test_no_message_is_put_into_another_whoever_writes(found: Switch) -> None:
    found.start()
    chance = random.Random(5)
    sizes = [(chance.choice((ONE, OTHER)), chance.randrange(20_000)) for _ in range(400)]

    def write() -> None:
        for number, (whose, size) in enumerate(sizes):
            send = found.connection.send if whose == ONE else found.datapath.send
            send(message(whose, number, size))
            if chance.random() < 0.3:
                hub.sleep(0)

    writing = hub.spawn(write)
    said = messages(found.read(sum(8 + size for _, size in sizes)))
    writing.wait()
    assert sorted(number for _, number in said) == list(range(400))
    for each in (ONE, OTHER):
        numbers = [number for whose, number in said if whose == each]
        assert numbers == sorted(numbers)


def test_a_switch_that_takes_nothing_is_behind_until_it_does(found: Switch) -> None:
    found.start()
    for number in range(60):
        found.connection.send(message(ONE, number, 60_000))
    assert found.connection.behind
    assert len(messages(found.read(60 * 60_008))) == 60
    hub.sleep(0)
    assert not found.connection.behind


def test_nothing_is_written_when_ryu_has_done_with_the_connection(found: Switch) -> None:
    found.datapath.send_q = None
    found.connection.send(message(ONE, 1, 10))
    hub.sleep(0)
    assert found.theirs.now() == b""


def test_an_error_is_left_to_ryu(found: Switch) -> None:
    found.ours.fd.shutdown(socket.SHUT_WR)
    data = message(ONE, 1, 10)
    found.connection.send(data)
    found.start()
    hub.sleep(0)
    hub.sleep(0)
    assert found.datapath.send_q is None
