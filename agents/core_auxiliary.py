"""An auxiliary's part: a SYN with SYN data becomes a conntrack entry and the client's own SYN.

The talk: the target "will extract the information like NAT and routing, calls ip_nat_setup_info,
copy mark information …, shrink the data and continue the packet traversal" (slide "Packet Flow").
An auxiliary never decides: the entry is there before its kernel sees the SYN, and counts as one
that was answered, so that rules for new connections (`ct state new`) don't decide a second time.
"""

import errno
from collections.abc import Generator

from agents.core_announcing import Announcing
from agents.core_facts import Desk, Facts, Steps
from agents.core_forfeiting import demotion
from agents.core_serving import Made, Serving
from agents.ctexpect import PERMANENT, GetExpectation, Unexpect
from agents.ctnetlink import (
    CONFIRMED,
    OVER,
    SEEN_REPLY,
    SYN_SENT,
    Create,
    Delete,
    Entry,
    Get,
    Request,
    Result,
)
from agents.outcomes import Outcome
from agents.wire import control, peer, syndata
from agents.wire.errors import WireError
from agents.wire.labels import unit_of
from agents.wire.packet import ETHERNET, Syn, cut_data, readdress
from agents.wire.peer import Expectation
from agents.wire.seal import SIZE as SEAL_SIZE
from agents.wire.seal import SYN, Opener, epoch_bytes
from agents.wire.syndata import SynData

SYN_SENT_TIMEOUT = 120  # seconds, the kernel's own


class Auxiliary:
    """What is done with SYNs that the primary hands over."""

    def __init__(
        self, facts: Facts, desk: Desk, serving: Serving, announcing: Announcing, opener: Opener
    ) -> None:
        self._facts = facts
        self._desk = desk
        self._serving = serving
        self._announcing = announcing
        self._opener = opener
        self._epoch = epoch_bytes(facts.boot)

    def arriving(self, syn: Syn, interface: int, now: float) -> Steps:
        """A SYN came for this unit by that interface."""
        if not syn.payload and self._desk.takes_on(self._facts.unit, now):
            # The old primary passes it on, and its bridge still takes it for one handed over.
            frame = readdress(syn.frame, self._facts.own_macs[interface], control.ETH_SRC)
            self._desk.frames.append(frame)
            return Outcome.PASSED
        try:
            data, frame = self._decision(syn, interface)
        except WireError as error:
            if error.reason == Outcome.SYNDATA_ABSENT:
                return (yield from self._without_data(syn))
            return Outcome(error.reason)
        entry = Entry(
            syn.tuple12,
            data.reply,
            CONFIRMED | SEEN_REPLY,
            SYN_SENT,
            SYN_SENT_TIMEOUT,
            data.mark,
            data.labels,
            data.helper,
            data.master,
        )
        outcome = Outcome.INJECTED
        result = yield Create(entry, liberal=True)
        if result == errno.EEXIST:
            present = yield Get(entry.orig)
            if _same(present, entry):
                outcome, result = Outcome.RETRANSMITTED, 0
            else:
                outcome, result = Outcome.REPLACED, (yield from self._replace(entry, now))
        if result == errno.EOPNOTSUPP and entry.helper:
            entry = entry._replace(helper="")
            outcome, result = Outcome.HELPER_MISSING, (yield Create(entry, liberal=True))
        if result == errno.ENOENT and entry.master:
            entry = entry._replace(master=b"")
            outcome, result = Outcome.MASTER_MISSING, (yield Create(entry, liberal=True))
        if result:
            return Outcome.CREATE_REFUSED
        if data.master:
            yield from self._come_true(entry)
        self._serving.add(entry.orig, now, Made(entry, frame))
        self._desk.frames.append(frame)
        return outcome

    def clear(self, unit: int, record: peer.Clear, now: float) -> Steps:
        """Another session is to have the tuple of one that this unit served, and that is over."""
        entry = yield Get(record.orig)
        if isinstance(entry, Entry) and (entry.orig, entry.reply) == (record.orig, record.reply):
            yield from _remove(entry)
            self._serving.destroyed(entry.orig, entry.reply, now)
        frames = peer.cleared_frames(self._facts.link(unit), [record.clear_id])
        self._desk.frames += frames
        return Outcome.CLEARED

    def _decision(self, syn: Syn, interface: int) -> tuple[SynData, bytes]:
        """The SYN data, and the SYN without them; WireError with the outcome if they aren't for us,
        or aren't that unit's word on this very SYN.
        """
        if self._desk.role() == "primary":
            raise WireError(Outcome.NOT_AUXILIARY)
        payload = syn.payload
        data, length = syndata.decode(payload)
        if data.unit != self._facts.unit:
            raise WireError(Outcome.OTHER_UNIT, str(data.unit))
        if data.interface != interface:
            raise WireError(Outcome.OTHER_INTERFACE, str(data.interface))
        frame = cut_data(syn.frame, length)
        covered = frame[ETHERNET:] + payload[-length:-SEAL_SIZE] + self._epoch
        self._opener.open(SYN, data.primary, payload[-SEAL_SIZE:], covered)
        return data, frame

    def _without_data(self, syn: Syn) -> Steps:
        entry = yield Get(syn.tuple12)
        if not isinstance(entry, Entry) or entry.orig != syn.tuple12:
            return Outcome.SYN_WITHOUT_DATA
        self._desk.frames.append(syn.frame)
        return Outcome.PASSED

    def _come_true(self, entry: Entry) -> Generator[Request, Result, None]:
        """What this kernel expected is there, and its entry made without asking: as when a packet
        meets an expectation, that goes (nf_ct_find_expectation()).
        """
        expectation = yield GetExpectation(entry.orig)
        if isinstance(expectation, Expectation) and not expectation.flags & PERMANENT:
            self._announcing.came(expectation)
            yield Unexpect(entry.orig)

    def _replace(self, entry: Entry, now: float) -> Generator[Request, Result, Result]:
        """Whatever has either tuple goes: the primary's conntrack, which has both, is right."""
        for tuple12 in (entry.orig, entry.reply):
            found = yield Get(tuple12)
            if isinstance(found, Entry):
                yield from _remove(found)
                if found.orig != entry.orig:
                    self._serving.destroyed(found.orig, found.reply, now)
        return (yield Create(entry, liberal=True))


def _remove(entry: Entry) -> Generator[Request, Result, None]:
    """As a copy, whose end isn't told: by session pickup other units would hear that the tuple is
    over, when the next session that has it may have begun.
    """
    yield demotion(entry)
    yield Delete(entry.orig)


def _same(present: Result, entry: Entry) -> bool:
    """Whether the entry that is there belongs to the session of the one to be made. (One that is
    over does not: a SYN opens a new connection then, tcp_conntracks in nf_conntrack_proto_tcp.c.)
    """
    return (
        isinstance(present, Entry)
        and (present.orig, present.reply) == (entry.orig, entry.reply)
        and unit_of(present.labels) == unit_of(entry.labels)
        and present.state not in OVER
    )
