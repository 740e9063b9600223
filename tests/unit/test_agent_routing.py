"""Routed ARP at the agents: questions of a kernel go to the primary's agent, answers come back."""

import pytest

from agents.core_routing import MOST_WAITING, WAITING
from agents.outcomes import Outcome
from agents.wire import control, routed_arp
from agents.wire.control_maps import State
from agents.wire.packet import readdress
from agents.wire.routed_arp import BROADCAST, REPLY, REQUEST, ROUTED_REPLY, ROUTED_REQUEST, Arp
from agents.wire.seal import ARP, PEER, SIZE, Keys, Sealer, epoch_bytes
from tests.unit.agent_scene import BOOTS, CLUSTER, EXT, GROUP, INT, KEYS, SEALERS, Scene

CLUSTERS = bytes((203, 0, 113, 1))
SERVER, SERVER_MAC = bytes((203, 0, 113, 10)), bytes.fromhex("0a0000000020")
ZERO = bytes(6)
HA = {unit.id: unit.ha_mac for unit in CLUSTER.units}
MACS = {unit.id: unit.macs for unit in CLUSTER.units}
APP = control.ETH_DST, control.ETH_SRC


def auxiliary() -> Scene:
    return Scene(unit=2).told("auxiliary")


def question(wanted: bytes = SERVER, interface: int = EXT, unit: int = 2, **fields: bytes) -> bytes:
    """What a unit's kernel asks."""
    mac = MACS[unit][interface - 1]
    asked = Arp(REQUEST, mac, CLUSTERS, ZERO, wanted, BROADCAST, mac)
    return routed_arp.encode(asked._replace(**fields))


def routed(unit: int = 2, **fields: object) -> Arp:
    """That question on the HA link."""
    mac = MACS[unit][EXT - 1]
    asked = Arp(ROUTED_REQUEST, mac, CLUSTERS, ZERO, SERVER, HA[1], HA[unit])
    return asked._replace(**fields)  # type: ignore[arg-type]


def answer(unit: int = 2, **fields: object) -> Arp:
    """Its answer on the HA link."""
    mac = MACS[unit][EXT - 1]
    told = Arp(ROUTED_REPLY, SERVER_MAC, SERVER, mac, CLUSTERS, HA[unit], HA[1])
    return told._replace(**fields)  # type: ignore[arg-type]


def sealed(arp: Arp, sealer: Sealer, to: int = 0) -> bytes:
    """As it goes to the unit whose HA port it is for, or to that one."""
    unit = to or {mac: unit for unit, mac in HA.items()}.get(arp.eth_dst, 1)
    return routed_arp.sealed(arp, sealer, epoch_bytes(BOOTS[unit]))


def become(scene: Scene, frame: bytes) -> Outcome:
    """What becomes of a frame that needs nothing of the kernel, and is counted once."""
    before = scene.core.desk.counters.copy()
    assert not scene.given_as_they_are(frame)
    ((outcome, times),) = (scene.core.desk.counters - before).items()
    assert times == 1
    return outcome


def written(scene: Scene) -> list[bytes]:
    return [frame for frame in scene.core.take(scene.now)[0] if frame[12:14] == b"\x08\x06"]


# -- an auxiliary's


@pytest.mark.parametrize("eth_dst", [BROADCAST, SERVER_MAC])
def test_what_the_kernel_asks_goes_sealed_to_the_primary_as_201(eth_dst: bytes) -> None:
    scene = auxiliary()
    assert become(scene, question(eth_dst=eth_dst)) == Outcome.ARP_ASKED
    (frame,) = written(scene)
    assert frame[:-SIZE] == routed_arp.encode(routed())
    KEYS.verified(ARP, frame[-SIZE:], frame[:-SIZE] + epoch_bytes(BOOTS[1]))


def test_the_answer_comes_to_the_kernel_as_an_ordinary_reply_and_once() -> None:
    scene = auxiliary()
    become(scene, question())
    written(scene)
    assert become(scene, sealed(answer(), SEALERS[1]) + bytes(9)) == Outcome.ARP_TOLD
    told = answer(op=REPLY, eth_dst=MACS[2][EXT - 1])
    assert written(scene) == [routed_arp.encode(told)]
    assert become(scene, sealed(answer(), SEALERS[1])) == Outcome.ARP_UNASKED
    assert written(scene) == []


@pytest.mark.parametrize(
    "other",
    [answer(spa=bytes((203, 0, 113, 11))), answer(tha=MACS[2][INT - 1])],
)
def test_an_answer_that_nobody_asked_for_is_dropped(other: Arp) -> None:
    scene = auxiliary()
    become(scene, question())
    written(scene)
    assert become(scene, sealed(other, SEALERS[1])) == Outcome.ARP_UNASKED
    assert written(scene) == []
    assert become(scene, sealed(answer(), SEALERS[1])) == Outcome.ARP_TOLD


def test_an_answer_is_waited_for_five_seconds_from_the_last_question_on() -> None:
    scene = auxiliary()
    become(scene, question())
    become(scene, question(bytes((203, 0, 113, 11))))
    scene.now += WAITING - 0.1
    become(scene, question())
    scene.now += WAITING - 0.1
    assert become(scene, sealed(answer(), SEALERS[1])) == Outcome.ARP_TOLD
    assert scene.core.routing.waiting == {}
    become(scene, question())
    scene.now += WAITING
    assert become(scene, sealed(answer(), SEALERS[1])) == Outcome.ARP_UNASKED


def test_questions_that_wait_are_bounded() -> None:
    scene = auxiliary()
    for number in range(MOST_WAITING):
        become(scene, question(bytes((203, 0, number >> 8, number & 255))))
    assert become(scene, question(bytes((10, 0, 0, 1)))) == Outcome.ARP_FULL
    assert len(scene.core.routing.waiting) == MOST_WAITING
    scene.now += WAITING
    assert become(scene, question(bytes((10, 0, 0, 1)))) == Outcome.ARP_ASKED
    assert len(scene.core.routing.waiting) == 1


def test_without_a_primary_there_is_nobody_to_ask() -> None:
    for scene in (Scene(unit=2), Scene(unit=2).told("none")):
        if scene.core.desk.told:
            state = State(1, "none", 0, balancing=False)
            scene.given(control.state_frame(GROUP, 2, state))
        assert become(scene, question()) == Outcome.ARP_NOBODY
        assert written(scene) == []


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (routed_arp.encode(answer()), Outcome.SEAL_TRUNCATED),
        (sealed(answer(), Sealer(Keys([bytes(32)], GROUP), 1, BOOTS[1])), "key"),
        (sealed(answer(), SEALERS[3]), Outcome.SEAL_UNIT),
        (sealed(answer(), Sealer(KEYS, 1, 5)), Outcome.SEAL_EPOCH),
        (sealed(answer(eth_src=HA[3]), SEALERS[3]), Outcome.ARP_STRANGER),
        (sealed(answer(eth_dst=HA[3]), SEALERS[1]), Outcome.ARP_STRANGER),
        (sealed(answer(tha=MACS[3][EXT - 1]), SEALERS[1]), Outcome.ARP_STRANGER),
        (sealed(routed(3, eth_dst=HA[2]), SEALERS[3]), Outcome.ARP_STRANGER),
        (routed_arp.encode(answer(op=REPLY)), Outcome.ARP_STRANGER),
        (question(unit=3), Outcome.ARP_STRANGER),
        (question(eth_src=SERVER_MAC), Outcome.ARP_STRANGER),
        (question()[:41], Outcome.ARP_TRUNCATED),
        (question()[:15] + b"\x07" + question()[16:], Outcome.ARP_FORMAT),
    ],
)
def test_who_is_not_the_primarys_agent_tells_an_auxiliary_nothing(
    frame: bytes, outcome: Outcome | str
) -> None:
    scene = auxiliary()
    become(scene, question())
    written(scene)
    found = become(scene, frame)
    assert found in ((Outcome.SEAL_KEY, Outcome.SEAL_TAG) if outcome == "key" else (outcome,))
    assert written(scene) == []
    assert list(scene.core.routing.waiting) == [(EXT, SERVER)]


def test_no_byte_of_an_answer_can_be_another() -> None:
    good = sealed(answer(), SEALERS[1])
    for at in range(len(good)):
        scene = auxiliary()
        become(scene, question())
        written(scene)
        frame = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
        if frame[12:14] == b"\x08\x06":
            assert become(scene, frame) != Outcome.ARP_TOLD
        assert written(scene) == []


# -- the primary's


def test_the_primarys_agent_asks_the_app_for_another_unit() -> None:
    scene = Scene().told()
    frame = sealed(routed(), SEALERS[2])
    assert become(scene, frame + bytes(4)) == Outcome.ARP_ROUTED
    assert written(scene) == [readdress(routed_arp.encode(routed()), *APP)]
    assert become(scene, frame) == Outcome.SEAL_REPLAYED
    assert written(scene) == []


def test_it_seals_what_the_app_answers_and_the_unit_that_asked_believes_it() -> None:
    scene = Scene().told()
    told = routed_arp.encode(answer(eth_dst=APP[0], eth_src=APP[1]))
    assert become(scene, told) == Outcome.ARP_ANSWERED
    (frame,) = written(scene)
    assert frame[:-SIZE] == routed_arp.encode(answer())
    asker = auxiliary()
    become(asker, question())
    assert become(asker, frame) == Outcome.ARP_TOLD


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (routed_arp.encode(routed()), Outcome.SEAL_TRUNCATED),
        (routed_arp.encode(routed()) + SEALERS[2].seal(PEER, routed_arp.encode(routed())), "tag"),
        (sealed(routed(), SEALERS[3]), Outcome.SEAL_UNIT),
        (sealed(routed(sha=MACS[3][EXT - 1]), SEALERS[2]), Outcome.ARP_STRANGER),
        (sealed(routed(sha=MACS[1][EXT - 1]), SEALERS[2]), Outcome.ARP_STRANGER),
        (sealed(routed(eth_dst=HA[3]), SEALERS[2]), Outcome.ARP_STRANGER),
        (sealed(routed(eth_src=SERVER_MAC), SEALERS[2]), Outcome.ARP_STRANGER),
        (sealed(answer(eth_dst=HA[1], eth_src=HA[2]), SEALERS[2]), Outcome.ARP_STRANGER),
        (routed_arp.encode(answer(eth_dst=APP[0], eth_src=APP[1], tha=ZERO)), Outcome.ARP_STRANGER),
        (question(unit=1), Outcome.ARP_NOBODY),
    ],
)
def test_who_is_no_unit_asks_the_app_nothing(frame: bytes, outcome: Outcome | str) -> None:
    scene = Scene().told()
    assert become(scene, frame) == (Outcome.SEAL_TAG if outcome == "tag" else outcome)
    assert written(scene) == []


def test_the_apps_word_does_not_come_to_an_auxiliary() -> None:
    scene = auxiliary()
    become(scene, question())
    written(scene)
    told = routed_arp.encode(answer(eth_dst=APP[0], eth_src=APP[1]))
    assert become(scene, told) == Outcome.ARP_STRANGER
    assert written(scene) == []
