"""How long two units are said to have spoken as the primary at once."""

import pytest

from tests.lab.speakers import QUIET, Speech


def steadily(unit: int, begin: float, end: float) -> list[tuple[float, int]]:
    count = round((end - begin) / 0.05)
    return [(begin + number * 0.05, unit) for number in range(count + 1)]


@pytest.mark.parametrize(
    ("heard", "together"),
    [
        ([], 0.0),
        (steadily(1, 0, 3), 0.0),
        (steadily(1, 0, 3) + steadily(2, 3.1, 6), 0.0),  # one after the other
        (steadily(1, 0, 3) + steadily(2, 2, 6), 1.0),
        (steadily(1, 0, 6) + steadily(2, 2, 3) + steadily(2, 4, 4.5), 1.5),
        # One hangs, is replaced, and sends a few frames when it goes on.
        (steadily(1, 0, 2) + steadily(2, 2.5, 8) + steadily(1, 5, 5.1), 0.1),
        (steadily(1, 0, 2) + steadily(2, 1, 2) + steadily(3, 1, 2), 3.0),  # three pairs
        ([(0, 1), (QUIET, 1), (QUIET, 2), (2 * QUIET + 0.01, 1)], 0.0),
    ],
)
def test_how_long_two_spoke_at_once(heard: list[tuple[float, int]], together: float) -> None:
    assert Speech(sorted(heard)).together == pytest.approx(together)
