"""A tier that did not run turns the run red."""

from pathlib import Path

import pytest

from tests.conftest import missing_tiers, tier_of

HERE = Path(__file__).parent


def test_the_tier_is_the_first_directory() -> None:
    assert tier_of(HERE / "test_tiers.py") == "unit"
    assert tier_of(HERE.parent / "lab" / "deep" / "test_x.py") == "lab"
    assert tier_of(HERE.parent / "bench" / "decisions.py") is None
    assert tier_of(Path("/elsewhere/unit/test_x.py")) is None


@pytest.mark.parametrize(
    ("required", "ran", "missing"),
    [([], set(), []), (["lab"], {"unit"}, ["lab"]), (["unit", "lab"], {"lab", "unit"}, [])],
)
def test_only_what_was_asked_for_is_missed(
    required: list[str], ran: set[str], missing: list[str]
) -> None:
    assert missing_tiers(required, ran) == missing
