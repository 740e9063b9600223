"""A fenced unit's NICs: down, and up again, however often that is refused."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from agents import fence, journal
from agents.fence import Fence
from agents.wire.log_line import decode

NICS = ("nic-int", "nic-ext")


class Links:
    """NICs, of which some can't be set."""

    def __init__(self) -> None:
        self.nics = NICS
        self.up = set(NICS)
        self.refusing: dict[str, str] = {}
        self.asked: list[str] = []

    def any(self) -> bool:
        return bool(self.up)

    def set(self, nics: Iterable[str], up: bool) -> dict[str, str]:
        nics = set(nics)
        self.asked += sorted(nics)
        done = nics - self.refusing.keys()
        self.up = self.up | done if up else self.up - done
        return {nic: why for nic, why in self.refusing.items() if nic in nics}


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def held(links: Links, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fence:
    for module in (fence, journal):
        monkeypatch.setattr(module, "FENCE", tmp_path / "run" / "fenced")
    return Fence(links)  # type: ignore[arg-type]


def test_they_are_down_while_it_is_fenced_and_noted(links: Links, held: Fence) -> None:
    held.hold(False, 1)
    assert links.up == set(NICS)
    held.hold(True, 2)
    assert links.up == set()
    assert journal.fenced() == list(NICS)
    links.up.add("nic-ext")  # somebody sets it up
    held.hold(True, 2.001)
    assert links.up == set()
    held.hold(False, 3)
    assert links.up == set(NICS)
    assert journal.fenced() == []
    links.up.clear()  # and now that is the administrator's affair
    for now in range(4, 20):
        held.hold(False, now)
    assert links.up == set()


def test_what_is_refused_is_tried_again_and_told_once(
    links: Links, held: Fence, capsys: pytest.CaptureFixture[str]
) -> None:
    held.hold(True, 1)
    links.refusing = {"nic-ext": "Device or resource busy"}
    held.hold(False, 2)
    links.up.remove("nic-int")  # which has been up: somebody has set it down
    links.asked.clear()
    for hundredth in range(200, 500):
        held.hold(False, hundredth / 100)
    assert links.asked == ["nic-ext"] * 2  # not at each frame
    links.refusing = {}
    held.hold(False, 5)
    assert links.up == {"nic-ext"}
    (line,) = filter(None, map(decode, capsys.readouterr().err.splitlines()))
    assert line.event == "links_refused"
    assert line.fields["why"] == "nic-ext: Device or resource busy"


def test_one_that_cannot_be_taken_down_is_tried_again(links: Links, held: Fence) -> None:
    links.refusing = {"nic-int": "Operation not permitted"}
    held.hold(True, 1)
    assert links.up == {"nic-int"}
    links.refusing = {}
    held.hold(True, 1.5)
    assert links.up == {"nic-int"}
    held.hold(True, 2)
    assert links.up == set()


def test_a_unit_falls_silent_even_if_that_cannot_be_noted(
    links: Links, held: Fence, tmp_path: Path
) -> None:
    (tmp_path / "run").touch()
    held.hold(True, 1)
    assert links.up == set()
