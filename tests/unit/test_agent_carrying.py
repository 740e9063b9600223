"""Session pickup's messages between units: conntrackd's own packets, with an agent's seal."""

import pytest

from agents.outcomes import Outcome
from agents.wire import control, peer, seal
from tests.unit.agent_scene import BOOTS, GROUP, PICKUP, SEALERS, Scene, link, link_to_all
from tests.unit.pickup_frames import SOURCE_MAC, said

SAID = said()
CARRIED = peer.pickup_frame(link_to_all(2), SAID[14:])


def test_what_conntrackd_says_goes_to_all_units_with_a_seal() -> None:
    scene = Scene(2, PICKUP)
    assert not scene.given_as_they_are(SAID, SAID)
    (first, second) = (f for f in scene.core.take(scene.now)[0] if f[15] == control.PICKUP)
    assert first[: -seal.SIZE] == second[: -seal.SIZE] == CARRIED
    assert first != second
    assert scene.count(Outcome.PICKUP_SAID) == 2


def test_what_another_units_says_is_given_to_this_ones_conntrackd() -> None:
    scene = Scene(1, PICKUP)
    assert not scene.given(CARRIED)
    assert SAID in scene.taken()
    assert SAID[6:12] == SOURCE_MAC
    assert scene.count(Outcome.PICKUP_HEARD) == 1


ANOTHERS_KEY = seal.Sealer(seal.Keys([bytes(32)], GROUP), 2, BOOTS[2])


@pytest.mark.parametrize(
    ("frame", "outcomes"),
    [
        (CARRIED, {Outcome.SEAL_TRUNCATED}),
        (peer.sealed(CARRIED, ANOTHERS_KEY), {Outcome.SEAL_KEY, Outcome.SEAL_TAG}),
        (peer.sealed(CARRIED, SEALERS[3]), {Outcome.SEAL_UNIT}),
        (
            peer.sealed(peer.pickup_frame(link(2, 1), SAID[14:]), SEALERS[2]),
            {Outcome.CONTROL_STRANGER},
        ),
        (
            peer.sealed(peer.pickup_frame(link_to_all(3), SAID[14:]), SEALERS[3]),
            {Outcome.PICKUP_VALUE},
        ),
    ],
    ids=("unsealed", "another key's", "another unit's", "to one alone", "another address"),
)
def test_what_nobody_may_say_is_not_given_to_it(frame: bytes, outcomes: set[Outcome]) -> None:
    scene = Scene(1, PICKUP)
    assert not scene.given_as_they_are(frame)
    assert SAID not in scene.taken()
    assert sum(map(scene.count, outcomes)) == 1


def test_what_was_heard_is_not_given_to_it_again() -> None:
    scene = Scene(1, PICKUP)
    frame = peer.sealed(CARRIED, SEALERS[2])
    assert not scene.given_as_they_are(frame, frame)
    assert scene.taken().count(SAID) == 1
    assert scene.count(Outcome.SEAL_REPLAYED) == 1


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (said(src="169.254.83.3"), Outcome.PICKUP_VALUE),
        (said(bytes(peer.MAX_BODY - 27)), Outcome.PICKUP_LONG),
    ],
    ids=("another address", "too long"),
)
def test_what_is_not_as_conntrackd_says_it_goes_nowhere(frame: bytes, outcome: Outcome) -> None:
    scene = Scene(2, PICKUP)
    assert not scene.given_as_they_are(frame)
    assert scene.frames() == []
    assert scene.count(outcome) == 1


def test_the_longest_fits_into_a_frame_of_the_ha_link() -> None:
    scene = Scene(2, PICKUP)
    assert not scene.given_as_they_are(said(bytes(peer.MAX_BODY - 28)))
    frames = scene.core.take(scene.now)[0]
    assert max(map(len, frames)) == 14 + peer.MTU
