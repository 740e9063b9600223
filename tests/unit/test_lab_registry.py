"""Which labs there are: those whose sandbox lives, and nothing else is ever killed."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents.running import start_time
from topologies import registry
from topologies.registry import State


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "RUN", tmp_path / "synod-lab")
    return tmp_path / "synod-lab"


@pytest.fixture
def sleeper() -> Iterator[State]:
    """A process that stands for a sandbox."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield State(process.pid, start_time(process.pid) or 0, {"client": 9}, {"units": 2})
        process.kill()


def test_a_lab_that_runs_is_found_and_kept(run: Path, sleeper: State) -> None:
    registry.create(run / "one")
    registry.write(run / "one", sleeper)
    registry.sweep()
    assert registry.running() == ["one"]
    assert registry.read(run / "one") == sleeper


def test_a_lab_that_is_being_made_is_kept_but_does_not_run(run: Path) -> None:
    registry.create(run / "one")
    registry.sweep()
    assert (run / "one").is_dir()
    assert registry.running() == []


def test_there_is_one_lab_of_a_name(run: Path, sleeper: State) -> None:
    registry.create(run / "one")
    registry.write(run / "one", sleeper)
    with pytest.raises(FileExistsError):
        registry.create(run / "one")


def test_what_a_killed_lab_left_is_swept(run: Path, sleeper: State) -> None:
    registry.create(run / "one")
    (run / "one" / "builder.pid").unlink()
    registry.write(run / "one", sleeper)
    sleeper.kill()
    registry.sweep()
    assert not run.exists()


def test_a_process_that_only_has_the_number_is_no_lab_and_not_killed(
    run: Path, sleeper: State
) -> None:
    recycled = replace(sleeper, started=sleeper.started - 1)
    registry.create(run / "one")
    (run / "one" / "builder.pid").unlink()
    registry.write(run / "one", recycled)
    assert registry.read(run / "one") is None
    recycled.kill()
    assert start_time(sleeper.init)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"init": 1}', "\x00"])
def test_nonsense_is_no_lab(run: Path, text: str) -> None:
    (run / "one").mkdir(parents=True)
    (run / "one" / "lab.json").write_text(text)
    assert registry.read(run / "one") is None


def test_the_maker_is_this_process(run: Path) -> None:
    registry.create(run / "one")
    assert (run / "one" / "builder.pid").read_text().split()[0] == str(os.getpid())


def test_a_lab_comes_into_being_while_the_last_of_others_goes(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes the directory along in which all are."""
    rename, asked = os.rename, []

    def late(old: Path, new: Path) -> None:
        asked.append(new)
        if len(asked) == 1:
            run.rmdir()
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    registry.create(run / "one")
    assert (run / "one").is_dir()
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_others_that_are_made_meanwhile_do_not_sweep_it_away(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = registry.write_pid

    def noted(path: Path, pid: int) -> None:
        registry.sweep()
        note(path, pid)

    monkeypatch.setattr(registry, "write_pid", noted)
    registry.create(run / "one")
    registry.sweep()
    assert (run / "one").is_dir()


def test_a_name_that_is_taken_stays_taken(run: Path) -> None:
    registry.create(run / "one")
    with pytest.raises(FileExistsError):
        registry.create(run / "one")
    assert [path.name for path in run.parent.iterdir()] == [run.name]
