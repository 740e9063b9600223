"""A file whose content is a secret: its owner alone may read it. What it has to contain is others'
to say (`agents.config_token`, `agents.config_key`, `agents.config_tls`).
"""

import os
from pathlib import Path


def read(path: str, most: int, error: type[Exception], advice: str) -> bytes:
    """Its first so many bytes. FileNotFoundError if there is none; `error` if it can't be read, or
    others may have read it: with what to do then besides, in words.
    """
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(most)
    except FileNotFoundError:
        raise
    except OSError as failure:
        raise error(f"{path}: {failure.strerror}") from failure
    if why := fault(path, mode, advice):
        raise error(why)
    return content


def fault(path: str, mode: int, advice: str) -> str:
    """Why a file of that mode is no secret, and what to do; empty if it is one."""
    if not mode & 0o077:
        return ""
    return (
        f"{path}: others than its owner can read it (mode {mode & 0o777:o}): 'chmod 600 {path}',"
        f" and {advice} if they may have read it"
    )
