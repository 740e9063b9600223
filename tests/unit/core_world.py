"""A cluster's surroundings for the app's core: bridges that do what they are told, agents that
talk.

Only what the core sees of them is here: cookies of static flows, tokens, frames. What flows do to
packets is asked of a real switch (tests/switch).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from agents.config import Cluster, parse
from agents.wire import control, ports
from ryu_apps.core import events
from ryu_apps.core.controller import Controller
from ryu_apps.core.events import Effect, Event
from ryu_apps.core.flows import Flow, part_of
from ryu_apps.core.limits import Meter
from ryu_apps.core.moments import Moment
from ryu_apps.core.sessions import YOUNG
from ryu_apps.core.status import status


def cluster_of(
    units: int = 3,
    *,
    method: str = "round-robin",
    weights: tuple[int, ...] = (),
    priorities: tuple[int, ...] = (),
    overrides: tuple[int, ...] = (),
    session_table: str = "flows",
) -> Cluster:
    """A cluster of two interfaces."""
    listed = [
        f"{{id: {unit}, weight: {(weights or (1,) * units)[unit - 1]},"
        f" priority: {(priorities or (100,) * units)[unit - 1]},"
        f" override: {str(unit in overrides).lower()}}}"
        for unit in range(1, units + 1)
    ]
    return parse(
        f"""
        name: lab
        group: 1
        method: {method}
        session_table: {session_table}
        interfaces:
          int: {{nic: nic-int, addresses: [10.1.0.1/24]}}
          ext: {{nic: nic-ext, addresses: [203.0.113.1/24, 198.51.100.1/24]}}
        ha: {{nic: nic-ha}}
        units: [{", ".join(listed)}]
        controllers: ["tcp:127.0.0.1:6653"]
        """
    )


def tuples(number: int) -> tuple[bytes, bytes]:
    """orig and reply of session `number`: a client that is translated to the cluster's address."""
    client, server, cluster = (
        bytes((10, 1, 0, 10)),
        bytes((203, 0, 113, 10)),
        bytes((203, 0, 113, 1)),
    )
    port = (40000 + number).to_bytes(2, "big")
    return client + server + port + b"\0\x50", server + cluster + b"\0\x50" + port


@dataclass
class FakeBridge:
    """What a switch remembers for the core."""

    connection: int = 0
    cookies: set[int] = field(default_factory=set)
    answers: bool = True  # False: messages get lost
    refuses: bool = False
    lied: bool = False  # it has said of what it has what isn't so
    packets: dict[int, int] = field(default_factory=dict)
    meters: dict[int, int] = field(default_factory=dict)  # number -> rate
    over: dict[int, int] = field(default_factory=dict)  # number -> packets dropped

    def change(self, meters: events.Meters) -> bool:
        """As a switch does: it refuses what doesn't fit what it has, which nobody may ask for but
        who was lied to.
        """
        known = {*(each.number for each in meters.change), *meters.delete}
        fits = not dict(meters.add).keys() & self.meters.keys() and known <= self.meters.keys()
        assert fits or self.lied
        if fits:
            self.meters |= dict(meters.add) | dict(meters.change)
            for number in meters.delete:
                del self.meters[number]
        return fits


class World:
    """A controller, the bridges it talks to, and everything else that it wanted done."""

    def __init__(self, cluster: Cluster | None = None, *, boot: int = 7) -> None:
        self.cluster = cluster or cluster_of()
        self.now = 1000.0
        self.bridges = {unit.id: FakeBridge() for unit in self.cluster.units}
        # What the primary's bridge has of sessions, flows or entries: tuple -> unit.
        self.flows: dict[bytes, int] = {}
        self._connections = count(1)
        self.restart(boot)

    def restart(self, boot: int = 8) -> None:
        """A new app; switches and agents stay."""
        self.controller = Controller(self.cluster, boot)
        self.controller.start(self.now)
        self.feed(events.Tick())

    # -- events

    def feed(self, event: Event) -> list[Effect]:
        """One event, and what follows from it by the bridges' answers; all effects."""
        effects: list[Effect] = []
        for effect in self.controller.handle(event, self.now):
            effects.append(effect)
            answer = self._answer(effect)
            effects += self.feed(answer) if answer else []
        return effects

    def connect(self, unit: int) -> list[Effect]:
        bridge = self.bridges[unit]
        bridge.connection = next(self._connections)
        return self.feed(events.Connected(unit, bridge.connection))

    def lose(self, unit: int) -> list[Effect]:
        return self.feed(events.Lost(unit, self.bridges[unit].connection))

    def frame(self, unit: int, frame: bytes, port: int = ports.SYNOD) -> list[Effect]:
        return self.feed(events.FrameIn(unit, self.bridges[unit].connection, port, frame))

    def frames(self, unit: int, frames: Iterable[bytes]) -> list[Effect]:
        """What an agent writes, in one block."""
        return self.feed(events.FramesIn(unit, self.bridges[unit].connection, [*frames]))

    def announcement(self, sender: int, **changes: Any) -> control.Announce:
        macs = {
            interface.name: ports.mac_text(mac)
            for interface, mac in zip(
                self.cluster.interfaces, self.cluster.unit(sender).macs, strict=True
            )
        }
        told = control.Announce(
            unit=sender,
            group=self.cluster.group,
            boot=sender,
            name=f"u{sender}",
            version="1",
            role="none",
            primary=0,
            macs=macs,
            digest=self.cluster.digest,
            serving=0,
            resync=0,
            forfeited=self.controller.formation.takeover.forfeit(sender),
        )
        return replace(told, **changes)

    def announce(self, sender: int, **changes: Any) -> list[Effect]:
        return self.frames(sender, control.announce_frames(self.announcement(sender, **changes)))

    def offer(self, unit: int, *numbers: int, known: int = 0) -> list[Effect]:
        offers = [control.Offer(number, known, 1, 2, 0, *tuples(number)) for number in numbers]
        return self.frames(unit, control.offer_frames(self.cluster.group, unit, offers))

    def ended(self, unit: int, *numbers: int) -> list[Effect]:
        """These end, each long enough after it was decided to be believed."""
        self.now += YOUNG
        sessions = [control.Session(*tuples(number)) for number in numbers]
        return self.frames(unit, control.ended_frames(self.cluster.group, unit, sessions))

    def census(self, unit: int, token: int, found: dict[int, int]) -> list[Effect]:
        """Answer a census: session number -> unit in its label."""
        records = [control.Counted(*tuples(number), label) for number, label in found.items()]
        return self.frames(unit, control.census_frames(self.cluster.group, unit, token, records))

    def tick(self, seconds: float = 0.2) -> list[Effect]:
        self.now += seconds
        return self.feed(events.Tick())

    def pass_time(self, seconds: float, *announcing: int) -> list[Effect]:
        """Ticks of 0.2 s, in each of which these units announce themselves."""
        effects: list[Effect] = []
        for _ in range(round(seconds / 0.2)):
            for unit in announcing:
                effects += self.announce(unit)
            effects += self.tick()
        return effects

    def form(self, *units: int) -> "World":
        """Bring up these units, or all, as a fresh cluster, and end the first censuses empty."""
        chosen = units or tuple(unit.id for unit in self.cluster.units)
        for unit in chosen:
            self.connect(unit)
        effects = self.pass_time(2.4, *chosen)
        for unit, token in census_requests(effects):
            self.census(unit, token, {})
        return self

    # -- what became of it

    @property
    def moment(self) -> Moment:
        """Now; the world began at 1,700,000,000 s after the epoch."""
        return Moment(self.now, 1_700_000_000.0 + self.now - 1000.0)

    def status(self) -> dict[str, Any]:
        """What the app tells."""
        return status(self.controller, self.moment)

    def decided(self, effects: Iterable[Effect]) -> dict[int, int]:
        """Offer id -> unit of all DECIDED frames."""
        messages = (control.parse(frame) for frame in agent_frames(effects))
        return {
            decided.offer_id: decided.unit
            for message in messages
            if message.kind == control.DECIDED
            for decided in control.decided(message)
        }

    def states(self) -> dict[int, tuple[str, str]]:
        """Unit -> state and role, as the status tells them."""
        told = self.status()["units"]
        return {unit["id"]: (unit["state"], unit["role"]) for unit in told}

    def live(self) -> dict[int, int]:
        return {unit["id"]: unit["sessions"]["live"] for unit in self.status()["units"]}

    def served(self) -> dict[int, int]:
        return {unit["id"]: unit["sessions"]["served"] for unit in self.status()["units"]}

    @property
    def counters(self) -> dict[str, int]:
        return self.status()["counters"]

    def _change_session_flows(self, effect: Effect) -> None:
        if isinstance(effect, events.Settle):
            for tuple12 in effect.delete:
                self.flows.pop(tuple12, None)
            for unit, *both in effect.add:
                self.flows.update(dict.fromkeys(both, unit))
        primary = self.controller.members.primary_id
        if isinstance(effect, events.Forget) and effect.unit == primary:
            self.flows = {}
        if isinstance(effect, events.ForgetParts):
            self.flows = {
                tuple12: unit
                for tuple12, unit in self.flows.items()
                if unit != effect.of or part_of(tuple12) not in effect.parts
            }

    def _answer(self, effect: Effect) -> Event | None:
        """What a bridge answers."""
        if isinstance(effect, events.Line):
            return None
        bridge = self.bridges[effect.unit]
        self._change_session_flows(effect)
        if not bridge.answers:
            return None
        if isinstance(effect, events.Ping):
            return events.Pong(effect.unit, bridge.connection)
        answer: Event | None = None
        if isinstance(effect, events.AskStatic):
            answer = events.StaticFlows(
                effect.unit,
                bridge.connection,
                effect.token,
                frozenset(bridge.cookies),
                frozenset(map(Meter._make, bridge.meters.items())),
            )
        elif isinstance(effect, events.Install):
            bridge.cookies |= {flow.cookie for flow in effect.add}
            bridge.cookies -= set(effect.delete)
            if not bridge.change(effect.meters) or bridge.refuses:
                self.feed(events.Refused(effect.unit, bridge.connection, effect.token, "no"))
            answer = events.Confirmed(effect.unit, bridge.connection, effect.token)
        elif isinstance(effect, events.AskCount):
            packets = bridge.packets.get(effect.cookie, 0)
            answer = events.Counted(effect.unit, bridge.connection, effect.cookie, packets)
        elif isinstance(effect, events.AskMeters):
            answer = events.Metered(effect.unit, bridge.connection, dict(bridge.over))
        return answer


def agent_frames(effects: Iterable[Effect]) -> list[bytes]:
    """The frames to agents."""
    frames: list[bytes] = []
    for effect in effects:
        if isinstance(effect, events.Settle):
            frames += effect.frames
        elif isinstance(effect, events.Send) and effect.port == ports.SYNOD:
            frames.append(effect.frame)
    return frames


def census_requests(effects: Iterable[Effect]) -> list[tuple[int, int]]:
    """(unit, token) of all CENSUS_REQUEST frames, in order."""
    messages = [control.parse(frame) for frame in agent_frames(effects)]
    return [(m.unit, m.token) for m in messages if m.kind == control.CENSUS_REQUEST]


def state_told(effects: Iterable[Effect]) -> control.State:
    """The last STATE."""
    messages = [control.parse(frame) for frame in agent_frames(effects)]
    return [control.state(m) for m in messages if m.kind == control.STATE][-1]


def forgotten(effects: Iterable[Effect]) -> list[control.Session]:
    """The sessions of all FORGET frames."""
    messages = [control.parse(frame) for frame in agent_frames(effects)]
    return [each for m in messages if m.kind == control.FORGET for each in control.forgotten(m)]


def installed(effects: Iterable[Effect]) -> list[Flow]:
    """All static flows that were added."""
    return [flow for e in effects if isinstance(e, events.Install) for flow in e.add]
