"""A port of this machine that leads into a lab: whoever connects to it talks to a server there.

It listens on the loopback address only, passes bytes on as they are, and knows nothing of them.
"""

import contextlib
import selectors
import socket
import socketserver
from collections.abc import Callable

_BLOCK = 65536  # bytes

Connect = Callable[[], socket.socket]  # a connection to the server; OSError if there is none


class Forwarding(socketserver.ThreadingTCPServer):
    """Listens from when it is made; passes on while it serves."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a browser's connections stay open as long as it likes

    def __init__(self, port: int, connect: Connect) -> None:
        """`port` 0: any that is free. OSError if it is taken."""
        self.connect = connect
        super().__init__(("127.0.0.1", port), _Passing)

    @property
    def port(self) -> int:
        """The one that it listens on."""
        return int(self.server_address[1])


class _Passing(socketserver.BaseRequestHandler):
    """One connection. If the server isn't there, it ends at once."""

    def handle(self) -> None:
        """Both ways, until both have ended or one is broken."""
        assert isinstance(self.server, Forwarding)
        with contextlib.suppress(OSError), self.server.connect() as inside:
            pass_on(self.request, inside)


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """What each says goes to the other; its end, too. Returns after both ends."""
    for each in (one, other):
        each.settimeout(None)
    with selectors.DefaultSelector() as waiting:
        waiting.register(one, selectors.EVENT_READ, other)
        waiting.register(other, selectors.EVENT_READ, one)
        while waiting.get_map():
            for key, _ in waiting.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                if data := source.recv(_BLOCK):
                    target.sendall(data)
                else:
                    waiting.unregister(source)
                    target.shutdown(socket.SHUT_WR)
