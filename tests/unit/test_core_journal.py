"""Outcomes are all counted, and told only so often."""

from agents.wire.log_line import LINES
from ryu_apps.core.journal import Journal


def test_every_outcome_is_counted() -> None:
    journal = Journal()
    for _ in range(100):
        journal.note(5.0, "flood")
    assert journal.counters == {"flood": 100}


def test_a_flood_is_told_some_lines_a_second_and_the_number_of_the_others() -> None:
    journal = Journal()
    lines = [line for at in range(100) for line in journal.note(5 + at / 200, "flood", at=at)]
    assert len(lines) == LINES
    assert lines[0] == (False, "flood", {"at": 0})
    (later,) = journal.note(6.2, "flood", at=1)
    assert later.fields == {"at": 1, "suppressed": 100 - LINES}
    (last,) = journal.note(7.0, "flood", at=2)
    assert last.fields == {"at": 2}


def test_outcomes_have_their_lines_each() -> None:
    journal = Journal()
    for _ in range(50):
        journal.note(5.0, "flood")
    assert len(journal.note(5.0, "other")) == 1


def test_a_warning_is_one() -> None:
    (line,) = Journal().warn(5.0, "odd", unit=1)
    assert line == (True, "odd", {"unit": 1})
