"""Who asks about sessions has to wait for their turn, and for the agents."""

import time
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from ryu.lib import hub

from ryu_apps import api_sessions
from ryu_apps.api_sessions import MOST_WAITING, Busy, Desk
from tests.unit.core_world import World

QUERY = {"src": "10.1.0.10:40000", "dst": "203.0.113.10:80"}


def desk() -> Desk:
    """Of a cluster without units, which are not waited for."""
    return Desk(World().controller, lambda effects: None)


def test_explanations_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_sessions, "PAUSE", 0.05)
    asked, before = desk(), time.monotonic()
    for _ in range(3):
        assert asked.explain(QUERY)["src"] == QUERY["src"]
    assert time.monotonic() - before >= 0.1


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_sessions, "PAUSE", 0.01)
    asked = desk()
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(asked.explain(QUERY))
        except Busy as busy:
            answers.append(busy)

    hub.joinall([hub.spawn(ask) for _ in range(MOST_WAITING + 2)])
    refused = [each for each in answers if isinstance(each, Busy)]
    assert (len(answers), len(refused)) == (MOST_WAITING + 2, 2)
    assert asked.explain(QUERY)["syn"] is None


@pytest.mark.parametrize("query", [{}, QUERY | {"src": "nowhere"}])
def test_nonsense_takes_nobodys_turn(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="src"):
        desk().explain(query)
