"""Very many TCP sessions that are open and idle, through a lab.

    python -m tests.bench.idle_sessions accept PORT           on the server: accepts, and keeps
    python -m tests.bench.idle_sessions connect ADDRESS PORT  on the client: connects, and keeps

Every one is a real connection between the lab's client and server. PAIRS of programs share them, as
one address has some 28,000 ports of its own for each port of the server, and one program may not
have very many descriptors. Nobody ever sends anything on them. They end with the programs.
"""

import errno
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.bench.answering_loop import answer
from topologies.answering import Answering
from topologies.cluster import NETWORKS
from topologies.lab import Lab

FIRST_PORT, PAIRS = 7200, 8
AT_ONCE = 200  # connections that are being opened
PATIENCE = 30.0  # seconds without any progress

_MODULE = "tests.bench.idle_sessions"


class Idle:
    """The programs in a running lab."""

    def __init__(self, lab: Lab, clients: list[Answering]) -> None:
        self._lab = lab
        self._clients = clients

    def grow(self, count: int) -> dict[str, float]:
        """Opens sessions until there are so many: `opened`, and the `seconds` it took. The app
        knows all of them when this returns.
        """
        began, each = time.monotonic(), count // PAIRS
        opened: int = sum(client.ask("grow", count=each) for client in self._clients)
        seconds = time.monotonic() - began
        self._lab.wait(lambda status: _live(status) >= each * PAIRS, timeout=60)
        return {"opened": opened, "seconds": round(seconds, 3)}

    def alive(self) -> int:
        """How many of them are still open."""
        return sum(client.ask("alive") for client in self._clients)


@contextmanager
def idle_sessions(lab: Lab) -> Iterator[Idle]:
    """None at first."""
    address = NETWORKS[1].address
    with ExitStack() as stack:
        clients = []
        for port in range(FIRST_PORT, FIRST_PORT + PAIRS):
            server = Answering(lab, "server", _MODULE, "accept", str(port))
            stack.callback(server.stop)
            client = Answering(lab, "client", _MODULE, "connect", address, str(port))
            stack.callback(client.stop)
            assert server.line() == client.line() == "ready\n", "the programs don't start"
            clients.append(client)
        yield Idle(lab, clients)


def _live(status: dict[str, Any]) -> int:
    return sum(unit["sessions"]["live"] for unit in status["units"])


class Client:
    """The side that connects."""

    def __init__(self, address: str, port: int) -> None:
        self._where = address, port
        self._open: list[int] = []

    def do_grow(self, count: int) -> int:
        """Until there are so many; how many were opened."""
        before = len(self._open)
        poll = select.epoll()
        opening: dict[int, socket.socket] = {}
        while len(self._open) < count:
            while len(opening) < min(AT_ONCE, count - len(self._open)):
                sock = self._begin()
                opening[sock.fileno()] = sock
                poll.register(sock, select.EPOLLOUT)
            ready = poll.poll(PATIENCE)
            if not ready:
                raise TimeoutError(f"{len(self._open)} of {count} opened")
            for number, _ in ready:
                sock = opening.pop(number)
                poll.unregister(number)
                if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(error, os.strerror(error))
                self._open.append(sock.detach())
        poll.close()
        return count - before

    def do_alive(self) -> int:
        """Those that no end and no reset has come for."""
        poll = select.poll()
        for number in self._open:
            poll.register(number, select.POLLIN | select.POLLRDHUP)
        return len(self._open) - len(poll.poll(0))

    def _begin(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        refused = sock.connect_ex(self._where)
        if refused not in (0, errno.EINPROGRESS):
            raise OSError(refused, os.strerror(refused))
        return sock


def connect(address: str, port: str) -> None:
    """The client's program."""
    client = Client(address, int(port))
    answer({"grow": client.do_grow, "alive": client.do_alive})


def accept(port: str) -> None:
    """The server's program; never ends by itself."""
    listener = socket.create_server(("", int(port)), backlog=4096)
    print("ready", flush=True)
    while True:
        # Kept open by its number alone: the end of the process ends it.
        listener.accept()[0].detach()


if __name__ == "__main__":
    {"accept": accept, "connect": connect}[sys.argv[1]](*sys.argv[2:])
