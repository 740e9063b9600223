"""A played switch's connection over TLS: as Open vSwitch's, each message is a record of its own."""

import ssl
import struct
import threading
from typing import Any

from agents.config_tls import Keys

_LENGTH = struct.Struct("!2xH4x")


class Sealed:
    """For a thread that reads and one that writes. OpenSSL works in memory, one call at a time."""

    def __init__(self, socket: Any, keys: Keys) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_cert_chain(keys.certificate, keys.key)
        context.load_verify_locations(keys.ca)
        self._socket = socket
        self._come, self._gone = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._come, self._gone)
        self._lock = threading.Lock()
        while not self._greeted():
            self._come.write(socket.recv(1 << 14))

    def sendall(self, data: bytes) -> None:
        """Whole messages."""
        at = 0
        with self._lock:
            while at < len(data):
                end = at + _LENGTH.unpack_from(data, at)[0]
                self._tls.write(data[at:end])
                at = end
            sealed = self._gone.read()
        self._socket.sendall(sealed)

    def recv(self, most: int) -> bytes:
        """What there is, as soon as there is any; none at the end."""
        while block := self._socket.recv(most):
            parts = []
            with self._lock:
                self._come.write(block)
                try:
                    while part := self._tls.read(most):
                        parts.append(part)
                except ssl.SSLWantReadError:
                    pass
            if parts:
                return b"".join(parts)
        return b""

    def shutdown(self, how: int) -> None:
        """As a socket's."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """As a socket's."""
        self._socket.close()

    def _greeted(self) -> bool:
        try:
            self._tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self._socket.sendall(self._gone.read())
