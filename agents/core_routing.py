"""Routed ARP at the agents: an auxiliary's kernel asks, the primary's agent answers what the app
knows.

Talk, slides "ARP Problem", "arpreq_proxy", "arpreply_proxy". An auxiliary's bridge gives its agent
what its kernel asks. The agent asks the primary's, by opcode 201 on the HA link; that asks the app,
which knows the neighbours or asks outside, and tells by opcode 202. On the HA link both are sealed.
"Auxiliary will check whether the response is in context of any of the routed ARP request made by
it": that is here.
"""

from agents.core_facts import Desk, Facts
from agents.outcomes import Outcome
from agents.wire import control, routed_arp
from agents.wire.packet import readdress
from agents.wire.routed_arp import REPLY, REQUEST, ROUTED_REPLY, ROUTED_REQUEST, Arp
from agents.wire.seal import Opener, Sealer, epoch_bytes

WAITING = 5.0  # seconds that an answer is waited for
MOST_WAITING = 1024
_APP = control.ETH_DST + control.ETH_SRC  # to the app, and from it
_BARE = 42  # bytes without the seal


class Routing:
    """What this unit's kernel has asked, and what others ask it."""

    def __init__(self, facts: Facts, desk: Desk, sealer: Sealer, opener: Opener) -> None:
        self._facts = facts
        self._desk = desk
        self._sealer = sealer
        self._opener = opener
        self._own = facts.ha_macs[facts.unit]
        self._epoch = epoch_bytes(facts.boot)
        self._unit_of_ha = {facts.ha_macs[unit]: unit for unit in facts.peers}
        self._unit_of = {mac: unit for unit, macs in facts.peers.items() for mac in macs.values()}
        self.waiting: dict[tuple[int, bytes], float] = {}  # interface, address -> until when

    def heard(self, frame: bytes, now: float) -> Outcome:
        """An ARP frame came by this unit's bridge. WireError as `agents.wire.routed_arp`."""
        arp = routed_arp.parse(frame)
        primary = self._desk.role() == "primary"
        if arp.op == REQUEST:
            return self._ask(arp, now)
        if arp.op == ROUTED_REQUEST and primary:
            return self._pass_on(frame, arp)
        if arp.op == ROUTED_REPLY and primary and frame[:12] == _APP:
            return self._answer(arp)
        if arp.op == ROUTED_REPLY and not primary:
            return self._tell(frame, arp, now)
        return Outcome.ARP_STRANGER

    def _ask(self, arp: Arp, now: float) -> Outcome:
        """This unit's kernel asks."""
        interface = self._facts.interface_of_own.get(arp.sha)
        if interface is None or arp.eth_src != arp.sha:
            return Outcome.ARP_STRANGER
        primary = self._primary()
        if not primary:
            return Outcome.ARP_NOBODY
        self._expire(now)
        if len(self.waiting) >= MOST_WAITING:
            return Outcome.ARP_FULL
        # Asked last, to be waited for longest: the order is that of the ends.
        self.waiting.pop((interface, arp.tpa), None)
        self.waiting[interface, arp.tpa] = now + WAITING
        ends = {"eth_dst": self._facts.ha_macs[primary], "eth_src": self._own}
        asked = arp._replace(op=ROUTED_REQUEST, **ends)
        self._desk.frames.append(
            routed_arp.sealed(asked, self._sealer, self._opener.present(primary))
        )
        return Outcome.ARP_ASKED

    def _pass_on(self, frame: bytes, arp: Arp) -> Outcome:
        """Another unit asks: the app hears of it, without the seal, if that is right."""
        unit = self._unit_of_ha.get(arp.eth_src, 0)
        if not unit or arp.eth_dst != self._own or self._unit_of.get(arp.sha) != unit:
            return Outcome.ARP_STRANGER
        routed_arp.open_seal(frame, unit, self._opener, self._epoch)
        self._desk.frames.append(readdress(frame[:_BARE], control.ETH_DST, control.ETH_SRC))
        return Outcome.ARP_ROUTED

    def _answer(self, arp: Arp) -> Outcome:
        """The app has the answer for the unit whose MAC address it names."""
        unit = self._unit_of.get(arp.tha)
        if unit is None:
            return Outcome.ARP_STRANGER
        told = arp._replace(eth_dst=self._facts.ha_macs[unit], eth_src=self._own)
        self._desk.frames.append(routed_arp.sealed(told, self._sealer, self._opener.present(unit)))
        return Outcome.ARP_ANSWERED

    def _tell(self, frame: bytes, arp: Arp, now: float) -> Outcome:
        """The primary's agent answers: this unit's kernel hears it, if it has asked for that."""
        primary, interface = self._primary(), self._facts.interface_of_own.get(arp.tha)
        if not primary or interface is None or arp.eth_dst != self._own:
            return Outcome.ARP_STRANGER
        if arp.eth_src != self._facts.ha_macs[primary]:
            return Outcome.ARP_STRANGER
        routed_arp.open_seal(frame, primary, self._opener, self._epoch)
        self._expire(now)
        if self.waiting.pop((interface, arp.spa), None) is None:
            return Outcome.ARP_UNASKED
        told = arp._replace(op=REPLY, eth_dst=arp.tha)
        self._desk.frames.append(routed_arp.encode(told))
        return Outcome.ARP_TOLD

    def _primary(self) -> int:
        """Which other unit is primary; 0 if none is."""
        told = self._desk.told
        return told.primary if told and told.primary in self._facts.peers else 0

    def _expire(self, now: float) -> None:
        while self.waiting:
            asked, until = next(iter(self.waiting.items()))
            if now < until:
                break
            del self.waiting[asked]
