"""A port that leads elsewhere: bytes and ends go through it, both ways."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from topologies.forwarding import Connect, Forwarding, pass_on


@contextmanager
def forwarding(connect: Connect) -> Iterator[socket.socket]:
    """A connection to a port that leads there."""
    with Forwarding(0, connect) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        try:
            with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
                yield client
        finally:
            served.shutdown()
            thread.join()


def read(sock: socket.socket) -> bytes:
    """All that comes until the end."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_what_is_said_comes_out_and_so_do_the_ends() -> None:
    inside, server = socket.socketpair()
    server.settimeout(10)
    with server, forwarding(lambda: inside) as client:
        client.sendall(b"x" * 300_000)
        client.shutdown(socket.SHUT_WR)
        assert read(server) == b"x" * 300_000
        server.sendall(b"and back")
        server.shutdown(socket.SHUT_WR)
        assert read(client) == b"and back"


def test_where_nobody_listens_a_connection_ends_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refused() -> socket.socket:
        raise ConnectionRefusedError

    with forwarding(refused) as client:
        assert read(client) == b""
    assert capfd.readouterr().err == ""


def test_an_end_of_one_way_leaves_the_other_open() -> None:
    (client, near), (far, server) = socket.socketpair(), socket.socketpair()
    thread = threading.Thread(target=pass_on, args=(near, far))
    thread.start()
    server.shutdown(socket.SHUT_WR)
    assert read(client) == b""
    client.sendall(b"still here")
    client.shutdown(socket.SHUT_WR)
    assert read(server) == b"still here"
    thread.join(10)
    assert not thread.is_alive()
    for each in (client, near, far, server):
        each.close()


def test_a_port_that_is_taken_is_an_error() -> None:
    with Forwarding(0, socket.socket) as served, pytest.raises(OSError, match="in use"):
        Forwarding(served.port, socket.socket)
