"""The primary's agent: no decision in time, decisions that come late, sessions that are over."""

import errno

import pytest

from agents import core_primary
from agents.core_facts import SILENT
from agents.core_primary import CALM, DECISION_TIME, RELEASED_TIME
from agents.ctnetlink import Delete, Entry, Get
from agents.outcomes import Outcome
from agents.wire import control
from agents.wire.control_maps import State
from agents.wire.packet import as_client_sent, inverse, readdress
from tests.unit.agent_scene import (
    CLUSTER,
    FOUND,
    GROUP,
    INT,
    ORIG,
    OWN,
    REPLY,
    Scene,
    drive,
    entry,
    frozen,
    known_to_be,
    resynced,
    run,
)

# -- none in time


def undecided(scene: Scene, *script: tuple[object, int]) -> Outcome:
    """The only offer has waited for too long."""
    scene.now += DECISION_TIME
    scene.core.desk.heard = scene.now
    (steps,) = scene.core.tick(scene.now)
    return drive(steps, *(script or ((OWN, 0),)))  # type: ignore[arg-type]


def test_an_undecided_syn_goes_out_in_time() -> None:
    scene = Scene().told()
    offered = scene.now
    scene.offer(FOUND)
    scene.now = offered + DECISION_TIME - 0.01
    scene.core.desk.heard = scene.now
    assert list(scene.core.tick(scene.now)) == []
    assert scene.frames() == []
    assert scene.due() == offered + DECISION_TIME
    scene.now = offered
    assert undecided(scene) == Outcome.RELEASED_UNDECIDED
    assert scene.frames() == [scene.leaving()]
    assert list(scene.core.tick(scene.now)) == []


@pytest.mark.parametrize(
    "told",
    [
        State(boot=1, role="primary", primary=1, balancing=True, heir=3),
        State(boot=1, role="auxiliary", primary=3, balancing=True),
    ],
)
def test_who_steps_back_passes_waiting_and_later_syns_on(told: State) -> None:
    """As its client sent it, by the physical addresses of both."""
    scene = Scene().told()
    scene.offer(FOUND)
    assert not list(scene.given(control.state_frame(GROUP, 1, told)))
    (waiting,) = scene.core.primary.expire(scene.now)
    (later,) = scene.given(scene.leaving())
    assert drive(waiting, (Delete(ORIG), 0)) == Outcome.PASSED_ON
    assert drive(later, FOUND, (Delete(ORIG), errno.ENOENT)) == Outcome.PASSED_ON
    facts = scene.core.facts
    sent = as_client_sent(scene.leaving(), ORIG)
    passed = readdress(sent, facts.peers[3][INT], facts.own_macs[INT])
    assert scene.frames() == [passed, passed]


def test_who_steps_back_passes_no_session_on_that_has_a_unit() -> None:
    scene = Scene().told()
    told = State(boot=1, role="primary", primary=1, balancing=True, heir=3)
    assert not list(scene.given(control.state_frame(GROUP, 1, told)))
    (steps,) = scene.given(scene.leaving())
    known = (Get(REPLY), entry(ORIG, REPLY, 2))
    assert drive(steps, known, (frozen(2), 0)) == Outcome.HANDED_OVER_ALONE


def test_all_waiting_syns_go_out_when_the_app_falls_silent() -> None:
    scene = Scene().told()
    scene.now += SILENT - 0.05
    scene.offer(FOUND)
    scene.offer(FOUND)
    scene.now += 0.06
    outcomes = [drive(steps, (OWN, 0)) for steps in scene.core.tick(scene.now)]
    assert outcomes == [Outcome.RELEASED_UNDECIDED] * 2
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_ALONE
    assert scene.frames() == [scene.leaving()] * 3
    scene.told()
    scene.offer(FOUND)


def test_sessions_that_began_without_the_app_call_for_a_census_when_it_is_back() -> None:
    scene = Scene().told()
    scene.now += SILENT + 0.01
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_ALONE
    assert scene.frames() == [scene.leaving()]
    assert resynced(scene) == 0
    scene.told()
    assert resynced(scene) == 1
    scene.told()
    assert resynced(scene) == 1


def test_so_does_one_that_waited_for_its_decision_as_the_app_went() -> None:
    scene = Scene().told()
    scene.offer(FOUND)
    scene.now += SILENT + 0.01
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (OWN, 0)) == Outcome.RELEASED_UNDECIDED
    assert scene.frames() == [scene.leaving()]
    scene.told()
    assert resynced(scene) == 0  # it may have been behind
    scene.now += CALM
    scene.told()
    assert resynced(scene) == 1


def test_an_app_that_is_only_late_knows_its_sessions() -> None:
    scene = Scene().told()
    scene.offer(FOUND)
    assert undecided(scene) == Outcome.RELEASED_UNDECIDED
    assert scene.frames() == [scene.leaving()]
    scene.told()
    assert resynced(scene) == 0


def test_an_app_that_is_behind_is_not_told_all_that_lives_as_well() -> None:
    """But when it has caught up."""
    scene = Scene().told()
    scene.offer(FOUND)
    assert undecided(scene) == Outcome.RELEASED_UNDECIDED
    assert scene.frames() == [scene.leaving()]
    scene.core.undumped()  # a census is due
    assert resynced(scene) == 0
    scene.now += CALM
    assert resynced(scene) == 1


def test_nor_is_one_that_fell_silent_because_it_was_behind() -> None:
    """However long it was silent, it has as much to catch up with."""
    scene = Scene().told()
    scene.offer(FOUND)
    assert undecided(scene) == Outcome.RELEASED_UNDECIDED
    scene.now += SILENT + 0.01
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_ALONE
    assert scene.frames() == [scene.leaving()] * 2
    for _ in range(round(2 * CALM / SILENT)):
        scene.now += SILENT
        assert resynced(scene) == 0
    scene.told()
    assert resynced(scene) == 0
    scene.now += CALM - 1
    scene.told()
    assert resynced(scene) == 0
    scene.now += 1
    scene.told()
    assert resynced(scene) == 1


@pytest.mark.parametrize("role", ["auxiliary", "none"])
def test_only_a_primary_offers(role: str) -> None:
    scene = Scene().told(role)
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_ALONE


def test_nothing_is_offered_before_the_app_is_heard() -> None:
    scene = Scene()
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_ALONE


def test_an_auxiliarys_session_stays_with_it_while_the_app_is_away() -> None:
    scene = Scene()
    (steps,) = scene.given(scene.leaving())
    found = (Get(REPLY), entry(ORIG, REPLY, 2))
    assert drive(steps, found, (frozen(2), 0)) == Outcome.HANDED_OVER_ALONE
    (frame,) = scene.frames()
    assert frame[:6] == CLUSTER.unit(2).macs[INT - 1]


def test_an_undecided_session_of_an_auxiliary_stays_with_it() -> None:
    scene = Scene().told()
    scene.offer(*known_to_be(2))
    assert undecided(scene, (frozen(2), 0)) == Outcome.HANDED_OVER_ALONE


def test_offers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_primary, "MAX_PENDING", 2)
    scene = Scene().told()
    scene.offer(FOUND)
    scene.offer(FOUND)
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_FULL
    assert scene.frames() == [scene.leaving()]


def test_an_app_that_is_behind_is_asked_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_primary, "MAX_PENDING", 3)
    monkeypatch.setattr(core_primary, "MIN_PENDING", 1)
    scene = Scene().told()

    def full() -> bool:
        (steps,) = scene.given(scene.leaving())
        return drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_FULL

    scene.offer(FOUND)
    undecided(scene)
    waiting = []
    for allowed in (1, 2, 3, 3):
        scene.frames()
        waiting += [scene.offer(FOUND) for _ in range(allowed - len(waiting))]
        assert full()
        assert scene.decide(waiting.pop().offer_id, 1, (OWN, 0)) == Outcome.SERVED


def test_the_agent_says_how_many_wait() -> None:
    scene = Scene().told()
    first = scene.offer(FOUND)
    scene.offer(FOUND)
    assert scene.core._announcement().waiting == 2
    assert scene.decide(first.offer_id, 1, (OWN, 0)) == Outcome.SERVED
    assert scene.core._announcement().waiting == 1


def test_the_agent_leaves_nothing_waiting() -> None:
    scene = Scene().told()
    scene.offer(FOUND)
    (steps,) = scene.core.leave(scene.now)
    assert drive(steps, (OWN, 0)) == Outcome.RELEASED_UNDECIDED
    assert scene.frames() == [scene.leaving()]


# -- late decisions


def test_a_late_decision_for_this_unit_counts() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    undecided(scene)
    scene.frames()
    labelled = entry(ORIG, REPLY, 1)
    assert scene.decide(offer.offer_id, 1, (Get(ORIG), labelled)) == Outcome.DECIDED_LATE
    assert ORIG in scene.core.serving.sessions
    assert scene.frames() == []
    assert scene.decide(offer.offer_id, 1) == Outcome.DECIDED_UNKNOWN


def test_a_session_over_before_its_decision_is_reported_ended() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    undecided(scene)
    scene.frames()
    scene.core.destroyed([entry()], False, scene.now)
    assert scene.decide(offer.offer_id, 1, (Get(ORIG), errno.ENOENT)) == Outcome.DECIDED_LATE
    scene.now += 3
    (farewell,) = scene.spoken_to().core.tick(scene.now)
    assert drive(farewell, (Get(ORIG), errno.ENOENT)) == Outcome.ENDED
    (message,) = scene.written(control.ENDED)
    assert control.ended(message) == [control.Session(ORIG, REPLY)]


def test_a_late_decision_for_another_unit_is_corrected_by_a_new_offer() -> None:
    """The session may long be established through this unit: it can't be handed over any more."""
    scene = Scene().told()
    offer = scene.offer(FOUND)
    undecided(scene)
    scene.frames()
    labelled = entry(ORIG, REPLY, 1)
    assert scene.decide(offer.offer_id, 2, (Get(ORIG), labelled)) == Outcome.DECIDED_LATE
    (message,) = scene.written(control.OFFER)
    (again,) = control.offers(message)
    assert again == offer._replace(offer_id=again.offer_id, known_unit=1)
    assert again.offer_id != offer.offer_id
    # It knows now; and if it insists, it isn't told a second time.
    assert scene.decide(again.offer_id, 1, (Get(ORIG), labelled)) == Outcome.DECIDED_LATE
    assert ORIG in scene.core.serving.sessions
    assert scene.frames() == []


def test_an_app_that_insists_is_left_alone() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    undecided(scene)
    scene.frames()
    scene.decide(offer.offer_id, 2, (Get(ORIG), entry(ORIG, REPLY, 1)))
    (message,) = scene.written(control.OFFER)
    (again,) = control.offers(message)
    assert scene.decide(again.offer_id, 2, (Get(ORIG), errno.ENOENT)) == Outcome.DECIDED_LATE
    assert scene.frames() == []


def test_a_late_decision_that_says_what_is_done_already() -> None:
    scene = Scene().told()
    offer = scene.offer(*known_to_be(2))
    undecided(scene, (frozen(2), 0))
    scene.frames()
    labelled = entry(ORIG, REPLY, 2)
    assert scene.decide(offer.offer_id, 2, (Get(ORIG), labelled)) == Outcome.DECIDED_LATE
    assert scene.frames() == []


def test_released_offers_are_forgotten_after_a_while() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    undecided(scene)
    scene.frames()
    scene.now += RELEASED_TIME
    scene.core.desk.heard = scene.now
    run(scene.core.tick(scene.now))
    assert scene.decide(offer.offer_id, 1) == Outcome.DECIDED_UNKNOWN


def test_released_offers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_primary, "MAX_RELEASED", 2)
    scene = Scene().told()
    first, second, third = (scene.offer(FOUND) for _ in range(3))
    scene.now += DECISION_TIME
    for steps in scene.core.tick(scene.now):
        drive(steps, (OWN, 0))
    assert scene.decide(first.offer_id, 1) == Outcome.DECIDED_UNKNOWN
    for offer in (second, third):
        gone = (Get(ORIG), errno.ENOENT)
        assert scene.decide(offer.offer_id, 1, gone) == Outcome.DECIDED_LATE


# -- sessions that are over on another unit


def forget(scene: Scene, *script: tuple[object, object]) -> Outcome:
    (frame,) = control.forget_frames(GROUP, 1, [control.Session(ORIG, REPLY)])
    (steps,) = scene.given(frame)
    return drive(steps, *script)  # type: ignore[arg-type]


def test_the_entry_of_an_ended_session_is_removed() -> None:
    scene = Scene().told()
    found = (Get(ORIG), entry(ORIG, REPLY, 2))
    assert forget(scene, found, (Delete(ORIG), 0)) == Outcome.FORGOTTEN
    assert forget(scene, found, (Delete(ORIG), errno.ENOENT)) == Outcome.FORGET_UNKNOWN


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (errno.ENOENT, Outcome.FORGET_UNKNOWN),
        (entry(inverse(ORIG), ORIG, 2), Outcome.FORGET_UNKNOWN),
        (entry(ORIG, REPLY, 1), Outcome.FORGET_REFUSED),
        (entry(ORIG, inverse(ORIG), 2), Outcome.FORGET_REFUSED),
    ],
)
def test_no_other_entry_is_removed(found: Entry | int, outcome: Outcome) -> None:
    assert forget(Scene().told(), (Get(ORIG), found)) == outcome


def test_what_was_made_this_units_own_is_not_removed_whatever_its_label_says() -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now)
    assert forget(scene, (Get(ORIG), entry(ORIG, REPLY, 2))) == Outcome.FORGET_REFUSED
