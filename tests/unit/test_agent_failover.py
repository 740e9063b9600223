"""Keepalives, and making another unit's sessions this one's own."""

import errno

import pytest

from agents import core_facts
from agents.core_beginnings import ENTRY_TIME
from agents.core_hearing import KEEPALIVE, MISSING, SILENT
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    SYN_RECV,
    TIME_WAIT,
    Entry,
    Update,
)
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.labels import with_unit
from agents.wire.ports import ha_group
from tests.unit.agent_scene import GROUP, ORIG, Scene, drive, entry, link_to_all, run

OWN = with_unit(1)
LIVE = {"state": ESTABLISHED, "status": CONFIRMED | SEEN_REPLY}


def keepalive(unit: int, dst: bytes = ha_group(GROUP), *, hears_app: bool = True) -> bytes:
    return peer.keepalive_frame(link_to_all(unit)._replace(dst=dst), hears_app=hears_app)


def announced(scene: Scene) -> list[control.Announce]:
    frames = scene.taken()
    messages = [control.parse(frame) for frame in frames]
    return [control.announce(m) for m in messages if m.kind == control.ANNOUNCE]


def after(scene: Scene, seconds: float) -> list[control.Announce]:
    scene.now += seconds
    run(scene.core.tick(scene.now))
    return announced(scene)


def test_it_says_that_it_is_there() -> None:
    scene = Scene().told()
    scene.core.take(scene.now)
    assert scene.core.deadline() <= scene.now + KEEPALIVE
    scene.now += KEEPALIVE
    run(scene.core.tick(scene.now))
    assert keepalive(1) in scene.taken()


def test_it_says_whether_it_hears_the_app() -> None:
    scene = Scene().told()
    scene.now += core_facts.SILENT + 0.1
    run(scene.core.tick(scene.now))
    assert keepalive(1, hears_app=False) in scene.taken()


def test_it_tells_at_once_whom_it_hears_and_whom_no_more() -> None:
    scene = Scene().told()
    after(scene, 0.3)
    assert not scene.given(keepalive(3), keepalive(2))
    assert [told.hears for told in after(scene, 0.01)] == [(2, 3)]
    assert not scene.given(keepalive(3))
    assert not after(scene, MISSING - 0.015)
    assert [(t.hears, t.missing) for t in after(scene, 0.01)] == [((2, 3), (2,))]
    assert not scene.given(keepalive(2))
    assert [(t.hears, t.missing) for t in after(scene, 0.01)] == [((2, 3), (3,))]
    assert [(t.hears, t.missing) for t in after(scene, SILENT)] == [((), ())]
    assert scene.count(Outcome.KEEPALIVE) == 4


def test_it_tells_at_once_which_links_are_down_and_whose_sessions_it_holds() -> None:
    scene = Scene().told()
    assert [(told.down, told.synced) for told in after(scene, 0.3)] == [((), None)]
    scene.core.desk.down = (2,)
    assert [told.down for told in after(scene, 0.01)] == [(2,)]
    scene.core.desk.synced = (3,)
    assert [told.synced for told in after(scene, 0.01)] == [(3,)]
    assert not after(scene, 0.01)


@pytest.mark.parametrize("dst", [bytes(6), b"\x02" * 6])
def test_a_keepalive_to_another_address_is_a_strangers(dst: bytes) -> None:
    scene = Scene().told()
    assert not scene.given(keepalive(2, dst))
    assert scene.count(Outcome.CONTROL_STRANGER) == 1


def tell(scene: Scene, *adopt: int) -> bool:
    """The app's word; does a walk through all entries begin?"""
    state = State(1, "primary", 1, False, 2, adopt)
    assert not scene.given(control.state_frame(GROUP, 1, state))
    return scene.core.take(scene.now)[1]


def walk(scene: Scene, *entries: Entry, last: bool = True) -> list:
    return list(scene.core.dumped(entries, last, 1234, scene.now))


def test_the_sessions_of_a_unit_become_its_own() -> None:
    scene = Scene().told()
    assert tell(scene, 2)
    assert not tell(scene, 2)  # the walk is on its way
    found = entry(ORIG, ORIG, 2, **LIVE)
    (steps,) = walk(scene, found, entry(ORIG, ORIG, 3, **LIVE), entry(ORIG, ORIG, 1, **LIVE))
    status = CONFIRMED | SEEN_REPLY | ASSURED
    assert drive(steps, (Update(ORIG, *OWN, status, 1234), 0)) == Outcome.ADOPTED
    assert ORIG in scene.core.serving.sessions
    assert [told.adopted for told in after(scene, 0.01)] == [(2,)]
    assert not tell(scene, 2)
    assert not tell(scene)
    assert [told.adopted for told in after(scene, 0.3)] == [()]


BEGUN = {"state": SYN_RECV, "timeout": ENTRY_TIME}


@pytest.mark.parametrize("fields", [{"state": TIME_WAIT}, BEGUN])
def test_a_session_that_is_closing_or_has_just_begun_keeps_its_time(fields: dict[str, int]) -> None:
    scene = Scene().told()
    tell(scene, 2)
    (steps,) = walk(scene, entry(ORIG, ORIG, 2, **fields), last=False)
    assert drive(steps, (Update(ORIG, *OWN), 0)) == Outcome.ADOPTED
    assert [told.adopted for told in after(scene, 0.3)] == [()]


def test_an_entry_that_has_gone_is_nobodys() -> None:
    scene = Scene().told()
    tell(scene, 2)
    (steps,) = walk(scene, entry(ORIG, ORIG, 2, state=TIME_WAIT))
    assert drive(steps, (Update(ORIG, *OWN), errno.ENOENT)) == Outcome.ADOPT_REFUSED
    assert ORIG not in scene.core.serving.sessions


def test_another_unit_begins_the_walk_anew() -> None:
    scene = Scene().told()
    assert tell(scene, 2)
    assert tell(scene, 2, 3)
    walk(scene)
    assert [told.adopted for told in after(scene, 0.01)] == [(2, 3)]


def test_a_walk_that_broke_off_begins_again_with_the_apps_next_word() -> None:
    scene = Scene().told()
    assert tell(scene, 2)
    scene.core.undumped()
    assert tell(scene, 2)
    walk(scene)
    assert [told.adopted for told in after(scene, 0.01)] == [(2,)]
