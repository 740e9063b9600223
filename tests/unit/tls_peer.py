"""A switch's end of a connection, over TLS or not, by OpenSSL alone: for tests of the app's end."""

import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ryu.lib import hub

from agents.config_tls import Keys
from ryu_apps.tls import Tls, context_of
from tests.unit.test_config_tls import sign_itself


@dataclass(frozen=True, slots=True)
class Both:
    """The app's files and a switch's. Each certificate is signed by itself, and known to the other
    side as its CA's.
    """

    app: Keys
    switch: Keys

    @classmethod
    def made(cls, folder: Path) -> Self:
        """New ones."""
        found = []
        for name in ("app", "switch"):
            (folder / name).mkdir(parents=True)
            found.append(sign_itself(folder / name))
        app, switch = found
        return cls(
            Keys(app.key, app.certificate, switch.certificate),
            Keys(switch.key, switch.certificate, app.certificate),
        )


def switch_context(keys: Keys) -> ssl.SSLContext:
    """As Open vSwitch has it: no name is compared."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(keys.certificate, keys.key)
    context.load_verify_locations(keys.ca)
    return context


class Peer:
    """The other end, on a socket of eventlet's."""

    def __init__(self, socket: Any, context: ssl.SSLContext | None) -> None:
        self.socket = socket
        self.over = False  # the app has said farewell
        self._read, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._read, self._written) if context else None

    def greet(self) -> None:
        """The handshake. OSError if it fails."""
        assert self._tls
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._written.read())
                self._read.write(self.socket.recv(4096))
            except ssl.SSLError:
                self.socket.sendall(self._written.read())
                raise
            else:
                self.socket.sendall(self._written.read())
                return

    def recv(self) -> bytes:
        """What comes, as soon as something does: at most 4096 bytes of the wire."""
        while True:
            block = self.socket.recv(4096)
            assert block, "the app has hung up"
            if found := self._opened(block):
                return found

    def now(self) -> bytes:
        """What is there, of at most 4096 bytes of the wire."""
        try:
            block = self.socket.fd.recv(4096)
        except BlockingIOError:
            return b""
        return self._opened(block)

    def sealed(self, data: bytes) -> bytes:
        """As it is to be on the wire."""
        if self._tls is None:
            return data
        self._tls.write(data)
        return self._written.read()

    def farewell(self) -> bytes:
        """The same, of the end."""
        assert self._tls
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._written.read()

    def _opened(self, block: bytes) -> bytes:
        if self._tls is None:
            return block
        self._read.write(block)
        parts = []
        while not self.over:
            try:
                parts.append(self._tls.read(1 << 16))
            except ssl.SSLWantReadError:
                break
            self.over = not parts[-1]
        return b"".join(parts)


def greeted(ours: Any, peer: Peer, keys: Both) -> Tls:
    """The app's end, both having greeted."""
    found = Tls(ours, context_of(keys.app))
    other = hub.spawn(peer.greet)
    found.greet()
    other.wait()
    return found
