"""New sessions at an even pace, with one request each: unlike wrk, as many as are asked for.

    python -m tests.bench.steady_load ADDRESS PORT RATE SECONDS

Sessions begin when they are due, whether others are answered or not. It says, as JSON, how many it
opened, and how many of them were not answered by the server's closing them, in PATIENCE seconds.
"""

import errno
import json
import select
import socket
import sys
import time

from topologies.lab import Lab

PATIENCE = 10.0  # seconds
PORT = 8000
_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


class Load:
    """The sessions that are under way."""

    def __init__(self, address: str, port: int) -> None:
        self._where = address, port
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self.answered = 0
        self._got: set[int] = set()

    def run(self, rate: float, seconds: float) -> dict[str, float]:
        """So many a second, for so long, and until they are over."""
        began = time.monotonic()
        total, started, last = round(rate * seconds), 0, 0.0
        while started < total or (self._open and time.monotonic() < last + PATIENCE):
            now = time.monotonic()
            while started < total and now >= began + started / rate:
                self._begin()
                started, last = started + 1, now
            pause = began + started / rate - now if started < total else PATIENCE
            for number, events in self._poll.poll(max(0.0, pause)):
                self._go_on(number, events)
        return {
            "sessions": total,
            "failed": total - self.answered,
            "seconds": round(last - began, 3),
        }

    def _begin(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        if sock.connect_ex(self._where) not in (0, errno.EINPROGRESS):
            sock.close()
            return
        self._open[sock.fileno()] = sock
        self._poll.register(sock, select.EPOLLOUT)

    def _go_on(self, number: int, events: int) -> None:
        sock = self._open[number]
        try:
            if events & select.EPOLLOUT:
                sock.send(_REQUEST)
                self._poll.modify(number, select.EPOLLIN)
                return
            if sock.recv(4096):
                self._got.add(number)
                return
            self.answered += number in self._got
        except OSError:
            pass  # refused or reset: it isn't counted as answered
        self._got.discard(number)
        del self._open[number]
        sock.close()


def steady(lab: Lab, rate: float, seconds: float) -> dict[str, float]:
    """Through a lab, from its client to its server."""
    argv = [sys.executable, "-m", "tests.bench.steady_load", "203.0.113.10", str(PORT)]
    found: dict[str, float] = json.loads(
        lab.run("client", [*argv, str(rate), str(seconds)], timeout=seconds + 30).stdout
    )
    return found


if __name__ == "__main__":
    address, port, rate, seconds = sys.argv[1:]
    print(json.dumps(Load(address, int(port)).run(float(rate), float(seconds))))
