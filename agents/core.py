"""The agent without its sockets: frames, destroyed entries and time in; frames and requests out.

Whatever needs conntrack is a generator of `Steps`: it yields a request, is sent the result, and
returns its outcome. The shell runs those of one wake-up side by side, their requests put together,
and then calls `take()` for what is to be written.
"""

from collections.abc import Iterable, Iterator, Sequence

from agents.core_adopting import Adopting
from agents.core_announcing import Announcing
from agents.core_answering import Answering
from agents.core_auxiliary import Auxiliary
from agents.core_beginnings import Beginnings
from agents.core_canary import Canary
from agents.core_census import Censuses
from agents.core_expecting import Expecting
from agents.core_facts import INTERVAL, Desk, Facts, Steps
from agents.core_fencing import Fencing
from agents.core_forfeiting import Forfeiting
from agents.core_hearing import Hearing
from agents.core_peers import Ear, Peers
from agents.core_pickup import Pickup
from agents.core_primary import Primary
from agents.core_renewing import Renewing
from agents.core_routing import Routing
from agents.core_serving import Serving
from agents.core_vouching import Vouching
from agents.ctexpect import Expected
from agents.ctnetlink import Entry
from agents.outcomes import Outcome
from agents.wire import control, peer, routed_arp
from agents.wire.control_maps import Announce
from agents.wire.errors import WireError
from agents.wire.packet import parse_syn
from agents.wire.ports import mac_text
from agents.wire.seal import Keys, Opener, Sealer

_CONTROL = control.ETHERTYPE.to_bytes(2)
_ARP = routed_arp.ETHERTYPE.to_bytes(2)
# These come with sessions or all the time, and change nothing that the clock looks after; of
# keepalives `_keepalive` says when one does.
_USUAL = (control.DECIDED, control.FORGET, control.BEGUN, control.PICKUP, control.KEEPALIVE)


class Core:
    """A unit's agent. Times are seconds of one clock that never goes back."""

    def __init__(self, facts: Facts, keys: Keys, now: float, *, fenced: bool = False) -> None:
        self.facts = facts
        self.desk = Desk()
        self.sealer = Sealer(keys, facts.unit, facts.boot)
        self.opener = Opener(keys)
        self.vouching = Vouching(facts, self.opener)
        self.serving = Serving(facts, self.desk)
        self.expecting = Expecting(facts, self.desk)
        self.primary = Primary(
            facts,
            self.desk,
            self.serving,
            self.expecting,
            sealer=self.sealer,
            opener=self.opener,
        )
        self.censuses = Censuses(facts, self.desk, self.serving, self.primary, now)
        self.announcing = Announcing(facts, self.desk)
        self.auxiliary = Auxiliary(facts, self.desk, self.serving, self.announcing, self.opener)
        self.hearing = Hearing(facts, self.desk, self.vouching, now)
        self.beginnings = Beginnings(facts, self.desk, self.serving)
        self.adopting = Adopting(facts, self.desk, self.serving)
        self.forfeiting = Forfeiting(facts, self.desk, self.serving)
        self.renewing = Renewing(facts, self.serving, now)
        self.canary = Canary(facts, now)
        self.fencing = Fencing(facts, self.desk, fenced)
        self.answering = Answering(facts, self.desk, now)
        self.routing = Routing(facts, self.desk, self.sealer, self.opener)
        self.pickup = Pickup(facts, self.desk)
        self.peers = Peers(facts, self.desk, self.vouching, self._ears())
        self._from_app = facts.cluster.group, facts.unit, control.ETH_DST + control.ETH_SRC
        self._ha_mac = facts.ha_macs[facts.unit]
        self._to_peers = self._ha_mac + _CONTROL
        self._announce_at = now
        self._standing = self.desk.standing()
        self._dump = False
        self._due = now
        self._stirred = True

    def frames(self, frames: Iterable[bytes], now: float) -> Iterator[Steps]:
        """Frames read from the agent's port. Garbage is counted, and no more."""
        for frame in frames:
            try:
                if frame[12:14] == _CONTROL:
                    yield from self._control(frame, now)
                elif frame[12:14] == _ARP:
                    self._arp(frame, now)
                elif interface := self.facts.interface_of_helper.get(frame[6:12]):
                    yield self.announcing.leaving(frame, interface, now)
                elif frame[6:12] == self._ha_mac:
                    self.pickup.said(frame)
                else:
                    yield self._syn(frame, now)
            except WireError as error:
                self.count(Outcome(error.reason))

    def rekey(self, keys: Keys) -> None:
        """From now on these are the cluster's keys."""
        self.sealer.keys = self.opener.keys = keys

    def expected(self, events: Sequence[Expected], lost: bool, now: float) -> None:
        """Expectations that came and went, before the frames that were read before them; `lost`:
        more did.
        """
        self.announcing.events(events, lost, now)

    def destroyed(self, entries: Iterable[Entry], lost: bool, now: float) -> None:
        """Entries that conntrack destroyed; `lost`: more than it could tell."""
        for entry in entries:
            self.serving.destroyed(entry.orig, entry.reply, now)
            self.expecting.ended(entry.orig)
        if lost:
            self.count(Outcome.EVENTS_LOST)
            self.censuses.doubt()

    def removed(self, entries: Iterable[Entry], now: float) -> None:
        """Entries that another program removed: conntrackd, of which nobody says whether it means
        the session that has the tuple now, or has put another entry in its place (it updates one
        that is there by that).
        """
        for entry in entries:
            self._stirred |= self.expecting.replaced(entry.orig, now)
            if self.serving.restore(entry):
                self._stirred = True
            else:
                self.serving.removed(entry.orig, entry.reply, now)

    def dumped(
        self, entries: Sequence[Entry], last: bool, established: int, now: float
    ) -> Iterator[Steps]:
        """A piece of the dump that was asked for; `established`: the kernel's timeout (seconds)."""
        yield from self.censuses.dumped(entries, last, now)
        if self.censuses.taken:
            self.renewing.know(now)
        adopted, forfeited = self.adopting.done, self.forfeiting.done
        yield from self.adopting.entries(entries, last, established, now)
        yield from self.forfeiting.entries(entries, last)
        if self.forfeiting.done != forfeited:  # a census may have told of what was about to go
            self.censuses.doubt()
        if self.adopting.done != adopted:
            self.renewing.late(now)
        self._stirred |= last
        if last and (self.adopting.done or self.forfeiting.done):
            self._announce_at = now

    def undumped(self) -> None:
        """The dump that was asked for failed: there is no census. A new one is called for."""
        self.censuses.undumped()
        self.adopting.failed()
        self.forfeiting.failed()

    def unwritten(self, frame: bytes) -> None:
        """A frame of `take()` that the kernel didn't take. The client will send its SYN again."""
        self.count(Outcome.WRITE_FAILED)
        if frame[12:14] == _CONTROL:
            self.censuses.unwritten(control.parse(frame).kind)

    def due(self, now: float) -> Iterator[Steps]:
        """`tick`, unless nothing is due and nothing came but sessions: they come more often."""
        if self._stirred or now >= self._due or self._standing != self.desk.standing():
            yield from self.tick(now)

    def tick(self, now: float) -> Iterator[Steps]:
        """What is due by the clock."""
        self._stirred = False
        yield from self.serving.settle(now)
        yield from self.expecting.tick(now)
        self.announcing.tick(now)
        self.fencing.tick(now)
        units = self.hearing.units
        heard = self.hearing.tick(now)
        if self.hearing.units != units:
            self.renewing.begin(now)
            self.renewing.late(now)
        if self.facts.cluster.pickup != "off":
            yield from self.renewing.tick(now)
            yield from self.canary.tick(self.renewing.told, now)
            synced, self.desk.synced = self.desk.synced or (), self.canary.seen(now)
            if not set(self.desk.synced) <= set(synced):
                self.renewing.again(now)
        standing = self.desk.standing()
        if heard or standing != self._standing:
            self._announce_at, self._standing = now, standing
        yield from self.primary.expire(now)
        if now >= self._announce_at:
            self._announce_at = now + INTERVAL
            self.censuses.announcing(now)
            self.desk.frames += control.announce_frames(self._announcement())

    def leave(self, now: float) -> Iterator[Steps]:
        """The agent ends: what waits for a decision goes without one."""
        self.desk.told = None
        yield from self.primary.expire(now)

    def deadline(self) -> float:
        """When `tick` or `take` have something to do next."""
        times = [self._announce_at, self.primary.next_expiry(), self.serving.next_end()]
        times += [self.primary.clearing.next_expiry(), self.censuses.next_turn()]
        times += [self.announcing.next_ask(), self.expecting.next_turn()]
        times += [self.hearing.next_keepalive()]
        if self.facts.cluster.pickup != "off":
            times += [self.renewing.next_turn(), self.canary.next_turn()]
        self._due = min([time for time in times if time is not None])
        return self._due

    def take(self, now: float) -> tuple[list[bytes], bool]:
        """Frames to write, in order, and whether a dump of conntrack is to begin (again)."""
        cluster, desk = self.facts.cluster, self.desk
        out, desk.frames = self.beginnings.frames() + desk.frames, []
        to_peers = self._to_peers
        out = [peer.sealed(f, self.sealer) if f[6:14] == to_peers else f for f in out]
        # Ends first: a SYN on offer may have the ports of a session that has just ended.
        if self.serving.ended and desk.app_speaks(now) and desk.told and desk.told.primary:
            ended = self.censuses.ends(now)
            out += control.ended_frames(cluster.group, self.facts.unit, ended)
        if desk.offers:
            out += control.offer_frames(cluster.group, self.facts.unit, desk.offers)
            desk.offers = []
        out += self.censuses.take(now)
        dump, self._dump = self._dump, False
        return out, dump

    def count(self, outcome: Outcome) -> None:
        """One more of these."""
        self.desk.counters[outcome] += 1

    def _syn(self, frame: bytes, now: float) -> Steps:
        syn = parse_syn(frame)
        facts = self.facts
        interface = facts.interface_of_own.get(syn.eth_src)
        if interface:
            return self.primary.leaving(syn, interface, now)
        interface = facts.interface_of_own.get(syn.eth_dst)
        if not interface or facts.virtual_macs[interface] != syn.eth_src:
            raise WireError(Outcome.NOT_ADDRESSED)
        return self.auxiliary.arriving(syn, interface, now)

    def _arp(self, frame: bytes, now: float) -> None:
        if self.fencing.is_rival(frame):
            self._stirred = True
            self.count(self.fencing.heard(now))
        else:
            self.count(self.routing.heard(frame, now))

    def _control(self, frame: bytes, now: float) -> Iterator[Steps]:
        message = control.parse(frame)
        if message.kind not in _USUAL:
            self._stirred = True
        if message.kind in peer.KINDS:
            yield from self.peers.heard(message, frame, now)
            return
        # What comes over the HA link has other addresses (the row `from_agents` of
        # ryu_apps/core/pipeline.py): it isn't the app's word.
        if (message.group, message.unit, frame[:12]) != self._from_app:
            raise WireError(Outcome.CONTROL_STRANGER)
        match message.kind:
            case control.DECIDED:
                for offer_id, unit in control.decided(message):
                    yield self.primary.decided(offer_id, unit, now)
            case control.FORGET:
                for session in control.forgotten(message):
                    yield self.primary.forget(session)
            case control.STATE:
                told = control.state(message)
                before = self.desk.told.primary if self.desk.told else told.primary
                self.desk.told, self.desk.heard = told, now
                if before != told.primary:
                    self.desk.before, self.desk.changed = before, now
                    yield from self.announcing.moved(now) if told.primary else ()
                self.opener.name(told.boots)
                self.count(Outcome.STATE)
                yield from self.beginnings.told(now)
                self.primary.shown(told.role == "primary" and told.balancing)
                self.fencing.told(now)
                walks = self.adopting.told(), self.forfeiting.told()
                self._dump |= any(walks)
            case control.CENSUS_REQUEST:
                self.censuses.asked(message.token, now)
                self._dump = True
                self.count(Outcome.CENSUS)
            case control.QUESTION:
                yield from self.answering.asked(message, now)
            case _:
                raise WireError(Outcome.CONTROL_KIND)

    def _ears(self) -> dict[int, Ear]:
        return {
            control.EXPECT: lambda message, now: (
                self.expecting.expect(message.unit, ask, now) for ask in peer.asks(message)
            ),
            control.EXPECTED: lambda message, now: (
                self.announcing.answered(*answered, now) for answered in peer.answers(message)
            ),
            control.WITHDRAW: lambda message, _now: (
                self.expecting.withdraw(record) for record in peer.withdrawn(message)
            ),
            control.CLEAR: lambda message, now: (
                self.auxiliary.clear(message.unit, clear, now) for clear in peer.clears(message)
            ),
            control.CLEARED: lambda message, _now: (
                self.primary.clearing.cleared(clear_id) for clear_id in peer.cleared(message)
            ),
            control.KEEPALIVE: self._keepalive,
            control.BEGUN: lambda message, now: self.beginnings.heard(peer.begun(message), now),
            control.PICKUP: self._pickup,
        }

    def _keepalive(self, message: control.Message, now: float) -> Iterator[Steps]:
        hears_app = bool(message.flags & control.HEARS_APP)
        self._stirred |= self.hearing.heard(message.unit, hears_app, now)
        self.count(Outcome.KEEPALIVE)
        return iter(())

    def _pickup(self, message: control.Message, _now: float) -> Iterator[Steps]:
        self.pickup.heard(message)
        return iter(())

    def _announcement(self) -> Announce:
        facts, cluster, told = self.facts, self.facts.cluster, self.desk.told
        return Announce(
            unit=facts.unit,
            group=cluster.group,
            boot=facts.boot,
            name=facts.host,
            version=facts.version,
            role=self.desk.role(),
            primary=told.primary if told else 0,
            term=told.term if told else 0,
            macs={i.name: mac_text(facts.own_macs[i.index]) for i in cluster.interfaces},
            digest=cluster.digest,
            serving=len(self.serving.sessions) - len(self.serving.untold),
            waiting=len(self.primary.pending),
            resync=self.censuses.calls,
            keys=self.opener.keys.fingerprints,
            hears=self.hearing.units,
            missing=self.hearing.missing,
            adopted=tuple(sorted(self.adopting.done)),
            forfeited=self.forfeiting.done,
            down=self.desk.down,
            synced=self.desk.synced,
            counters={str(name): number for name, number in self.desk.counters.items()},
        )
