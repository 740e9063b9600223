"""HTTP over TLS, for those who want the app to be asked from elsewhere: its key and certificate,
and whose certificates `synod` takes. By the environment, as the operator's token.
"""

import os
import ssl
from ipaddress import ip_address
from urllib.parse import urlsplit

from agents import config_tls

CERTIFICATE, KEY = "SYNOD_HTTP_CERT", "SYNOD_HTTP_KEY"
CA = "SYNOD_CA_FILE"  # of `synod`; else the system's CAs


def files() -> tuple[str, str]:
    """The app's key and certificate; empty if it is to speak without TLS."""
    return os.environ.get(KEY, ""), os.environ.get(CERTIFICATE, "")


def faults(host: str) -> list[str]:
    """Why the app shouldn't listen at that address; for a person to read. None if it may."""
    key, certificate = files()
    if key and certificate:
        return config_tls.pair_faults(key, certificate)
    if key or certificate:
        return [f"HTTP over TLS needs both {CERTIFICATE} and {KEY}"]
    if is_loopback(host):
        return []
    return [
        f"HTTP at {host} would be read by others on the way, and with it the operator's token. "
        f"Name a certificate and its key by {CERTIFICATE} and {KEY}; or leave --wsapi-host out, "
        "and come by 'ssh -L 8080:127.0.0.1:8080'"
    ]


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_private(url: str) -> bool:
    """Whether nobody else reads what is sent there."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def context() -> ssl.SSLContext:
    """For who asks. OSError if there are no CAs as the environment says."""
    return ssl.create_default_context(cafile=os.environ.get(CA) or None)
