"""A tuple that another session is to have: the unit that served it forgets it first."""

import errno

import pytest

from agents.core_clearing import CLEAR_TIME
from agents.core_facts import Steps
from agents.core_forfeiting import demotion
from agents.ctexpect import GetExpectation
from agents.ctnetlink import Delete, Get
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.packet import as_client_sent, inverse, readdress
from tests.unit.agent_scene import (
    CLUSTER,
    FIRST_ID,
    INT,
    ORIG,
    REPLY,
    Scene,
    drive,
    entry,
    expectation,
    link,
)

# -- the primary


def reopening(scene: Scene, unit: int = 2) -> list[bytes]:
    """A SYN that was announced met the entry of a session of that unit; what is written."""
    (steps,) = scene.given(scene.leaving())
    script = ((Get(REPLY), entry(ORIG, REPLY, unit)), (GetExpectation(ORIG), expectation()))
    assert drive(steps, *script) == Outcome.REOPENING
    return scene.frames()


def seen_anew(scene: Scene) -> bytes:
    """The SYN as the client sent it, for this unit's kernel."""
    own = CLUSTER.unit(1).macs[INT - 1]
    return readdress(as_client_sent(scene.leaving(), ORIG), own, control.ETH_SRC)


def clear_answered(scene: Scene, clear_id: int = FIRST_ID) -> Steps:
    (steps,) = scene.given(*peer.cleared_frames(link(2, 1), [clear_id]))
    return steps


@pytest.mark.parametrize("result", [0, errno.ENOENT])
def test_an_announced_session_is_seen_anew_without_the_entries_that_it_met(result: int) -> None:
    scene = Scene().told()
    asked = peer.clear_frames(link(1, 2), [peer.Clear(FIRST_ID, ORIG, REPLY)])
    assert reopening(scene) == asked
    assert drive(clear_answered(scene), (Delete(ORIG), result)) == Outcome.REOPENED
    assert scene.frames() == [seen_anew(scene)]
    assert drive(clear_answered(scene)) == Outcome.CLEARED_LATE


def test_a_unit_that_does_not_answer_is_not_waited_for_long() -> None:
    scene = Scene().told()
    reopening(scene)
    scene.now += CLEAR_TIME / 2
    reopening(scene)  # sent again
    assert scene.core.primary.clearing.next_expiry() == scene.now + CLEAR_TIME / 2
    scene.now += CLEAR_TIME / 2
    (steps,) = scene.core.primary.expire(scene.now)
    assert drive(steps, (Delete(ORIG), 0)) == Outcome.REOPENED_UNCLEARED
    assert scene.frames() == [seen_anew(scene)]
    assert drive(clear_answered(scene)) == Outcome.CLEARED_LATE
    assert drive(clear_answered(scene, 0), (Delete(ORIG), 0)) == Outcome.REOPENED


def test_a_unit_that_is_not_configured_has_nothing_to_clear() -> None:
    scene = Scene().told()
    assert reopening(scene, 9) == []
    scene.now += CLEAR_TIME
    (steps,) = scene.core.primary.expire(scene.now)
    assert drive(steps, (Delete(ORIG), 0)) == Outcome.REOPENED_UNCLEARED


# -- the unit that served it


def told_to_clear(scene: Scene) -> Steps:
    (steps,) = scene.given(*peer.clear_frames(link(1, 2), [peer.Clear(5, ORIG, REPLY)]))
    return steps


def test_what_is_over_is_forgotten_and_its_end_told() -> None:
    scene = Scene(unit=2).told("auxiliary")
    scene.core.serving.add(ORIG, scene.now - 100)
    served = entry(ORIG, REPLY, 2)
    script = ((Get(ORIG), served), (demotion(served), 0), (Delete(ORIG), 0))
    assert drive(told_to_clear(scene), *script) == Outcome.CLEARED
    answer, ended = scene.frames()
    assert answer == peer.cleared_frames(link(2, 1), [5])[0]
    assert control.ended(control.parse(ended)) == [control.Session(ORIG, REPLY)]


@pytest.mark.parametrize(
    "found", [errno.ENOENT, entry(ORIG, inverse(ORIG)), entry(inverse(REPLY), REPLY)]
)
def test_what_is_not_there_or_another_is_left_alone(found: object) -> None:
    scene = Scene(unit=2).told("auxiliary")
    assert drive(told_to_clear(scene), (Get(ORIG), found)) == Outcome.CLEARED
    assert scene.frames() == peer.cleared_frames(link(2, 1), [5])


@pytest.mark.parametrize("role", ["", "auxiliary"])
def test_only_the_primary_may_ask(role: str) -> None:
    scene = Scene(unit=2)
    if role:
        scene.told(role)
    unit = 3 if role else 1
    assert not scene.given(*peer.clear_frames(link(unit, 2), [peer.Clear(5, ORIG, REPLY)]))
    assert scene.count(Outcome.CONTROL_STRANGER) == 1
