"""Agents with real sockets on real kernels; their bridge, and the app behind it, are played."""

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence

from agents.agent import Agent
from agents.config import Cluster, parse
from agents.conntrack import Conntrack
from agents.core_facts import facts_of
from agents.ctnetlink import CONFIRMED, SYN_SENT, Create, Entry
from agents.wire import control
from agents.wire.control_maps import State
from agents.wire.packet import inverse, tuple12
from agents.wire.ports import SYNOD_NAME
from agents.wire.seal import Keys
from tests.lab.namespaces import Namespace, link, namespaces

PRIMARY, AUXILIARY = 1, 2
BOOTS = {PRIMARY: 7, AUXILIARY: 8}
INSIDE, OUTSIDE = 1, 2
CONFIG = """
name: box
group: 9
method: round-robin
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
ha: {nic: nic-ha, subnet: 169.254.83.0/24}
units:
  - {id: 1}
  - {id: 2}
controllers: ["tcp:127.0.0.1:6653"]
pickup: off
"""
# Labels want a rule that uses them, NAT wants its chains.
RULES = """
table inet synod {
    chain arrival {
        type filter hook prerouting priority -199; policy accept;
        iifname "int" ct state new ct label set 65
    }
    chain translate {
        type nat hook postrouting priority srcnat; policy accept;
    }
}
"""


class Box:
    """A unit's network stack without its bridge, whose part at `synod0` is played here."""

    def __init__(
        self, unit: int, inside: Namespace, outside: Namespace, config: str = CONFIG
    ) -> None:
        self.cluster = parse(config)
        self.unit = unit
        self.inside = inside
        for name in (SYNOD_NAME, "int", "ext"):
            link(inside, name, outside, f"to-{name}")
        inside.sysctl(net__netfilter__nf_conntrack_events=1)
        inside.rules(RULES)
        with inside.entered():
            self.conntrack = Conntrack()
        with outside.entered():
            self.bridge = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.bridge.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        self.bridge.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.bridge.bind((f"to-{SYNOD_NAME}", 3))
        self.bridge.setblocking(False)
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        """The agent, once started."""
        assert self._agent
        return self._agent

    def start(self) -> None:
        """Starts the agent: it runs in `give`, and wherever its `turn` is called."""
        mtus = {INSIDE: 1500, OUTSIDE: 1500}
        with self.inside.entered():
            facts = facts_of(
                self.cluster, self.unit, boot=BOOTS[self.unit], host="", version="0", mtus=mtus
            )
            self._agent = Agent(facts, Keys([bytes(32)], self.cluster.group))

    def stop(self) -> None:
        """Ends the agent, if it was started."""
        if self._agent:
            self._agent.close()
            self._agent = None

    def give(self, frames: Sequence[bytes]) -> float:
        """Puts frames on the port, and returns the seconds that the agent spent on all of them."""
        for frame in frames:
            self.bridge.send(frame)
        spent, left = 0.0, len(frames)
        deadline = time.monotonic() + 10
        while left > 0 and time.monotonic() < deadline:
            before = time.perf_counter()
            left -= self.agent.turn()
            spent += time.perf_counter() - before
        return spent

    def taken(self) -> Iterator[bytes]:
        """What the agent wrote."""
        with contextlib.suppress(BlockingIOError):
            while True:
                yield self.bridge.recv(2000)

    def tell(self, role: str) -> None:
        """The app's word."""
        state = State(boot=1, role=role, primary=PRIMARY, balancing=True, boots=BOOTS)
        self.give([control.state_frame(self.cluster.group, self.unit, state)])

    def close(self) -> None:
        """Gives its sockets back."""
        self.stop()
        self.conntrack.close()
        self.bridge.close()


@contextlib.contextmanager
def boxes(config: str = CONFIG) -> Iterator[tuple[Box, Box]]:
    """A primary and an auxiliary."""
    with namespaces(4) as (one, wire, two, other), contextlib.ExitStack() as closing:
        made = []
        for unit, inside, outside in ((PRIMARY, one, wire), (AUXILIARY, two, other)):
            made.append(Box(unit, inside, outside, config))
            closing.callback(made[-1].close)
            made[-1].start()
        yield made[0], made[1]


def sessions(count: int, start: int = 0) -> list[tuple[bytes, bytes]]:
    """Tuples, orig and reply, of sessions with their source translated."""
    made = []
    for number in range(start, start + count):
        sport = 1024 + number % 60000
        orig = tuple12(f"10.1.{number // 60000}.10", "203.0.113.10", sport, 80)
        made.append((orig, tuple12("203.0.113.10", "203.0.113.1", 80, sport)))
    return made


def syn(cluster: Cluster, unit: int, reply: bytes) -> bytes:
    """A SYN as that unit's kernel sends it out, with the options of Linux."""
    sent = inverse(reply)
    ip = bytes.fromhex("4500003c000040003f060000") + sent[:8]
    ip = ip[:10] + (0xFFFF - int.from_bytes(ip) % 0xFFFF).to_bytes(2) + ip[12:]
    options = bytes.fromhex("020405b40402080a000000010000000001030307")
    tcp = sent[8:] + bytes.fromhex("0000100000000000a002faf000000000") + options
    pseudo = sent[:8] + bytes((0, 6)) + len(tcp).to_bytes(2)
    total = 0xFFFF - int.from_bytes(pseudo + tcp) % 0xFFFF
    macs = bytes.fromhex("02aabbccddee") + cluster.unit(unit).macs[OUTSIDE - 1]
    return macs + b"\x08\x00" + ip + tcp[:16] + total.to_bytes(2) + tcp[18:]


def prepare(box: Box, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Entries as the primary's kernel makes them."""
    label = (1 << 64 + INSIDE).to_bytes(16, "little")
    made = [Entry(o, r, CONFIRMED, SYN_SENT, 120, 5, label) for o, r in pairs]
    results = box.conntrack.transact([Create(entry) for entry in made])
    assert not any(results), results


def decisions(box: Box, unit: int) -> tuple[list[bytes], list[bytes]]:
    """The app's answer to all offers that were made, and the other frames: not control frames."""
    answers, others = [], []
    for frame in box.taken():
        if frame[12:14] != b"\x88\xb5":
            others.append(frame)
            continue
        message = control.parse(frame)
        if message.kind == control.OFFER:
            answers += [control.Decided(o.offer_id, unit) for o in control.offers(message)]
    return control.decided_frames(box.cluster.group, box.unit, answers), others
