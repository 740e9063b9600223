"""How steps are run side by side."""

from collections import Counter
from collections.abc import Sequence

from agents.agent import advance
from agents.core_facts import Steps
from agents.ctnetlink import Get, Request, Result
from agents.outcomes import Outcome


def asking(name: bytes, times: int, outcome: Outcome) -> Steps:
    """Asks for its name so many times, and must be answered with how often."""
    for number in range(times):
        assert (yield Get(name)) == number
    return outcome


def test_requests_of_all_steps_are_put_together() -> None:
    asked: list[list[Request]] = []

    def transact(requests: Sequence[Request]) -> list[Result]:
        asked.append(list(requests))
        return [len(asked) - 1] * len(requests)

    counters: Counter[Outcome] = Counter()
    steps = [
        asking(b"a", 0, Outcome.PASSED),
        asking(b"b", 2, Outcome.SERVED),
        asking(b"c", 1, Outcome.SERVED),
        asking(b"d", 3, Outcome.INJECTED),
    ]
    advance(iter(steps), transact, counters)
    assert asked == [
        [Get(b"b"), Get(b"c"), Get(b"d")],
        [Get(b"b"), Get(b"d")],
        [Get(b"d")],
    ]
    assert counters == {Outcome.PASSED: 1, Outcome.SERVED: 2, Outcome.INJECTED: 1}


def test_nothing_to_run_asks_for_nothing() -> None:
    advance([], lambda _: [1 // 0], Counter())
