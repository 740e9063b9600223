"""An auxiliary's agent that is not answered, or not asked: time, roles, bounds, withdrawals."""

import errno

import pytest

from agents import core_announcing
from agents.core_announcing import AGAIN, DOUBT, PATIENCE
from agents.core_facts import INTERVAL, Steps
from agents.ctexpect import Expected, GetExpectation
from agents.ctnetlink import Get
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.peer import Answer, Ask, Withdrawn
from tests.unit.agent_scene import (
    CLUSTER,
    GROUP,
    MASTER,
    REPLY,
    Scene,
    drive,
    entry,
    expectation,
)
from tests.unit.announcing_scene import (
    FIRST,
    FOUND,
    OTHER,
    OTHER_REPLY,
    SECOND,
    answer,
    auxiliary,
    holding,
    later,
    packet,
    passed,
    sent,
    told,
    written,
)

# -- the primary is silent, unknown, or this unit


def test_it_asks_again_and_in_the_end_lets_the_packet_go() -> None:
    scene = holding()
    began = scene.now
    asked = 0
    while (due := scene.core.announcing.next_ask()) is not None:
        assert scene.now < due <= min(scene.now + AGAIN, began + PATIENCE + 0.001)
        later(scene, due - scene.now - 0.001)
        assert written(scene) == ([], [], [])
        later(scene, 0.001)
        packets, asks, _ = written(scene)
        if asks:
            assert (packets, asks) == ([], [Ask(FIRST, expectation())])
            asked += 1
    assert packets == [sent()]
    assert asked == round(PATIENCE / AGAIN) - 1
    assert scene.now - began == pytest.approx(PATIENCE)
    assert scene.count(Outcome.ANNOUNCED_UNHEARD) == 1
    assert answer(scene, FIRST, Answer.EXPECTED) == Outcome.ANNOUNCED_LATE


def test_the_agent_wakes_up_to_ask_again() -> None:
    scene = auxiliary()
    assert scene.due() == scene.now + INTERVAL
    told(scene, expectation())
    assert scene.due() == scene.now + AGAIN
    first = scene.now
    scene.now += AGAIN / 2
    told(scene, expectation(50001))
    assert scene.due() == first + AGAIN


@pytest.mark.parametrize(
    ("role", "primary"), [("none", 0), ("auxiliary", 0), ("auxiliary", 2), ("auxiliary", 9)]
)
def test_without_a_primary_nobody_is_asked(role: str, primary: int) -> None:
    scene = Scene(unit=2)
    state = control.state_frame(GROUP, 2, State(1, role, primary, False))
    assert scene.given(state) == []
    told(scene, expectation())
    assert passed(scene, packet(), FOUND) == Outcome.HELPER_HELD
    told(scene, expectation(50001, OTHER), made=False)
    assert written(scene) == ([], [], [])
    later(scene, PATIENCE)
    assert written(scene) == ([sent()], [], [])


def test_before_the_app_is_heard_nobody_is_asked() -> None:
    scene = Scene(unit=2)
    told(scene, expectation())
    assert written(scene) == ([], [], [])
    scene.told("auxiliary")
    later(scene, AGAIN)
    assert written(scene) == ([], [Ask(FIRST, expectation())], [])


def test_a_unit_that_becomes_the_primary_needs_nobody() -> None:
    scene = holding()
    scene.told("primary")
    later(scene, 0)
    assert written(scene) == ([sent()], [], [])
    assert scene.count(Outcome.ANNOUNCED_UNHEARD) == 1
    assert scene.core.announcing.next_ask() is None


def test_a_primary_asks_nobody() -> None:
    scene = Scene(unit=1).told("primary")
    told(scene, expectation(), lost=True)
    told(scene, expectation(), made=False)
    assert scene.frames() == []
    assert scene.count(Outcome.EVENTS_LOST) == 0


# -- what is expected no more


def test_what_the_kernel_no_more_expects_is_withdrawn() -> None:
    scene = holding()
    told(scene, expectation(50001, protocol=17))
    for ask_id in (FIRST, SECOND):
        answer(scene, ask_id, Answer.EXPECTED)
    written(scene)
    told(scene, expectation(), expectation(50001, protocol=17), made=False)
    gone = [Withdrawn(*each[:2], each.protocol) for each in (expectation(), expectation(50001))]
    assert written(scene) == ([], [], [gone[0], gone[1]._replace(protocol=17)])


def test_nothing_waits_for_what_is_expected_no_more() -> None:
    scene = holding(expectation(), expectation(50001))
    told(scene, expectation(), made=False)
    assert written(scene) == ([], [], [Withdrawn(MASTER, expectation().tuple12, 6)])
    later(scene, AGAIN)
    assert written(scene) == ([], [Ask(SECOND, expectation(50001))], [])
    told(scene, expectation(50001), made=False)
    assert written(scene) == ([sent()], [], [Withdrawn(MASTER, expectation(50001).tuple12, 6)])
    assert answer(scene, SECOND, Answer.TAKEN) == Outcome.ANNOUNCED_LATE


def test_another_sessions_announcement_of_the_same_waits_on() -> None:
    """Two sessions can't have announced the same at one time. One after the other they can."""
    scene = auxiliary()
    told(scene, expectation(master=OTHER))
    told(scene, expectation())
    scene.frames()
    told(scene, expectation(master=OTHER), made=False)
    assert written(scene) == ([], [], [Withdrawn(OTHER, expectation().tuple12, 6)])
    assert answer(scene, SECOND, Answer.EXPECTED) == Outcome.ANNOUNCED


@pytest.mark.parametrize("made", [True, False])
def test_of_what_came_and_went_the_last_counts(made: bool) -> None:
    """The kernel removes an expectation that is announced again, and makes it anew."""
    scene = auxiliary()
    before, after = Expected(not made, expectation()), Expected(made, expectation(nat=bytes(6)))
    scene.core.expected([before, after], False, scene.now)
    packets, asks, withdrawn = written(scene)
    assert packets == []
    assert asks == ([Ask(FIRST, expectation(nat=bytes(6)))] if made else [])
    assert withdrawn == []


def test_what_another_units_session_announced_is_not_withdrawn() -> None:
    """This unit was primary, and its kernel forgets what it was made to expect for that unit."""
    scene = auxiliary()
    told(scene, expectation(), made=False)
    assert written(scene) == ([], [], [])


# -- bounds, and events that were lost


def test_packets_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_announcing, "MAX_HELD", 2)
    scene = holding()
    told(scene, expectation(50001, OTHER))
    script = (Get(OTHER_REPLY), entry(OTHER, OTHER_REPLY, 2))
    assert passed(scene, packet(1, OTHER_REPLY), script) == Outcome.HELPER_HELD
    assert passed(scene, packet(2), FOUND) == Outcome.HELPER_FULL
    script = (Get(REPLY), entry())
    assert passed(scene, packet(3, REPLY), script) == Outcome.HELPER_PASSED
    written(scene)
    answer(scene, FIRST, Answer.EXPECTED)
    answer(scene, SECOND, Answer.EXPECTED)
    assert written(scene) == ([sent(), sent(1, OTHER_REPLY)], [], [])


def test_after_lost_events_any_packet_may_be_an_announcement() -> None:
    """What is dropped TCP sends again, and the kernel reads it again."""
    scene = auxiliary()
    told(scene, lost=True)
    assert scene.count(Outcome.EVENTS_LOST) == 1
    scene.now += DOUBT - 0.001
    assert passed(scene, packet()) == Outcome.HELPER_DOUBTED
    scene.now += 0.001
    assert passed(scene, packet()) == Outcome.HELPER_PASSED
    assert written(scene) == ([sent()], [], [])


def test_what_is_too_much_to_ask_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_announcing, "MAX_ASKED", 1)
    scene = auxiliary()
    told(scene, expectation(), expectation(50001, OTHER))
    assert written(scene) == ([], [Ask(FIRST, expectation())], [])
    assert passed(scene, packet(1, OTHER_REPLY)) == Outcome.HELPER_DOUBTED
    answer(scene, FIRST, Answer.EXPECTED)
    scene.now += AGAIN
    assert passed(scene, packet(1, OTHER_REPLY)) == Outcome.HELPER_PASSED


def test_doubt_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_announcing, "MAX_ASKED", 0)
    scene = auxiliary()
    told(scene, expectation(), lost=True)
    scene.now += DOUBT - 0.001
    assert passed(scene, packet()) == Outcome.HELPER_DOUBTED


# -- another unit becomes primary

IS_THERE = (GetExpectation(expectation().tuple12), expectation())


def becomes_primary(scene: Scene, unit: int) -> list[Steps]:
    role = "primary" if unit == scene.unit else "auxiliary"
    return scene.given(control.state_frame(GROUP, scene.unit, State(1, role, unit, True)))


def asked_of(scene: Scene, unit: int) -> list[Ask]:
    """What that unit is asked to expect, and nobody else."""
    frames = [frame for frame in scene.frames() if control.parse(frame).kind == control.EXPECT]
    assert {frame[:6] for frame in frames} <= {CLUSTER.unit(unit).ha_mac}
    return [ask for frame in frames for ask in peer.asks(control.parse(frame))]


def test_it_is_asked_to_expect_what_the_one_before_did() -> None:
    scene = holding()
    assert answer(scene, FIRST, Answer.EXPECTED) == Outcome.ANNOUNCED
    scene.frames()
    (steps,) = becomes_primary(scene, 3)
    assert drive(steps, IS_THERE) == Outcome.ANNOUNCED_ANEW
    assert asked_of(scene, 3) == [Ask(SECOND, expectation())]
    assert becomes_primary(scene, 3) == []  # said again


def test_what_is_still_asked_of_the_one_before_is_asked_of_it_soon() -> None:
    scene = holding()
    (steps,) = becomes_primary(scene, 3)
    assert drive(steps, IS_THERE) == Outcome.ANNOUNCED_ANEW
    assert asked_of(scene, 3) == []
    later(scene, AGAIN)
    assert asked_of(scene, 3) == [Ask(FIRST, expectation())]


@pytest.mark.parametrize("present", [errno.ENOENT, expectation(master=OTHER)])
def test_what_is_not_expected_here_any_more_is_not_asked(present: object) -> None:
    scene = holding()
    assert answer(scene, FIRST, Answer.EXPECTED) == Outcome.ANNOUNCED
    scene.frames()
    (steps,) = becomes_primary(scene, 3)
    assert drive(steps, (IS_THERE[0], present)) == Outcome.ANNOUNCED_OVER  # type: ignore[arg-type]
    assert asked_of(scene, 3) == []
    assert becomes_primary(scene, 1) == []


def test_what_the_next_was_asked_is_its_affair() -> None:
    """This kernel forgets it, when session pickup puts the primary's entry in its session's."""
    scene = holding()
    assert answer(scene, FIRST, Answer.EXPECTED) == Outcome.ANNOUNCED
    (steps,) = becomes_primary(scene, 3)
    drive(steps, IS_THERE)
    scene.frames()
    told(scene, expectation(), made=False)
    assert scene.frames() == []
    later(scene, AGAIN)  # and is asked again
    assert asked_of(scene, 3) == [Ask(SECOND, expectation())]
    told(scene, expectation())  # a session of this unit's announces the same
    told(scene, expectation(), made=False)
    assert [control.parse(frame).kind for frame in scene.frames()][-1] == control.WITHDRAW


def test_nor_what_the_kernel_has_told_of() -> None:
    scene = holding()
    told(scene, expectation(), made=False)
    assert becomes_primary(scene, 3) == []


def test_nobody_is_asked_while_there_is_no_primary_nor_by_the_primary_itself() -> None:
    scene = holding()
    assert becomes_primary(scene, 0) == []
    assert becomes_primary(scene, 2) == []


def test_what_its_own_sessions_announced_while_it_was_primary_the_next_one_is_asked() -> None:
    scene = auxiliary()
    assert becomes_primary(scene, 2) == []
    told(scene, expectation())
    assert asked_of(scene, 1) == []
    (steps,) = becomes_primary(scene, 3)
    assert drive(steps, IS_THERE) == Outcome.ANNOUNCED_ANEW
    assert asked_of(scene, 3) == [Ask(FIRST, expectation())]


def test_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_announcing, "MAX_OPEN", 2)
    scene = auxiliary()
    told(scene, *(expectation(port) for port in (50001, 50002, 50003)))
    asked = [next(steps) for steps in becomes_primary(scene, 3)]
    wanted = [GetExpectation(expectation(port).tuple12) for port in (50002, 50003)]
    assert asked == wanted
