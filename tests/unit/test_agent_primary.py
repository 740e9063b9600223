"""The primary's agent: SYNs that leave its kernel, and decisions on them."""

import errno

import pytest

from agents import core_primary
from agents.core_primary import LASTING
from agents.core_serving import RESTORED_TIME
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    EXPECTED,
    SEEN_REPLY,
    SYN_RECV,
    Create,
    Entry,
    Get,
)
from agents.outcomes import Outcome
from agents.wire import control, syndata
from agents.wire.labels import BALANCE_BIT, HELPER_BIT
from agents.wire.packet import as_client_sent, inverse, parse_syn, tuple12
from tests.unit.agent_scene import (
    CLUSTER,
    EXT,
    FIRST_ID,
    FOUND,
    INT,
    MASTER,
    ORIG,
    OWN,
    REPLY,
    SELECTIVE,
    UNANNOUNCED,
    Scene,
    drive,
    entry,
    from_interface,
    frozen,
    known_to_be,
    labels,
)

# -- SYNs that leave the kernel


def test_a_syn_is_offered_with_all_that_conntrack_knows() -> None:
    scene = Scene().told()
    offer = scene.offer(FOUND)
    assert offer == control.Offer(FIRST_ID, 0, INT, EXT, 0, ORIG, REPLY)
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
    assert scene.offer(*known_to_be(3)).known_unit == 3


def test_a_label_of_no_unit_of_ours_is_for_the_app_to_judge() -> None:
    scene = Scene().told()
    assert scene.offer(*known_to_be(60)).known_unit == 60


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (entry(MASTER, inverse(MASTER), 2), 2),
        (entry(MASTER, inverse(MASTER), 1), 1),  # the app may know another by its tuple
        (entry(MASTER), 0),
        (errno.ENOENT, 1),  # nobody else can know what it announced
    ],
)
def test_an_expected_session_goes_to_its_masters_unit(found: Entry | int, known: int) -> None:
    scene = Scene().told()
    expected = entry(master=MASTER)
    assert scene.offer((Get(REPLY), expected), (Get(MASTER), found)).known_unit == known


@pytest.mark.parametrize("helper", sorted(core_primary.RELOCATABLE))
def test_a_session_with_a_helper_that_any_unit_can_have_is_offered(helper: str) -> None:
    scene = Scene().told()
    offer = scene.offer((Get(REPLY), entry(helper=helper)))
    update = frozen(2, helper=True)
    assert scene.decide(offer.offer_id, 2, (update, 0)) == Outcome.HANDED_OVER
    (frame,) = scene.frames()
    data, _ = syndata.decode(parse_syn(frame).payload)
    assert data.helper == helper
    assert data.labels == labels(from_interface(INT), 2, HELPER_BIT)


@pytest.mark.parametrize("helper", ["pptp", "sip", "RAS", "Q.931", "H.245", "sane", "ftp-21"])
def test_a_session_with_another_helper_is_its_own(helper: str) -> None:
    """What it expects comes to this kernel, so this kernel must have read what it announced."""
    scene = Scene().told()
    frame = scene.leaving()
    (steps,) = scene.given(frame)
    asked = ((Get(REPLY), entry(helper=helper)), (OWN, 0))
    assert drive(steps, *asked) == Outcome.RELEASED_HELPER
    assert scene.frames() == [frame]


def test_a_helper_of_before_is_not_a_helper_of_now() -> None:
    scene = Scene().told()
    had = entry(ORIG, REPLY, 2, HELPER_BIT)
    offer = scene.offer((Get(REPLY), had), UNANNOUNCED)
    scene.decide(offer.offer_id, 2, (frozen(2), 0))
    (frame,) = scene.frames()
    assert syndata.decode(parse_syn(frame).payload)[0].labels == labels(from_interface(INT), 2)


# -- SYNs of sessions that were announced, and met an entry of another


def test_what_this_unit_serves_itself_its_kernel_has_judged() -> None:
    scene = Scene().told()
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, (Get(REPLY), entry(ORIG, REPLY, 1))) == Outcome.RELEASED_KNOWN


def test_nothing_is_opened_again_while_the_app_is_away() -> None:
    """It could not take its flows back."""
    scene = Scene().told("none")
    (steps,) = scene.given(scene.leaving())
    script = ((Get(REPLY), entry(ORIG, REPLY, 2)), (frozen(2), 0))
    assert drive(steps, *script) == Outcome.HANDED_OVER_ALONE


# -- SYNs that are not offered


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
    offer = scene.offer(*known_to_be(2))
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
        status=CONFIRMED | SEEN_REPLY | (ASSURED if unit == 2 else 0),
        state=SYN_RECV,
        timeout=LASTING if unit == 2 else RESTORED_TIME,
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
        status=CONFIRMED | SEEN_REPLY | (ASSURED if unit == 2 else 0),
        state=SYN_RECV,
        timeout=LASTING if unit == 2 else RESTORED_TIME,
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
