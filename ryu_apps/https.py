"""The app's HTTP over TLS, where a certificate is named (`agents.config_http`).

Ryu's WSGI server listens; here its connections are eventlet's of TLS, 1.2 or later. Who doesn't
greet in time, or speaks no TLS, is hung up on: eventlet would write a traceback for each, and wait
for ever. Each greeting is its own greenlet's, and holds up nobody.
"""

import contextlib
from typing import Any

import eventlet.wsgi
from eventlet.green import ssl
from ryu import cfg
from ryu.app import wsgi
from ryu.lib import hub

from agents import config_http

GREETING = 5.0  # seconds that a connection has for it


def fault() -> str:
    """Why the app can't listen for HTTP as it was told; empty if it can."""
    return "\n".join(config_http.faults(cfg.CONF.wsapi_host))


def listen() -> None:
    """From now on Ryu's WSGI server speaks TLS, if there is a key."""
    key, certificate = config_http.files()
    if not key:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    start = wsgi.start_service

    def start_over_tls(apps: Any) -> Any:
        """As `ryu-manager` calls it."""
        server = start(apps)
        sock = context.wrap_socket(server.server, server_side=True)
        log = hub.LoggingWrapper()
        server.serve_forever = lambda: eventlet.wsgi.server(
            sock, server.handle, log, protocol=_Greeted
        )
        return server

    wsgi.start_service = start_over_tls


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
