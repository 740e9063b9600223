"""The primary's part: SYNs that leave its kernel are offered, and go where the app decides.

The talk: "all the decisions taken while processing like NATing and conntrack mark are appended as
data in SYN packet and then sent to the auxiliary unit" (slide "Packet Flow"). The kernel has
processed the SYN entirely by the time it comes here; what it decided stands in its conntrack entry.
A SYN that comes here is never lost for want of a decision: without one, the primary serves it.
"""

import errno
from collections.abc import Generator, Iterator

from agents.core_clearing import Clearing
from agents.core_expecting import Expecting
from agents.core_facts import Desk, Facts, Steps
from agents.core_offered import Offered, as_it_came, data_size
from agents.core_serving import RESTORED_TIME, Serving
from agents.ctexpect import GetExpectation
from agents.ctnetlink import (
    ASSURED,
    CONFIRMED,
    SEEN_REPLY,
    SYN_RECV,
    Create,
    Delete,
    Entry,
    Get,
    Request,
    Result,
    Update,
)
from agents.outcomes import Outcome
from agents.wire import syndata
from agents.wire.control import Offer, Session
from agents.wire.labels import interface_of, relabelled, unit_of, with_unit
from agents.wire.packet import ETHERNET, Syn, as_client_sent, handed_over, inverse
from agents.wire.peer import Beginning, Expectation
from agents.wire.seal import SYN, Opener, Sealer
from agents.wire.syndata import SynData

# Offers that may wait: at first and at most; and when one has waited in vain, from which on each
# that is decided in time allows one more. Else an app that is asked for more than it can decide
# might never catch up: what it decides too late it is told again (`_late`). See docs/adr/0020.
MAX_PENDING, MIN_PENDING = 8192, 64
DECISION_TIME = 1.0  # seconds that an offer waits for its decision
CALM = 5.0  # seconds since one waited in vain after which the app isn't taken for behind any more
MAX_RELEASED = 8192
# Seconds that the entry of a handed-over session would live, were it not removed when the session
# ends: the longest there is (the kernel makes INT_MAX jiffies of it, weeks: __nf_ct_set_timeout()).
# The timeout of established entries would be too short: it is one of idle sessions, and this kernel
# doesn't see those that aren't.
LASTING = 0x7FFFFFFF
RELEASED_TIME = 30.0  # seconds that an offer released without a decision is remembered
# Helpers of sessions that any unit can serve: what they announce, and the entry, is all that there
# is to tell. Others keep more in their kernel than ctnetlink shows: pptp the keys of its GRE calls
# (nf_ct_gre_keymap_add()), h323 expectations of several classes, sip permanent ones that change
# without an event (refresh_signalling_expectation()). Their sessions are the primary's.
RELOCATABLE = frozenset({"ftp", "irc"})


class Primary:
    """Offers that wait for decisions, and what is done with either."""

    def __init__(
        self,
        facts: Facts,
        desk: Desk,
        serving: Serving,
        expecting: Expecting,
        *,
        sealer: Sealer,
        opener: Opener,
    ) -> None:
        self._facts = facts
        self._desk = desk
        self._serving = serving
        self._expecting = expecting
        self._sealer = sealer
        self._opener = opener
        self._next_id = facts.first_id
        self.pending: dict[int, Offered] = {}
        self._most = MAX_PENDING  # that may be pending now
        self._released: dict[int, Offered] = {}
        self._undecided = float("-inf")  # when the app has let an offer wait for too long
        self.clearing = Clearing(facts, desk)
        # Sessions began of which the app doesn't know: it was away, or no SYN was shown to us.
        self.alone = False
        self.diverted = False  # they are

    def shown(self, diverted: bool) -> None:
        """The app has said whether this unit is primary and sees SYNs."""
        self.alone |= diverted and not self.diverted
        self.diverted = diverted

    def behind(self, now: float) -> bool:
        """Whether the app is, or has been lately."""
        return now - self._undecided < CALM or len(self.pending) > MIN_PENDING

    def rejoins(self, now: float) -> bool:
        """Whether the app decides again, after sessions began of which it doesn't know: once. Until
        then it is as far behind as it was when it fell silent.
        """
        if not self.alone:
            return False
        if self.behind(now):
            self._undecided = now
        self.alone = not self._desk.app_decides(now)
        return not self.alone

    def leaving(self, syn: Syn, out_interface: int, now: float) -> Steps:
        """A SYN left the kernel by that interface."""
        desk = self._desk
        reply = inverse(syn.tuple12)
        entry = yield Get(reply)
        if not isinstance(entry, Entry) or entry.reply != reply:
            desk.frames.append(syn.frame)
            return Outcome.RELEASED_UNTRACKED
        if entry.master:
            yield from self._expecting.came(entry)
        interface = interface_of(entry.labels)
        known = unit_of(entry.labels)
        offered = Offered(syn.frame, entry, interface, out_interface, now)
        outcome = self._not_to_offer(syn, entry, interface, known)
        if outcome:
            return (yield from self._release(offered, outcome))
        if self._desk.heir(self._facts.peers) or not desk.app_decides(now):
            return (yield from self._not_asked(offered, Outcome.RELEASED_ALONE))
        if len(self.pending) + len(self.clearing) >= self._most:
            return (yield from self._without_app(offered, Outcome.RELEASED_FULL))
        if known:
            if (yield from self._announced(entry)):
                return self.clearing.begin(offered, known)
        elif entry.master:
            known = yield from self._unit_of_master(entry)
        elif self._serving.ended_lately(entry.orig, now):
            # The SYN itself has ended the one before it (its entry was in TIME_WAIT), which session
            # pickup tells just now: another unit would lose the entry that it has made meanwhile.
            known = self._facts.unit
        self._offer(self.pending, offered, known)
        return Outcome.OFFERED

    def decided(self, offer_id: int, unit: int, now: float) -> Steps:
        """The app chose a unit for what was offered."""
        offered = self.pending.pop(offer_id, None)
        if offered is None:
            return (yield from self._late(offer_id, unit, now))
        self._most = min(self._most + 1, MAX_PENDING)
        entry = offered.entry
        if unit in self._facts.peers:
            return (yield from self._hand_over(offered, unit, Outcome.HANDED_OVER))
        if unit != self._facts.unit:
            return (yield from self._release(offered, Outcome.DECIDED_STRANGER))
        labels, mask = self._facts.own_labels
        result = yield Update(entry.orig, labels, mask)
        if not (yield from self._kept(offered, labels, mask, result)):
            return Outcome.ENTRY_LOST
        self._serving.add(entry.orig, now)
        self._begin(entry, labels, mask)
        self._desk.frames.append(offered.frame)
        return Outcome.SERVED

    def forget(self, session: Session) -> Steps:
        """The auxiliary that served the session has no entry any more: neither needs this unit."""
        entry = yield Get(session.orig)
        if not isinstance(entry, Entry) or entry.orig != session.orig:
            return Outcome.FORGET_UNKNOWN
        # By its label, or against it: what a unit had still to tell of a session that was made this
        # one's own puts that unit there again, until it is renewed.
        own = unit_of(entry.labels) == self._facts.unit or entry.orig in self._serving.sessions
        if own or entry.reply != session.reply:
            return Outcome.FORGET_REFUSED
        result = yield Delete(session.orig)
        return Outcome.FORGET_UNKNOWN if result else Outcome.FORGOTTEN

    def expire(self, now: float) -> Iterator[Steps]:
        """Offers that waited too long; all, if the app is away or another unit is to be primary."""
        stays = not self._desk.heir(self._facts.peers)
        asked = self._desk.app_decides(now) and stays
        while self.pending:
            offer_id, offered = next(iter(self.pending.items()))
            if asked and now - offered.time < DECISION_TIME:
                break
            del self.pending[offer_id]
            self._most = min(self._most, MIN_PENDING)
            if stays:
                self._undecided = now
            offered = offered._replace(time=now)
            self._remember(offer_id, offered)
            released = self._without_app if asked else self._not_asked
            yield released(offered, Outcome.RELEASED_UNDECIDED)
        yield from self.clearing.expire(now)
        while self._released:
            offer_id, offered = next(iter(self._released.items()))
            if now - offered.time < RELEASED_TIME:
                break
            del self._released[offer_id]

    def next_expiry(self) -> float | None:
        """When the oldest offer will have waited for too long."""
        if not self.pending:
            return None
        return next(iter(self.pending.values())).time + DECISION_TIME

    def _not_to_offer(self, syn: Syn, entry: Entry, interface: int, known: int) -> Outcome | None:
        """Why this unit serves the session without asking; None if it is to be offered."""
        facts, outcome = self._facts, None
        if known == facts.unit:
            outcome = Outcome.RELEASED_KNOWN
        elif interface not in facts.own_macs:
            outcome = Outcome.RELEASED_LOCAL
        elif not facts.selected(entry):
            outcome = Outcome.RELEASED_UNSELECTED
        elif entry.helper and entry.helper not in RELOCATABLE:
            outcome = Outcome.RELEASED_HELPER
        elif syn.total_length + data_size(entry) > facts.mtus.get(interface, 0):
            outcome = Outcome.RELEASED_TOO_LARGE
        return outcome

    def _announced(self, entry: Entry) -> Generator[Request, Result, bool]:
        """Whether a new session with this entry's tuple has been announced."""
        return isinstance((yield GetExpectation(entry.orig)), Expectation)

    def _unit_of_master(self, entry: Entry) -> Generator[Request, Result, int]:
        """The talk: "expected connections (like FTP Data) will use master connection's cnodeid".

        This unit if the master is gone. The app hears of those of this unit, too: it may know
        another session by their tuple.
        """
        master = yield Get(entry.master)
        return unit_of(master.labels) if isinstance(master, Entry) else self._facts.unit

    def _offer(self, shelf: dict[int, Offered], offered: Offered, known: int) -> None:
        offer_id, entry = self._next_id, offered.entry
        self._next_id = offer_id + 1 & 0xFFFFFFFF
        shelf[offer_id] = offered
        interfaces = offered.interface, offered.out_interface
        self._desk.offers.append(Offer(offer_id, known, *interfaces, 0, entry.orig, entry.reply))

    def _remember(self, offer_id: int, offered: Offered) -> None:
        if len(self._released) >= MAX_RELEASED:
            del self._released[next(iter(self._released))]
        self._released[offer_id] = offered

    def _not_asked(self, offered: Offered, outcome: Outcome) -> Steps:
        """The app isn't asked: a new session is the heir's, as its client asked for it; without an
        heir it begins here, and the app doesn't know of it.
        """
        heir, interface = self._desk.heir(self._facts.peers), offered.interface
        if not heir or unit_of(offered.entry.labels):
            self.alone = True
            return (yield from self._without_app(offered, outcome))
        to, by = self._facts.peers[heir][interface], self._facts.own_macs[interface]
        return (yield from as_it_came(self._desk, offered, to, by, Outcome.PASSED_ON))

    def _without_app(self, offered: Offered, outcome: Outcome) -> Steps:
        """An auxiliary's session stays with it: its flows and entry are there. Others come here."""
        unit = unit_of(offered.entry.labels)
        if unit in self._facts.peers:
            return (yield from self._hand_over(offered, unit, Outcome.HANDED_OVER_ALONE))
        return (yield from self._release(offered, outcome))

    def _release(self, offered: Offered, outcome: Outcome) -> Steps:
        """This unit serves the session: the SYN goes out as the kernel sent it."""
        entry = offered.entry
        if self._facts.forwarded(entry):
            self._serving.keep(entry.orig, offered.time)
        self._begin(entry, *self._facts.own_labels)
        self._desk.frames.append(offered.frame)
        if unit_of(entry.labels) != self._facts.unit:
            result = yield Update(entry.orig, *self._facts.own_labels)
            if result:
                self._desk.counters[Outcome.ENTRY_REFUSED] += 1
        return outcome

    def _hand_over(self, offered: Offered, unit: int, outcome: Outcome) -> Steps:
        """An auxiliary serves the session: it gets the SYN as the client sent it, and SYN data."""
        facts, entry, interface = self._facts, offered.entry, offered.interface
        labels, mask = with_unit(unit, helper=bool(entry.helper))
        # No more packets of the session come to this kernel, but any may: see docs/adr/0005.
        status = entry.status | SEEN_REPLY | ASSURED
        result = yield Update(entry.orig, labels, mask, status, LASTING, SYN_RECV)
        if not (yield from self._kept(offered, labels, mask, result)):
            return Outcome.ENTRY_LOST
        data = SynData(
            unit,
            facts.unit,
            interface,
            entry.mark,
            relabelled(entry.labels, labels, mask),
            entry.reply,
            entry.helper,
            entry.master,
        )
        self._serving.drop(entry.orig)
        self._begin(entry, labels, mask)
        to, by = facts.peers[unit][interface], facts.own_macs[interface]
        packet, told = as_client_sent(offered.frame, entry.orig), syndata.encode(data)
        told += self._sealer.seal(SYN, packet[ETHERNET:] + told + self._opener.present(unit))
        self._desk.frames.append(handed_over(packet, told, to, by))
        return outcome

    def _begin(self, entry: Entry, labels: bytes, mask: bytes) -> None:
        """Have the other units know of the session before its SYN goes out."""
        if self._facts.cluster.pickup == "off" or not self._facts.forwarded(entry):
            return
        told = relabelled(entry.labels, labels, mask)
        self._desk.begun.append(
            Beginning(entry.orig, entry.reply, entry.master, entry.helper, told, entry.mark)
        )

    def _kept(
        self, offered: Offered, labels: bytes, mask: bytes, result: Result
    ) -> Generator[Request, Result, bool]:
        """After an update of the entry: is it there? One that has gone is made again."""
        if result == errno.ENOENT:
            # Of an own one, the packet that makes it assured has its labels told (`agents.nft`).
            own = unit_of(labels) == self._facts.unit
            entry = offered.entry._replace(
                status=CONFIRMED | SEEN_REPLY | (0 if own else ASSURED),
                state=SYN_RECV,
                timeout=RESTORED_TIME if own else LASTING,
                labels=relabelled(offered.entry.labels, labels, mask),
            )
            result = yield Create(entry, liberal=True)
            if result:
                return False
            self._desk.counters[Outcome.ENTRY_REMADE] += 1
        elif result:
            self._desk.counters[Outcome.ENTRY_REFUSED] += 1
        return True

    def _late(self, offer_id: int, unit: int, now: float) -> Steps:
        """A decision on a session that was released without it: by now conntrack knows better."""
        offered = self._released.pop(offer_id, None)
        if offered is None:
            return Outcome.DECIDED_UNKNOWN
        entry, own = offered.entry, self._facts.unit
        present = yield Get(entry.orig)
        found = unit_of(present.labels) if isinstance(present, Entry) else 0
        if unit == own:
            if found == own:
                self._serving.add(entry.orig, now)
            else:
                self._serving.farewell(entry.orig, entry.reply, now)
        elif unit != found and not offered.again:
            # The app must take its flows back. An offer that names the unit does it.
            offer = offered._replace(time=now, again=True)
            self._offer(self._released, offer, own)
        return Outcome.DECIDED_LATE
