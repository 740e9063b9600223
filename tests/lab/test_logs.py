"""What app and units write while things break: lines of one kind, in words that are known."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.outcomes import Outcome
from agents.wire.log_line import LogLine, decode
from tests.lab.world import ROOT, World
from topologies.faulting import Faults

# What others write: Ryu before it has loaded the app, and conntrackd.
BEFORE = re.compile(
    r"loading app \S+|creating context wsgi"
    # eventlet's word on its own future, when Ryu imports it (ryu/lib/hub.py)
    r"|.*EventletDeprecationWarning: |Eventlet is deprecated\..*|we strongly recommend .*|"
    r"|If you are already using .*|framework\.  .*|https://eventlet\..*|  import eventlet"
)
CONNTRACKD = re.compile(r"\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] \(pid=\d+\) \[\w+\] .*")
WORDS_OF_THE_PAGE = set(
    re.findall(r"`(\w+)`", (ROOT / "docs" / "operations.md").read_text())
)  # of its tables


def lines(path: Path, others: re.Pattern[str]) -> Iterator[LogLine]:
    """All lines of a log. AssertionError if one is neither an event nor another program's."""
    for text in path.read_text().splitlines():
        found = decode(text)
        assert found or others.fullmatch(text), f"{path}: {text!r}"
        if found:
            yield found


@pytest.fixture
def broken(world: World) -> Iterator[World]:
    """A lab in which programs have been killed, a link was cut, and orders were turned away."""
    primary = world.status()["primary"]
    one, other = (unit for unit in world.units if unit != primary)
    faults = Faults(world.lab)
    faults.crash(f"u{one}", "agent")
    faults.crash(f"u{one}", "conntrackd")
    faults.crash(f"u{other}", "supervisor")
    faults.cut(f"u{other}", "ha")
    try:
        for path in ("v1/units/1/drain", "nothing"):
            argv = ["curl", "-s", "-o", "/dev/null", "-d", "", f"http://127.0.0.1:8080/{path}"]
            world.lab.run("controller", argv)
        world.until(lambda: "ha_link_lost" in app_words(world), "it isn't missed", 20)
    finally:
        faults.heal(f"u{other}")
    wanted = {one: "program_ended", other: "supervisor_died"}
    for unit, word in wanted.items():
        world.until(lambda at=unit, it=word: it in unit_words(world, at), f"no {word}", 20)
    yield world
    world.until(world.healthy, world.situation, 40)


def app_words(world: World) -> set[str]:
    """What the app that runs now has said. Its counters know nothing of those before it."""
    words: set[str] = set()
    for line in lines(world.lab.log_dir / "app.log", BEFORE):
        if line.event == "app_started":
            words.clear()
        words.add(line.event)
    return words


def unit_words(world: World, unit: int) -> set[str]:
    path = world.lab.log_dir / f"u{unit}" / "synod" / "agent.log"
    return {line.event for line in lines(path, CONNTRACKD)}


def test_every_line_says_what_happened_in_words_that_are_known(broken: World) -> None:
    told = app_words(broken)
    counted = set(broken.counters())
    assert {"app_started", "unit_up", "ha_link_lost", "order_turned_away", "http_request"} <= told
    assert told - counted - WORDS_OF_THE_PAGE == set()
    of_units = set().union(*(unit_words(broken, unit) for unit in broken.units))
    assert {"agent_started", "standing", "program_ended", "supervisor_died"} <= of_units
    assert of_units - {each.value for each in Outcome} - WORDS_OF_THE_PAGE == set()
