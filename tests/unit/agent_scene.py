"""A unit of a small cluster for the tests of the agent's core: its frames, its kernel's answers.

The kernel is played by scripts: what the core asks, and what it is answered, step by step.
"""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agents.config import parse
from agents.core import Core
from agents.core_facts import INTERVAL, Steps, facts_of
from agents.core_primary import LASTING
from agents.ctexpect import GetExpectation
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    SEEN_REPLY,
    SYN_RECV,
    SYN_SENT,
    Entry,
    Get,
    Request,
    Result,
    Update,
)
from agents.outcomes import Outcome
from agents.wire import control, peer
from agents.wire.control_maps import State
from agents.wire.errors import WireError
from agents.wire.labels import with_unit
from agents.wire.packet import ETHERNET, inverse, readdress, tuple12
from agents.wire.ports import ha_group
from agents.wire.seal import PEER, SIZE, SYN, Keys, Sealer, epoch_bytes
from tests.unit.wire_frames import append_data, syn

GROUP = 7
INT, EXT = 1, 2
CLUSTER = parse(
    f"""
name: scene
group: {GROUP}
method: round-robin
interfaces:
  int: {{nic: nic-int, addresses: [10.1.0.1/24]}}
  ext: {{nic: nic-ext, addresses: [203.0.113.1/24]}}
ha: {{nic: nic-ha, subnet: 169.254.83.0/24}}
units:
  - {{id: 1}}
  - {{id: 2}}
  - {{id: 3}}
controllers: ["tcp:127.0.0.1:6653"]
pickup: off
"""
)
SELECTIVE = parse(
    """
name: scene
group: 7
method: round-robin
balance: labelled
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
ha: {nic: nic-ha, subnet: 169.254.83.0/24}
units: [{id: 1}, {id: 2}]
controllers: ["tcp:127.0.0.1:6653"]
pickup: off
"""
)
PICKUP = replace(CLUSTER, pickup="established")
BY_THE_CLOCK = (control.ANNOUNCE, control.KEEPALIVE)
HOST = "fw1.example.net"
FIRST_ID = 0xFFFFFFFF  # the first offer's; the second's is 0
BOOTS = {unit: 0xABC0 + unit << 32 | FIRST_ID for unit in (1, 2, 3)}
BOOT = BOOTS[1]
KEYS = Keys([bytes(range(32))], GROUP)
# The units' agents: as long as the tests run, no two seals have the same number.
SEALERS = {unit: Sealer(KEYS, unit, boot) for unit, boot in BOOTS.items()}

ORIG = tuple12("10.1.0.10", "203.0.113.10", 40000, 80)
REPLY = tuple12("203.0.113.10", "203.0.113.1", 80, 1025)
NEXT_HOP = bytes.fromhex("02aabbccddee")
# A session with a helper, of which other sessions come.
MASTER = tuple12("10.1.0.10", "203.0.113.10", 39999, 21)
MASTER_REPLY = tuple12("203.0.113.10", "203.0.113.1", 21, 1021)


def labels(*bits: int) -> bytes:
    """Conntrack labels with these bits."""
    return sum(1 << bit for bit in bits).to_bytes(16, "little")


def from_interface(index: int) -> int:
    """The label bit of an interface."""
    return 64 + index


def entry(orig: bytes = ORIG, reply: bytes = REPLY, *bits: int, **fields: object) -> Entry:
    """An entry as the primary's kernel makes it: a SYN that came in by `int`."""
    made = Entry(orig, reply, CONFIRMED, SYN_SENT, 120, 5, labels(from_interface(INT), *bits))
    return made._replace(**fields)  # type: ignore[arg-type]


OWN = Update(ORIG, *with_unit(1))
FOUND = (Get(REPLY), entry())
UNANNOUNCED = (GetExpectation(ORIG), errno.ENOENT)


def known_to_be(unit: int) -> tuple[tuple[Get, Entry], tuple[GetExpectation, int]]:
    """The entry of a session that has that unit already; no other has announced its like."""
    return (Get(REPLY), entry(ORIG, REPLY, unit)), UNANNOUNCED


def frozen(unit: int, status: int = CONFIRMED, *, helper: bool = False) -> Update:
    """What is done to the entry of a session that goes to another unit."""
    return Update(ORIG, *with_unit(unit, helper), status | SEEN_REPLY | ASSURED, LASTING, SYN_RECV)


@dataclass
class Scene:
    """A unit's core at a time."""

    unit: int = 1
    cluster: object = CLUSTER
    mtu: int = 1500
    now: float = 1000.0
    core: Core = field(init=False)

    def __post_init__(self) -> None:
        facts = facts_of(
            self.cluster,  # type: ignore[arg-type]
            self.unit,
            boot=BOOTS[self.unit],
            host=HOST,
            version="0",
            mtus={INT: self.mtu, EXT: self.mtu},
        )
        self.core = Core(facts, KEYS, self.now)
        self.core.opener.name(BOOTS)
        list(self.core.tick(self.now))  # what it asks for waits for a test that answers
        self.core.take(self.now)

    def told(self, role: str = "primary") -> "Scene":
        """After the app's word. (Not heeded: whether it balances. The SYNs come only if so.)"""
        state = State(boot=1, role=role, primary=1, balancing=False)
        assert not list(self.given(control.state_frame(GROUP, self.unit, state)))
        return self

    def spoken_to(self) -> "Scene":
        """The app has been there all the time."""
        self.core.desk.heard = self.now
        return self

    def given(self, *frames: bytes) -> list[Steps]:
        """What the core makes of these frames. Those of other units' agents get their seals."""
        return self.given_as_they_are(*map(with_seal, frames))

    def given_as_they_are(self, *frames: bytes) -> list[Steps]:
        """The same, without."""
        return list(self.core.frames(frames, self.now))

    def dumped(self, entries: Sequence[Entry], last: bool) -> None:
        """A piece of a dump, while nothing is to be adopted."""
        assert not list(self.core.dumped(entries, last, 432000, self.now))

    def due(self) -> float:
        """When it has something to do next, but for keepalives."""
        hearing = self.core.hearing
        kept, hearing._next = hearing._next, float("inf")
        try:
            return self.core.deadline()
        finally:
            hearing._next = kept

    def frames(self) -> list[bytes]:
        """What it writes, but for announcements."""
        return [f for f in self.taken() if kind(f) not in BY_THE_CLOCK]

    def taken(self) -> list[bytes]:
        """What it writes. Seals must be right, and are cut off."""
        return list(map(without_seal, self.core.take(self.now)[0]))

    def written(self, kind_wanted: int) -> list[control.Message]:
        """Control frames of that kind among what it writes; there must be no others."""
        messages = [control.parse(frame) for frame in self.frames()]
        assert [message.kind for message in messages] == [kind_wanted] * len(messages)
        return messages

    def answered(self) -> list[peer.Answered]:
        """What this primary answers to an auxiliary that asked."""
        return [
            each for message in self.written(control.EXPECTED) for each in peer.answers(message)
        ]

    def count(self, outcome: Outcome) -> int:
        return self.core.desk.counters[outcome]

    def leaving(self, reply: bytes = REPLY, **fields: object) -> bytes:
        """A SYN as this unit's kernel sends it out by `ext`."""
        frame = syn(inverse(reply), ttl=63, **fields)  # type: ignore[arg-type]
        return readdress(frame, NEXT_HOP, self.core.facts.own_macs[EXT])

    def heard(self, *frames: bytes) -> list[Outcome]:
        """What becomes of frames that need nothing of the kernel."""
        return run(self.given(*frames))

    def offer(self, *script: tuple[Request, Result], **fields: object) -> control.Offer:
        """Have a SYN offered, and return the record that the app gets."""
        (steps,) = self.given(self.leaving(**fields))
        assert drive(steps, *script) == Outcome.OFFERED
        (message,) = self.written(control.OFFER)
        (offer,) = control.offers(message)
        return offer

    def decide(self, offer_id: int, unit: int, *script: tuple[Request, Result]) -> Outcome:
        """The app's decision comes."""
        record = control.Decided(offer_id, unit)
        (steps,) = self.given(*control.decided_frames(GROUP, self.unit, [record]))
        return drive(steps, *script)


def link(sender: int, receiver: int, group: int = GROUP) -> peer.Link:
    """Between the agents of two units of CLUSTER."""
    macs = (CLUSTER.unit(sender).ha_mac, CLUSTER.unit(receiver).ha_mac)
    return peer.Link(group, sender, *macs)


def link_to_all(sender: int) -> peer.Link:
    """From the agent of a unit of CLUSTER to all others."""
    return link(sender, sender)._replace(dst=ha_group(GROUP))


def with_seal(frame: bytes) -> bytes:
    """The frame, if it is one of an agent's to others, with the seal of the unit that it names."""
    of_agents = frame[:6] != control.ETH_DST and frame[12:14] == b"\x88\xb5"
    sealer = SEALERS.get(frame[17]) if of_agents and len(frame) > 17 else None
    if sealer is None:
        return frame
    try:
        end = control.HEADER.size + len(control.parse(frame).body)
    except WireError:
        end = len(frame)
    return peer.sealed(frame[:end], sealer) + frame[end:]


def without_seal(frame: bytes) -> bytes:
    """The frame, if it is one of an agent's to others, without its seal, which must be right."""
    if frame[:6] == control.ETH_DST or frame[12:14] != b"\x88\xb5":
        return frame
    KEYS.verified(PEER, frame[-SIZE:], frame[:-SIZE])
    return frame[:-SIZE]


def with_data(frame: bytes, data: bytes, sender: int = 1, to: int = 2) -> bytes:
    """A client's SYN with SYN data and that unit's seal of both, for the other."""
    covered = frame[ETHERNET:] + data + epoch_bytes(BOOTS[to])
    return append_data(frame, data + SEALERS[sender].seal(SYN, covered))


def expectation(port: int = 50000, master: bytes = MASTER, **fields: object) -> peer.Expectation:
    """What `PORT` makes a kernel expect: the server comes back, and is translated to the client."""
    made = peer.Expectation(
        master,
        tuple12("203.0.113.10", "203.0.113.1", 0, port),
        b"\xff\xff\xff\xff\0\0",
        function="nat-follow-master",
        direction=1,
        nat=bytes(4) + (50000).to_bytes(2),
    )
    return made._replace(**fields)  # type: ignore[arg-type]


def kind(frame: bytes) -> int:
    """The kind of a control frame, 0 of another."""
    return control.parse(frame).kind if frame[12:14] == b"\x88\xb5" else 0


def drive(steps: Steps, *script: tuple[Request, Result]) -> Outcome:
    """Run steps to their end: each request must be the script's next, and gets its result."""
    result: Result | None = None
    for request, answer in script:
        assert (next(steps) if result is None else steps.send(result)) == request
        result = answer
    try:
        extra = next(steps) if result is None else steps.send(result)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    raise AssertionError(f"asked for more: {extra}")


def run(steps: Iterable[Steps]) -> list[Outcome]:
    """Run steps that ask for nothing."""
    return [drive(each) for each in steps]


def announced(scene: Scene) -> control.Announce:
    """The announcement that is due by now."""
    run(scene.core.tick(scene.now))
    frames, _ = scene.core.take(scene.now)
    messages = [control.parse(frame) for frame in frames]
    (told,) = [control.announce(m) for m in messages if m.kind == control.ANNOUNCE]
    return told


def resynced(scene: Scene) -> int:
    """How often a census has been called for, by the next announcement."""
    scene.now += INTERVAL
    return announced(scene).resync
