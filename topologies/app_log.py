"""The app's log, from a moment on: which events it has noted since, and when.

Only reads. What the app writes there: `ryu_apps.log`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.wire.log_line import decode

_POLL = 0.02  # seconds
_GRACE = 5.5  # seconds: ryu_apps.core.liveness.GRACE, and some


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `at`: seconds of CLOCK_MONOTONIC."""

    at: float
    name: str
    fields: dict[str, str]
    text: str

    @property
    def unit(self) -> int:
        """The unit that it is about; 0 if it names none."""
        return int(self.fields.get("unit", 0))


class AppLog:
    """The log, from where it was when this was made."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        """`whole`: from its beginning."""
        self._path = path
        self._from = 0 if whole else path.stat().st_size
        # Its times are the wall clock's, in ms.
        self._wall = time.time() - time.monotonic()

    def events(self, *names: str) -> list[Event]:
        """Those of these names so far, in order; all if none is named."""
        return [each for each in self._read() if not names or each.name in names]

    def wait(self, wanted: Callable[[Event], bool], timeout: float) -> Event | None:
        """The first such event; None if it doesn't come within so many seconds."""
        deadline = time.monotonic() + timeout
        while not (found := next(filter(wanted, self._read()), None)):
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL)
        return found

    def _read(self) -> Iterator[Event]:
        with self._path.open(errors="replace") as file:
            file.seek(self._from)
            for line in file:
                found = decode(line.removesuffix("\n"))
                if found and line.endswith("\n"):
                    text = line[line.index("event=") :].rstrip()
                    yield Event(found.at - self._wall, found.event, found.fields, text)


def until_deaths_count(path: Path) -> None:
    """Waits, if the cluster is that new, until the app believes that a unit may be dead.

    It misses nobody in its first seconds, when all (re)connect: a kill then is no measure of it.
    """
    log = AppLog(path, whole=True)
    formed = log.wait(lambda event: event.name == "primary_elected", 0)
    while formed and time.monotonic() < formed.at + _GRACE:
        time.sleep(_POLL)
