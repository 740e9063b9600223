"""When an auxiliary goes on with the neighbours that it knows."""

import pytest

from agents.core_facts import SILENT
from agents.neighbours import unanswered
from tests.unit.agent_scene import Scene

HEARD = {1: True, 3: True}  # on the HA link: do they hear the app?


@pytest.mark.parametrize(
    ("role", "heard", "silence", "held"),
    [
        ("auxiliary", HEARD, 0.0, False),
        ("auxiliary", HEARD, SILENT + 0.1, True),
        ("auxiliary", {3: True}, 0.0, True),
        ("auxiliary", HEARD | {1: False}, 0.0, True),
        ("auxiliary", HEARD | {3: False}, 0.0, False),
        ("primary", {}, SILENT, False),
    ],
)
def test_nobody_can_be_asked(role: str, heard: dict[int, bool], silence: float, held: bool) -> None:
    scene = Scene(2).told(role)
    hearing = scene.core.hearing
    for unit, hears_app in heard.items():
        hearing.heard(unit, not hears_app, scene.now)
        hearing.heard(unit, hears_app, scene.now)
    hearing.tick(scene.now)
    assert unanswered(scene.core.desk, hearing, scene.now + silence) is held


def test_one_that_was_never_told_its_role_holds_nothing() -> None:
    scene = Scene(2)
    assert not unanswered(scene.core.desk, scene.core.hearing, scene.now)
