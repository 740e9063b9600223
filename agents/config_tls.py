"""The keys of OpenFlow over TLS: which files a unit's switch has, which the app has, and what is
wrong with them.

A folder on each machine, with its private key, its certificate, and the certificate of the CA that
the other side's must be signed by. `synod pki make` (`agents.pki`) makes them; Open vSwitch and
`ryu-manager` read them. Only the files' owner may read a key. Looks at files, and at nothing else.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from agents import config_secret

# A machine may be a unit and run the app.
UNIT_PATH, APP_PATH = "/etc/synod/tls", "/etc/synod/app-tls"

KEY, CERTIFICATE, CA = NAMES = ("privkey.pem", "cert.pem", "cacert.pem")


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a side's files are: its private key, its certificate, the other side's CA's."""

    key: str
    certificate: str
    ca: str


def of(folder: str) -> Keys:
    """Those of a folder."""
    return Keys(*(str(Path(folder, name)) for name in NAMES))


def faults(keys: Keys) -> list[str]:
    """Why nobody should use these; for a person to read. None if they are fit."""
    absent = [
        f"{each}: 'synod pki make' makes it, and is told of in docs/install.md"
        for each in _unreadable(keys.key, keys.certificate, keys.ca)
    ]
    return absent or [*_pair_faults(keys.key, keys.certificate), *_ca_faults(keys.ca)]


def pair_faults(key: str, certificate: str) -> list[str]:
    """The same of a key and its certificate, where the other side isn't verified."""
    return _unreadable(key, certificate) or _pair_faults(key, certificate)


def _pair_faults(key: str, certificate: str) -> list[str]:
    return [*_readable_by_others(key), *_mismatch(key, certificate)]


def _readable_by_others(path: str) -> list[str]:
    why = config_secret.fault(path, Path(path).stat().st_mode, "make another")
    return [why] if why else []


def _unreadable(*paths: str) -> list[str]:
    found = []
    for path in paths:
        try:
            Path(path).open("rb").close()
        except OSError as error:
            found.append(f"{path}: {error.strerror}")
    return found


def _mismatch(key: str, certificate: str) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        return [f"{certificate}: not a certificate for {key}: {_said(error)}"]
    return []


def _ca_faults(path: str) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        return [f"{path}: not a CA's certificate: {_said(error)}"]
    return []


def _no_password() -> str:
    raise ValueError("the key has a password, and nobody is there to type it")


def _said(error: Exception) -> str:
    reason: str = getattr(error, "reason", None) or str(error)
    return reason.replace("_", " ").lower()
