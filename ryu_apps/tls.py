"""OpenFlow over TLS: who may connect, and a socket that Ryu and `receiving.Sieve` can use as any.

Ryu 5.0.0 takes keys (`--ctl-privkey`, `--ctl-cert`, `--ca-certs`), but asks a switch for no
certificate unless it is told of a CA, speaks TLS 1.0 where OpenSSL lets it, waits for ever for a
greeting, and reads on, without end, from a connection whose TLS has failed
(`OpenFlowController.server_loop` and `Datapath._recv_loop` in ryu/controller/controller.py). Here
both sides are verified or nothing is said; TLS is 1.2 or later; a greeting has its time; and an
error ends the connection.

TLS itself is OpenSSL's, between two buffers in memory. So the socket below is a plain one: it is
read in large blocks, whatever records the other side has cut its messages into (Open vSwitch makes
one of each message), and of what is written each byte is known to be taken or not.
"""

import contextlib
import re
import ssl
from collections.abc import Callable
from typing import Any

import ryu.base.app_manager  # noqa: F401 - it and the next import each other: this one goes first
from ryu import cfg
from ryu.controller import controller
from ryu.lib import hub

from agents import config_tls
from agents.config_tls import Keys
from ryu_apps.accepting import accept

GREETING = 5.0  # seconds that a connection has for it
MOST_GREETING = 64  # connections that are at it at the same time
_BLOCK = 16 << 10  # bytes read at once: as `receiving.BLOCK`

Refused = Callable[[str, str], None]  # address, why


class Tls:
    """A switch's connection, as Ryu sees it: of what it is not asked here, the socket's own."""

    def __init__(self, socket: Any, context: ssl.SSLContext) -> None:
        self._socket = socket
        self._read, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()  # as on the wire
        self._tls = context.wrap_bio(self._read, self._written, server_side=True)
        self._left = b""  # what the socket hasn't taken of what was to be sent at once
        self._sending = False  # somebody waits until the socket takes more

    def __getattr__(self, name: str) -> Any:
        """Whatever else a socket does."""
        return getattr(self._socket, name)

    def greet(self) -> None:
        """The handshake. OSError with why there is no connection."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sendall(b"")
                if not self._fill():
                    raise ConnectionError("it has hung up") from None
            except ssl.SSLError:
                self._send_what_goes()  # what the other side is told of it
                raise
            else:
                self.sendall(b"")
                return

    @property
    def unit(self) -> int | None:
        """The unit that the other side's certificate was made for, if that names one as
        `synod pki make` does.
        """
        certificate: Any = self._tls.getpeercert() or {}
        names = dict(pair for each in certificate.get("subject", ()) for pair in each)
        found = re.fullmatch(r"unit-(\d+)", names.get("commonName", ""))
        return int(found[1]) if found else None

    def recv(self, most: int) -> bytes:
        """What there is, at most so many bytes, as soon as there is any; none at the end.
        ConnectionError if what came is not what was sent.
        """
        parts: list[bytes] = []
        room = most
        while room:
            try:
                part = self._tls.read(room)
                if not part:  # the other side's farewell
                    break
                parts.append(part)
                room -= len(part)
            except ssl.SSLWantReadError:
                if parts or not self._fill():
                    break
            except ssl.SSLZeroReturnError:
                break
            except ssl.SSLError as error:
                if parts:
                    break  # what came before is good; who asks next is told
                # To Ryu's loop an SSLError is a read that took long: it would read on and on.
                raise ConnectionError(why(error)) from error
        return b"".join(parts)

    def sendall(self, data: bytes) -> None:
        """Waits until all of it is taken, and before it what was left."""
        if data:
            self._tls.write(data)
        block, self._left = self._left + self._written.read(), b""
        if not block:
            return
        self._sending = True
        try:
            self._socket.sendall(block)
        finally:
            self._sending = False

    def send_at_once(self, data: bytes) -> tuple[bytes, bool]:
        """As `receiving.Sieve.send_at_once`."""
        if self._left or self._sending:
            return data, False
        self._tls.write(data)
        self._send_what_goes()
        return b"", bool(self._left)

    def shutdown(self, how: int) -> None:
        """Says farewell, if there is nothing else to say, and no more."""
        if not (self._left or self._sending):
            with contextlib.suppress(ssl.SSLError):  # it would wait for the other's
                self._tls.unwrap()
            self._send_what_goes()
        self._socket.shutdown(how)

    def _send_what_goes(self) -> None:
        self._left += self._written.read()
        with contextlib.suppress(OSError):  # full; or at its end: who writes next is told
            self._left = self._left[self._socket.fd.send(self._left) :]

    def _fill(self) -> bool:
        block: bytes = self._socket.recv(_BLOCK)
        self._read.write(block)
        return bool(block)


def context_of(keys: Keys) -> ssl.SSLContext:
    """What a connection with these keys must be like."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(keys.certificate, keys.key)
    context.load_verify_locations(keys.ca)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # nobody takes up an old session: each connection shows its certificate
    return context


def why(error: BaseException) -> str:
    """In words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"not TLS: {reason}" if reason in _NO_TLS else reason
    return getattr(error, "strerror", None) or str(error)


_NO_TLS = ("wrong version number", "http request", "packet length too long", "unknown protocol")


def keys() -> Keys | None:
    """Those that `ryu-manager` was given; None if none. ValueError if some, and not all."""
    options = cfg.CONF
    given = {
        "--ctl-privkey": options.ctl_privkey,
        "--ctl-cert": options.ctl_cert,
        "--ca-certs": options.ca_certs,
    }
    if lacking := [name for name, value in given.items() if not value]:
        if len(lacking) == len(given):
            return None
        raise ValueError(f"OpenFlow over TLS needs {', '.join(lacking)}, too")
    return Keys(*given.values())


def fault(wanted: bool) -> str:
    """Why the app can't be reached as the cluster's file has it; empty if it can."""
    try:
        given = keys()
    except ValueError as error:
        return str(error)
    if given is None:
        files = config_tls.of(config_tls.APP_PATH)
        return (
            "the cluster's controllers are ssl: start ryu-manager with "
            f"--ofp-ssl-listen-port 6653 --ctl-privkey {files.key} --ctl-cert {files.certificate} "
            f"--ca-certs {files.ca}, as 'synod app install' does"
            if wanted
            else ""
        )
    if not wanted:
        return "the cluster's controllers are tcp, and ryu-manager has keys: it would speak TLS"
    return "\n".join(config_tls.faults(given))


def listen(refused: Refused) -> None:
    """From now on Ryu's server is this one; `refused` is told who wasn't let in, and why."""

    class Listener(_Listener):
        def __init__(self, place: Any, handle: Any, **given: Any) -> None:
            super().__init__(place, handle, refused, over_tls=bool(given))

    controller.StreamServer = Listener


class _Listener(hub.StreamServer):  # type: ignore[misc]
    """Listens for switches. `handle` is given the connection, and where it came from."""

    def __init__(self, place: Any, handle: Any, refused: Refused, *, over_tls: bool) -> None:
        super().__init__(place, handle)
        files = keys() if over_tls else None
        self._context = context_of(files) if files else None
        self._refused = refused
        self._greeting = 0

    def serve_forever(self) -> None:
        """Takes whoever comes."""
        while True:
            hub.spawn(self._serve, *accept(self.server))

    def _serve(self, socket: Any, address: Any) -> None:
        if self._context is None:
            self.handle(socket, address)
            return
        connection = Tls(socket, self._context)
        if said := self._greeted(connection):
            self._refused(address[0], said)
            socket.close()
        else:
            self.handle(connection, address)

    def _greeted(self, connection: Tls) -> str:
        """Why it is no connection; empty if it is."""
        if self._greeting >= MOST_GREETING:
            return f"{MOST_GREETING} others are being greeted"
        self._greeting += 1
        try:
            with hub.Timeout(GREETING):
                connection.greet()
        except hub.Timeout:
            return f"no greeting within {GREETING:g} s"
        except OSError as error:
            return why(error)
        finally:
            self._greeting -= 1
        return ""
