"""An auxiliary whose sessions announce others: packets, events, and the primary's answers."""

from agents.ctexpect import Expected
from agents.ctnetlink import Get
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.packet import inverse, readdress, tuple12
from agents.wire.peer import Answer, Ask, Expectation, Withdrawn
from agents.wire.ports import helper_mac
from tests.unit.agent_scene import (
    CLUSTER,
    EXT,
    FIRST_ID,
    GROUP,
    MASTER,
    MASTER_REPLY,
    NEXT_HOP,
    Scene,
    drive,
    entry,
    expectation,
    kind,
    link,
    run,
)
from tests.unit.wire_frames import syn

OTHER = tuple12("10.1.0.11", "203.0.113.10", 40001, 21)
OTHER_REPLY = tuple12("203.0.113.10", "203.0.113.1", 21, 1022)
FOUND = (Get(MASTER_REPLY), entry(MASTER, MASTER_REPLY, 2))
FIRST, SECOND = FIRST_ID, 0  # ids of asks


def auxiliary() -> Scene:
    return Scene(unit=2).told("auxiliary")


def packet(
    number: int = 0, received: bytes = MASTER_REPLY, port: int = EXT, **fields: int
) -> bytes:
    """What the client (or the server) says, as the kernel shows it to the bridge."""
    frame = syn(inverse(received), ttl=63, flags="PA", payload=b"%d\r\n" % number, **fields)
    return readdress(frame, NEXT_HOP, helper_mac(port))


def sent(number: int = 0, received: bytes = MASTER_REPLY, port: int = EXT, **fields: int) -> bytes:
    """The same as it leaves."""
    return readdress(
        packet(number, received, port, **fields), NEXT_HOP, CLUSTER.unit(2).macs[port - 1]
    )


def told(scene: Scene, *expectations: Expectation, made: bool = True, lost: bool = False) -> None:
    """Events come."""
    scene.core.expected([Expected(made, each) for each in expectations], lost, scene.now)


def written(scene: Scene) -> tuple[list[bytes], list[Ask], list[Withdrawn]]:
    """Packets, asks, and what is withdrawn: all that it writes, in order of each."""
    packets, asks, withdrawn = [], [], []
    for frame in scene.frames():
        if kind(frame):
            assert frame[:12] == CLUSTER.unit(1).ha_mac + CLUSTER.unit(2).ha_mac
            message = control.parse(frame)
            assert (message.group, message.unit) == (GROUP, 2)
            if message.kind == control.EXPECT:
                asks += peer.asks(message)
            else:
                withdrawn += peer.withdrawn(message)
        else:
            packets.append(frame)
    return packets, asks, withdrawn


def passed(scene: Scene, frame: bytes, *script: tuple[object, object]) -> Outcome:
    """A packet leaves the kernel."""
    (steps,) = scene.given(frame)
    return drive(steps, *script)  # type: ignore[arg-type]


def holding(*expectations: Expectation) -> Scene:
    """The primary was asked, and a packet is held."""
    scene = auxiliary()
    told(scene, *(expectations or (expectation(),)))
    assert passed(scene, packet(), FOUND) == Outcome.HELPER_HELD
    packets, asks, withdrawn = written(scene)
    assert (packets, withdrawn) == ([], [])
    assert len(asks) == max(1, len(expectations))
    return scene


def answer(scene: Scene, ask_id: int, said: Answer, *script: tuple[object, object]) -> Outcome:
    """The primary's agent answers."""
    (frame,) = peer.expected_frames(link(1, 2), [peer.Answered(ask_id, said)])
    (steps,) = scene.given(frame)
    return drive(steps, *script)  # type: ignore[arg-type]


def later(scene: Scene, seconds: float) -> None:
    """Time passes; what is due is done."""
    scene.now += seconds
    scene.core.desk.heard = scene.now
    assert run(scene.core.tick(scene.now)) == []
