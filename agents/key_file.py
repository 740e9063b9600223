"""The file of the cluster's keys, read again when it is another: keys are replaced while agents
run.

What it should contain is `agents.config_key`'s. A file that can't be taken is told once, and
changes nothing.
"""

import os

from agents import config_key
from agents.config_key import KeyFileError
from agents.log import tell
from agents.wire.seal import Keys


class KeyFile:
    """That file, and what it was like when it was read last."""

    def __init__(self, path: str, group: int) -> None:
        self._path = path
        self._group = group
        self._seen: tuple[int, ...] = ()

    def load(self) -> Keys:
        """The keys. KeyFileError if they can't be taken."""
        self._seen = self._look()
        return Keys(config_key.load(self._path), self._group)

    def changed(self) -> Keys | None:
        """The keys, if the file is another than before and they can be taken."""
        seen = self._look()
        if seen == self._seen:
            return None
        try:
            keys = self.load()
        except KeyFileError as error:
            tell("keys_kept", why=error)
            return None
        tell("keys_changed", keys=",".join(map(config_key.name_of, keys.fingerprints)))
        return keys

    def _look(self) -> tuple[int, ...]:
        try:
            seen = os.stat(self._path)
        except OSError as error:
            return (error.errno or 0,)
        return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size
