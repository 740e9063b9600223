"""What an agent believes: SYN data and frames with the right seal, once, of agents as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core_hearing import KEEPALIVE
from agents.core_vouching import PATIENCE
from agents.ctnetlink import Create, Get
from agents.outcomes import Outcome
from agents.wire import control, peer, syndata
from agents.wire.control_maps import State
from agents.wire.packet import ETHERNET, parse_syn, readdress
from agents.wire.peer import Asked, Question
from agents.wire.seal import PEER, SIZE, SYN, Keys, Sealer, epoch_bytes
from tests.unit.agent_scene import (
    BOOTS,
    CLUSTER,
    EXT,
    FOUND,
    GROUP,
    INT,
    KEYS,
    NEXT_HOP,
    ORIG,
    REPLY,
    SEALERS,
    Scene,
    drive,
    from_interface,
    frozen,
    kind,
    labels,
    link,
    link_to_all,
    run,
)
from tests.unit.test_agent_auxiliary import DATA, made
from tests.unit.wire_frames import append_data, syn

OTHER_KEY = bytes(range(32, 64))
TOLD = syndata.encode(DATA)
TO = epoch_bytes(BOOTS[2])


def handed(told: bytes = TOLD, sealer: Sealer = SEALERS[1], bare: bytes | None = None) -> bytes:
    """A SYN as the primary hands it over to unit 2."""
    bare = bare or syn(ORIG)
    frame = append_data(bare, told + sealer.seal(SYN, bare[ETHERNET:] + told + TO))
    virtual = CLUSTER.interface(INT).virtual_mac
    return readdress(frame, CLUSTER.unit(2).macs[INT - 1], virtual)


def auxiliary() -> Scene:
    return Scene(unit=2).told("auxiliary")


def taken(scene: Scene, frame: bytes) -> Outcome:
    """It is believed, and becomes an entry."""
    (steps,) = scene.given_as_they_are(frame)
    return drive(steps, (Create(made(), liberal=True), 0))


def dropped(scene: Scene, frame: bytes, *script: tuple[object, object]) -> Outcome:
    """It makes no entry, sends nothing, and is counted once; under which name?"""
    scene.frames()
    sessions = dict(scene.core.serving.sessions)
    (steps,) = scene.given_as_they_are(frame)
    outcome = drive(steps, *script)  # type: ignore[arg-type]
    assert scene.frames() == []
    assert scene.core.serving.sessions == sessions
    return outcome


# -- SYN data


def test_the_primarys_agent_seals_what_it_hands_over_and_the_auxiliarys_believes_it() -> None:
    primary = Scene().told()
    primary.offer(FOUND)
    primary.decide(0xFFFFFFFF, 2, (frozen(2), 0))
    (frame,) = primary.frames()
    virtual = CLUSTER.interface(INT).virtual_mac
    frame = readdress(frame, frame[:6], virtual)  # the primary's bridge does that
    scene = auxiliary()
    (steps,) = scene.given_as_they_are(frame)
    data = DATA._replace(mark=5, labels=labels(from_interface(INT), 2))
    assert drive(steps, (Create(made(data), liberal=True), 0)) == Outcome.INJECTED
    assert dropped(scene, frame) == Outcome.SEAL_REPLAYED


def test_a_syn_that_its_client_sends_again_is_sealed_again() -> None:
    scene = auxiliary()
    assert taken(scene, handed()) == Outcome.INJECTED
    assert taken(scene, handed()) == Outcome.INJECTED


def test_syns_may_overtake_each_other() -> None:
    scene = auxiliary()
    frames = [handed() for _ in range(20)]
    for frame in [*frames[10:], *frames[:10][::-1]]:
        assert taken(scene, frame) == Outcome.INJECTED
    for frame in frames:
        assert dropped(scene, frame) == Outcome.SEAL_REPLAYED


@pytest.mark.parametrize(
    ("sealer", "outcomes"),
    [
        (Sealer(Keys([OTHER_KEY], GROUP), 1, BOOTS[1]), (Outcome.SEAL_KEY, Outcome.SEAL_TAG)),
        (Sealer(Keys([bytes(range(32))], GROUP + 1), 1, BOOTS[1]), (Outcome.SEAL_TAG,)),
        (Sealer(KEYS, 3, BOOTS[3]), (Outcome.SEAL_UNIT,)),
        (Sealer(KEYS, 1, BOOTS[1] - 1), (Outcome.SEAL_EPOCH,)),
    ],
)
def test_anothers_seal_makes_no_entry(sealer: Sealer, outcomes: tuple[Outcome, ...]) -> None:
    assert dropped(auxiliary(), handed(sealer=sealer)) in outcomes


def test_a_seal_for_another_purpose_makes_no_entry() -> None:
    bare = syn(ORIG)
    told = TOLD + SEALERS[1].seal(PEER, bare[ETHERNET:] + TOLD + TO)
    frame = readdress(append_data(bare, told), *_ends(handed()))
    assert dropped(auxiliary(), frame) == Outcome.SEAL_TAG


def _ends(frame: bytes) -> tuple[bytes, bytes]:
    return frame[:6], frame[6:12]


def test_a_syn_cut_at_its_end_has_no_syn_data() -> None:
    frame, bare = handed(), syn(ORIG)
    for cut in (1, SIZE - 1, SIZE, SIZE + 7):
        payload = parse_syn(frame).payload[:-cut]
        short = readdress(append_data(bare, payload), *_ends(frame))
        assert dropped(auxiliary(), short, (Get(ORIG), 2)) == Outcome.SYN_WITHOUT_DATA


def test_a_syn_cut_at_its_front_is_truncated() -> None:
    frame, bare = handed(), syn(ORIG)
    payload = parse_syn(frame).payload[1:]
    short = readdress(append_data(bare, payload), *_ends(frame))
    assert dropped(auxiliary(), short) == Outcome.SYNDATA_TRUNCATED


def test_a_syn_that_was_extended_is_anothers() -> None:
    frame, bare = handed(), syn(ORIG)
    payload = parse_syn(frame).payload
    longer = readdress(append_data(bare, b"x" + payload), *_ends(frame))
    assert dropped(auxiliary(), longer) == Outcome.SEAL_TAG
    behind = readdress(append_data(bare, payload + b"x"), *_ends(frame))
    assert dropped(auxiliary(), behind, (Get(ORIG), 2)) == Outcome.SYN_WITHOUT_DATA


@given(st.integers(ETHERNET), st.integers(1, 255))
def test_no_byte_of_the_packet_can_be_another(offset: int, change: int) -> None:
    """Addresses, ports, sequence number, options, checksums, the client's data, the decisions."""
    frame = bytearray(handed(bare=syn(ORIG, payload=b"early")))
    at = ETHERNET + offset % (len(frame) - ETHERNET)
    frame[at] ^= change
    scene = auxiliary()
    for steps in scene.given_as_they_are(bytes(frame)):
        request = next(steps, None)
        assert not isinstance(request, Create)
    assert scene.core.serving.sessions == {}


def test_a_role_that_nobody_has_named_believes_nobody() -> None:
    scene = Scene(unit=2)
    scene.core.opener._epochs.clear()
    assert dropped(scene, handed()) == Outcome.SEAL_EPOCH


def test_the_app_says_whom_to_believe() -> None:
    anew = Sealer(KEYS, 1, 99)
    scene = auxiliary()
    assert dropped(scene, handed(sealer=anew)) == Outcome.SEAL_EPOCH
    _named(scene, {1: 99})
    assert taken(scene, handed(sealer=anew)) == Outcome.INJECTED
    assert dropped(scene, handed()) == Outcome.SEAL_EPOCH
    _named(scene, {})
    assert taken(scene, handed(sealer=anew)) == Outcome.INJECTED


def _named(scene: Scene, boots: dict[int, int]) -> None:
    state = State(1, "auxiliary", 1, balancing=False, boots=boots)
    assert not scene.given(control.state_frame(GROUP, 2, state))


def test_keys_are_replaced_while_syns_come() -> None:
    scene = auxiliary()
    old, new = bytes(range(32)), OTHER_KEY
    primary = Sealer(KEYS, 1, BOOTS[1])
    primary._counters = dict.fromkeys(primary._counters, 1 << 40)
    for ours, theirs in (
        ([old, new], [old]),
        ([old, new], [old, new]),
        ([old, new], [new, old]),
        ([new, old], [new, old]),
        ([new, old], [new]),
        ([new], [new]),
    ):
        scene.core.rekey(Keys(ours, GROUP))
        primary.keys = Keys(theirs, GROUP)
        assert taken(scene, handed(sealer=primary)) == Outcome.INJECTED
    primary.keys = Keys([old], GROUP)
    assert dropped(scene, handed(sealer=primary)) in (Outcome.SEAL_KEY, Outcome.SEAL_TAG)


def test_an_agent_tells_which_keys_it_has() -> None:
    scene = Scene()
    keys = Keys([OTHER_KEY, bytes(range(32))], GROUP)
    scene.core.rekey(keys)
    assert scene.core._announcement().keys == keys.fingerprints
    scene.core.desk.frames = [peer.keepalive_frame(link_to_all(1), hears_app=True)]
    (frame,) = [f for f in scene.core.take(scene.now)[0] if kind(f) == control.KEEPALIVE]
    Keys([OTHER_KEY], GROUP).verified(PEER, frame[-SIZE:], frame[:-SIZE])


def test_an_auxiliarys_agent_that_is_another_is_not_told_again_what_the_one_before_was() -> None:
    frame = handed()
    assert taken(auxiliary(), frame) == Outcome.INJECTED
    anew = auxiliary()
    anew.core.auxiliary._epoch = epoch_bytes(BOOTS[2] + 1)
    assert dropped(anew, frame) == Outcome.SEAL_TAG


def test_the_primary_seals_for_the_agent_that_was_named_last() -> None:
    primary = Scene().told()
    primary.core.opener.name({2: 5})
    primary.offer(FOUND)
    primary.decide(0xFFFFFFFF, 2, (frozen(2), 0))
    (frame,) = primary.frames()
    frame = readdress(frame, frame[:6], CLUSTER.interface(INT).virtual_mac)
    assert dropped(auxiliary(), frame) == Outcome.SEAL_TAG


# -- what agents tell each other


def keepalive(unit: int = 2, **fields: object) -> bytes:
    return peer.keepalive_frame(link_to_all(unit), hears_app=True, **fields)  # type: ignore[arg-type]


def hears(scene: Scene) -> tuple[int, ...]:
    run(scene.core.tick(scene.now))
    return scene.core.hearing.units


def test_a_keepalive_counts_once() -> None:
    scene = Scene().told()
    frame = peer.sealed(keepalive(), SEALERS[2])
    assert not scene.given_as_they_are(frame)
    assert hears(scene) == (2,)
    scene.now += 1.0
    assert not scene.given_as_they_are(frame)
    assert hears(scene) == ()
    assert (scene.count(Outcome.KEEPALIVE), scene.count(Outcome.SEAL_REPLAYED)) == (1, 1)


@pytest.mark.parametrize(
    ("sealer", "outcome"),
    [
        (None, Outcome.SEAL_TRUNCATED),
        (Sealer(Keys([OTHER_KEY], GROUP), 2, BOOTS[2]), Outcome.SEAL_KEY),
        (Sealer(KEYS, 3, BOOTS[3]), Outcome.SEAL_UNIT),
        (Sealer(KEYS, 2, 7), Outcome.SEAL_EPOCH),
    ],
)
def test_a_forged_keepalive_makes_nobody_alive(sealer: Sealer | None, outcome: Outcome) -> None:
    scene = Scene().told()
    frame = keepalive()
    assert not scene.given_as_they_are(peer.sealed(frame, sealer) if sealer else frame)
    assert hears(scene) == ()
    assert scene.count(outcome) == 1


BEGUN = peer.Beginning(ORIG, REPLY, b"", "", labels(2, from_interface(INT)), 0)


@pytest.mark.parametrize(
    "frame",
    [
        *peer.clear_frames(link(1, 2), [peer.Clear(1, ORIG, REPLY)]),
        *peer.begun_frames(link_to_all(1), [BEGUN]),
    ],
)
def test_what_has_no_seal_does_nothing(frame: bytes) -> None:
    scene = auxiliary()
    assert not scene.given_as_they_are(frame)
    assert scene.count(Outcome.SEAL_TRUNCATED) == 1
    assert len(scene.given(frame)) == (kind(frame) == control.CLEAR)


# -- agents that are started anew while nobody can say so


class Unit:
    """An agent that talks to others over the HA link, and with nobody else."""

    def __init__(self, unit: int, boot: int | None = None) -> None:
        self.scene = Scene(unit=unit)
        if boot is not None:
            self.scene.core.sealer._epoch = boot

    def keepalives(self) -> list[bytes]:
        """Those that are due."""
        self.scene.now += KEEPALIVE
        run(self.scene.core.tick(self.scene.now))
        frames = self.scene.core.take(self.scene.now)[0]
        return [frame for frame in frames if kind(frame) == control.KEEPALIVE]

    def hear(self, frames: list[bytes]) -> bool:
        """Whether it believes them."""
        before = self.scene.count(Outcome.KEEPALIVE)
        assert not self.scene.given_as_they_are(*frames)
        return self.scene.count(Outcome.KEEPALIVE) > before


def questions(frames: list[bytes]) -> list[Question]:
    return [each for frame in frames for each in peer.questions(control.parse(frame))]


def test_an_agent_that_is_another_is_believed_once_it_has_answered() -> None:
    one, two = Unit(1), Unit(2, boot=77)
    assert not one.hear(two.keepalives())
    asked = one.keepalives()
    assert [each[:2] for each in questions(asked)] == [(2, Asked.ASK)]
    assert two.hear(asked)
    answer = two.keepalives()
    assert [each[:2] for each in questions(answer)] == [(1, Asked.ANSWER)]
    assert one.hear(answer)
    assert not one.hear(answer)  # it counts once
    assert one.hear(two.keepalives())
    assert questions(one.keepalives()) == []
    assert questions(two.keepalives()) == []


def test_two_that_are_others_believe_each_other_in_the_end() -> None:
    one, two = Unit(1, boot=66), Unit(2, boot=77)
    for _ in range(3):
        one.hear(two.keepalives())
        two.hear(one.keepalives())
    assert one.hear(two.keepalives())
    assert two.hear(one.keepalives())


def test_what_was_heard_of_an_agent_before_is_not_believed_again() -> None:
    """Neither its keepalives nor its answers, whoever sends them again."""
    one, two = Unit(1), Unit(2, boot=77)
    one.hear(two.keepalives())
    two.hear(one.keepalives())
    heard = two.keepalives()
    assert one.hear(heard)  # 77
    anew = Unit(2, boot=88)
    one.hear(anew.keepalives())
    anew.hear(one.keepalives())
    assert one.hear(anew.keepalives())  # 88
    assert not one.hear(heard)
    asked = one.keepalives()
    assert len(questions(asked)) == 1  # who was that?
    anew.hear(asked)
    assert one.hear(anew.keepalives())
    assert not one.hear(heard)


def test_an_answer_is_of_the_epoch_that_was_asked_about() -> None:
    one, two, anew = Unit(1), Unit(2, boot=77), Unit(2, boot=88)
    one.hear(two.keepalives())
    anew.hear(one.keepalives())
    assert not one.hear(anew.keepalives())


def test_who_does_not_answer_is_asked_for_a_while_and_with_another_number_then() -> None:
    one, two = Unit(1), Unit(2, boot=77)
    one.hear(two.keepalives())
    (asked,) = questions(one.keepalives())
    assert questions(one.keepalives()) == [asked]
    one.scene.now += PATIENCE
    assert questions(one.keepalives()) == []
    one.hear(two.keepalives())
    (again,) = questions(one.keepalives())
    assert again.nonce != asked.nonce


def test_no_asking_of_what_the_app_has_named_meanwhile() -> None:
    one, two = Unit(1), Unit(2, boot=77)
    one.hear(two.keepalives())
    assert questions(one.keepalives())
    one.scene.core.opener.name({2: 77})
    assert questions(one.keepalives()) == []
    assert one.hear(two.keepalives())


def test_a_keepalive_of_an_odd_question_is_refused() -> None:
    frame = bytearray(keepalive(records=[Question(1, Asked.ASK, 5)]))
    frame[control.HEADER.size + 1] = 9
    for sealer in (SEALERS[2], Sealer(KEYS, 2, 77)):
        scene = Scene()
        assert not scene.given_as_they_are(peer.sealed(bytes(frame), sealer))
        assert scene.count(Outcome.CONTROL_VALUE) == 1


def test_what_another_unit_is_asked_is_not_this_ones_to_answer() -> None:
    one = Unit(1)
    one.hear([peer.sealed(keepalive(records=[Question(3, Asked.ASK, 5)]), SEALERS[2])])
    assert questions(one.keepalives()) == []


def test_out_by_another_interface_nothing_is_sealed() -> None:
    """A session of the primary's own goes out as the kernel sent it."""
    scene = Scene().told()
    scene.offer(FOUND)
    frame = readdress(scene.leaving(), NEXT_HOP, scene.core.facts.own_macs[EXT])
    scene.core.desk.frames.append(frame)
    assert scene.frames() == [frame]
