"""The agent's core: whose frame it is, announcements, the ends of sessions, censuses, garbage."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import core_primary
from agents.core_census import CALL_PAUSE, ENDS, FRAMES, MOST_ENDED, PAUSE
from agents.core_facts import INTERVAL, SILENT
from agents.core_serving import LATELY, RESTORED_TIME, SETTLED, Made
from agents.ctnetlink import ESTABLISHED, SYN_RECV, Create, Entry, Get, Update
from agents.outcomes import TROUBLE, Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.labels import with_unit
from agents.wire.packet import inverse, readdress, tuple12
from tests.unit.agent_scene import (
    BOOT,
    CLUSTER,
    EXT,
    FOUND,
    GROUP,
    HOST,
    INT,
    ORIG,
    OWN,
    REPLY,
    SELECTIVE,
    Scene,
    announced,
    drive,
    entry,
    labels,
    link_to_all,
    resynced,
    run,
)
from tests.unit.wire_frames import syn

ROOT = Path(__file__).parents[2]


# -- announcements


def test_it_announces_itself_at_once_and_every_interval() -> None:
    scene = Scene().told()
    assert scene.due() == scene.now + INTERVAL
    assert list(scene.core.tick(scene.now + INTERVAL - 0.01)) == []
    assert scene.frames() == []
    scene.now += INTERVAL
    scene.core.serving.add(ORIG, scene.now)
    told = announced(scene)
    assert (told.unit, told.group, told.boot, told.name) == (1, GROUP, BOOT, HOST)
    assert (told.role, told.primary, told.serving, told.resync) == ("primary", 1, 1, 0)
    assert told.digest == CLUSTER.digest
    assert list(told.macs) == ["int", "ext"]
    assert told.counters == {"state": 1}


# -- what is due


def quiet() -> Scene:
    """A unit that has nothing to do until its next keepalive."""
    scene = Scene().told()
    assert list(scene.core.due(scene.now)) == []
    scene.frames()
    return scene


def ticks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often what is due by the clock is looked at, if it is asked for twice."""
    seen: list[float] = []
    monkeypatch.setattr(scene.core.hearing, "tick", lambda now: bool(seen.append(now)))
    for _ in range(2):
        list(scene.core.due(scene.now))
    return len(seen)


def test_nothing_is_due_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = quiet()
    deadline = scene.core.deadline()
    assert scene.now < deadline
    scene.now = (scene.now + deadline) / 2
    assert ticks(scene, monkeypatch) == 0
    scene.now = deadline
    assert ticks(scene, monkeypatch) == 2  # nobody has asked for the next deadline


def test_sessions_alone_make_nothing_due(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = quiet()
    scene.core.deadline()
    record = control.Decided(5, 2)
    scene.given(scene.leaving(), *control.decided_frames(GROUP, 1, [record]))
    session = control.Session(ORIG, REPLY)
    scene.given(*control.forget_frames(GROUP, 1, [session]))
    assert ticks(scene, monkeypatch) == 0


def its_link_goes(scene: Scene) -> None:
    scene.core.desk.down = (1,)


def the_last_of_a_dump_comes(scene: Scene) -> None:
    scene.dumped([], last=True)


def a_young_entry_is_removed(scene: Scene) -> None:
    made = entry()
    scene.core.serving.add(ORIG, scene.now, Made(made, b""))
    scene.core.removed([made], scene.now)
    scene.core.serving._lost.clear()  # what is done about it is tested below


def the_app_speaks(scene: Scene) -> None:
    scene.told()


def a_keepalive_comes(scene: Scene) -> None:
    scene.given(peer.keepalive_frame(link_to_all(2), hears_app=True))


def a_rival_speaks(scene: Scene) -> None:
    virtual = scene.core.facts.virtual_macs[INT]
    scene.given(b"\xff" * 6 + virtual + b"\x08\x06" + bytes(28))


@pytest.mark.parametrize(
    "happens",
    [
        its_link_goes,
        the_last_of_a_dump_comes,
        a_young_entry_is_removed,
        the_app_speaks,
        a_keepalive_comes,
        a_rival_speaks,
    ],
)
def test_what_else_happens_is_seen_to_at_once(
    happens: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = quiet()
    scene.core.deadline()
    happens(scene)
    assert ticks(scene, monkeypatch) == 1


def test_keepalives_as_ever_wait_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come fifty times a second of each unit."""
    scene = quiet()
    a_keepalive_comes(scene)
    list(scene.core.tick(scene.now))
    scene.core.deadline()
    a_keepalive_comes(scene)
    assert ticks(scene, monkeypatch) == 0
    scene.given(peer.keepalive_frame(link_to_all(2), hears_app=False))
    assert ticks(scene, monkeypatch) == 1


def test_before_the_app_is_heard_it_has_no_role() -> None:
    scene = Scene()
    scene.now += INTERVAL
    told = announced(scene)
    assert (told.role, told.primary) == ("none", 0)


# -- frames


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (b"", Outcome.TRUNCATED),
        (b"\0" * 60, Outcome.NOT_IPV4),
        (syn(flags="SA"), Outcome.NOT_SYN),
        (syn()[:40], Outcome.TRUNCATED),
        (syn(), Outcome.NOT_ADDRESSED),
        (
            readdress(syn(), CLUSTER.unit(1).macs[0], CLUSTER.unit(2).macs[0]),
            Outcome.NOT_ADDRESSED,
        ),
        (
            readdress(syn(), CLUSTER.unit(1).macs[0], CLUSTER.interface(EXT).virtual_mac),
            Outcome.NOT_ADDRESSED,
        ),
        (bytes(12) + b"\x88\xb5", Outcome.CONTROL_TRUNCATED),
        (control.census_request_frame(GROUP + 1, 1, 5), Outcome.CONTROL_STRANGER),
        (control.census_request_frame(GROUP, 2, 5), Outcome.CONTROL_STRANGER),
        (control.ended_frames(GROUP, 1, [control.Session(ORIG, REPLY)])[0], Outcome.CONTROL_KIND),
        (control.decided_frames(GROUP, 1, [control.Decided(1, 0)])[0], Outcome.CONTROL_VALUE),
    ],
)
def test_garbage_is_counted_and_no_more(frame: bytes, outcome: Outcome) -> None:
    scene = Scene().told()
    assert scene.given(frame) == []
    assert scene.frames() == []
    assert scene.count(outcome) == 1


def test_garbage_does_not_keep_the_frames_after_it() -> None:
    scene = Scene().told()
    assert len(scene.given(b"", scene.leaving(), b"\xff" * 99, scene.leaving())) == 2


@given(st.binary(max_size=120), st.sampled_from([b"", b"\x88\xb5", b"\x08\x00\x45"]))
def test_arbitrary_frames_raise_nothing(junk: bytes, ethertype: bytes) -> None:
    scene = Scene().told()
    frame = junk[:12].ljust(12, b"\0") + ethertype + junk[12:]
    steps = scene.given(frame)
    assert steps == [] or frame[12:14] == b"\x88\xb5"
    assert sum(scene.core.desk.counters.values()) >= 1


@given(st.binary(max_size=60), st.sampled_from(sorted(control.KINDS)), st.integers(0, 99))
def test_arbitrary_control_bodies_raise_nothing(junk: bytes, kind: int, count: int) -> None:
    scene = Scene().told()
    fields = (control.ETH_DST, control.ETH_SRC, control.ETHERTYPE, 1, kind, GROUP, 1, count, 0, 0)
    scene.given(control.HEADER.pack(*fields) + junk)


def test_every_reason_of_the_wire_formats_has_an_outcome() -> None:
    """And every outcome is used somewhere."""
    wire = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "agents/wire").glob("*.py"))
    reasons = set(re.findall(r'WireError\(\s*"(\w+)"', wire))
    foreign = {reason for reason in reasons if reason.startswith("arp")}
    assert reasons - foreign - set(Outcome) <= {"not_arp"}
    core = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "agents").glob("core*.py"))
    assert {o.name for o in Outcome if f"Outcome.{o.name}" not in core and o not in wire} == set()
    assert set(Outcome) >= TROUBLE


# -- the ends of sessions


def ends(scene: Scene) -> list[control.Session]:
    run(scene.core.tick(scene.now))
    frames = [control.parse(frame) for frame in scene.spoken_to().frames()]
    return [each for message in frames for each in control.ended(message)]


def test_the_end_of_a_session_served_here_is_told() -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now)
    scene.now += SETTLED
    scene.core.destroyed([entry(), entry(inverse(REPLY))], False, scene.now)
    assert ends(scene) == [control.Session(ORIG, REPLY)]
    assert scene.count(Outcome.ENDED) == 1
    scene.core.destroyed([entry()], False, scene.now)
    assert ends(scene) == []


@pytest.mark.parametrize("primary", [0, 1])
def test_an_app_that_was_away_is_told_of_ends_when_it_knows_its_cluster(primary: int) -> None:
    scene = Scene(2).told("auxiliary")
    scene.core.serving.add(ORIG, scene.now)
    scene.now += SETTLED
    scene.core.destroyed([entry()], False, scene.now)
    run(scene.core.tick(scene.now))
    assert not scene.written(control.ENDED)
    state = State(boot=2, role="auxiliary", primary=primary, balancing=False)
    assert not scene.given(control.state_frame(GROUP, 2, state))
    assert len(scene.written(control.ENDED)) == primary


def ended(scene: Scene, count: int) -> list[bytes]:
    """So many sessions end."""
    origs = [number.to_bytes(4) + ORIG[4:] for number in range(count)]
    for orig in origs:
        scene.core.serving.add(orig, scene.now - SETTLED)
    scene.core.destroyed([entry(orig) for orig in origs], False, scene.now)
    return origs


def test_ends_that_have_gathered_go_out_bit_by_bit() -> None:
    """A switch queues a hundred frames for the app, and drops the rest (docs/adr/0020)."""
    scene = Scene().told()
    origs = ended(scene, 2 * ENDS + 1)
    told = []
    for turn in (1, 2, 3):
        frames = scene.spoken_to().written(control.ENDED)
        assert 0 < len(frames) <= FRAMES
        told += [each.orig for frame in frames for each in control.ended(frame)]
        assert turn == 3 or not scene.frames()
        scene.now += PAUSE
    assert told == origs
    ended(scene, 1)
    assert len(scene.spoken_to().written(control.ENDED)) == 1


@pytest.mark.parametrize("more", [0, 1])
def test_of_more_ends_than_can_be_told_soon_a_census_tells(more: int) -> None:
    """Told late they could be taken for those of sessions that have their tuples again."""
    scene = Scene().told()
    scene.now += SILENT  # the app is away
    ended(scene, MOST_ENDED + more)
    assert resynced(scene) == more
    assert len(scene.spoken_to().written(control.ENDED)) == (0 if more else FRAMES)


def test_many_ends_share_frames() -> None:
    scene = Scene().told()
    origs = [tuple12("10.1.0.10", "203.0.113.10", port, 80) for port in range(100)]
    for orig in origs:
        scene.core.serving.add(orig, scene.now)
    scene.now += SETTLED
    scene.core.destroyed([entry(orig) for orig in origs], False, scene.now)
    assert len(scene.spoken_to().core.take(scene.now)[0]) == 2


def test_a_young_sessions_end_is_told_when_it_counts() -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now)
    scene.core.destroyed([entry()], False, scene.now)
    told = scene.now + SETTLED
    assert ends(scene) == []
    scene.now = told - 0.1
    assert ends(scene) == []
    assert scene.due() == told
    scene.now = told
    (farewell,) = scene.spoken_to().core.tick(scene.now)
    assert drive(farewell, (Get(ORIG), errno.ENOENT)) == Outcome.ENDED
    assert ends(scene) == [control.Session(ORIG, REPLY)]


def test_an_end_is_not_told_while_the_session_has_an_entry() -> None:
    """What ran out was one before it, at the moment when the session's own was made."""
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now)
    scene.core.destroyed([entry()], False, scene.now)
    scene.now += SETTLED
    (farewell,) = scene.core.tick(scene.now)
    own = entry(ORIG, REPLY, 1)
    assert drive(farewell, (Get(ORIG), own)) == Outcome.ENDED_REUSED
    assert ends(scene) == []
    assert ORIG in scene.core.serving.sessions


def test_what_was_made_the_primarys_has_not_ended() -> None:
    """It was told by session pickup, which removes an entry and makes it anew."""
    scene = Scene(2).told("auxiliary")
    scene.core.serving.add(ORIG, scene.now - 100)
    scene.core.removed([entry(ORIG, REPLY, 2)], scene.now)
    scene.now += SETTLED
    (farewell,) = scene.core.tick(scene.now)
    assert drive(farewell, (Get(ORIG), entry(ORIG, REPLY, 1))) == Outcome.ENDED_MOVED
    assert ends(scene) == []
    assert ORIG not in scene.core.serving.sessions


@pytest.mark.parametrize("found", [entry(ORIG, REPLY, 2), entry(ORIG, inverse(ORIG), 1)])
def test_an_entry_of_another_session_keeps_no_end_back(found: Entry) -> None:
    scene = Scene().told()
    scene.core.serving.farewell(ORIG, REPLY, scene.now)
    scene.now += SETTLED
    (farewell,) = scene.core.tick(scene.now)
    assert drive(farewell, (Get(ORIG), found)) == Outcome.ENDED


MADE = entry(ORIG, REPLY, 1)
AGAIN = Create(MADE._replace(state=SYN_RECV, timeout=RESTORED_TIME), liberal=True)
ITS_SYN = b"the SYN"


@pytest.mark.parametrize(("result", "outcome"), [(0, "restored"), (1, "restore_refused")])
def test_a_young_sessions_entry_that_is_removed_is_made_again(result: int, outcome: str) -> None:
    """conntrackd was told of the end of the session before it, and late: by then the SYN may have
    met no entry.
    """
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now, Made(MADE, ITS_SYN))
    scene.core.removed([MADE], scene.now)
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (AGAIN, result)) == outcome
    assert ORIG in scene.core.serving.sessions
    assert scene.core.take(scene.now)[0].count(ITS_SYN) == (result == 0)


@pytest.mark.parametrize(("later", "known"), [(0.0, 1), (LATELY, 0)])
def test_a_tuple_that_this_unit_has_just_served_stays_here(later: float, known: int) -> None:
    """Its SYN has ended the session before: another unit could hear of that end too late."""
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now - 100)
    scene.core.destroyed([entry()], False, scene.now)
    run(scene.core.tick(scene.now))
    scene.core.take(scene.now)
    scene.now += later
    scene.told()
    run(scene.core.tick(scene.now))
    (steps,) = scene.given(scene.leaving())
    drive(steps, FOUND)
    (message,) = scene.written(control.OFFER)
    (offer,) = control.offers(message)
    assert offer.known_unit == known


@pytest.mark.parametrize("gone", [MADE._replace(reply=inverse(ORIG)), MADE])
def test_other_entries_that_are_removed_are_believed(gone: Entry) -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now, Made(MADE, ITS_SYN))
    if gone is MADE:
        scene.now += SETTLED
        run(scene.core.tick(scene.now))
    scene.core.removed([gone], scene.now)
    assert not scene.core.serving.ended
    assert scene.core.deadline() <= scene.now + SETTLED
    scene.now += SETTLED
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (Get(ORIG), errno.ENOENT)) == Outcome.ENDED
    assert ORIG not in scene.core.serving.sessions
    assert [session.orig for session in scene.core.serving.ended] == [ORIG]


def looked_at(scene: Scene, *script: tuple[object, object]) -> Outcome:
    """Session pickup has removed the entry of a session of this unit's; what is made of it."""
    scene.core.serving.add(ORIG, scene.now)
    scene.now += SETTLED
    run(scene.core.tick(scene.now))
    scene.core.removed([entry()], scene.now)
    scene.now += SETTLED
    scene.spoken_to()
    (steps,) = scene.core.tick(scene.now)
    return drive(steps, *script)  # type: ignore[arg-type]


def primary_that_is_asked(heir: int = 0) -> Scene:
    scene = Scene()
    scene.given(control.state_frame(GROUP, 1, State(1, "primary", 1, True, heir=heir)))
    return scene


@pytest.mark.parametrize(("result", "outcome"), [(0, "labelled"), (errno.ENOENT, "label_refused")])
@pytest.mark.parametrize("named", [(3,), ()])
def test_a_primarys_session_hasnt_ended_by_what_another_unit_has_told_too_late(
    named: tuple[int, ...], result: int, outcome: Outcome
) -> None:
    """The new entry names the unit that has lost it to the primary; or none, as that forgot it."""
    scene = primary_that_is_asked()
    found = entry(ORIG, REPLY, *named)
    assert looked_at(scene, (Get(ORIG), found), (Update(ORIG, *with_unit(1)), result)) == outcome
    assert ORIG in scene.core.serving.sessions
    assert not scene.core.serving.ended


def test_nor_while_another_is_about_to_be_primary_and_then_it_may_be_right() -> None:
    scene = primary_that_is_asked(heir=3)
    assert looked_at(scene, (Get(ORIG), entry(ORIG, REPLY, 3))) == Outcome.ENDED_REUSED
    assert ORIG in scene.core.serving.sessions


@pytest.mark.parametrize(
    ("found", "outcome", "stays"),
    [
        (entry(ORIG, REPLY, 2), Outcome.ENDED_REUSED, True),
        (entry(ORIG, REPLY, 1), Outcome.ENDED_MOVED, False),  # the primary's
        (entry(ORIG, REPLY, 3), Outcome.ENDED, False),
        (entry(ORIG, inverse(ORIG), 2), Outcome.ENDED, True),  # another session, and here, too
        (entry(ORIG, inverse(ORIG), 3), Outcome.ENDED, False),  # another session
        (entry(ORIG, inverse(ORIG), 1), Outcome.ENDED, False),
        (errno.ENOENT, Outcome.ENDED, False),
    ],
)
def test_an_auxiliarys_session_is_whose_the_new_entry_says(
    found: Entry | int, outcome: Outcome, stays: bool
) -> None:
    scene = Scene(unit=2).told("auxiliary")
    assert looked_at(scene, (Get(ORIG), found)) == outcome
    assert (ORIG in scene.core.serving.sessions) is stays
    assert bool(scene.core.serving.ended) is (outcome == Outcome.ENDED)


def test_a_census_on_its_way_leaves_out_what_session_pickup_has_removed_for_good() -> None:
    scene = Scene().told()
    asked(scene)
    scene.core.removed([session(7)], scene.now)  # of another unit's
    assert not counted(scene, [session(7, 1)])


def test_an_end_is_not_told_of_what_was_made_the_primarys_just_then() -> None:
    scene = Scene(2).told("auxiliary")
    scene.core.serving.add(ORIG, scene.now)
    scene.core.destroyed([entry(ORIG, REPLY, 2)], False, scene.now)
    scene.now += SETTLED
    (farewell,) = scene.core.tick(scene.now)
    assert drive(farewell, (Get(ORIG), entry(ORIG, REPLY, 1))) == Outcome.ENDED_MOVED
    assert ends(scene) == []


def test_what_was_handed_over_meanwhile_has_no_end_to_be_told() -> None:
    scene = primary_that_is_asked()
    scene.core.serving.add(ORIG, scene.now)
    scene.core.removed([entry()], scene.now)
    del scene.core.serving.sessions[ORIG]
    scene.now += SETTLED
    scene.spoken_to()
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (Get(ORIG), entry(ORIG, REPLY, 3))) == Outcome.ENDED_MOVED


def test_the_entry_of_a_young_session_that_is_over_is_not_made_again() -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now, Made(MADE, ITS_SYN))
    scene.core.destroyed([MADE], False, scene.now)
    scene.core.removed([MADE], scene.now)
    assert not list(scene.core.tick(scene.now))
    assert ITS_SYN not in scene.core.take(scene.now)[0]


def test_a_session_whose_entry_conntrackd_has_replaced_goes_on() -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now)
    scene.now += 10 * SETTLED
    scene.core.removed([MADE], scene.now)
    scene.now += SETTLED
    (steps,) = scene.core.tick(scene.now)
    assert drive(steps, (Get(ORIG), MADE)) == Outcome.ENDED_REUSED
    assert ORIG in scene.core.serving.sessions
    assert not scene.core.serving.ended


def test_the_end_of_a_session_opened_again_is_not_told() -> None:
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now)
    scene.core.destroyed([entry()], False, scene.now)
    scene.core.serving.add(ORIG, scene.now + 0.1)
    scene.now += SETTLED
    assert ends(scene) == []
    assert scene.count(Outcome.ENDED_REUSED) == 1


def test_ends_go_before_offers() -> None:
    """The SYN on offer may be the next session of the same ports."""
    scene = Scene().told()
    scene.core.serving.add(ORIG, scene.now - 100)
    scene.core.destroyed([entry()], False, scene.now)
    (steps,) = scene.given(scene.leaving())
    next(steps)
    with pytest.raises(StopIteration):
        steps.send(entry())
    kinds = [control.parse(frame).kind for frame in scene.frames()]
    assert kinds == [control.ENDED, control.OFFER]


# -- censuses


def asked(scene: Scene, token: int = 9) -> None:
    assert scene.given(control.census_request_frame(GROUP, scene.unit, token)) == []
    frames, dump = scene.core.take(scene.now)
    assert frames == []
    assert dump
    assert scene.core.take(scene.now) == ([], False)


def counted(scene: Scene, *pieces: list[Entry]) -> set[control.Counted]:
    """The census after these pieces of a dump."""
    for number, piece in enumerate(pieces, 1):
        assert scene.frames() == []
        scene.dumped(piece, number == len(pieces))
    messages = scene.written(control.CENSUS)
    assert {message.token for message in messages} == {9}
    assert [message.flags for message in messages][-1] == control.LAST
    return {each for message in messages for each in control.census(message)}


def session(number: int, *bits: int) -> Entry:
    orig = tuple12("10.1.0.10", "203.0.113.10", number, 80)
    return entry(orig, inverse(orig), *bits)


ENTRIES = [
    session(1, 1),
    session(2, 2),
    session(3),  # nobody's
    session(4, 60),  # of no unit of the cluster
    session(5, 1)._replace(labels=labels(1)),  # the unit's own: it came in by no interface
    session(6, 1)._replace(labels=labels(1, 80)),  # by one that isn't there
]


def test_a_primary_counts_the_whole_cluster() -> None:
    scene = Scene().told()
    asked(scene)
    found = counted(scene, ENTRIES[:2], [], ENTRIES[2:])
    assert found == {(e.orig, e.reply, unit) for unit, e in enumerate(ENTRIES[:2], 1)}
    assert set(scene.core.serving.sessions) == {ENTRIES[0].orig}


def test_a_primary_labels_what_began_while_it_served_alone() -> None:
    scene = Scene().told()
    asked(scene)
    strays = [session(7)._replace(state=SYN_RECV), session(8)._replace(state=ESTABLISHED)]
    steps = list(scene.core.dumped([*strays, session(9)], True, 432000, scene.now))
    outcomes = [
        drive(each, (Update(stray.orig, *with_unit(1)), result))
        for each, stray, result in zip(steps, strays, (0, errno.ENOENT), strict=True)
    ]
    assert outcomes == [Outcome.LABELLED, Outcome.LABEL_REFUSED]
    (message,) = scene.written(control.CENSUS)
    assert set(control.census(message)) == {(each.orig, each.reply, 1) for each in strays}
    assert set(scene.core.serving.sessions) == {each.orig for each in strays}


@pytest.mark.parametrize("heir", [0, 3])
def test_a_primary_counts_as_its_own_what_another_unit_names_too_late(heir: int) -> None:
    """And labels it, unless another is about to be primary, whose it would be."""
    scene = Scene()
    scene.given(control.state_frame(GROUP, 1, State(1, "primary", 1, True, heir=heir)))
    asked(scene)
    named = session(7, 3)._replace(state=ESTABLISHED)
    scene.core.serving.add(named.orig, scene.now)
    steps = list(scene.core.dumped([named, session(8, 3)], True, 432000, scene.now))
    outcomes = [drive(each, (Update(named.orig, *with_unit(1)), 0)) for each in steps]
    assert outcomes == ([] if heir else [Outcome.LABELLED])
    (message,) = scene.written(control.CENSUS)
    found = {orig: unit for orig, _, unit in control.census(message)}
    assert found == {named.orig: 3 if heir else 1, session(8, 3).orig: 3}


def test_once_syns_are_shown_to_it_a_primary_calls_for_a_census() -> None:
    scene = Scene()
    calls = []
    for balancing in (False, True, True, False, True):
        scene.now += CALL_PAUSE
        state = State(boot=1, role="primary", primary=1, balancing=balancing)
        assert not list(scene.given(control.state_frame(GROUP, 1, state)))
        run(scene.core.tick(scene.now))
        calls.append(scene.core.censuses.calls)
    assert calls == [0, 1, 1, 1, 2]


def test_an_auxiliary_counts_its_own() -> None:
    scene = Scene(unit=2).told("auxiliary")
    asked(scene)
    assert counted(scene, ENTRIES) == {(ENTRIES[1].orig, ENTRIES[1].reply, 2)}


def test_only_selected_sessions_are_counted() -> None:
    scene = Scene(cluster=SELECTIVE).told()
    asked(scene)
    chosen = session(7, 1, 81)
    assert counted(scene, [*ENTRIES, chosen]) == {(chosen.orig, chosen.reply, 1)}


def test_an_empty_census_is_one() -> None:
    scene = Scene().told()
    asked(scene)
    assert counted(scene, []) == set()


def test_what_ended_during_the_dump_is_not_counted() -> None:
    scene = Scene().told()
    asked(scene)
    gone, back, here = (session(number, 1) for number in (11, 12, 13))
    for each in (gone, back):
        scene.core.serving.add(each.orig, scene.now)
    scene.core.destroyed([gone, back], False, scene.now)
    scene.core.serving.add(back.orig, scene.now)
    assert counted(scene, [gone, back, here]) == {
        (each.orig, each.reply, 1) for each in (back, here)
    }


def test_a_census_makes_its_own_list_right() -> None:
    """Sessions whose end was lost are dropped; those opened since are kept."""
    scene = Scene().told()
    scene.core.serving.add(session(21).orig, scene.now - 1)
    asked(scene)
    scene.core.serving.add(session(22).orig, scene.now + 1)
    counted(scene, [session(23, 1)])
    assert set(scene.core.serving.sessions) == {session(22).orig, session(23).orig}


def test_a_second_request_starts_again() -> None:
    scene = Scene().told()
    asked(scene, 8)
    scene.dumped([session(31, 1)], False)
    asked(scene, 9)
    assert {each.orig for each in counted(scene, [session(32, 1)])} == {session(32).orig}


def test_a_second_request_ends_what_the_first_has_to_say() -> None:
    scene = Scene().told()
    asked(scene, 8)
    scene.dumped([session(number, 1) for number in range(1, 2001)], True)
    scene.frames()
    asked(scene, 9)
    scene.now += 1
    assert scene.frames() == []


def test_a_piece_that_nobody_waits_for_is_nothing() -> None:
    scene = Scene().told()
    scene.dumped([session(41, 1)], True)
    assert scene.frames() == []


def test_a_long_census_goes_out_bit_by_bit() -> None:
    scene = Scene().told()
    asked(scene)
    many = [session(number, 1) for number in range(1, 2001)]
    scene.dumped(many, True)
    frames: list[bytes] = []
    turns = 0
    while more := scene.frames():
        frames += more
        turns += 1
        assert len(more) <= FRAMES
        assert scene.frames() == []
        scene.now = scene.due()
    assert turns == -(-len(frames) // FRAMES) > 1
    counts = [len(control.census(control.parse(frame))) for frame in frames]
    assert sum(counts) == 2000


def test_it_goes_out_frame_by_frame_to_an_app_that_is_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_primary, "MIN_PENDING", 0)
    scene = Scene().told()
    offer = scene.offer(FOUND)
    asked(scene)
    scene.dumped([session(number, 1) for number in range(1, 2001)], True)
    for _ in range(3):
        assert len(scene.frames()) == 1
        scene.now = scene.due()
    assert scene.decide(offer.offer_id, 1, (OWN, 0)) == Outcome.SERVED
    assert len(scene.frames()) == 1 + FRAMES


# -- what is lost


def test_lost_events_call_for_a_census_but_not_for_many() -> None:
    scene = Scene().told()
    assert resynced(scene) == 0
    scene.core.destroyed([], True, scene.now)
    assert resynced(scene) == 1
    scene.core.destroyed([], True, scene.now)
    assert resynced(scene) == 1
    assert scene.count(Outcome.EVENTS_LOST) == 2
    scene.now += CALL_PAUSE
    assert resynced(scene) == 2
    assert resynced(scene) == 2


@pytest.mark.parametrize("counting", [True, False])
def test_no_census_is_called_for_during_one(counting: bool) -> None:
    scene = Scene().told()
    asked(scene)
    if not counting:
        scene.dumped([], True)
    scene.core.destroyed([], True, scene.now)
    assert resynced(scene) == 0 if counting else 1


@pytest.mark.parametrize(
    ("frame", "resync"),
    [
        (control.ended_frames(GROUP, 1, [control.Session(ORIG, REPLY)])[0], 1),
        (control.census_frames(GROUP, 1, 9, [])[0], 1),
        (syn(), 0),
        (control.offer_frames(GROUP, 1, [control.Offer(1, 0, INT, EXT, 0, ORIG, REPLY)])[0], 0),
    ],
)
def test_a_frame_that_could_not_be_written(frame: bytes, resync: int) -> None:
    scene = Scene().told()
    scene.core.unwritten(frame)
    assert scene.count(Outcome.WRITE_FAILED) == 1
    assert resynced(scene) == resync


def test_a_dump_that_failed_makes_no_census() -> None:
    """An empty one would end every session of the unit."""
    scene = Scene().told()
    asked(scene)
    scene.dumped([session(51, 1)], False)
    scene.core.undumped()
    assert scene.frames() == []
    assert resynced(scene) == 1


def test_a_census_that_lost_a_frame_is_not_finished() -> None:
    scene = Scene().told()
    asked(scene)
    scene.dumped([session(number, 1) for number in range(1, 2001)], True)
    first = scene.frames()
    scene.core.unwritten(first[0])
    scene.now += 1
    assert scene.frames() == []
