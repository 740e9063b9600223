"""A real TCP client and server in one of the lab's hosts, told what to do line by line.

Runs there as a program of its own (`python -m tests.lab.peer`), with nothing but the standard
library: every line on its standard input is a JSON request `[operation, {arguments}]`, every line
on its standard output the JSON answer, `{"ok": value}` or `{"error": name}`. The sockets are the
kernel's own, so what a test sees is what a user would see.
"""

import concurrent.futures
import contextlib
import errno
import json
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds


class Peer:
    """The sockets that this host holds, each by a number."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.accepted: dict[str, int] = {}
        self.lock = threading.Lock()
        self.count = 0

    def keep(self, sock: socket.socket) -> int:
        """Gives a socket its number."""
        with self.lock:
            self.count += 1
            self.sockets[self.count] = sock
            return self.count

    def do_serve(self, port: int, address: str = "0.0.0.0", fastopen: bool = False) -> int:
        """Listens. Each client is told by a line whom the server takes it for, then echoed."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if fastopen:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        listener.bind((address, port))
        listener.listen(4096)
        threading.Thread(target=self.accept_all, args=(listener,), daemon=True).start()
        return self.keep(listener)

    def accept_all(self, listener: socket.socket) -> None:
        """One thread a client: few at a time, and each may stay for minutes."""
        while True:
            try:
                sock, address = listener.accept()
            except OSError:
                return
            number = self.keep(sock)
            self.accepted[f"{address[0]}:{address[1]}"] = number
            threading.Thread(target=self.echo, args=(number, sock, address), daemon=True).start()

    def echo(self, number: int, sock: socket.socket, address: tuple[str, int]) -> None:
        """The greeting, then everything back until the client has no more to say."""
        with contextlib.suppress(OSError):
            sock.sendall(f"{address[0]}:{address[1]}\n".encode())
            while data := sock.recv(65536):
                sock.sendall(data)
                if data.endswith(b"hold\n"):
                    return  # left open until a request closes it
        with contextlib.suppress(OSError):
            sock.close()
        self.sockets.pop(number, None)

    def do_clients(self) -> dict[str, int]:
        """The clients that this server has had: "address:port" -> the number of its socket."""
        return dict(self.accepted)

    def do_connect(
        self,
        address: str,
        port: int,
        *,
        sport: int = 0,
        source: str = "",
        timeout: float = 10,
        greeted: bool = True,
    ) -> dict[str, Any]:
        """Opens a session and reads the server's greeting, if it is one that greets."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(timeout)
        sock.bind((source, sport))
        sock.connect((address, port))
        seen = self.line(sock) if greeted else ""
        return {"id": self.keep(sock), "port": sock.getsockname()[1], "seen": seen}

    def do_fastopen(
        self, address: str, port: int, data: str, timeout: float = 10
    ) -> dict[str, Any]:
        """Opens a session with data in the SYN, if the kernel has a cookie for the server."""
        sock = socket.socket()
        sock.settimeout(timeout)
        sock.sendto(data.encode(), socket.MSG_FASTOPEN, (address, port))
        seen = self.line(sock)
        return {"id": self.keep(sock), "port": sock.getsockname()[1], "seen": seen}

    def line(self, sock: socket.socket) -> str:
        """One line of text, without its end."""
        data = b""
        while not data.endswith(b"\n"):
            byte = sock.recv(1)
            if not byte:
                raise ConnectionError(errno.ECONNABORTED, "closed before a whole line")
            data += byte
        return data.decode().rstrip("\n")

    def do_talk(self, id: int, text: str, timeout: float = 10) -> str:
        """Sends a line and reads one back."""
        sock = self.sockets[id]
        sock.settimeout(timeout)
        sock.sendall(text.encode() + b"\n")
        return self.line(sock)

    def do_retransmitted(self, id: int) -> int:
        """How many segments of a session this host has sent again: those that got lost."""
        info = self.sockets[id].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        # tcpi_total_retrans (include/uapi/linux/tcp.h)
        return int(struct.unpack_from("=I", info, 100)[0])

    def do_send(self, id: int, text: str) -> None:
        """Sends, and reads nothing."""
        self.sockets[id].sendall(text.encode())

    def do_read(self, id: int, timeout: float = 10) -> str:
        """Reads everything up to the end that the other side makes."""
        sock = self.sockets[id]
        sock.settimeout(timeout)
        data = b""
        while more := sock.recv(65536):
            data += more
        return data.decode()

    def do_shutdown(self, id: int) -> None:
        """Says that it has no more to say, and goes on listening."""
        self.sockets[id].shutdown(socket.SHUT_WR)

    def do_close(self, id: int) -> None:
        """Closes in order: FIN."""
        sock = self.sockets.pop(id)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def do_reset(self, id: int) -> None:
        """Closes at once: RST."""
        sock = self.sockets.pop(id)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        # A thread may be reading it, and would hold the descriptor until it is woken.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RD)
        sock.close()

    def do_sessions(
        self, address: str, port: int, count: int, together: int = 8, timeout: float = 15
    ) -> list[str]:
        """Whole short sessions, some at a time. What became of each: "ok" or an error's name."""

        def one(_: int) -> str:
            try:
                with socket.create_connection((address, port), timeout=timeout) as sock:
                    self.line(sock)
                    sock.sendall(b"hello\n")
                    return "ok" if self.line(sock) == "hello" else "garbled"
            except OSError as problem:
                return name_of(problem)

        with concurrent.futures.ThreadPoolExecutor(together) as pool:
            return list(pool.map(one, range(count)))

    def do_raw(self, interface: str, frames: list[str]) -> None:
        """Puts whole Ethernet frames, in hexadecimal, on a wire."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((interface, 0))
            for frame in frames:
                sock.send(bytes.fromhex(frame))

    def do_datagrams(self, address: str, port: int, data: list[str]) -> None:
        """Sends each by UDP, in hexadecimal."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for each in data:
                sock.sendto(bytes.fromhex(each), (address, port))

    def do_exchange(
        self, interface: str, frames: list[str], patterns: list[str], timeout: float = 5
    ) -> list[str]:
        """Sends frames, then waits until for each pattern a frame that holds it has come.

        Patterns are hexadecimal too; the answer is the first frame found for each, "" for none.
        """
        wanted = [bytes.fromhex(pattern) for pattern in patterns]
        found = [""] * len(wanted)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sock:
            sock.bind((interface, 3))
            for frame in frames:
                sock.send(bytes.fromhex(frame))
            deadline = time.monotonic() + timeout
            while "" in found and (left := deadline - time.monotonic()) > 0:
                if not select.select([sock], [], [], left)[0]:
                    break
                data, address = sock.recvfrom(65536)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                for number, pattern in enumerate(wanted):
                    if not found[number] and pattern in data:
                        found[number] = data.hex()
        return found


def name_of(problem: OSError) -> str:
    """`ECONNRESET` and the like; a time-out has no number of its own."""
    if isinstance(problem, TimeoutError):
        return "ETIMEDOUT"
    return errno.errorcode.get(problem.errno or 0, type(problem).__name__)


def answer(peer: Peer, line: str) -> dict[str, Any]:
    """Carries out one request."""
    operation, arguments = json.loads(line)
    action: Callable[..., Any] = getattr(peer, f"do_{operation}")
    try:
        return {"ok": action(**arguments)}
    except OSError as problem:
        return {"error": name_of(problem)}


def serve(peer: Peer) -> None:
    """Answers until standard input ends; every socket ends with the process."""
    for line in sys.stdin:
        print(json.dumps(answer(peer, line)), flush=True)


if __name__ == "__main__":
    serve(Peer())
