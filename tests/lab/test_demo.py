"""The demonstration works, and leaves nothing, even if it is stopped half-way."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.polling import until
from topologies.registry import running

ROOT = Path(__file__).parents[2]


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """It runs meanwhile. If it isn't over then, it is told to end, and takes its lab down."""
    with subprocess.Popen(
        [sys.executable, "-m", "topologies.demo", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def of(process: subprocess.Popen[str]) -> list[str]:
    """The labs of this process: those of other tests may run, too."""
    return [name for name in running() if name.startswith(f"lab-{process.pid}-")]


def test_it_shows_exact_shares_one_session_and_none_lost_when_units_are_killed() -> None:
    with demo("--sessions", "20") as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.count("20 sessions answered, 0 failed") == 2
    assert said.count(" exact") == 6
    assert "cut off: byte for byte the client's packet again" in said
    assert said.count("table=2") == 2
    assert len(re.findall(r"ms +SIGKILL of all that runs on u\d", said)) == 2
    assert [said.count(f"event={name} ") for name in ("unit_rehomed", "primary_promoted")] == [1, 1]
    assert said.count("12 before, 0 lost, 12 after") == 2
    assert "12 downloads complete" in said
    assert of(process) == []


def test_stopped_half_way_it_leaves_nothing() -> None:
    with demo("--sessions", "1000") as process:
        until(lambda: of(process), "its lab", 60)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert of(process) == []
