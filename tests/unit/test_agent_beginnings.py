"""Sessions whose handshake isn't over: others hear of them before their SYN goes out."""

import errno

import pytest

from agents.core_beginnings import ENTRY_TIME, MOST_REMEMBERED, REMEMBERED
from agents.core_forfeiting import UNRENEWED
from agents.core_serving import MOST_MADE, RESTORED_TIME, SETTLED, Made
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    SEEN_REPLY,
    SYN_RECV,
    TIME_WAIT,
    Create,
    Entry,
    Get,
    Update,
)
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.labels import with_unit
from agents.wire.peer import Beginning
from agents.wire.ports import ha_group
from tests.unit.agent_scene import (
    FOUND,
    GROUP,
    INT,
    MASTER,
    ORIG,
    OWN,
    PICKUP,
    REPLY,
    Scene,
    drive,
    entry,
    from_interface,
    frozen,
    labels,
    link_to_all,
)

SERVED_BY_2 = Beginning(ORIG, REPLY, MASTER, "ftp", labels(2, from_interface(INT)), 5)
BARE = SERVED_BY_2._replace(master=b"", helper="")


def primary(**fields: object) -> Scene:
    """A primary that picks sessions up, and has just offered one."""
    scene = Scene(1, PICKUP).told()
    list(scene.core.tick(scene.now))
    scene.core.take(scene.now)
    scene.offer(FOUND, **fields)
    return scene


def told(frame: bytes) -> list[Beginning]:
    message = control.parse(frame)
    assert frame[:12] == ha_group(GROUP) + PICKUP.unit(1).ha_mac
    assert (message.group, message.unit) == (GROUP, 1)
    return peer.begun(message)


def beginnings(*records: Beginning, unit: int = 1, dst: bytes = b"") -> bytes:
    """What that unit's agent says."""
    link = link_to_all(unit)
    (frame,) = peer.begun_frames(link._replace(dst=dst or link.dst), records)
    return frame


def auxiliary(*records: Beginning) -> Scene:
    """An auxiliary that the primary has told of these sessions."""
    scene = Scene(2, PICKUP).told("auxiliary")
    assert not scene.given(beginnings(*records))
    assert scene.count(Outcome.BEGUN) == len(records)
    return scene


def promoted(scene: Scene) -> list[object]:
    """What it asks of its kernel when it becomes primary."""
    state = State(boot=1, role="primary", primary=2, balancing=False, term=2)
    return list(scene.given(control.state_frame(GROUP, 2, state)))


def test_a_session_that_another_unit_serves_is_told_before_its_syn_goes_there() -> None:
    scene = primary()
    assert scene.decide(0xFFFFFFFF, 2, (frozen(2), 0)) == Outcome.HANDED_OVER
    first, second = scene.frames()
    assert told(first) == [BARE]
    assert second[:12] == scene.core.facts.peers[2][INT] + scene.core.facts.own_macs[INT]


def test_a_session_that_the_primary_serves_is_told_before_its_syn_goes_out() -> None:
    scene = primary()
    assert scene.decide(0xFFFFFFFF, 1, (OWN, 0)) == Outcome.SERVED
    first, second = scene.frames()
    assert told(first) == [BARE._replace(labels=labels(1, from_interface(INT)))]
    assert second == scene.leaving()


def test_a_session_that_is_released_without_a_decision_is_told_too() -> None:
    scene = Scene(1, PICKUP).told("auxiliary")
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_ALONE
    first, second = scene.frames()
    assert told(first) == [BARE._replace(labels=labels(1, from_interface(INT)))]
    assert second == scene.leaving()


def test_a_session_of_the_units_own_is_nobody_elses_business() -> None:
    scene = Scene(1, PICKUP).told()
    (steps,) = scene.given(scene.leaving())
    local = (FOUND[0], entry(labels=labels()))
    assert drive(steps, local, (OWN, 0)) == Outcome.RELEASED_LOCAL
    assert scene.frames() == [scene.leaving()]


def test_without_pickup_nothing_is_told() -> None:
    scene = Scene().told()
    scene.offer(FOUND)
    scene.decide(0xFFFFFFFF, 1, (OWN, 0))
    assert scene.frames() == [scene.leaving()]


@pytest.mark.parametrize(
    ("result", "outcome"), [(0, Outcome.BEGUN_MADE), (errno.EEXIST, Outcome.BEGUN_HELD)]
)
def test_who_becomes_primary_makes_entries_of_what_began(result: int, outcome: Outcome) -> None:
    scene = auxiliary(SERVED_BY_2, BARE)
    status = CONFIRMED | SEEN_REPLY
    made = Entry(ORIG, REPLY, status, SYN_RECV, ENTRY_TIME, 5, SERVED_BY_2.labels, "ftp", MASTER)
    first, second = promoted(scene)
    assert drive(first, (Create(made, liberal=True), result)) == outcome  # type: ignore[arg-type]
    bare = made._replace(helper="", master=b"")
    assert drive(second, (Create(bare, liberal=True), result)) == outcome  # type: ignore[arg-type]
    assert not promoted(scene)


def test_who_is_about_to_be_primary_makes_entries_at_once() -> None:
    """Packets of these sessions may come the moment that the virtual MACs are here."""
    scene = auxiliary(BARE)
    state = State(boot=1, role="auxiliary", primary=1, balancing=True, heir=2)
    (before,) = scene.given(control.state_frame(GROUP, 2, state))
    made = Entry(ORIG, REPLY, CONFIRMED | SEEN_REPLY, SYN_RECV, ENTRY_TIME, 5, BARE.labels)
    assert drive(before, (Create(made, liberal=True), 0)) == Outcome.BEGUN_MADE
    assert not scene.given(control.state_frame(GROUP, 2, state))
    (later,) = scene.given(beginnings(BARE))
    assert drive(later, (Create(made, liberal=True), 0)) == Outcome.BEGUN_MADE
    assert not scene.core.serving.sessions
    assert not promoted(scene)


def test_what_the_primary_before_had_when_it_stepped_back_is_the_new_ones() -> None:
    scene = Scene(2, PICKUP).told("auxiliary")
    assert not promoted(scene)
    served_by_1 = BARE._replace(labels=labels(1, from_interface(INT)))
    (steps,) = scene.given(beginnings(served_by_1))
    own = labels(2, from_interface(INT))
    made = Entry(ORIG, REPLY, CONFIRMED | SEEN_REPLY, SYN_RECV, ENTRY_TIME, 5, own)
    assert drive(steps, (Create(made, liberal=True), 0)) == Outcome.BEGUN_MADE
    assert set(scene.core.serving.sessions) == {ORIG}
    assert not scene.given(beginnings(served_by_1, unit=3))
    assert scene.count(Outcome.CONTROL_STRANGER) == 1


def test_who_stays_auxiliary_makes_none() -> None:
    scene = auxiliary(BARE)
    state = State(boot=1, role="auxiliary", primary=1, balancing=True)
    assert not scene.given(control.state_frame(GROUP, 2, state))


def test_what_began_long_ago_is_forgotten() -> None:
    scene = auxiliary(BARE)
    scene.now += REMEMBERED - 0.1
    assert not scene.given(beginnings(SERVED_BY_2))
    scene.now += 0.2
    assert len(promoted(scene)) == 1
    scene = auxiliary(BARE)
    scene.now += REMEMBERED + 0.1
    assert not scene.given(beginnings(SERVED_BY_2))
    assert len(promoted(scene)) == 1


def test_of_too_many_the_last_are_remembered() -> None:
    scene = auxiliary(*[BARE] * 20)
    for _ in range(MOST_REMEMBERED // 20):
        assert not scene.given(beginnings(*[SERVED_BY_2] * 20))
    assert len(promoted(scene)) == MOST_REMEMBERED


def test_only_the_primary_tells() -> None:
    scene = Scene(2, PICKUP).told("auxiliary")
    assert not scene.given(
        beginnings(BARE, unit=3),
        beginnings(BARE, dst=scene.core.facts.ha_macs[2]),
    )
    assert scene.count(Outcome.CONTROL_STRANGER) == 2
    assert not promoted(scene)


def serving(*bits: int) -> tuple[Scene, Entry]:
    """An auxiliary that has served a session of that tuple, which is over; and its entry."""
    scene = Scene(2, PICKUP).told("auxiliary")
    scene.core.serving.add(ORIG, scene.now)
    found = entry(ORIG, REPLY, *bits, state=TIME_WAIT, status=CONFIRMED | SEEN_REPLY | ASSURED)
    return scene, found


ELSEWHERE = BARE._replace(labels=labels(3, from_interface(INT)))


def test_who_had_the_tuple_gives_its_entry_up_for_another_units_session() -> None:
    scene, found = serving(2)
    (steps,) = scene.given(beginnings(ELSEWHERE))
    given_up = Update(ORIG, *with_unit(3), found.status, UNRENEWED, SYN_RECV)
    assert drive(steps, (Get(ORIG), found), (given_up, 0)) == Outcome.BEGUN_ELSEWHERE
    assert ORIG not in scene.core.serving.sessions


@pytest.mark.parametrize("bits", [(3,), ()])
def test_an_entry_that_is_anothers_already_stays_as_it_is(bits: tuple[int, ...]) -> None:
    scene, found = serving(*bits)
    (steps,) = scene.given(beginnings(ELSEWHERE))
    answer: Entry | int = found if bits else errno.ENOENT
    assert drive(steps, (Get(ORIG), answer)) == Outcome.BEGUN_ELSEWHERE


def test_who_is_to_have_the_session_gives_nothing_up() -> None:
    scene, _ = serving(2)
    assert not scene.given(beginnings(BARE))
    assert ORIG in scene.core.serving.sessions


SERVED_BY_1 = BARE._replace(labels=labels(1, from_interface(INT)))
COPY = Entry(
    ORIG, REPLY, CONFIRMED | SEEN_REPLY, SYN_RECV, RESTORED_TIME, 5, SERVED_BY_1.labels, "", b""
)


def test_a_copy_that_goes_for_the_session_before_is_made_again() -> None:
    """Another unit's session pickup tells of that one's end only when the new one has begun."""
    scene = auxiliary(SERVED_BY_1)
    scene.core.removed([entry(state=TIME_WAIT)], scene.now)
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (Create(COPY, liberal=True), 0)) == Outcome.RESTORED
    assert not scene.frames()


def test_a_copy_that_goes_later_goes() -> None:
    scene = auxiliary(SERVED_BY_1)
    scene.now += SETTLED
    list(scene.core.tick(scene.now))
    scene.core.removed([entry()], scene.now)
    assert not list(scene.core.tick(scene.now))


def test_its_own_entry_a_unit_knows_better() -> None:
    scene = Scene(2, PICKUP).told("auxiliary")
    made = Made(COPY._replace(labels=labels(2, from_interface(INT))), b"its SYN")
    scene.core.serving.add(ORIG, scene.now, made)
    assert not scene.given(beginnings(BARE))
    scene.core.removed([entry()], scene.now)
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (Create(made.entry, liberal=True), 0)) == Outcome.RESTORED
    assert scene.frames() == [b"its SYN"]


def test_its_own_entry_goes_with_its_session() -> None:
    scene = Scene(2, PICKUP).told("auxiliary")
    made = Made(COPY._replace(labels=labels(2, from_interface(INT))), b"its SYN")
    scene.core.serving.add(ORIG, scene.now, made)
    scene.core.destroyed([entry()], False, scene.now)
    scene.core.removed([entry()], scene.now)
    assert not list(scene.core.tick(scene.now))


def test_no_more_are_held_than_come_in_some_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.core_serving.MOST_MADE", 2)
    others = [SERVED_BY_1._replace(orig=ORIG[:8] + bytes((0, n)) + ORIG[10:]) for n in (1, 2)]
    scene = auxiliary(SERVED_BY_1, *others)
    scene.core.removed([entry()], scene.now)
    assert not list(scene.core.tick(scene.now))
    assert MOST_MADE > 2
