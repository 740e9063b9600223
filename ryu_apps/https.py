"""The app's HTTP: Ryu's WSGI server, over TLS where a certificate is named (`agents.config_http`).

Ryu starts it with eventlet's defaults: as many connections as a process may have files, each for
ever. Here they are fewer, and who says nothing for long is hung up on; so whoever opens connections
takes none of OpenFlow's descriptors, and holds up others for a while at most.

Over TLS, connections are eventlet's of it, 1.2 or later. Who doesn't greet in time, or speaks no
TLS, is hung up on: eventlet would write a traceback for each, and wait for ever. Each greeting is
its own greenlet's, and holds up nobody.
"""

import contextlib
from typing import Any

import eventlet.wsgi
from eventlet.green import ssl
from ryu import cfg
from ryu.app import wsgi
from ryu.lib import hub

from agents import config_http
from ryu_apps.accepting import Listening

GREETING = 5.0  # seconds that a connection has for it
SILENCE = 10.0  # seconds that a request, or each part of it, or who reads the answer, is waited for
MOST = 256  # connections at a time: a quarter of the files that a process may mostly have


def fault() -> str:
    """Why the app can't listen for HTTP as it was told; empty if it can."""
    return "\n".join(config_http.faults(cfg.CONF.wsapi_host))


def listen() -> None:
    """From now on Ryu's WSGI server is served so, and speaks TLS if there is a key."""
    context, start = _context(), wsgi.start_service

    def start_ours(apps: Any) -> Any:
        """As `ryu-manager` calls it."""
        server = start(apps)
        server.serve_forever = lambda: _serve(server, context)
        return server

    wsgi.start_service = start_ours


def _context() -> Any:
    key, certificate = config_http.files()
    if not key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _serve(server: Any, context: Any) -> None:
    """For ever."""
    socket = context.wrap_socket(server.server, server_side=True) if context else server.server
    eventlet.wsgi.server(
        Listening(socket),
        server.handle,
        hub.LoggingWrapper(),
        max_size=MOST,
        protocol=_Greeted if context else eventlet.wsgi.HttpProtocol,
        keepalive=SILENCE,
        socket_timeout=SILENCE,
    )


class _Greeted(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """A connection that begins with the handshake."""

    def handle(self) -> None:
        """Called by eventlet, once."""
        try:
            with hub.Timeout(GREETING):
                self.request.do_handshake()
        except (OSError, hub.Timeout):
            return
        with contextlib.suppress(ssl.SSLError):  # it ends in the middle of a record
            super().handle()
