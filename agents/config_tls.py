"""The keys of OpenFlow over TLS: which files a unit's switch has, which the app has, and what is
wrong with them.

A folder on each machine, with its private key, its certificate, and the certificate of the CA that
the other side's must be signed by. `synod pki make` (`agents.pki`) makes them; Open vSwitch and
`ryu-manager` read them. Only the files' owner may read a key. Looks at files, and at nothing else.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

# A machine may be a unit and run the app.
DEFAULT_PATH, APP_PATH = "/etc/synod/tls", "/etc/synod/app-tls"
VARIABLE = "SYNOD_TLS"  # of the environment: another folder, for a unit

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


def path() -> str:
    """The folder of a unit's, by the environment."""
    return os.environ.get(VARIABLE) or DEFAULT_PATH


def faults(keys: Keys) -> list[str]:
    """Why nobody should use these; for a person to read. None if they are fit."""
    absent = [
        f"{path}: {why}: 'synod pki make' makes it, and is told of in docs/install.md"
        for path in (keys.key, keys.certificate, keys.ca)
        if (why := _unreadable(path))
    ]
    return absent or [*readable_by_others(keys.key), *_mismatch(keys)]


def readable_by_others(path: str) -> list[str]:
    """That others than its owner can read the file, if they can."""
    mode = Path(path).stat().st_mode
    if not mode & 0o077:
        return []
    return [
        f"{path}: others than its owner can read it (mode {mode & 0o777:o}): 'chmod 600 {path}',"
        " and make another if they may have read it"
    ]


def _unreadable(path: str) -> str:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _mismatch(keys: Keys) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found = []
    try:
        context.load_cert_chain(keys.certificate, keys.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        found.append(f"{keys.certificate}: not a certificate for {keys.key}: {_said(error)}")
    try:
        context.load_verify_locations(keys.ca)
    except ssl.SSLError as error:
        found.append(f"{keys.ca}: not a CA's certificate: {_said(error)}")
    return found


def _no_password() -> str:
    raise ValueError("the key has a password, and nobody is there to type it")


def _said(error: Exception) -> str:
    reason: str = getattr(error, "reason", None) or str(error)
    return reason.replace("_", " ").lower()
