r"""A line of a log: when, what, and what of it. One line an event, whoever writes it.

    time=2026-11-27T17:07:57.491+00:00 event=decided session=10.1.0.10:33772>203.0.113.10:80 unit=3
    time=2026-11-27T17:08:00.003+00:00 event=links_refused links='int: Operation not permitted'

A key is lower-case letters, digits and `_`. A value with a space, a quote or `=` in it, one that is
empty or can't be printed as it is, stands in quotes as Python writes it: `'a b'`, `''`, `'\n'`.
Where an event has a word of its own among the counters, that is it.
"""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

LINES = 10  # lines a second and event; how many more there were is told with the next
SUPPRESSED = "suppressed"

_KEY = r"[a-z_][a-z0-9_]*"
_BARE = r"""[^\s"'=]+"""
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_FIELD = re.compile(rf"({_KEY})=({_BARE}|{_QUOTED})")
_LINE = re.compile(rf"time=({_BARE}) event=({_KEY})((?: {_KEY}=(?:{_BARE}|{_QUOTED}))*)")


class LogLine(NamedTuple):
    """One of them, read. `at`: seconds since 1970."""

    at: float
    event: str
    fields: dict[str, str]


def encode(at: float, event: str, fields: Mapping[str, object]) -> str:
    """The line, without an end."""
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    words = (f"{key}={_word(str(value))}" for key, value in fields.items())
    return " ".join((f"time={time}", f"event={event}", *words))


def decode(text: str) -> LogLine | None:
    """What a line says; None if it is none of these."""
    found = _LINE.fullmatch(text)
    if not found:
        return None
    try:
        at = datetime.fromisoformat(found[1]).timestamp()
        fields = {key: _value(word) for key, word in _FIELD.findall(found[3])}
    except (ValueError, SyntaxError):  # no time; or an escape that is none
        return None
    return LogLine(at, found[2], fields)


def _word(text: str) -> str:
    return repr(text) if not text or not text.isprintable() or set(text) & set(" \"'=") else text


def _value(word: str) -> str:
    return str(ast.literal_eval(word)) if word[0] in "\"'" else word


class Pace:
    """At most so many lines a second of each event, however often it happens: no flood fills a
    disk. Events' names are ours (never taken from a packet), so there is a bounded number of them.
    """

    def __init__(self) -> None:
        self._tried: dict[str, tuple[int, int]] = {}  # event -> (second, lines tried in it)
        self._suppressed: Counter[str] = Counter()

    def admits(self, now: float, event: str) -> bool:
        """May a line be written?"""
        second = int(now)
        since, tried = self._tried.get(event, (second, 0))
        if since != second:
            if tried > LINES:
                self._suppressed[event] += tried - LINES
            tried = 0
        self._tried[event] = second, tried + 1
        return tried < LINES

    def told(self, event: str, fields: Mapping[str, object]) -> dict[str, object]:
        """The fields of a line that was admitted: with how many others were not before it."""
        suppressed = self._suppressed.pop(event, 0)
        return {**fields, SUPPRESSED: suppressed} if suppressed else dict(fields)
