"""Choices that a scene is played by: made by bytes, here; a test may have Hypothesis make them."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Feed(Protocol):
    """Somebody who chooses. Once there is `no more`, the scene is over."""

    def more(self) -> bool:
        """Whether there is anything left to choose by."""

    def below(self, end: int) -> int:
        """A number from 0 on, less than `end` (at most 65536)."""

    def take(self, most: int) -> bytes:
        """Up to so many bytes."""


class Bytes:
    """Chooses by the bytes of an input in their order; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._data)

    def below(self, end: int) -> int:
        size = 1 if end <= 0x100 else 2
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at]) % end

    def take(self, most: int) -> bytes:
        size = self.below(min(most, 0xFFFF) + 1)
        self._at += size
        return self._data[self._at - size : self._at]


def one_of(feed: Feed, choices: Sequence[T]) -> T:
    """One of these."""
    return choices[feed.below(len(choices))]


def damaged(feed: Feed, frame: bytes) -> bytes:
    """A frame, and what may have happened to it: bytes changed, cut off, put in, doubled."""
    for _ in range(feed.below(4)):
        at = feed.below(len(frame) + 1)
        how = feed.below(5)
        if how == 0:
            frame = frame[:at]
        elif how == 1:
            frame = frame[:at] + feed.take(64) + frame[at:]
        elif how == 2:
            frame = frame[:at] + frame[at // 2 :]
        else:  # what changes nothing but a field: the most telling
            put = bytes((feed.below(256),)) if how == 3 else feed.take(8)
            frame = frame[:at] + put + frame[at + len(put) :]
    return frame[:MOST]


MOST = 1514  # bytes: no frame is longer
