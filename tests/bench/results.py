"""What a run of `script/bench` has given so far, in a file that has all of it at any moment.

    {"machine": {...}, "benchmarks": {"sessions": {"figures": {...}, "promises": {...}, ...}}}

Of a benchmark that failed there is an `error` instead of figures. Nothing is judged here. It reads
such files, too, for those who draw.
"""

import json
import time
from pathlib import Path
from typing import Any

from tests.bench.benchmark import Figures
from tests.bench.failover import Series
from tests.bench.machine import describe, load_average, new_file, now, write


class Results:
    """One run's; its file is written anew whenever something is added."""

    def __init__(self, folder: Path) -> None:
        self.file = new_file(folder, "bench")
        self.machine = describe()
        self.benchmarks: dict[str, dict[str, Any]] = {}
        self._began = 0.0

    def begin(self, name: str) -> None:
        """That benchmark begins to measure: what the machine does besides, from here on."""
        self._began = time.monotonic()
        self.benchmarks[name] = {"time": now(), "load_average": load_average()}

    def measured(self, name: str, figures: Figures) -> float:
        """It has measured; how many seconds that took."""
        took = round(time.monotonic() - self._began, 1)
        self._add(name, took_seconds=took, load_average_after=load_average(), figures=figures)
        return took

    def judged(self, name: str, promises: dict[str, bool]) -> None:
        """What its figures must keep, and whether they do."""
        self._add(name, promises=promises)

    def failed(self, name: str, why: str) -> None:
        """It could not measure, or nobody can read what it measured."""
        self._add(name, error=why)

    def document(self) -> dict[str, Any]:
        """All of it."""
        return {"machine": self.machine, "benchmarks": self.benchmarks}

    @property
    def exit_code(self) -> int:
        """0: all promises kept; 1: one is not; 2: something could not be measured."""
        every = self.benchmarks.values()
        if any("error" in each for each in every):
            return 2
        return 0 if all(all(each["promises"].values()) for each in every) else 1

    def _add(self, name: str, **what: Any) -> None:
        self.benchmarks[name].update(what)
        write(self.document(), self.file)


class Unreadable(Exception):
    """Why a file, or a benchmark in it, gives no figures, and what to do."""


def read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a file that a run has kept: the machine, and what each benchmark gave. The file that
    failover keeps of its rounds will do, too.
    """
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Unreadable(f"{file}: {error}: give a file that script/bench has kept") from error
    if "rounds" in document and "alarms" in document:
        series = {name: Series(name, found) for name, found in document["rounds"].items() if found}
        figures = {"series": {name: each.figures() for name, each in series.items()}}
        return document["machine"], {"failover": {"figures": figures}}
    if "benchmarks" not in document:
        raise Unreadable(f"{file} has no benchmarks: give a file that script/bench has kept")
    return document["machine"], document["benchmarks"]


def figures_of(name: str, measured: dict[str, Any]) -> Figures:
    """What a benchmark measured. Unreadable if it failed."""
    if "figures" not in measured[name]:
        raise Unreadable(f"it could not be measured then. Again: script/bench {name}")
    figures: Figures = measured[name]["figures"]
    return figures
