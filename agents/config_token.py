"""The operator's token: whoever has it may give the app orders. One line of a file that its owner
alone can read; the app and `synod` know it by the same path.
"""

import os
import re

from agents import config_secret

DEFAULT_PATH = "/etc/synod/token"
VARIABLE = "SYNOD_TOKEN_FILE"  # of the environment: another path

SHORTEST, LONGEST = 16, 1024  # characters
# What may follow "Bearer" (RFC 6750, section 2.1).
_TOKEN = re.compile(rf"(?=.{{{SHORTEST},{LONGEST}}}\Z)[A-Za-z0-9._~+/-]+=*")


class TokenError(Exception):
    """Why the file's content is no token; for a person to read."""


class NoToken(TokenError):
    """There is no such file."""


def path() -> str:
    """Where the token is, by the environment."""
    return os.environ.get(VARIABLE) or DEFAULT_PATH


def recipe(path: str) -> str:
    """The shell command that makes one."""
    return f"(umask 077 && head -c 32 /dev/urandom | base64 >{path})"


def load(path: str) -> str:
    """The token. TokenError if there is none, or one that others may have read."""
    try:
        text = config_secret.read(path, LONGEST + 100, TokenError, "make another")
    except FileNotFoundError as error:
        raise NoToken(f"there is no token: make one by {recipe(path)}") from error
    token = text.decode("latin-1").strip()
    if not _TOKEN.fullmatch(token):
        raise TokenError(
            f"{path}: not a token of {SHORTEST} to {LONGEST} letters, digits and -._~+/ on one"
            f" line: make one by {recipe(path)}"
        )
    return token
