"""The primary's agent: what other units' sessions announce, and whose word it takes."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core_expecting import AGAIN, MOST_REMEMBERED, PATIENCE, REMEMBERED
from agents.ctexpect import PERMANENT, Expect, GetExpectation, Unexpect
from agents.ctnetlink import Entry, Get
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.packet import inverse, readdress, tuple12
from agents.wire.peer import Answer, Answered, Ask, Expectation, Withdrawn
from tests.unit.agent_scene import (
    CLUSTER,
    GROUP,
    MASTER,
    MASTER_REPLY,
    Scene,
    drive,
    entry,
    expectation,
    from_interface,
    labels,
    link,
)

ASKED = expectation()
FOUND = (Get(MASTER), entry(MASTER, MASTER_REPLY, 2, helper="ftp"))
PRESENT = GetExpectation(ASKED.tuple12)
WITHDRAWN = Withdrawn(MASTER, ASKED.tuple12, ASKED.protocol)
OTHER = tuple12("10.1.0.11", "203.0.113.10", 40001, 21)


def ask(scene: Scene, *script: tuple[object, object], unit: int = 2, of: object = ASKED) -> Outcome:
    """A unit's agent asks this one."""
    record = Ask(7, of)  # type: ignore[arg-type]
    (steps,) = scene.given(*peer.expect_frames(link(unit, scene.unit), [record]))
    return drive(steps, *script)  # type: ignore[arg-type]


def test_the_kernel_is_made_to_expect_what_was_announced() -> None:
    scene = Scene().told()
    assert ask(scene, FOUND, (Expect(ASKED), 0)) == Outcome.EXPECTED
    (frame,) = scene.frames()
    assert frame[:12] == CLUSTER.unit(2).ha_mac + CLUSTER.unit(1).ha_mac
    message = control.parse(frame)
    assert (message.group, message.unit) == (GROUP, 1)
    assert peer.answers(message) == [Answered(7, Answer.EXPECTED)]


@pytest.mark.parametrize(
    ("found", "unit"),
    [
        (entry(MASTER_REPLY, MASTER, 2), 2),  # another's, that has the tuple the other way round
        (entry(MASTER, MASTER_REPLY, 3), 2),  # another unit's
        (entry(MASTER, MASTER_REPLY, 2), 3),
        (entry(MASTER, MASTER_REPLY), 2),  # nobody's yet
    ],
)
def test_a_master_must_be_a_session_of_the_unit_that_asks(found: Entry, unit: int) -> None:
    scene = Scene().told()
    assert ask(scene, (Get(MASTER), found), unit=unit) == Outcome.EXPECT_NO_MASTER
    assert scene.answered() == [Answered(7, Answer.NO_MASTER)]


def test_a_master_that_was_the_units_may_be_this_ones_by_now() -> None:
    """It has just become primary, and all sessions are."""
    scene = Scene().told()
    found = Get(MASTER), entry(MASTER, MASTER_REPLY, 1)
    assert ask(scene, found, (Expect(ASKED), 0)) == Outcome.EXPECTED


def test_while_a_session_has_no_entry_nothing_is_answered() -> None:
    """Session pickup is putting another in its place: the other agent asks again."""
    scene = Scene().told()
    assert ask(scene, (Get(MASTER), errno.ENOENT)) == Outcome.EXPECT_WAITS
    assert scene.frames() == []


@pytest.mark.parametrize("problem", [errno.EEXIST, errno.EBUSY])
@pytest.mark.parametrize(
    ("present", "outcome", "answer"),
    [
        (ASKED, Outcome.EXPECTED, Answer.EXPECTED),  # asked again
        (expectation(master=OTHER), Outcome.EXPECT_TAKEN, Answer.TAKEN),
        (expectation(nat=bytes(6)), Outcome.EXPECT_TAKEN, Answer.TAKEN),
        (errno.ENOENT, Outcome.EXPECT_TAKEN, Answer.TAKEN),  # one of a wider mask
    ],
)
def test_what_is_expected_for_another_session_is_taken(
    problem: int, present: object, outcome: Outcome, answer: Answer
) -> None:
    scene = Scene().told()
    assert ask(scene, FOUND, (Expect(ASKED), problem), (PRESENT, present)) == outcome
    assert scene.answered() == [Answered(7, answer)]


@pytest.mark.parametrize("problem", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT, errno.ENOMEM])
def test_what_the_kernel_refuses_is_refused(problem: int) -> None:
    scene = Scene().told()
    assert ask(scene, FOUND, (Expect(ASKED), problem)) == Outcome.EXPECT_REFUSED
    assert scene.answered() == [Answered(7, Answer.REFUSED)]


def test_each_record_is_answered_to_the_unit_that_asked() -> None:
    scene = Scene().told()
    udp = expectation(50001, protocol=17)
    frames = peer.expect_frames(link(3, 1), [Ask(1, ASKED), Ask(2, udp)])
    first, second = scene.given(*frames)
    master = (Get(MASTER), entry(MASTER, MASTER_REPLY, 3))
    script = (master, (Expect(udp), errno.EEXIST), (GetExpectation(udp.tuple12, 17), ASKED))
    assert drive(second, *script) == Outcome.EXPECT_TAKEN
    assert drive(first, master, (Expect(ASKED), 0)) == Outcome.EXPECTED
    frames = scene.frames()
    assert {frame[:6] for frame in frames} == {CLUSTER.unit(3).ha_mac}
    answers = [each for frame in frames for each in peer.answers(control.parse(frame))]
    assert answers == [Answered(2, Answer.TAKEN), Answered(1, Answer.EXPECTED)]


@pytest.mark.parametrize("role", ["auxiliary", "none"])
def test_only_a_primary_answers(role: str) -> None:
    scene = Scene(unit=3).told(role)
    assert ask(scene) == Outcome.EXPECT_NOT_PRIMARY
    assert scene.frames() == []


# -- what is withdrawn


def withdraw(*script: tuple[object, object], protocol: int = 6) -> Outcome:
    scene = Scene().told()
    record = Withdrawn(MASTER, ASKED.tuple12, protocol)
    (steps,) = scene.given(*peer.withdraw_frames(link(2, 1), [record]))
    outcome = drive(steps, *script)  # type: ignore[arg-type]
    assert scene.frames() == []
    return outcome


@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize("result", [0, errno.ENOENT])
def test_what_is_withdrawn_is_expected_no_more(protocol: int, result: int) -> None:
    present = (GetExpectation(ASKED.tuple12, protocol), ASKED)
    removed = (Unexpect(ASKED.tuple12, protocol), result)
    assert withdraw(present, removed, protocol=protocol) == Outcome.WITHDRAWN


@pytest.mark.parametrize("present", [errno.ENOENT, errno.EPROTO, expectation(master=OTHER)])
def test_what_has_come_or_is_anothers_stays_as_it_is(present: object) -> None:
    assert withdraw((PRESENT, present)) == Outcome.WITHDRAW_UNKNOWN


# -- session pickup puts another entry in the place of a session's, which expects nothing

CONTROL = entry(MASTER, MASTER_REPLY, 2, helper="ftp")
DATA = entry(ASKED.tuple12, inverse(ASKED.tuple12), master=MASTER)


def expecting(*expectations: object) -> Scene:
    """A primary whose kernel expects these (of one session)."""
    scene = Scene().told().spoken_to()
    for each in expectations or (ASKED,):
        assert ask(scene, FOUND, (Expect(each), 0), of=each) == Outcome.EXPECTED  # type: ignore[arg-type]
    scene.frames()
    return scene


def replaced(scene: Scene) -> None:
    scene.core.removed([CONTROL], scene.now)


def tried(scene: Scene, result: int = 0, after: float = 0.0) -> list[object]:
    """What the kernel is made to expect by the clock."""
    scene.now += after
    found = []
    for steps in scene.core.due(scene.now):
        request = next(steps)
        try:
            while True:
                found.append(request)
                request = steps.send(result)
        except StopIteration as end:
            scene.core.count(end.value)
    return found


def test_it_is_made_to_expect_the_same_again() -> None:
    other = expectation(50001)
    scene = expecting(ASKED, other)
    assert not tried(scene)
    replaced(scene)
    assert tried(scene) == [Expect(ASKED), Expect(other)]
    assert scene.count(Outcome.EXPECTED_AGAIN) == 1
    assert not tried(scene, after=PATIENCE)
    replaced(scene)
    assert tried(scene, errno.EEXIST) == [Expect(ASKED), Expect(other)]


def test_that_is_tried_until_the_other_entry_is_there() -> None:
    scene = expecting()
    replaced(scene)
    assert tried(scene, errno.ENOENT) == [Expect(ASKED)]
    assert scene.core.deadline() == scene.now + AGAIN
    assert not tried(scene, after=AGAIN / 2)
    assert tried(scene, after=AGAIN) == [Expect(ASKED)]
    assert (scene.count(Outcome.EXPECT_WAITS), scene.count(Outcome.EXPECTED_AGAIN)) == (1, 1)
    assert not tried(scene, after=AGAIN)


def test_but_not_for_long_as_its_end_is_told_alike() -> None:
    scene = expecting()
    replaced(scene)
    assert tried(scene, errno.ENOENT)
    assert not tried(scene, after=PATIENCE)
    replaced(scene)
    assert not tried(scene)


def test_nor_by_who_is_no_primary_any_more() -> None:
    scene = expecting()
    replaced(scene)
    scene.told("auxiliary")
    assert not tried(scene)


def test_what_came_or_was_withdrawn_is_not_expected_again() -> None:
    scene = expecting()
    (steps,) = scene.given(*peer.withdraw_frames(link(2, 1), [WITHDRAWN]))
    drive(steps, (PRESENT, errno.ENOENT))
    replaced(scene)
    assert not tried(scene)
    scene = expecting()
    came = scene.core.expecting.came(DATA)
    assert next(came) == GetExpectation(DATA.orig)
    with pytest.raises(StopIteration):
        came.send(errno.ENOENT)
    replaced(scene)
    assert not tried(scene)


def test_nor_what_came_by_the_look_of_its_syn() -> None:
    scene = expecting()
    came = DATA._replace(labels=labels(from_interface(1)))
    (steps,) = scene.given(scene.leaving(came.reply))
    script = (Get(came.reply), came), (GetExpectation(came.orig), errno.ENOENT)
    assert drive(steps, *script, FOUND) == Outcome.OFFERED
    replaced(scene)
    assert not tried(scene)


def test_nor_what_is_withdrawn_just_then() -> None:
    other = expectation(50001)
    scene = expecting(ASKED, other)
    replaced(scene)
    (again,) = [steps for steps in scene.core.due(scene.now) if next(steps) == Expect(ASKED)]
    (steps,) = scene.given(
        *peer.withdraw_frames(link(2, 1), [Withdrawn(MASTER, other.tuple12, other.protocol)])
    )
    drive(steps, (GetExpectation(other.tuple12), errno.ENOENT))
    with pytest.raises(StopIteration, match="expected_again"):
        again.send(0)


def test_nor_what_a_session_announced_that_is_over() -> None:
    scene = expecting()
    scene.core.destroyed([CONTROL], False, scene.now)
    replaced(scene)
    assert not tried(scene)


@pytest.mark.parametrize(
    ("again", "goes"),
    [
        (ASKED, True),
        (ASKED._replace(flags=PERMANENT), False),
        (ASKED._replace(master=OTHER), False),
    ],
)
def test_what_came_while_it_was_expected_again_is_not_for_a_second_session(
    again: Expectation, goes: bool
) -> None:
    scene = expecting(expectation(50001), ASKED)
    replaced(scene)
    tried(scene)
    steps = scene.core.expecting.came(DATA)
    assert next(steps) == GetExpectation(DATA.orig)
    if goes:
        assert steps.send(again) == Unexpect(DATA.orig)
        again = None  # type: ignore[assignment]
    with pytest.raises(StopIteration):
        steps.send(again)


def test_so_many_sessions_announcements_are_remembered_and_for_so_long() -> None:
    scene = Scene().told().spoken_to()
    remembered = scene.core.expecting._sessions
    for number in range(MOST_REMEMBERED + 1):
        of = expectation(master=number.to_bytes(12))
        master = (Get(of.master), entry(of.master, MASTER_REPLY, 2))
        assert ask(scene, master, (Expect(of), 0), of=of) == Outcome.EXPECTED
    assert len(remembered) == MOST_REMEMBERED
    assert (0).to_bytes(12) not in remembered
    scene.now += REMEMBERED + 1
    assert ask(scene, FOUND, (Expect(ASKED), 0)) == Outcome.EXPECTED
    assert set(remembered) == {MASTER}


# -- whose word is taken


def asking(sender: int = 2, receiver: int = 1, group: int = GROUP) -> bytes:
    return peer.expect_frames(link(sender, receiver, group), [Ask(7, ASKED)])[0]


ME, PEER = CLUSTER.unit(1).ha_mac, CLUSTER.unit(2).ha_mac
STATE = control.state_frame(GROUP, 1, State(1, "auxiliary", 2, True))
FORGET = control.forget_frames(GROUP, 1, [control.Session(MASTER, MASTER_REPLY)])[0]


@pytest.mark.parametrize(
    "frame",
    [
        asking(group=GROUP + 1),
        asking(receiver=3),  # for another unit
        readdress(asking(), ME, CLUSTER.unit(3).ha_mac),  # in another's name
        readdress(asking(), PEER, ME),
        readdress(asking(), control.ETH_DST, control.ETH_SRC),
        asking(sender=3)[:17] + b"\x04" + asking(sender=3)[18:],  # a unit that isn't configured
        asking(sender=3)[:17] + b"\x01" + asking(sender=3)[18:],  # this unit itself
        readdress(peer.expected_frames(link(2, 1), [Answered(1, Answer.TAKEN)])[0], PEER, ME),
        peer.withdraw_frames(link(2, 3), [Withdrawn(MASTER, ASKED.tuple12, 6)])[0],
        # The app's word doesn't come over the HA link.
        readdress(STATE, ME, PEER),
        readdress(STATE, ME, control.ETH_SRC),
        readdress(FORGET, ME, PEER),
    ],
)
def test_strangers_are_not_heeded(frame: bytes) -> None:
    scene = Scene().told()
    assert scene.given(frame) == []
    assert scene.count(Outcome.CONTROL_STRANGER) == 1
    assert scene.core.desk.role() == "primary"


@given(st.binary(max_size=150), st.sampled_from(sorted(peer.KINDS)), st.integers(0, 3))
def test_arbitrary_bodies_of_other_agents_raise_nothing(junk: bytes, kind: int, count: int) -> None:
    scene = Scene().told()
    head = (ME, PEER, control.ETHERTYPE, control.VERSION, kind, GROUP, 2, count, 0, 0)
    steps = scene.given(control.HEADER.pack(*head) + junk)
    reasons = (Outcome.CONTROL_VALUE, Outcome.CONTROL_TRUNCATED, Outcome.CONTROL_STRANGER)
    reasons += tuple(each for each in Outcome if each.startswith("seal_"))
    silent = kind == control.KEEPALIVE or any(map(scene.count, reasons))
    assert len(steps) == (0 if silent else count)
