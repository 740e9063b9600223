"""The primary's agent: SYNs that leave its kernel, decisions, and the lack of them."""

import errno

import pytest

from agents import core_primary
from agents.core_facts import SILENT
from agents.core_primary import DECISION_TIME, LASTING, RELEASED_TIME
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    ESTABLISHED,
    EXPECTED,
    SEEN_REPLY,
    Create,
    Delete,
    Entry,
    Get,
    Update,
)
from agents.outcomes import Outcome
from agents.wire import control, syndata
from agents.wire.labels import BALANCE_BIT, with_unit
from agents.wire.packet import as_client_sent, inverse, parse_syn, tuple12
from tests.unit.agent_scene import (
    BOOT,
    CLUSTER,
    EXT,
    GROUP,
    INT,
    ORIG,
    REPLY,
    SELECTIVE,
    Scene,
    drive,
    entry,
    from_interface,
    labels,
    run,
)

OWN = Update(ORIG, *with_unit(1))
FOUND = (Get(REPLY), entry())


def frozen(unit: int, status: int = CONFIRMED) -> Update:
    """What is done to the entry of a session that goes to another unit."""
    return Update(ORIG, *with_unit(unit), status | SEEN_REPLY | ASSURED, LASTING)


# -- SYNs that leave the kernel


def test_a_syn_is_offered_with_all_that_conntrack_knows() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    assert offer == control.Offer(BOOT, 0, INT, EXT, 0, ORIG, REPLY)
    assert scene.frames() == []


def test_syns_of_one_wake_up_share_a_frame() -> None:
    scene = Scene().told()
    replies = [tuple12("203.0.113.10", "203.0.113.1", 80, port) for port in range(60)]
    for reply in replies:
        (steps,) = scene.given(scene.leaving(reply))
        drive(steps, (Get(reply), entry(reply=reply)))
    messages = scene.written(control.OFFER)
    offers = [offer for message in messages for offer in control.offers(message)]
    assert len(messages) == 2
    assert [offer.reply for offer in offers] == replies
    assert len({offer.offer_id for offer in offers}) == 60


def test_a_session_that_another_unit_has_is_offered_as_its() -> None:
    scene = Scene().told()
    assert scene.offer((Get(REPLY), entry(ORIG, REPLY, 3))).known_unit == 3


def test_a_label_of_no_unit_of_ours_is_nobodys() -> None:
    scene = Scene().told()
    assert scene.offer((Get(REPLY), entry(ORIG, REPLY, 60))).known_unit == 0


MASTER = tuple12("10.1.0.10", "203.0.113.10", 39999, 21)


@pytest.mark.parametrize(
    ("found", "known"),
    [(entry(MASTER, inverse(MASTER), 2), 2), (entry(MASTER), 0), (errno.ENOENT, 0)],
)
def test_an_expected_session_goes_to_its_masters_unit(found: Entry | int, known: int) -> None:
    scene = Scene().told()
    expected = entry(master=MASTER)
    assert scene.offer((Get(REPLY), expected), (Get(MASTER), found)).known_unit == known


def test_what_a_session_of_its_own_expected_is_its_own() -> None:
    scene = Scene().told()
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    master = (Get(MASTER), entry(MASTER, inverse(MASTER), 1))
    asked = ((Get(REPLY), entry(master=MASTER)), master, (OWN, 0))
    assert drive(steps, *asked) == Outcome.RELEASED_KNOWN
    assert scene.frames() == [frame]


def test_a_session_with_a_helper_is_its_own() -> None:
    """What it expects comes to this kernel, so this kernel must have read what it announced."""
    scene = Scene().told()
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    asked = ((Get(REPLY), entry(helper="ftp")), (OWN, 0))
    assert drive(steps, *asked) == Outcome.RELEASED_HELPER
    assert scene.frames() == [frame]


@pytest.mark.parametrize(
    "found",
    [
        errno.ENOENT,
        errno.EPROTO,
        entry(REPLY, inverse(REPLY)),  # another's, that has the tuple the other way round
    ],
)
def test_a_syn_without_an_entry_goes_out(found: Entry | int) -> None:
    scene = Scene().told()
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    assert drive(steps, (Get(REPLY), found)) == Outcome.RELEASED_UNTRACKED
    assert scene.frames() == [frame]


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (entry(labels=labels()), Outcome.RELEASED_LOCAL),
        (entry(labels=labels(from_interface(9))), Outcome.RELEASED_LOCAL),
    ],
)
def test_what_is_not_forwarded_goes_out(found: Entry, outcome: Outcome) -> None:
    scene = Scene().told()
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    assert drive(steps, (Get(REPLY), found), (OWN, 0)) == outcome
    assert scene.frames() == [frame]


def test_what_this_unit_serves_goes_out_and_is_not_labelled_again() -> None:
    scene = Scene().told()
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    assert drive(steps, (Get(REPLY), entry(ORIG, REPLY, 1))) == Outcome.RELEASED_KNOWN
    assert scene.frames() == [frame]


def test_only_selected_sessions_are_offered() -> None:
    scene = Scene(cluster=SELECTIVE).told()
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_UNSELECTED
    assert len(scene.frames()) == 1
    scene.offer((Get(REPLY), entry(ORIG, REPLY, BALANCE_BIT)))


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 0), ({"master": MASTER}, 14)],
)
@pytest.mark.parametrize("fits", [True, False])
def test_syn_data_must_fit_the_mtu(options: dict[str, object], size: int, fits: bool) -> None:
    scene = Scene()
    length = parse_syn(scene.leaving()).total_length + syndata.MIN_SIZE + size
    scene = Scene(mtu=length if fits else length - 1).told()
    found = (Get(REPLY), entry(**options))
    if fits:
        asked = [(Get(MASTER), errno.ENOENT)] if "master" in options else []
        offer = scene.offer(found, *asked)
        assert scene.decide(offer.offer_id, 2, (frozen(2), 0)) == Outcome.HANDED_OVER
        (frame,) = scene.frames()
        assert len(frame) == 14 + length
    else:
        (steps,) = scene.given(scene.leaving())
        assert drive(steps, found, (OWN, 0)) == Outcome.RELEASED_TOO_LARGE


def test_a_label_that_the_kernel_refuses_is_counted() -> None:
    scene = Scene().told("none")
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    assert drive(steps, FOUND, (OWN, errno.ENOSPC)) == Outcome.RELEASED_ALONE
    assert scene.frames() == [frame]
    assert scene.count(Outcome.ENTRY_REFUSED) == 1


# -- decisions


def test_a_session_of_its_own_goes_out_as_the_kernel_sent_it() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    assert scene.decide(offer.offer_id, 1, (OWN, 0)) == Outcome.SERVED
    assert scene.frames() == [scene.leaving()]
    assert ORIG in scene.core.serving.sessions


@pytest.mark.parametrize(
    "found",
    [
        entry(mark=0xCAFE),
        entry(ORIG, inverse(ORIG), 100),
        entry(master=MASTER, status=CONFIRMED | EXPECTED),
    ],
)
def test_another_unit_gets_the_clients_syn_and_all_decisions(found: Entry) -> None:
    scene = Scene().told()
    asked = [(Get(found.master), errno.ENOENT)] if found.master else []
    offer = scene.offer((Get(found.reply), found), *asked, reply=found.reply)
    update = frozen(3, found.status)
    assert scene.decide(offer.offer_id, 3, (update, 0)) == Outcome.HANDED_OVER
    (frame,) = scene.frames()
    assert frame[:6] == CLUSTER.unit(3).macs[INT - 1]
    assert frame[6:12] == CLUSTER.unit(1).macs[INT - 1]
    handed = parse_syn(frame)
    assert handed.tuple12 == ORIG
    assert handed.ttl == 64
    data, length = syndata.decode(handed.payload)
    wanted = int.from_bytes(found.labels, "little") | 1 << 3
    assert data == syndata.SynData(
        unit=3,
        primary=1,
        interface=INT,
        mark=found.mark,
        labels=wanted.to_bytes(16, "little"),
        reply=found.reply,
        helper=found.helper,
        master=found.master,
    )
    sent = as_client_sent(scene.leaving(found.reply), ORIG)
    assert len(frame) == len(sent) + length
    assert ORIG not in scene.core.serving.sessions


def test_the_unit_of_before_is_forgotten() -> None:
    scene = Scene().told()
    offer = scene.offer((Get(REPLY), entry(ORIG, REPLY, 2)))
    scene.decide(offer.offer_id, 3, (frozen(3), 0))
    (frame,) = scene.frames()
    assert syndata.decode(parse_syn(frame).payload)[0].labels == labels(from_interface(INT), 3)


@pytest.mark.parametrize("unit", [1, 2])
def test_an_entry_gone_before_the_decision_is_made_again(unit: int) -> None:
    scene = Scene().told()
    offer = scene.offer((Get(REPLY), entry(status=CONFIRMED | EXPECTED)))
    update = OWN if unit == 1 else frozen(unit, CONFIRMED | EXPECTED)
    made = entry(
        ORIG,
        REPLY,
        unit,
        status=CONFIRMED | SEEN_REPLY | ASSURED,
        state=ESTABLISHED,
        timeout=LASTING,
    )
    script = [(update, errno.ENOENT), (Create(made, liberal=True), 0)]
    outcome = scene.decide(offer.offer_id, unit, *script)
    assert outcome == (Outcome.SERVED if unit == 1 else Outcome.HANDED_OVER)
    assert len(scene.frames()) == 1
    assert scene.count(Outcome.ENTRY_REMADE) == 1


@pytest.mark.parametrize("unit", [1, 2])
def test_a_syn_whose_entry_became_anothers_is_dropped(unit: int) -> None:
    """The client's next SYN has made the new one, and is on its way itself."""
    scene = Scene().told()
    offer = scene.offer(FOUND)
    made = entry(
        ORIG,
        REPLY,
        unit,
        status=CONFIRMED | SEEN_REPLY | ASSURED,
        state=ESTABLISHED,
        timeout=LASTING,
    )
    update = OWN if unit == 1 else frozen(unit)
    script = [(update, errno.ENOENT), (Create(made, liberal=True), errno.EEXIST)]
    assert scene.decide(offer.offer_id, unit, *script) == Outcome.ENTRY_LOST
    assert scene.frames() == []
    assert ORIG not in scene.core.serving.sessions


def test_a_refused_change_is_counted_and_the_syn_goes() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    assert scene.decide(offer.offer_id, 2, (frozen(2), errno.ENOSPC)) == Outcome.HANDED_OVER
    assert len(scene.frames()) == 1
    assert scene.count(Outcome.ENTRY_REFUSED) == 1


def test_a_decision_for_a_stranger_is_not_followed() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    assert scene.decide(offer.offer_id, 9, (OWN, 0)) == Outcome.DECIDED_STRANGER
    assert scene.frames() == [scene.leaving()]


def test_a_decision_on_nothing_is_counted() -> None:
    scene = Scene().told()
    assert scene.decide(77, 2) == Outcome.DECIDED_UNKNOWN
    assert scene.frames() == []


# -- without decisions


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
    assert scene.core.deadline() == offered + DECISION_TIME
    scene.now = offered
    assert undecided(scene) == Outcome.RELEASED_UNDECIDED
    assert scene.frames() == [scene.leaving()]
    assert list(scene.core.tick(scene.now)) == []


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
    scene.offer((Get(REPLY), entry(ORIG, REPLY, 2)))
    assert undecided(scene, (frozen(2), 0)) == Outcome.HANDED_OVER_ALONE


def test_offers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_primary, "MAX_PENDING", 2)
    scene = Scene().told()
    scene.offer(FOUND)
    scene.offer(FOUND)
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_FULL
    assert scene.frames() == [scene.leaving()]


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
    assert scene.decide(offer.offer_id, 1, (Get(ORIG), errno.ENOENT)) == Outcome.DECIDED_LATE
    scene.now += 3
    run(scene.core.tick(scene.now))
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
    offer = scene.offer((Get(REPLY), entry(ORIG, REPLY, 2)))
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
