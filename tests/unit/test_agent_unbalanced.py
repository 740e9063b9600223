"""Sessions that the primary serves without asking: served like all others, and the app doesn't hear
of them.
"""

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest

from agents.core_facts import INTERVAL
from agents.core_forfeiting import demotion
from agents.core_renewing import ROUND
from agents.core_serving import SETTLED
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    Create,
    Entry,
    Get,
    Update,
)
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.labels import BALANCE_BIT, with_unit
from agents.wire.packet import inverse
from tests.unit.agent_scene import (
    FOUND,
    GROUP,
    ORIG,
    OWN,
    PICKUP,
    REPLY,
    SELECTIVE,
    Scene,
    drive,
    entry,
    kind,
    link_to_all,
)

LABELLED = replace(SELECTIVE, pickup="established")
STATUS = CONFIRMED | SEEN_REPLY | ASSURED
LIVE = {"state": ESTABLISHED, "status": STATUS}
OTHER = inverse(ORIG)


def told(scene: Scene, **fields: object) -> None:
    """The app's word to this unit."""
    made = {"boot": 1, "role": "primary", "primary": scene.unit, "balancing": True, **fields}
    list(scene.given(control.state_frame(GROUP, scene.unit, State(**made))))  # type: ignore[arg-type]
    scene.core.take(scene.now)


def primary(cluster: object = LABELLED) -> Scene:
    scene = Scene(cluster=cluster)
    told(scene)
    return scene


def released(scene: Scene) -> None:
    """A primary that lets a session go that isn't to be balanced."""
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, FOUND, (OWN, 0)) == Outcome.RELEASED_UNSELECTED


def adopted(scene: Scene) -> None:
    """One that makes another unit's its own."""
    told(scene, adopt=(2,))
    (steps,) = scene.core.dumped([entry(ORIG, REPLY, 2, **LIVE)], True, 1234, scene.now)
    assert drive(steps, (Update(ORIG, *with_unit(1), STATUS, 1234), 0)) == Outcome.ADOPTED


def begun(scene: Scene) -> None:
    """One that hears late of what another unit has begun."""
    scene.core.desk.before = 2
    record = peer.Beginning(ORIG, REPLY, b"", "", entry(ORIG, REPLY, 2).labels, 0)
    (steps,) = scene.given(*peer.begun_frames(link_to_all(2), [record]))
    assert isinstance(next(steps), Create)
    with pytest.raises(StopIteration, match=Outcome.BEGUN_MADE):
        steps.send(0)


def labelled(scene: Scene) -> None:
    """One that finds what has begun while it saw no SYNs."""
    (steps,) = census(scene, entry(ORIG, REPLY, **LIVE))
    assert drive(steps, (Update(ORIG, *with_unit(1)), 0)) == Outcome.LABELLED
    assert counted(scene) == []


WAYS = (released, adopted, begun, labelled)


def census(scene: Scene, *entries: Entry) -> list:
    scene.given(control.census_request_frame(GROUP, 1, 9))
    return list(scene.core.dumped(entries, True, 1234, scene.now))


def written(scene: Scene, wanted: int) -> list[control.Message]:
    """Control frames of that kind among what it writes."""
    return [control.parse(frame) for frame in scene.taken() if kind(frame) == wanted]


def counted(scene: Scene) -> list[bytes]:
    """What the census tells the app."""
    return [each.orig for m in written(scene, control.CENSUS) for each in control.census(m)]


def ends(scene: Scene) -> list[bytes]:
    """The app is told of these."""
    return [
        each.orig for m in written(scene.spoken_to(), control.ENDED) for each in control.ended(m)
    ]


def serving(scene: Scene) -> int:
    """How many sessions it says it serves."""
    scene.now += INTERVAL
    list(scene.core.tick(scene.now))
    (message,) = written(scene, control.ANNOUNCE)
    return control.announce(message).serving


def asked(scene: Scene, orig: bytes) -> list[object]:
    """What the clock has asked of the kernel about the session, which has an entry that names
    another unit.
    """
    requests: list[object] = []
    for steps in scene.core.tick(scene.now):
        if next(steps) == Get(orig):
            requests.append(steps.send(entry(orig, REPLY, 2, **LIVE)))
    return requests


@pytest.mark.parametrize("way", WAYS)
def test_it_is_renewed_and_stays_this_units(way: Callable[[Scene], None]) -> None:
    scene = primary()
    way(scene)
    scene.now += ROUND
    told(scene)
    assert asked(scene, ORIG) == [Update(ORIG, *with_unit(1))]
    list(census(scene, entry(ORIG, REPLY, 1, **LIVE)))
    assert counted(scene) == []
    scene.now += ROUND
    told(scene)
    assert asked(scene, ORIG) == [Update(ORIG, *with_unit(1))]


@pytest.mark.parametrize("way", WAYS)
def test_the_app_hears_neither_of_it_nor_of_its_end(way: Callable[[Scene], None]) -> None:
    scene = primary()
    way(scene)
    assert serving(scene) == 0
    scene.now += SETTLED
    scene.core.destroyed([entry()], False, scene.now)
    assert ORIG not in scene.core.serving.sessions
    assert ends(scene) == []
    list(census(scene))
    assert not scene.core.serving.untold


def test_nor_of_the_end_of_a_young_one_or_of_one_that_session_pickup_has_removed() -> None:
    scene = primary()
    released(scene)
    scene.core.destroyed([entry()], False, scene.now)
    assert scene.core.serving.next_end() is None
    released(scene)
    scene.core.removed([entry()], scene.now)
    scene.now += SETTLED
    told(scene)
    (look,) = scene.core.serving.settle(scene.now)
    assert drive(look, (Get(ORIG), errno.ENOENT)) == Outcome.ENDED
    assert ORIG not in scene.core.serving.sessions
    assert ends(scene) == []


def test_one_that_is_to_be_balanced_is_heard_of_whichever_unit_had_it() -> None:
    scene = primary()
    told(scene, adopt=(2,))
    chosen = entry(ORIG, REPLY, 2, BALANCE_BIT, **LIVE)
    (steps,) = scene.core.dumped([chosen], True, 1234, scene.now)
    assert drive(steps, (Update(ORIG, *with_unit(1), STATUS, 1234), 0)) == Outcome.ADOPTED
    scene.now += SETTLED
    scene.core.destroyed([chosen], False, scene.now)
    assert ends(scene) == [ORIG]


def test_where_all_are_balanced_one_that_was_not_asked_for_is_told_by_a_census() -> None:
    scene = primary(PICKUP)
    (steps,) = scene.given(scene.leaving())
    found = entry(helper="sip")
    assert drive(steps, (Get(REPLY), found), (OWN, 0)) == Outcome.RELEASED_HELPER
    assert serving(scene) == 0
    list(census(scene, entry(ORIG, REPLY, 1, **LIVE)))
    assert counted(scene) == [ORIG]
    scene.now += SETTLED
    scene.core.destroyed([entry()], False, scene.now)
    assert ends(scene) == [ORIG]


def test_a_syn_that_comes_twice_makes_no_secret_of_a_session() -> None:
    scene = primary(PICKUP)
    offer = scene.offer(FOUND)
    assert scene.decide(offer.offer_id, 1, (OWN, 0)) == Outcome.SERVED
    (steps,) = scene.given(scene.leaving())
    assert drive(steps, (Get(REPLY), entry(ORIG, REPLY, 1))) == Outcome.RELEASED_KNOWN
    scene.now += SETTLED
    scene.core.destroyed([entry()], False, scene.now)
    assert ends(scene) == [ORIG]


def test_what_came_in_by_no_interface_is_nobodys_to_keep() -> None:
    scene = primary(PICKUP)
    (steps,) = scene.given(scene.leaving())
    own = entry(labels=bytes(16))
    assert drive(steps, (Get(REPLY), own), (OWN, 0)) == Outcome.RELEASED_LOCAL
    assert not scene.core.serving.sessions


def test_who_loses_its_sessions_gives_it_up_too() -> None:
    """Its stale entry would end some day, and by session pickup the session with it."""
    scene = Scene(cluster=LABELLED)
    released(scene.told())
    told(scene, role="auxiliary", primary=2, forfeit=77)
    stale = entry(ORIG, REPLY, 1, **LIVE)
    (steps,) = scene.core.dumped([stale], True, 1234, scene.now)
    assert drive(steps, (demotion(stale, *with_unit(2)), 0)) == Outcome.FORFEITED
    assert ORIG not in scene.core.serving.sessions
    assert not scene.core.serving.untold


def test_one_whose_end_was_lost_is_forgotten_by_a_census() -> None:
    scene = primary()
    released(scene)
    scene.now += SETTLED
    assert not census(scene)
    assert not scene.core.serving.sessions
    assert serving(scene) == 0
