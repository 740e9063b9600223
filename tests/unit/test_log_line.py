"""Lines of a log: what is written is read again, and a flood is told in a few lines."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import log
from agents.wire.log_line import LINES, Pace, decode, encode

AT = 1795799277.491
keys = st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True)


@given(keys, st.dictionaries(keys.filter(lambda key: key not in ("time", "event")), st.text()))
def test_what_is_written_is_read_again(event: str, fields: dict[str, str]) -> None:
    text = encode(AT, event, fields)
    assert text.isprintable() or "\n" not in text
    assert decode(text) == (AT, event, fields)


@given(st.text())
def test_any_other_text_is_none(text: str) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "time=soon event=decided",
        "event=decided time=2026-11-27T17:07:57.491+00:00",
        "time=2026-11-27T17:07:57.491+00:00 event=decided unit= why=x",
        "time=2026-11-27T17:07:57.491+00:00 event=decided unit=3 ",
        "time=2026-11-27T17:07:57.491+00:00 event=decided why='\\x'",
        "time=2026-11-27T17:07:57.491+00:00 event=decided why='it''s'",
        "time=2026-11-27T17:07:57.491+00:00 event=decided Unit=3",
    ],
)
def test_neither_is_what_is_almost_one(text: str) -> None:
    assert decode(text) is None


def test_a_line_as_the_page_shows_it() -> None:
    fields = {"session": "10.1.0.10:33174>203.0.113.10:7000", "unit": 2, "why": "a b"}
    assert encode(AT, "ended", fields) == (
        "time=2026-11-27T17:07:57.491+00:00 event=ended session=10.1.0.10:33174>203.0.113.10:7000 "
        "unit=2 why='a b'"
    )


def test_of_a_flood_so_many_lines_a_second_are_told_and_how_many_were_not() -> None:
    pace, told = Pace(), []
    for number in range(1_000_000):
        if pace.admits(5 + number / 100_000, "flood"):  # ten seconds long
            told.append(pace.told("flood", {"number": number}))
    assert len(told) == 10 * LINES
    assert told[LINES] == {"number": 100_000, "suppressed": 100_000 - LINES}
    assert sum(int(str(each.get("suppressed", 0))) for each in told) == 9 * (100_000 - LINES)
    assert pace.admits(5.0, "another")


def test_a_units_programs_write_whole_lines_and_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    written, now = io.StringIO(), [7.0]
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(log, "_PACE", Pace())
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    for _ in range(100_000):
        log.tell("mending_failed", why="no such\ndevice")
    now[0] += 1
    log.tell("mending_failed", why="")
    lines = [decode(line) for line in written.getvalue().splitlines()]
    assert len(lines) == LINES + 1
    assert None not in lines
    assert [line.fields for line in lines if line][-2:] == [
        {"why": "no such\ndevice"},
        {"why": "", "suppressed": str(100_000 - LINES)},
    ]
