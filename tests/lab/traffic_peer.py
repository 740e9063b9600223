"""A peer that keeps traffic going by itself: downloads that last, and new sessions all the while.

Runs as `peer.py` does (`python -m tests.lab.traffic_peer`).
"""

import contextlib
import hashlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.lab.peer import Peer, name_of, serve

_SMALL = 64 << 10  # bytes of receive buffer: what isn't read soon is still on its way
_SILENCE = 30.0  # seconds without a byte after which a download has failed


@dataclass
class Download:
    """A download, slow until it is told to end."""

    sock: socket.socket
    thread: threading.Thread | None = None
    fast: threading.Event = field(default_factory=threading.Event)
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    problem: str = ""

    def read(self, rate: int) -> None:
        """Reads to the end, `rate` bytes a second."""
        tick = 0.05
        try:
            self._head()
            while data := self.sock.recv(int(rate * tick)):
                self._take(data)
                self.fast.wait(tick)
        except OSError as problem:
            self.problem = name_of(problem)

    def _head(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(1)  # a connection that is closed here: ends in the time-out
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head)

    def _take(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)


class TrafficPeer(Peer):
    """The sockets, the downloads, and what became of new sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.downloads: dict[int, Download] = {}
        self.calls: list[tuple[float, float, str]] = []
        self.callers: list[threading.Thread] = []
        self.quiet = threading.Event()

    def do_download(self, address: str, path: str, rate: int) -> dict[str, int]:
        """Begins to fetch a file from the web server; its number, and the client's port."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        sock.settimeout(_SILENCE)
        sock.connect((address, 80))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        download = Download(sock)
        download.thread = threading.Thread(target=download.read, args=(rate,), daemon=True)
        download.thread.start()
        number = self.keep(sock)
        self.downloads[number] = download
        return {"id": number, "port": sock.getsockname()[1]}

    def do_sizes(self) -> dict[str, int]:
        """How much has come of each, so far."""
        return {str(number): download.size for number, download in self.downloads.items()}

    def do_finish(self) -> dict[str, dict[str, Any]]:
        """Reads all downloads to their ends, as fast as it goes; what has come of each."""
        for download in self.downloads.values():
            download.fast.set()
        found = {}
        for number, download in self.downloads.items():
            assert download.thread is not None
            download.thread.join()
            found[str(number)] = {
                "digest": download.digest.hexdigest(),
                "size": download.size,
                "problem": download.problem,
            }
        return found

    def do_call(self, address: str, port: int, every: float, timeout: float = 20) -> None:
        """Begins a new short session every so many seconds, whatever becomes of those before."""

        def begin() -> None:
            while not self.quiet.wait(every):
                caller = threading.Thread(target=self.one, args=(address, port, timeout))
                self.callers.append(caller)
                caller.start()

        threading.Thread(target=begin, daemon=True).start()

    def one(self, address: str, port: int, timeout: float) -> None:
        """One short session: when it was begun, how long its answer took, how it went."""
        began, result = time.monotonic(), "ok"
        try:
            with socket.create_connection((address, port), timeout=timeout) as sock:
                self.line(sock)
                sock.sendall(b"hello\n")
                result = "ok" if self.line(sock) == "hello" else "garbled"
        except OSError as problem:
            result = name_of(problem)
        with self.lock:
            self.calls.append((began, time.monotonic() - began, result))

    def do_answered(self) -> int:
        """How many new sessions were answered until now."""
        with self.lock:
            return sum(result == "ok" for _, _, result in self.calls)

    def do_hush(self) -> list[tuple[float, float, str]]:
        """No new sessions any more: what became of them, in the order in which they began."""
        self.quiet.set()
        for caller in self.callers:
            with contextlib.suppress(RuntimeError):  # one that was not started yet
                caller.join()
        return sorted(self.calls)


if __name__ == "__main__":
    serve(TrafficPeer())
