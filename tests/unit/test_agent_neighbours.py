"""When an auxiliary goes on with the neighbours that it knows."""

import pytest

from agents.core_facts import SILENT
from agents.neighbours import unanswered
from tests.unit.agent_scene import Scene


@pytest.mark.parametrize(
    ("role", "heard", "silence", "held"),
    [
        ("auxiliary", (1, 3), 0.0, False),
        ("auxiliary", (1, 3), SILENT + 0.1, True),
        ("auxiliary", (3,), 0.0, True),
        ("primary", (), SILENT, False),
    ],
)
def test_nobody_can_be_asked(role: str, heard: tuple[int, ...], silence: float, held: bool) -> None:
    scene = Scene(2).told(role)
    assert unanswered(scene.core.desk, heard, scene.now + silence) is held


def test_one_that_was_never_told_its_role_holds_nothing() -> None:
    scene = Scene(2)
    assert not unanswered(scene.core.desk, (), scene.now)
