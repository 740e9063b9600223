"""Conntrack entries as values, and what can be asked for of them; with the requests of
`agents.ctexpect`, all that is asked of connection tracking. No sockets, and no bytes: these are for
`agents.ctmessages`.

What the talk does in the kernel (`ip_nat_setup_info`, a field of its own in struct nfct: slides
"Packet Flow", "ipt_LB.ko") the kernel offers to user space: net/netfilter/nf_conntrack_netlink.c,
which is where the facts below are from. TCP over IPv4 in the default zone only.
"""

from typing import NamedTuple

from agents.ctexpect import ExpectationRequest, GetExpectation
from agents.wire.peer import Expectation
from agents.wire.tracking import (
    ASSURED,
    CLOSE,
    CONFIRMED,
    ESTABLISHED,
    EXPECTED,
    OVER,
    SEEN_REPLY,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)

# Who asks of entries has the words for them from here, too.
__all__ = [
    "ASSURED",
    "CLOSE",
    "CONFIRMED",
    "ESTABLISHED",
    "EXPECTED",
    "OVER",
    "SEEN_REPLY",
    "SYN_RECV",
    "SYN_SENT",
    "TIME_WAIT",
]

NO_LABELS = bytes(16)

# For an entry that saw only part of its traffic: no window is wrong, and neither is a SACK.
LIBERAL = 0x02 | 0x08  # IP_CT_TCP_FLAG_SACK_PERM | IP_CT_TCP_FLAG_BE_LIBERAL


class Adjustment(NamedTuple):
    """What a helper has added to one direction's stream by translating its text (struct
    nf_ct_seqadj): bytes before and after sequence number `position`, which is the sender's.
    """

    position: int
    before: int
    after: int


class Entry(NamedTuple):
    """One entry. `orig`, `reply` and `master` (orig of the master entry, or empty) are tuple12."""

    orig: bytes
    reply: bytes
    status: int = CONFIRMED
    state: int = SYN_SENT
    timeout: int = 0
    mark: int = 0
    labels: bytes = NO_LABELS
    helper: str = ""
    master: bytes = b""
    adjusted: Adjustment | None = None
    adjusted_reply: Adjustment | None = None


class Get(NamedTuple):
    """Ask for the entry that has this tuple12 in either direction."""

    tuple12: bytes


class Create(NamedTuple):
    """Make an entry, NAT included: in what `reply` is other than the inverse of `orig`.

    EEXIST if either tuple is taken. `timeout` must not be 0. `status` may not have EXPECTED, which
    `master` sets; ENOENT if there is no such master, EOPNOTSUPP if no such helper. `liberal` turns
    the checks of windows off.
    """

    entry: Entry
    liberal: bool = False


class Update(NamedTuple):
    """Change labels of the entry with this orig tuple; with `status`, its state too.

    The bits of `labels_mask` are cleared, then those of `labels` set (ENOSPC if the namespace has
    no rule that uses labels; all else is done nevertheless). `status` must have all bits that the
    entry has already (EBUSY), and comes with `timeout` in seconds; windows are not checked any
    more. ENOENT if there is no entry. Whoever listens is told of the whole entry, whatever was
    changed (ctnetlink_new_conntrack()).
    """

    orig: bytes
    labels: bytes = NO_LABELS
    labels_mask: bytes = NO_LABELS
    status: int = 0
    timeout: int = 0
    state: int = ESTABLISHED
    mark: int | None = None


class Readjust(NamedTuple):
    """Change what was added to a direction's stream (`reply`: not the original one) of the entry
    with this orig tuple. ENOENT if there is none.
    """

    orig: bytes
    reply: bool
    adjustment: Adjustment


class Delete(NamedTuple):
    """Remove the entry with this orig tuple."""

    orig: bytes


Request = Get | Create | Update | Readjust | Delete | ExpectationRequest
ASKS = (Get, GetExpectation)  # they are answered in any case: by what was asked for or by an error
# What became of a request: what was asked for, or an errno, 0 for success.
Result = Entry | Expectation | int
