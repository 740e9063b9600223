"""New sessions a second, by unit: counted once a second, and forgotten after some minutes."""

import pytest

from ryu_apps.core.history import KEPT, History
from ryu_apps.core.status import history
from tests.unit.core_world import World


class Counting:
    """Two units whose counters grow, and a history that is asked every so often."""

    def __init__(self) -> None:
        self.served = {1: 5, 2: 7}  # as if some had been served before: they aren't new
        self.history = History(self.served)
        self.now = 100.25
        self.history.tick(self.now)

    def second(self, *new: int) -> None:
        """A second passes, in which units 1 and 2 are given so many."""
        for unit, sessions in zip(self.served, new, strict=True):
            self.served[unit] += sessions
        for _ in range(4):
            self.now += 0.25
            self.history.tick(self.now)


def test_nothing_yet_is_nothing() -> None:
    counting = Counting()
    assert counting.history.seconds(1) == [0] * KEPT
    assert counting.history.per_second(1) == 0
    assert counting.history.share(1) is None
    assert counting.history.end(counting.now) == 100
    assert History({1: 0}).end(7.5) == 7.5  # not even the first tick


def test_each_second_has_its_own() -> None:
    counting = Counting()
    for new in ((3, 1), (0, 0), (2, 6)):
        counting.second(*new)
    assert counting.history.seconds(1)[-4:] == [0, 3, 0, 2]
    assert counting.history.seconds(2)[-4:] == [0, 1, 0, 6]
    assert counting.history.end(counting.now) == 103


def test_what_the_present_second_brings_comes_with_its_end() -> None:
    counting = Counting()
    counting.served[1] += 4
    counting.history.tick(100.9)
    assert counting.history.seconds(1)[-1] == 0
    counting.history.tick(101.0)
    assert counting.history.seconds(1)[-1] == 4


def test_rate_and_share_are_those_of_the_last_seconds_only() -> None:
    counting = Counting()
    counting.second(0, 50)
    for _ in range(9):
        counting.second(3, 1)
    assert counting.history.per_second(2) == pytest.approx(5.9)
    counting.second(3, 1)
    assert counting.history.per_second(2) == 1
    assert counting.history.per_second(1) == 3
    assert counting.history.share(2) == round(60 / 90, 4)
    for _ in range(50):
        counting.second(3, 1)
    assert counting.history.share(1) == 0.75
    for _ in range(60):
        counting.second(0, 0)
    assert counting.history.share(1) is None


def test_no_more_than_so_many_seconds_are_kept() -> None:
    counting = Counting()
    for number in range(KEPT + 10):
        counting.second(number, 0)
    assert counting.history.seconds(1) == list(range(10, KEPT + 10))
    assert len(counting.history._ends) == KEPT + 1


@pytest.mark.parametrize("seconds", [3, KEPT + 5, 10**9])
def test_an_app_that_was_held_up_gives_the_first_second_all_of_it(seconds: int) -> None:
    counting = Counting()
    counting.served[1] += 9
    counting.history.tick(counting.now + seconds)
    told = counting.history.seconds(1)
    assert told == [0] * (KEPT - 3) + [9, 0, 0] if seconds == 3 else [0] * KEPT
    assert counting.history.end(0.0) == 100 + seconds


def test_the_status_and_the_history_tell_of_it() -> None:
    world = World().form()
    world.tick(world.now // 1 + 1 - world.now)
    world.offer(1, *range(9), 9)
    world.tick(1.0)
    units = world.status()["units"]
    assert [unit["sessions"]["per_second"] for unit in units] == [0.4, 0.3, 0.3]
    assert [unit["share"] for unit in units] == [0.4, 0.3, 0.3]
    world.now += 0.5
    told = history(world.controller, world.moment)
    assert told["step"] == 1
    assert told["end"] == world.moment.epoch - 0.5
    assert {unit: new[-1] for unit, new in told["units"].items()} == {"1": 4, "2": 3, "3": 3}
    assert {len(new) for new in told["units"].values()} == {KEPT}
