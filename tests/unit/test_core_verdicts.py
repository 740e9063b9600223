"""The words of a verdict that no scene needs."""

import pytest

from ryu_apps.core.verdicts import ago


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7322, "2 h 2 min")],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    assert ago(seconds) == text
