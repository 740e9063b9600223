"""Waiting for a condition, by asking again and again: no test sleeps instead."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    condition: Callable[[], T],
    what: str | Callable[[], str] = "what is waited for",
    seconds: float = 10,
    pause: float = 0.02,
) -> T:
    """Returns what is true at last. AssertionError if that takes too long: `what` is missing."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:g} s: {said}")
        time.sleep(pause)
    return found
