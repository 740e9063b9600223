"""The status, its times and the events, as a person reads them."""

import io
import re
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console

from agents.status_view import app_line, event_line, lacking, span, status_table

UNIT: dict[str, Any] = {
    "id": 2,
    "role": "auxiliary",
    "state": "up",
    "since": 1000.0,
    "heard": 0.21,
    "weight": 3,
    "drained": False,
    "sessions": {"live": 5, "served": 70, "per_second": 2.5},
    "share": 0.304,
}


def row_of(**changes: Any) -> list[str]:
    """The cells of a unit that is so, 310 s after it became what it is."""
    told = {"cluster": "lab", "primary": 1, "time": 1310.0, "units": [UNIT | changes]}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(status_table(told))
    line = console.export_text().splitlines()[4]
    return re.split(" {2,}", line.strip())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m 0s"),
        (3599, "59m 59s"),
        (3600, "1h 0m"),
        (90061, "1d 1h"),
        (864000, "10d 0h"),
    ],
)
def test_how_long_in_its_two_largest_steps(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_which_app_tells_it_and_what_it_decides() -> None:
    told: dict[str, Any] = {"time": 1310.0, "balancing": True, "primary": 1, "units": [UNIT, UNIT]}
    told["app"] = {"version": "0.1.0", "boot": 7, "since": 1000.0}
    assert app_line(told) == "app 0.1.0, up for 5m 10s: decides on new sessions"
    assert lacking(told) == []
    told["balancing"] = False
    assert app_line(told).endswith(": isn't asked about new sessions")
    assert lacking(told) == ["unit 1 serves all new sessions: no other takes any"]
    assert lacking(told | {"units": [UNIT]}) == []  # as it should
    assert app_line({}) == "an app of an older version"


@pytest.mark.parametrize("state", ["dead", "down", "silent"])
def test_a_primary_that_is_not_there_serves_nothing(state: str) -> None:
    told: dict[str, Any] = {"cluster": "lab", "primary": 2, "balancing": False}
    told |= {"units": [UNIT | {"id": 1, "state": "down"}, UNIT | {"state": state}]}
    serves = "unit 2 serves all new sessions: no other takes any"
    assert (title(told), lacking(told)) == ("lab: unit 2 is primary", [serves]), "an older app"
    told["primary_present"] = False
    assert (title(told), lacking(told)) == (f"lab: unit 2 is primary, and {state}", [])
    assert title(told | {"primary": None}) == "lab: no primary yet"


def title(told: dict[str, Any]) -> str:
    return str(status_table(told).title)


def test_a_unit_in_a_row() -> None:
    assert row_of() == [
        *("2", "auxiliary", "up", "5m 10s", "0.2 s", "3", "5", "70", "2.5", "30%"),
    ]


def test_what_is_unknown_is_a_dash() -> None:
    cells = row_of(since=None, heard=None, share=None)
    assert (cells[3], cells[4], cells[9]) == ("-", "-", "-")
    assert row_of(heard=61.0)[4] == "1m 1s"
    assert row_of(drained=True)[2] == "up, drained"


def test_an_event_in_a_line() -> None:
    event = {
        "number": 7,
        "time": 1_700_000_000.25,
        "event": "unit_up",
        "warning": False,
        "fields": {"unit": 2, "was": "[joining]"},
    }
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(event_line(event))
    console.print(event_line(event | {"warning": True, "fields": {}}))
    at = datetime.fromtimestamp(1_700_000_000).strftime("%Y-%m-%d %H:%M:%S")
    assert console.export_text().splitlines() == [
        f"{at}  unit_up           unit=2 was=[joining]",
        f"{at}  unit_up",
    ]


def test_that_a_unit_is_not_taken_is_said_and_why() -> None:
    told = {"units": [UNIT, UNIT | {"id": 3, "refusal": "digest_mismatch"}]}
    assert lacking(told) == ["unit 3 isn't taken: digest_mismatch"]


def test_when_what_a_drained_unit_has_left_moves() -> None:
    unit = UNIT | {"drained": True}
    assert lacking({"units": [unit, unit | {"deadline": None}]}) == []
    assert lacking({"units": [unit | {"deadline": 84.2}]}) == [
        "unit 2 is drained: what is left of its sessions moves in 1m 24s"
    ]


def test_what_is_more_than_is_decided_is_said() -> None:
    told = {"units": [UNIT], "overloaded": ["budget", "undecided", "full"]}
    assert [line.partition("alone: ")[2] for line in lacking(told)] == [
        "they are beyond the budget of decisions",
        "they are not decided in time",
        "the app remembers no more",
    ]
    assert lacking({"units": [UNIT]}) == []
