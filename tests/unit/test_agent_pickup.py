"""Session pickup at the agent: the canary, renewals, and sessions that another unit took over."""

import errno

import pytest

from agents import core_canary, core_renewing
from agents.core_canary import canary
from agents.core_facts import SILENT
from agents.core_forfeiting import UNRENEWED
from agents.core_renewing import LATE
from agents.ctnetlink import (
    ASSURED,
    CLOSE,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    SYN_RECV,
    TIME_WAIT,
    Create,
    Delete,
    Entry,
    Get,
    Update,
)
from agents.outcomes import Outcome
from agents.replication import configuration, demoted
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.labels import with_unit
from agents.wire.packet import inverse
from tests.unit.agent_scene import (
    CLUSTER,
    GROUP,
    ORIG,
    PICKUP,
    REPLY,
    Scene,
    drive,
    entry,
    labels,
    link_to_all,
)

STATUS = CONFIRMED | SEEN_REPLY | ASSURED


def scene_of(unit: int = 2) -> Scene:
    """A unit with session pickup, a moment after its first canary."""
    scene = Scene(unit, PICKUP).told("auxiliary")
    answers(scene)
    counts(scene)
    scene.core.canary._sing_at = scene.now
    answers(scene)
    return scene


def counts(scene: Scene, *entries: Entry) -> None:
    """A census is taken, and finds these."""
    scene.given(control.census_request_frame(GROUP, scene.unit, 9))
    scene.dumped(entries, True)
    scene.core.take(scene.now)


def answers(
    scene: Scene,
    found: dict[int, int] | None = None,
    refused: int = 0,
    serves: int = 2,
    state: int = ESTABLISHED,
) -> list[object]:
    """What is asked for by the clock, with the marks of these units' canaries in the kernel, and
    sessions that a unit `serves`, in that state.
    """
    asked: list[object] = []
    marks = {canary(PICKUP, unit): mark for unit, mark in (found or {}).items()}
    for steps in scene.core.tick(scene.now):
        request = next(steps)
        try:
            while True:
                asked.append(request)
                answer: object = refused
                if isinstance(request, Get):
                    mark = marks.get(request.tuple12)
                    answer = errno.ENOENT if mark is None else Entry(b"", b"", mark=mark)
                    if request.tuple12 in scene.core.serving.sessions:
                        answer = entry(request.tuple12, REPLY, serves, state=state)
                request = steps.send(answer)  # type: ignore[arg-type]
        except StopIteration as end:
            scene.core.count(end.value)
    return asked


def passed(scene: Scene, seconds: float, **given: object) -> list[object]:
    scene.now += seconds
    return answers(scene, **given)  # type: ignore[arg-type]


def test_without_pickup_nothing_is_asked_by_the_clock() -> None:
    scene = Scene().told()
    assert not passed(scene, 100)


def test_its_canary_changes_every_second() -> None:
    scene = scene_of()
    own = canary(PICKUP, 2)
    marks = [
        [each.mark for each in passed(scene, 1.0) if isinstance(each, Update)] for _ in range(3)
    ]
    assert marks == [[1], [2], [3]] or len({mark for (mark,) in marks}) == 3
    assert own == bytes((169, 254, 83, 2, 169, 254, 83, 2)) + b"\x14\xef\x00\x02"
    assert scene.core.deadline() <= scene.now + core_canary.LOOK


def test_a_canary_that_is_gone_is_made_again() -> None:
    scene = scene_of()
    made = [each for each in passed(scene, 1.0, refused=errno.ENOENT) if isinstance(each, Create)]
    own = canary(PICKUP, 2)
    (create,) = made
    assert create.entry._replace(mark=0) == Entry(own, inverse(own), STATUS, ESTABLISHED, 5)
    assert scene.count(Outcome.CANARY_REFUSED) == 1


def test_a_canary_that_was_gone_and_could_be_made_is_no_trouble() -> None:
    scene = scene_of()
    scene.now += 1.0
    steps = next(iter(scene.core.tick(scene.now)))
    update, create = next(steps), steps.send(errno.ENOENT)
    assert isinstance(update, Update)
    assert isinstance(create, Create)
    with pytest.raises(StopIteration, match="canary"):
        steps.send(0)


def test_a_unit_is_seen_while_its_canary_changes() -> None:
    scene = scene_of()
    passed(scene, 0.5, found={1: 7, 3: 7})
    assert scene.core.canary.seen(scene.now) == ()  # these may be of units that are dead
    passed(scene, 0.5, found={1: 8, 3: 7})
    assert scene.core.canary.seen(scene.now) == (1,)
    passed(scene, 0.5, found={1: 8, 3: 9})
    assert scene.core.canary.seen(scene.now) == (1, 3)
    for _ in range(5):
        passed(scene, 0.5, found={1: 8, 3: 10})
    assert scene.core.canary.seen(scene.now) == (3,)


def renewals(asked: list[object]) -> list[bytes]:
    return [each.orig for each in asked if isinstance(each, Update) and each.mark is None]


def sings(scene: Scene, seconds: float) -> bool:
    """Whether its canary changes, if it is time."""
    scene.core.canary._sing_at = scene.now
    return any(isinstance(e, Update) and e.mark is not None for e in passed(scene, seconds))


def test_a_new_agents_unit_is_not_seen_until_it_has_told_what_it_served_before() -> None:
    """Of it the agent knows by its first census only."""
    scene = Scene(2, PICKUP).told("auxiliary")
    assert not sings(scene, 0)
    scene.core.renewing.begin(scene.now)  # conntrackd has begun, too
    assert not sings(scene, core_renewing.ROUND)
    found = [bytes((10, 1, 0, number)) + ORIG[4:] for number in range(core_renewing.AT_ONCE + 1)]
    counts(scene, *(entry(orig, REPLY, 2) for orig in found))
    assert not sings(scene, 0)
    assert renewals(passed(scene, core_renewing.PAUSE)) == found[-1:]
    assert sings(scene, 0)
    counts(scene)
    assert sings(scene, 0)


def test_sessions_are_renewed_in_turn() -> None:
    scene = scene_of()
    sessions = [bytes((10, 1, 0, number)) + ORIG[4:] for number in range(100)]
    for orig in sessions:
        scene.core.serving.add(orig, scene.now)
    first = renewals(passed(scene, core_renewing.ROUND))
    second = renewals(passed(scene, core_renewing.PAUSE, refused=errno.ENOENT))
    assert first + second == sessions
    assert len(first) == core_renewing.AT_ONCE
    assert scene.count(Outcome.RENEWED) == len(first)
    assert scene.count(Outcome.RENEW_GONE) == len(second)
    assert not renewals(passed(scene, 1.0))
    assert renewals(passed(scene, core_renewing.ROUND))


def test_a_unit_that_tells_all_anew_is_not_seen_until_it_has() -> None:
    scene = scene_of()
    for number in range(core_renewing.AT_ONCE + 1):
        scene.core.serving.add(bytes((10, 1, 0, number)) + ORIG[4:], scene.now)
    scene.core.renewing.begin(scene.now)
    assert not sings(scene, 0)
    assert sings(scene, core_renewing.PAUSE)
    assert sings(scene, core_renewing.ROUND)


@pytest.mark.parametrize("unit", [1, 3])
def test_what_is_anothers_by_now_is_not_renewed(unit: int) -> None:
    scene = scene_of()
    scene.core.serving.add(ORIG, scene.now)
    assert not renewals(passed(scene, core_renewing.ROUND, serves=unit))
    assert scene.count(Outcome.RENEW_GONE) == 1


@pytest.mark.parametrize("state", [TIME_WAIT, CLOSE])
def test_what_is_over_is_not_renewed(state: int) -> None:
    """The tuple may be another session's when that comes to a unit that has it."""
    scene = scene_of()
    scene.core.serving.add(ORIG, scene.now)
    assert not renewals(passed(scene, core_renewing.ROUND, state=state))
    assert scene.count(Outcome.RENEW_GONE) == 1


def primary(heir: int = 0) -> Scene:
    """A primary that serves a session, told by the app a moment ago."""
    scene = scene_of()
    told = State(boot=1, role="primary", primary=2, balancing=True, heir=heir)
    assert not list(scene.given(control.state_frame(GROUP, 2, told)))
    scene.core.serving.add(ORIG, scene.now)
    scene.core.renewing.again(scene.now)
    return scene


def test_what_another_unit_has_told_too_late_the_primary_puts_right() -> None:
    """A unit that was cut off tells of its own entries once it is back, as they were; by then the
    session is the primary's.
    """
    scene = primary()
    updates = [each for each in passed(scene, 0.1, serves=3) if isinstance(each, Update)]
    assert Update(ORIG, *with_unit(2)) in updates
    assert scene.count(Outcome.LABELLED) == 1
    scene = primary()
    passed(scene, 0.1, serves=3, refused=errno.ENOENT)
    assert scene.count(Outcome.LABEL_REFUSED) == 1


def test_who_is_about_to_be_no_primary_any_more_or_was_away_changes_nobodys_label() -> None:
    for scene, seconds in ((primary(heir=3), 0.1), (primary(), SILENT + 0.1)):
        assert not renewals(passed(scene, seconds, serves=3))
        assert scene.count(Outcome.RENEW_GONE) == 1


def test_what_is_gone_by_now_is_not_renewed() -> None:
    scene = primary()
    (renew,) = [steps for steps in scene.core.tick(scene.now) if next(steps) == Get(ORIG)]
    with pytest.raises(StopIteration) as end:
        renew.send(errno.ENOENT)
    assert end.value.value == Outcome.RENEW_GONE


def test_what_has_ended_meanwhile_gets_no_label() -> None:
    scene = primary()
    (renew,) = [steps for steps in scene.core.tick(scene.now) if next(steps) == Get(ORIG)]
    scene.core.serving.sessions.clear()
    with pytest.raises(StopIteration, match="renew_gone"):
        renew.send(entry(ORIG, REPLY, 3))


def test_all_are_looked_at_when_another_units_pickup_is_there_again() -> None:
    scene = primary()
    passed(scene, 0.0)
    for mark in (7, 8):
        scene.given(control.state_frame(GROUP, 2, State(1, "primary", 2, True)))
        asked = passed(scene, 0.5, found={3: mark}, serves=2)
    assert scene.core.desk.synced == (3,)
    assert renewals(asked) == []
    assert renewals(passed(scene, 0.01)) == [ORIG]


def test_all_are_looked_at_when_a_unit_has_told_what_it_had_to_tell_of_those_it_lost() -> None:
    scene = primary()
    assert renewals(passed(scene, 0.1)) == [ORIG]
    told = State(1, "primary", 2, True, 2, (3,))
    assert not scene.given(control.state_frame(GROUP, 2, told))
    assert not list(scene.core.dumped([], True, 432000, scene.now))
    assert scene.core.adopting.done == {3}
    assert not renewals(passed(scene, LATE - 0.1))
    assert renewals(passed(scene, 0.1)) == [ORIG]


def test_they_are_looked_at_then_also_if_the_unit_is_back_before() -> None:
    """Its conntrackd sends what waited once it can, which may be after the round of its return."""
    scene = primary()
    passed(scene, 0.1)
    scene.core.renewing.late(scene.now)
    passed(scene, 0.1)
    scene.core.renewing.begin(scene.now)
    assert renewals(passed(scene, 0.01)) == [ORIG]
    assert scene.core.deadline() <= scene.now + LATE
    assert not renewals(passed(scene, LATE - 0.2))
    assert renewals(passed(scene, 0.1)) == [ORIG]
    assert not renewals(passed(scene, core_renewing.ROUND - 1.0))
    assert renewals(passed(scene, 1.1)) == [ORIG]


def test_who_is_heard_anew_is_told_all() -> None:
    scene = scene_of()
    scene.core.serving.add(ORIG, scene.now)
    assert not renewals(passed(scene, 0.1))
    assert not scene.given(peer.keepalive_frame(link_to_all(3), hears_app=True))
    assert renewals(passed(scene, 0.01)) == [ORIG]
    since, again = scene.now, []
    while not again and scene.now - since < 2 * LATE:
        scene.given(peer.keepalive_frame(link_to_all(3), hears_app=True))
        again = renewals(passed(scene, 0.1))
    assert (again, scene.now - since) == ([ORIG], pytest.approx(LATE, abs=0.15))


# -- sessions that are another's by now


def tell(scene: Scene, forfeit: int) -> bool:
    state = State(1, "auxiliary", 1, False, 2, (), forfeit)
    assert not scene.given(control.state_frame(GROUP, 2, state))
    return scene.core.take(scene.now)[1]


def forfeited(scene: Scene) -> int:
    scene.core._announce_at = scene.now
    list(scene.core.tick(scene.now))
    messages = map(control.parse, scene.core.take(scene.now)[0])
    (told,) = [control.announce(m) for m in messages if m.kind == control.ANNOUNCE]
    return told.forfeited


MINE = entry(ORIG, inverse(ORIG), 2, state=ESTABLISHED, status=STATUS)
OTHERS = MINE._replace(labels=entry(ORIG, inverse(ORIG), 3).labels)
NAMELESS = entry(ORIG, inverse(ORIG), state=ESTABLISHED, status=STATUS)
GIVEN = Update(ORIG, *with_unit(1), STATUS, UNRENEWED, SYN_RECV)


def walk(scene: Scene, *entries: Entry, last: bool = True) -> list:
    return list(scene.core.dumped(entries, last, 1234, scene.now))


def test_its_sessions_become_copies_of_the_primarys() -> None:
    scene = scene_of()
    scene.core.serving.add(ORIG, scene.now)
    assert tell(scene, 77)
    assert not tell(scene, 77)  # it is on its way
    (steps,) = walk(scene, MINE, last=False)
    assert drive(steps, (GIVEN, 0)) == Outcome.FORFEITED
    assert not scene.core.serving.sessions
    assert (forfeited(scene), scene.core.desk.restart_pickup) == (0, False)
    assert not walk(scene)
    assert (forfeited(scene), scene.core.desk.restart_pickup) == (77, True)
    assert scene.core.censuses.calls == 1  # a census before may have told of it
    assert not tell(scene, 77)  # it is done
    assert not tell(scene, 0)
    assert not walk(scene, MINE)  # a dump for another reason


@pytest.mark.parametrize(
    ("result", "outcome"),
    [(errno.ENOENT, Outcome.FORFEIT_GONE), (errno.EBUSY, Outcome.FORFEIT_REFUSED)],
)
def test_copies_of_others_are_not_told_either(result: int, outcome: Outcome) -> None:
    scene = scene_of()
    assert tell(scene, 77)
    local = entry(ORIG, inverse(ORIG), labels=labels())
    (steps,) = walk(scene, OTHERS, local)
    update = Update(ORIG, status=STATUS, timeout=UNRENEWED, state=SYN_RECV)
    assert drive(steps, (update, result)) == outcome


def test_what_began_while_it_served_alone_is_the_primarys_too() -> None:
    scene = scene_of()
    assert tell(scene, 77)
    (steps,) = walk(scene, NAMELESS)
    assert drive(steps, (GIVEN, 0)) == Outcome.FORFEITED


def test_a_walk_that_breaks_off_begins_anew() -> None:
    scene = scene_of()
    assert tell(scene, 77)
    scene.core.undumped()
    assert tell(scene, 77)


# -- conntrackd


@pytest.mark.parametrize(
    ("found", "request_made"),
    [
        (MINE, None),
        (NAMELESS._replace(labels=labels()), None),
        (NAMELESS, Update(ORIG, status=STATUS, timeout=UNRENEWED, state=SYN_RECV)),
        (OTHERS._replace(state=SYN_RECV), None),
        (OTHERS, Update(ORIG, status=STATUS, timeout=UNRENEWED, state=SYN_RECV)),
        (OTHERS._replace(state=TIME_WAIT), Delete(ORIG)),
    ],
)
def test_what_is_there_at_its_start_is_not_taken_for_its_own(
    found: Entry, request_made: object
) -> None:
    assert demoted([found], 2) == ([request_made] if request_made else [])


def test_its_configuration_names_the_units_own_address() -> None:
    lines = [line.strip() for line in configuration(CLUSTER, 3).splitlines()]
    assert "IPv4_interface 169.254.83.3" in lines
    assert "IPv4_address 127.0.0.1" in lines
    assert lines.count("}") == sum(line.endswith("{") for line in lines)
