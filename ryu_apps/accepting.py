"""How the app's servers take connections: for as long as they listen.

The loops of Ryu and eventlet end for good with an error of accept (`hub.StreamServer.serve_forever`
in ryu/lib/hub.py, `server` in eventlet/wsgi.py), and there are such that say nothing of the socket
which listens: there is no descriptor left, or who came has gone before he was taken (accept(2)).
"""

import errno
import ssl
from typing import Any

from ryu.lib import hub

_OVER = (errno.EBADF, errno.EINVAL)  # it doesn't listen any more
_GONE = (errno.ECONNABORTED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE, errno.EPROTO)
_PAUSE = 0.1  # seconds, where there is no room for another connection


def accept(socket: Any) -> Any:
    """The next connection, and where it came from."""
    while True:
        try:
            return socket.accept()
        except OSError as error:
            if error.errno in _OVER:
                raise
            gone = error.errno in _GONE or isinstance(error, ssl.SSLError)
        hub.sleep(0 if gone else _PAUSE)


class Listening:
    """A socket that listens, for a loop which isn't ours."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def __getattr__(self, name: str) -> Any:
        """Whatever else a socket does."""
        return getattr(self._socket, name)

    def accept(self) -> Any:
        """As `accept` above."""
        return accept(self._socket)
