"""An auxiliary's agent: what sessions announce, who is asked, and what waits for the answer."""

import errno
from collections import Counter

import pytest

from agents.agent import advance
from agents.core_announcing import PATIENCE, RESERVED, SPOILED
from agents.ctexpect import Expect, Unexpect
from agents.ctnetlink import (
    CONFIRMED,
    SYN_SENT,
    Adjustment,
    Create,
    Entry,
    Get,
    Readjust,
    Request,
)
from agents.outcomes import Outcome
from agents.wire import peer
from agents.wire.packet import inverse
from agents.wire.peer import Answer, Ask, Expectation
from tests.unit.agent_scene import (
    EXT,
    INT,
    MASTER,
    MASTER_REPLY,
    entry,
    expectation,
    link,
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

# -- packets that announce nothing, and those that do


@pytest.mark.parametrize("port", [INT, EXT])
def test_a_packet_that_announces_nothing_goes_out_at_once(port: int) -> None:
    scene = auxiliary()
    assert passed(scene, packet(port=port)) == Outcome.HELPER_PASSED
    assert written(scene) == ([sent(port=port)], [], [])


def test_the_primary_is_asked_to_expect_what_the_kernel_expects() -> None:
    scene = auxiliary()
    told(scene, expectation())
    assert written(scene) == ([], [Ask(FIRST, expectation())], [])
    told(scene, expectation(50001), expectation(50002, OTHER))
    asks = [Ask(0, expectation(50001)), Ask(1, expectation(50002, OTHER))]
    assert written(scene) == ([], asks, [])


def test_the_announcement_waits_and_all_behind_it_in_order() -> None:
    scene = holding()
    back = (Get(MASTER), FOUND[1])
    assert passed(scene, packet(1, MASTER, INT), back) == Outcome.HELPER_HELD
    assert passed(scene, packet(2), FOUND) == Outcome.HELPER_HELD
    assert written(scene) == ([], [], [])
    assert answer(scene, FIRST, Answer.EXPECTED) == Outcome.ANNOUNCED
    assert written(scene) == ([sent(), sent(1, MASTER, INT), sent(2)], [], [])
    assert passed(scene, packet(3)) == Outcome.HELPER_PASSED
    assert written(scene) == ([sent(3)], [], [])


@pytest.mark.parametrize("found", [entry(OTHER, OTHER_REPLY, 2), errno.ENOENT])
def test_other_sessions_do_not_wait(found: Entry | int) -> None:
    scene = holding()
    script = (Get(OTHER_REPLY), found)
    assert passed(scene, packet(1, OTHER_REPLY), script) == Outcome.HELPER_PASSED
    assert written(scene) == ([sent(1, OTHER_REPLY)], [], [])


def test_each_session_waits_for_its_own_answers() -> None:
    scene = holding()
    told(scene, expectation(50001, OTHER))
    script = (Get(OTHER_REPLY), entry(OTHER, OTHER_REPLY, 2))
    assert passed(scene, packet(1, OTHER_REPLY), script) == Outcome.HELPER_HELD
    written(scene)
    assert answer(scene, SECOND, Answer.EXPECTED) == Outcome.ANNOUNCED
    assert written(scene) == ([sent(1, OTHER_REPLY)], [], [])
    answer(scene, FIRST, Answer.EXPECTED)
    assert written(scene) == ([sent()], [], [])


@pytest.mark.parametrize("first", [FIRST, SECOND])
def test_what_announces_two_waits_for_both(first: int) -> None:
    scene = holding(expectation(), expectation(50001))
    assert answer(scene, first, Answer.EXPECTED) == Outcome.ANNOUNCED
    assert written(scene) == ([], [], [])
    assert answer(scene, FIRST + SECOND - first, Answer.EXPECTED) == Outcome.ANNOUNCED
    assert written(scene) == ([sent()], [], [])


def test_a_packet_is_not_overtaken_while_its_session_is_looked_up() -> None:
    """The answer comes in the same wake-up, between the two."""
    scene = holding()
    (answered,) = peer.expected_frames(link(1, 2), [peer.Answered(FIRST, Answer.EXPECTED)])
    steps = scene.given(packet(1), answered, packet(2))
    asked: list[Request] = []

    def transact(requests: object) -> list[Entry | Expectation | int]:
        asked.extend(requests)  # type: ignore[call-overload]
        return [FOUND[1]] * 2

    counters: Counter[Outcome] = Counter()
    advance(steps, transact, counters)
    assert asked == [Get(MASTER_REPLY)] * 2
    assert counters == {Outcome.ANNOUNCED: 1, Outcome.HELPER_PASSED: 2}
    assert written(scene) == ([sent(), sent(1), sent(2)], [], [])
    assert passed(scene, packet(3)) == Outcome.HELPER_PASSED


def test_a_fragment_does_not_wait() -> None:
    """It has no ports."""
    scene = holding()
    assert passed(scene, packet(1, frag=1)) == Outcome.HELPER_UNREAD
    assert written(scene) == ([sent(1, frag=1)], [], [])


# -- answers


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (Answer.EXPECTED, Outcome.ANNOUNCED),
        (Answer.NO_MASTER, Outcome.ANNOUNCED_REFUSED),
        (Answer.REFUSED, Outcome.ANNOUNCED_REFUSED),
    ],
)
def test_the_packet_goes_whatever_the_primary_says_of_its_kernel(
    said: Answer, outcome: Outcome
) -> None:
    scene = holding()
    assert answer(scene, FIRST, said) == outcome
    assert written(scene) == ([sent()], [], [])
    assert answer(scene, FIRST, said) == Outcome.ANNOUNCED_LATE
    assert written(scene) == ([], [], [])


ASKED = expectation()
KEPT = ASKED.tuple12[:8] + b"\0\0" + ASKED.tuple12[10:]
RESERVATION = (
    (Create(Entry(KEPT, inverse(KEPT), CONFIRMED, SYN_SENT, RESERVED, helper="ftp")), 0),
    (Expect(ASKED._replace(master=KEPT)), 0),
)
WITH_HELPER = FOUND[1]._replace(helper="ftp")


@pytest.mark.parametrize("port", [0, 20])
def test_what_another_session_has_announced_is_reserved_and_announced_otherwise(port: int) -> None:
    """The packet is dropped: TCP sends it again, and the kernel finds the port in use."""
    asked = ASKED._replace(tuple12=ASKED.tuple12[:8] + port.to_bytes(2) + ASKED.tuple12[10:])
    scene = holding(asked)
    removed = (Unexpect(asked.tuple12), 0)
    create, (expect, _) = RESERVATION
    kept = (Expect(asked._replace(master=KEPT)), 0)
    assert expect.expectation.master == KEPT
    script = (removed, (Get(MASTER), WITH_HELPER), create, kept)
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN
    assert written(scene) == ([], [], [])
    later(scene, PATIENCE)
    assert written(scene) == ([], [], [])
    # Nothing waits any more. What is announced in its place is asked for as ever.
    assert passed(scene, packet(1)) == Outcome.HELPER_PASSED
    told(scene, expectation(50001))
    assert passed(scene, packet(), FOUND) == Outcome.HELPER_HELD
    assert written(scene) == ([sent(1)], [Ask(0, expectation(50001))], [])


def test_a_reservation_that_is_there_already_will_do() -> None:
    scene = holding()
    (create, _), (expect, _) = RESERVATION
    script = (
        (Unexpect(ASKED.tuple12), errno.ENOENT),
        (Get(MASTER), WITH_HELPER),
        (create, errno.EEXIST),
        (expect, errno.EEXIST),
    )
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN


def test_nothing_is_reserved_for_a_session_that_has_ended() -> None:
    scene = holding()
    script = ((Unexpect(ASKED.tuple12), 0), (Get(MASTER), errno.ENOENT))
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN


@pytest.mark.parametrize("way", ["adjusted", "adjusted_reply"])
@pytest.mark.parametrize("before", [0, -3, 7])
def test_what_was_added_for_a_dropped_packet_is_taken_back(way: str, before: int) -> None:
    """Else the packet that takes its place, if of another length, would be numbered wrong."""
    reply = way == "adjusted_reply"
    scene, received = auxiliary(), MASTER if reply else MASTER_REPLY
    told(scene, ASKED)
    assert passed(scene, packet(0, received), (Get(received), FOUND[1])) == Outcome.HELPER_HELD
    position = 1 - before & 0xFFFFFFFF  # the packet's own number is 1 as it leaves
    added = Adjustment(position, before, before + 2)
    undo = (Readjust(MASTER, reply, Adjustment(position, before, before)), 0)
    master = WITH_HELPER._replace(**{way: added})
    script = ((Unexpect(ASKED.tuple12), 0), (Get(MASTER), master), undo, *RESERVATION)
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN


def test_what_was_added_for_another_packet_stays() -> None:
    scene = holding()
    master = WITH_HELPER._replace(adjusted=Adjustment(900, 0, 2))
    script = ((Unexpect(ASKED.tuple12), 0), (Get(MASTER), master), *RESERVATION)
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN


def test_of_two_announced_at_once_one_that_is_taken_drops_the_packet() -> None:
    scene = holding(expectation(), expectation(50001))
    script = ((Unexpect(ASKED.tuple12), 0), (Get(MASTER), WITH_HELPER), *RESERVATION)
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN
    assert answer(scene, SECOND, Answer.EXPECTED) == Outcome.ANNOUNCED_LATE
    assert written(scene) == ([], [], [])


def test_an_answer_that_nobody_waits_for() -> None:
    scene = auxiliary()
    for said in Answer:
        assert answer(scene, 5, said) == Outcome.ANNOUNCED_LATE
    assert written(scene) == ([], [], [])


def test_a_packet_that_comes_after_the_refusal_of_what_it_announces_is_dropped() -> None:
    """The bridge may take longer with it than the primary with its answer."""
    scene = auxiliary()
    told(scene, ASKED)
    script = ((Unexpect(ASKED.tuple12), 0), (Get(MASTER), WITH_HELPER), *RESERVATION)
    assert answer(scene, FIRST, Answer.TAKEN, *script) == Outcome.ANNOUNCED_TAKEN
    added = Adjustment(1, 0, 2)
    undo = (Readjust(MASTER, False, Adjustment(1, 0, 0)), 0)
    found = (FOUND[0], FOUND[1]._replace(adjusted=added))
    assert passed(scene, packet(), found, undo) == Outcome.HELPER_DOUBTED
    other = (Get(OTHER_REPLY), entry(OTHER, OTHER_REPLY, 2))
    assert passed(scene, packet(1, OTHER_REPLY), other) == Outcome.HELPER_PASSED
    later(scene, SPOILED)
    assert passed(scene, packet(2)) == Outcome.HELPER_PASSED
