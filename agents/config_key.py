"""The cluster's key: what units know each other by. One or two lines of a file that its owner alone
can read, the same on every unit: the first key seals, both are accepted (`agents.wire.seal`), so
that it can be replaced without a gap.
"""

import base64
import binascii
import os
from collections.abc import Sequence

from agents import config_secret
from agents.wire.seal import KEY_SIZE, MOST_KEYS, fingerprint

DEFAULT_PATH = "/etc/synod/key"
VARIABLE = "SYNOD_KEY_FILE"  # of the environment: another path

_LONGEST = 1000  # bytes of a file that may be one of keys


class KeyFileError(Exception):
    """Why the file's content is no key; for a person to read."""


class NoKey(KeyFileError):
    """There is no such file."""


def path() -> str:
    """Where the key is, by the environment."""
    return os.environ.get(VARIABLE) or DEFAULT_PATH


def load(path: str) -> tuple[bytes, ...]:
    """The keys. KeyFileError if there is none, or one that others may have read."""
    advice = "make one by 'synod key make' on one unit, and copy it to all others"
    try:
        text = config_secret.read(path, _LONGEST + 1, KeyFileError, "replace it")
    except FileNotFoundError as error:
        raise NoKey(f"{path}: there is no key: {advice}") from error
    keys = tuple(map(_key, text.split())) if len(text) <= _LONGEST else ()
    if not 1 <= len(keys) <= MOST_KEYS or b"" in keys or len(set(keys)) < len(keys):
        raise KeyFileError(
            f"{path}: not one line, or two different ones, of {KEY_SIZE} bytes in base64: {advice}"
        )
    return keys


def text(keys: Sequence[bytes]) -> str:
    """The content of a file with these keys."""
    return "".join(f"{base64.b64encode(key).decode()}\n" for key in keys)


def names(keys: Sequence[bytes]) -> tuple[str, ...]:
    """What they are called: in logs, by `synod key`, in the doctor's reports. It is no secret."""
    return tuple(name_of(fingerprint(key)) for key in keys)


def name_of(number: int) -> str:
    """What the key of this fingerprint is called."""
    return f"{number:08x}"


def _key(word: bytes) -> bytes:
    """A line's key; b"" if it is none."""
    try:
        key = base64.b64decode(word, validate=True)
    except binascii.Error:
        return b""
    return key if len(key) == KEY_SIZE else b""
