"""The app's web page in a real browser, where the app is.

What happens to the cluster is seen there, and what is pressed there happens to the cluster.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.browser import CHROMIUM, DESKTOP, DRIVER, PHONE
from tests.lab.failing import mend
from tests.lab.page import Page
from tests.lab.world import PORT, SERVER, PeerProcess, World
from topologies.faulting import Faults

pytestmark = pytest.mark.skipif(
    not (shutil.which(CHROMIUM) and shutil.which(DRIVER)),
    reason="Debian's chromium and chromium-driver are missing",
)
UNIT = "#units li:nth-child({})"


@pytest.fixture(scope="module")
def _browser(_three: Any) -> Iterator[PeerProcess]:
    browser = PeerProcess(_three.lab, "controller", "tests.lab.browser")
    yield browser
    browser.stop()


@pytest.fixture
def page(world: World, _browser: PeerProcess) -> Iterator[Page]:
    """The page as it is when somebody opens it; afterwards the console must be empty."""
    shown = Page(world, _browser)
    shown.open()
    yield shown
    assert shown.browser("console") == []


@contextmanager
def broken(world: World) -> Iterator[Faults]:
    """The lab's faults; it is whole again afterwards."""
    try:
        yield Faults(world.lab)
    finally:
        mend(world)


def test_it_shows_the_cluster(page: Page) -> None:
    said = "All 3 units are up; unit 1 is primary."
    page.until(lambda: page.text("#verdict") == said, said, 20)
    for unit, role in ((1, "primary"), (2, "auxiliary"), (3, "auxiliary")):
        drawn = page.text(f"#picture svg g.unit.ok:has(.of-{unit})")
        assert f"Unit {unit}" in drawn
        assert role in drawn
        assert "up · " in drawn
        assert f"{role}, up for" in page.text(UNIT.format(unit))
    rows = page.texts("#interfaces tbody tr")
    assert rows[0].split() == ["int", "10.1.0.1/24", "02:53:59:01:00:01", "unit", "1"]
    assert rows[1].split() == ["ext", "203.0.113.1/24", "02:53:59:01:00:02", "unit", "1"]
    drawing = page.until(  # it may just be drawn anew
        lambda: page.browser("described", css="#picture svg")[0], "no picture"
    )
    assert "unit 1: primary, up" in drawing["name"]
    assert not page.texts(".cable.cut, .ha.cut, .ha.doubtful")


@pytest.mark.both_tables
def test_sessions_are_seen_as_they_come(page: Page) -> None:
    """In the figures, the picture and both charts."""
    served = page.world.served()
    done = page.world.client("sessions", address=SERVER, port=PORT, count=30)
    assert set(done) == {"ok"}
    for unit, before in served.items():
        page.shows(UNIT.format(unit), f"{before + 10:,} served")
    page.until(lambda: len(page.texts("#rate .area")) == 3, "no chart of three units")
    page.until(lambda: "M" in page.run(HEIGHTS, "#share"), "no shares are drawn")
    page.run("document.querySelector('#rate').focus()")
    page.browser("keys", names=["ARROW_LEFT", "HOME"])
    page.shows("#moment", "5 min ago: ")
    assert page.browser("focus")["role"] == "slider"


HEIGHTS = "return document.querySelector(`${arguments[0]} .area`).getAttribute('d')"


def test_a_unit_that_is_killed_is_seen_dead_and_back(page: Page) -> None:
    with broken(page.world) as faults:
        faults.kill("u2")
        page.shows("#verdict", "Unit 2 is dead; unit 1 is primary")
        assert "dead · " in page.text("#picture svg g.unit.bad.gone")
        page.shows("#events ol", "unit_dead")
        assert "unit=2" in next(each for each in page.texts("#events li") if "unit_dead" in each)
    page.shows("#verdict", "All 3 units are up")


def test_what_a_unit_lacks_is_seen(page: Page) -> None:
    with broken(page.world) as faults:
        faults.cut("u3", "ha")
        page.shows(UNIT.format(3), "HA link: units 1 and 2 not heard")
        assert len(page.texts(".ha.cut")) == 1
        faults.cut("u2", "ext")
        page.shows(UNIT.format(2), "no link on ext")
        assert len(page.texts(".cable.cut")) == 1
        page.shows("#verdict", "Unit 2 is degraded")
    page.until(lambda: not page.texts(".cable.cut, .ha.cut"), "still cut")


def test_more_than_the_app_decides_is_seen_and_explained(page: Page) -> None:
    """Sixty sessions at once, which it doesn't decide in time."""
    world = page.world
    with broken(world) as faults:
        faults.stop("controller")
        done = world.client("sessions", address=SERVER, port=PORT, count=60, together=60)
        assert set(done) == {"ok"}
        faults.continue_("controller")
        said = "more sessions begin than are shared out, the primary serves the rest alone: "
        page.shows("#verdict", said + "not decided in time", 20)
        argv = ["synod", "explain", "10.1.0.10:1234", f"{SERVER}:{PORT}"]
        explained = world.lab.run("controller", argv).stdout
        assert "More sessions begin now than are shared out (undecided)" in " ".join(
            explained.split()
        )
    page.until(lambda: "shared out" not in page.text("#verdict"), "it isn't over", 20)


def drained(page: Page, unit: int) -> bool:
    return bool(page.world.unit_status(unit)["drained"])


def test_a_unit_is_drained_and_undrained_by_its_button(page: Page) -> None:
    button = UNIT.format(3) + " .buttons button"
    assert page.browser("described", css=button)[0]["name"] == "Drain unit 3"
    page.click(button)
    assert page.browser("focus")["id"] == "token"
    assert not drained(page, 3)
    page.browser("type", css="#token", text=token(page.world))
    page.until(lambda: drained(page, 3), "unit 3 isn't drained")
    page.shows("#said", "Unit 3 gets no new sessions.")
    page.shows(UNIT.format(3), "drained: gets no new sessions")
    page.until(lambda: page.text(button) == "Undrain", "no button to undrain")
    page.click(button)  # nobody is asked again
    page.until(lambda: not drained(page, 3), "unit 3 is still drained")


def token(world: World) -> str:
    return (world.lab.directory / "token").read_text().strip()


def refusals(page: Page) -> list[int]:
    """The codes on the console, where the browser itself notes each that is no success."""
    entries = page.browser("console")
    assert {each["source"] for each in entries} <= {"network"}, entries
    return [int(each["message"].rpartition("status of ")[2].split()[0]) for each in entries]


def test_what_the_app_refuses_is_told_in_its_words(page: Page) -> None:
    """A token that is wrong, after which another is asked for; an order that isn't carried out."""
    page.world.lab.run("controller", ["synod", "drain", "3"])
    try:
        promote = UNIT.format(3) + " .buttons button:nth-child(2)"
        assert page.browser("described", css=promote)[0]["name"] == "Promote unit 3"
        page.click(promote)
        page.shows("#confirm", "Make unit 3 the primary?")
        page.browser("keys", names=["ESCAPE"])
        page.until(lambda: not page.texts("dialog[open]"), "it is still asked")
        page.click(promote)
        page.click("#confirm button.main")
        page.browser("type", css="#token", text="wrong-and-no-token")
        page.shows("#ask-token", "that is not the token")
        page.browser("type", css="#token", text=token(page.world))
        page.shows("#refused", "unit 3 is drained")
        assert refusals(page) == [401, 409]
        assert page.world.status()["primary"] == 1
    finally:
        page.world.lab.run("controller", ["synod", "undrain", "3"])


def test_another_unit_is_promoted_by_its_button(page: Page) -> None:
    world = page.world
    page.run("sessionStorage.setItem('synod-token', arguments[0])", token(world))
    page.until(lambda: world.lab.held(world.status()), "not all sessions are held", 20)
    try:
        page.click(UNIT.format(2) + " .buttons button:nth-child(2)")
        page.click("#confirm button.main")
        page.shows("#said", "Unit 2 is about to be primary.")
        page.shows("#verdict", "All 3 units are up; unit 2 is primary.", 20)
        assert len(page.texts("#picture .cable.owner")) == 2
        assert page.text("#interfaces tbody tr").endswith("unit 2")
    finally:
        back = ["synod", "promote", "1"]  # refused while the role is still on its way
        page.until(
            lambda: world.lab.run("controller", back, check=False).returncode == 0, "refused", 20
        )
        page.until(lambda: world.status()["primary"] == 1, "unit 1 isn't primary", 20)


def test_the_app_is_lost_and_found(page: Page) -> None:
    page.world.lab.stop_app()
    try:
        page.shows("#lost", "No answer from the app since ")
        greyed = "return getComputedStyle(document.querySelector('main')).filter"
        assert page.run(greyed) == "grayscale(1)"
        first = page.text("#lost")
        page.until(lambda: page.text("#lost") != first, "time stands still")
        assert page.run("return document.querySelector('#units .buttons').inert")
    finally:
        page.world.lab.start_app()
    page.until(lambda: not page.text("#lost"), "it is still lost", 20)
    assert page.run(greyed) == "none"
    page.until(page.world.healthy, "not whole", 20)
    page.shows("#verdict", "All 3 units are up")
    assert page.texts("#events li")[-1].split()[1] == "app_started"  # and none of before
    said = {each["message"].rpartition("net::")[2] for each in page.browser("console")}
    assert "ERR_CONNECTION_REFUSED" in said
    assert all(re.fullmatch("ERR_[A-Z_]+", each) for each in said), said  # the browser's own


def test_the_search_box_asks_for_an_explanation(page: Page) -> None:
    page.browser("type", css="#session", text="10.1.0.10:46768")
    page.shows("#explain .answer", "Two ends are needed")
    page.browser("type", css="#session", text="10.1.0.10:46768 > 203.0.113.10:80")
    page.until(lambda: "Two ends" not in page.text("#explain .answer"), "no answer")
    assert refusals(page) in ([], [404])


@pytest.mark.both_tables
def test_a_session_that_is_there_is_explained(page: Page) -> None:
    session = page.world.connect_through(2).endpoints
    src, dst = (
        f"{session.source}:{session.sport}",
        f"{session.destination}:{session.dport}",
    )
    page.browser("type", css="#session", text=f"{src} > {dst}")
    page.shows("#explain .answer", "Unit 2 serves it, decided ")
    page.shows("#explain .answer", "If unit 2 dies, ")
    folded = page.run("return document.querySelector('#explain .answer').textContent")
    answer = page.world.lab.get(f"/v1/explain?src={src}&dst={dst}")
    tracked = [each["of"] for each in answer["tracked"]]
    assert bool(tracked) is (page.world.lab.options.session_table == "conntrack")
    assert all(words in folded for words in (*tracked, *(each["name"] for each in answer["flows"])))


@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 568)], ids=["desktop", "phone", "small"])
def test_it_fits_every_screen(page: Page, size: tuple[int, int]) -> None:
    page.browser("size", width=size[0], height=size[1])
    page.until(lambda: page.run(WIDTHS)[0] == size[0], "the window keeps its size")
    page.until(lambda: page.run(WIDTHS)[1] <= size[0], "wider than the window")


WIDTHS = "return [innerWidth, document.documentElement.scrollWidth]"


def test_whoever_only_hears_it_can_use_it(page: Page) -> None:
    """All that can be pressed has a name of its own, and can be come to by the keyboard."""
    pressed = page.browser("described", css="button, input, [role=slider]")
    names = [each["name"] for each in pressed]
    assert all(names), pressed
    assert len(set(names)) == len(names), names
    assert {each["role"] for each in pressed} == {"button", "checkbox", "searchbox", "slider"}
    reached = set()
    for _ in range(len(names) + 4):
        page.browser("keys", names=["TAB"])
        reached.add(page.browser("focus")["name"])
    assert set(names) <= reached


DASH = "\N{EN DASH}"
EXPLAINED = {
    "session": None,
    "units": [
        {"id": 1, "serves": True, "entry": {"state": "ESTABLISHED", "labels": ["in-1", "live"]}},
        {"id": 2, "serves": False, "entry": None},
    ],
    "trace": "Flow: tcp\n  <b onclick=alert(1)>0</b>",
    "seen_at": 1795788137.5,
}
LAID_OUT = """return import('/page/explain.js').then(({laidOut}) => {
    const around = document.createElement('div');
    around.append(...laidOut(JSON.parse(arguments[0])));
    const all = (css) => [...around.querySelectorAll(css)].map((each) => each.textContent);
    return {terms: all('dt'), heads: all('th'), cells: all('td'), pre: all('pre'), b: all('b')};
});"""


def test_an_explanation_is_laid_out_whatever_it_has(page: Page) -> None:
    """As terms, tables and text; never as markup."""
    assert page.run(LAID_OUT, json.dumps(EXPLAINED)) == {
        "terms": ["session", "units", "trace", "seen at"],
        "heads": ["id", "serves", "entry state", "entry labels", "entry"],
        "cells": ["1", "yes", "ESTABLISHED", "in-1, live", DASH, "2", "no", DASH, DASH, DASH],
        "pre": [EXPLAINED["trace"]],
        "b": [],
    }


TUPLES = {
    "10.1.0.10:46768 > 203.0.113.10:80": ["10.1.0.10:46768", "203.0.113.10:80"],
    "  10.1.0.10:1,203.0.113.10:65535 and more": ["10.1.0.10:1", "203.0.113.10:65535"],
    "tcp 6 9 ESTABLISHED src=10.1.0.10 dst=203.0.113.10 sport=7 dport=80 src=203.0.113.10 "
    "dst=203.0.113.1 sport=80 dport=7 [ASSURED]": ["10.1.0.10:7", "203.0.113.10:80"],
    "10.1.0.10:46768": None,
    "10.1.0.10 > 203.0.113.10": None,
    "10.1.0.256:1 > 203.0.113.10:80": None,
    "10.1.0.10:1 > 203.0.113.10:65536": None,
    "src=10.1.0.10 dst=203.0.113.10": None,
    "": None,
}


def told(*states: str, present: bool = True, balancing: bool = False) -> dict[str, Any]:
    """A status of units that are so; the first is primary."""
    units = [{"id": number, "state": state} for number, state in enumerate(states, 1)]
    primary = {"primary": 1, "primary_present": present}
    return {**primary, "balancing": balancing, "units": units}


SERVES = "unit 1 is primary and serves all new sessions."
VERDICTS = [
    (told("up", "up", balancing=True), "All 2 units are up; unit 1 is primary.", "ok"),
    (told("up", "down"), f"Unit 2 is down; {SERVES}", "bad"),
    (
        told("dead", "down", present=False),
        "Unit 1 is dead; unit 2 is down; unit 1 is primary, and dead.",
        "bad",
    ),
    (
        told("silent", "up", present=False),
        "Unit 1 is silent; unit 1 is primary, and silent.",
        "bad",
    ),
]
WORDS = {
    "duration(99.4)": "99 s",
    "duration(100)": "2 min",
    "duration(3600)": "1 h",
    "duration(11100)": "3 h 5 min",
    "duration(86400)": "1 d",
    "duration(100800)": "1 d 4 h",
    "duration(-1)": "0 s",
    "number(0.25)": "0.3",
    "number(1204)": "1,204",
    "number(11.25)": "11.3",
    "unitsNamed([3])": "unit 3",
    "remarks({drained: true, deadline: null})": ["drained: gets no new sessions"],
    "remarks({drained: true, deadline: 84.2})": [
        *("drained: gets no new sessions", "what is left moves in 84 s"),
    ],
    "clock(Date.UTC(2026, 10, 26, 9, 5) / 1e3, Date.UTC(2026, 10, 26, 9) / 1e3).length": 8,
    "clock(Date.UTC(2026, 10, 26, 9, 5) / 1e3, Date.UTC(2026, 10, 28, 9) / 1e3).slice(0, 10)": (
        "26/11/2026"
    ),
    "unitsNamed([1, 2, 3])": "units 1, 2 and 3",
    **{
        f"verdict({json.dumps(told)})": {"text": text, "tone": tone}
        for told, text, tone in VERDICTS
    },
}
SERIES = {
    "averaged([3, 0, 0, 6], 2)": [3, 1.5, 0, 3],
    "shares([[1, 0], [3, 0]])": [[0.25, None], [0.75, None]],
    "stacked([[1, 2], [3, null]])": [[[0, 1], [0, 2]], [[1, 4], None]],
    "ceiling(0)": 1,
    "ceiling(20.1)": 50,
    "ceiling(501)": 1000,
    "seriesOf({units: {2: [1], 1: [1], 10: [0]}}).units": [1, 2, 10],
}
CALL = "return import('/page/%s').then(({%s}) => %s);"


def test_what_is_typed_becomes_a_session(page: Page) -> None:
    script = CALL % ("tuples.js", "tupleOf", "arguments[0].map(tupleOf)")
    found = page.run(script, [*TUPLES])
    ends = [each and [each["src"], each["dst"]] for each in found]
    assert dict(zip(TUPLES, ends, strict=True)) == TUPLES


@pytest.mark.parametrize(("module", "calls"), [("words.js", WORDS), ("series.js", SERIES)])
def test_figures_become_words_and_curves(page: Page, module: str, calls: dict[str, Any]) -> None:
    names = ", ".join({call.partition("(")[0] for call in calls})
    found = page.run(CALL % (module, names, f"[{', '.join(calls)}]"))
    assert dict(zip(calls, found, strict=True)) == calls
