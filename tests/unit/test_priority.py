"""The niceness of a process's session: of one that was made for it, and of the switch's."""

import re
from pathlib import Path

import pytest

from agents import priority, switch


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the group of every process's session, as the kernel writes it."""
    file = tmp_path / "autogroup"
    file.write_text("/autogroup-25 nice 0\n")
    monkeypatch.setattr(priority, "_group", lambda _pid: file)
    return file


def test_where_the_kernel_has_it() -> None:
    assert priority._group(42) == Path("/proc/42/autogroup")


@pytest.mark.usefixtures("this_is_the_switch")
def test_the_switchs_session_is_made_as_nice_as_is_said(group: Path) -> None:
    assert priority.main(["-10"]) == 0
    assert group.read_text() == "-10"


@pytest.mark.usefixtures("this_is_the_switch")
@pytest.mark.parametrize(("found", "waits"), [(0, True), (-9, True), (-10, False), (-11, False)])
def test_the_switch_waits_if_its_session_is_nicer(group: Path, found: int, waits: bool) -> None:
    group.write_text(f"/autogroup-25 nice {found}\n")
    assert priority.switch_waits(-10) is waits


@pytest.mark.usefixtures("this_is_the_switch")
def test_a_kernel_without_such_groups_has_nothing_to_set(group: Path) -> None:
    group.unlink()
    assert priority.main(["-10"]) == 0
    assert not group.exists()
    assert not priority.switch_waits(-10)


@pytest.mark.usefixtures("group")
def test_without_a_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(switch, "PID_FILE", tmp_path / "none.pid")
    assert priority.main(["-10"]) == 1
    assert "none.pid names no ovs-vswitchd that runs" in capsys.readouterr().err
    assert not priority.switch_waits(-10)


@pytest.mark.usefixtures("this_is_the_switch")
def test_where_it_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_pid: int, _niceness: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(priority, "of_session", refuse)
    assert priority.main(["-10"]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r".*Operation not permitted \(it takes root\)\n", said)


class Refusing:
    """The file of a session's group, for one who may not write it so soon again."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.written: list[str] = []

    def exists(self) -> bool:
        return True

    def write_text(self, text: str) -> None:
        if self.times:
            self.times -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.written.append(text)


def test_who_comes_too_soon_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Refusing(2)
    monkeypatch.setattr(priority, "_group", lambda _pid: file)
    monkeypatch.setattr(priority, "_AGAIN", 0)
    priority.of_session(1, -10)
    assert file.written == ["-10"]


def test_and_gives_up_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "_group", lambda _pid: Refusing(1))
    monkeypatch.setattr(priority, "_PATIENCE", -1)
    with pytest.raises(BlockingIOError):
        priority.of_session(1, -10)
