"""A SYN that left the primary's kernel and waits for what is to become of it."""

from typing import NamedTuple

from agents.core_facts import Desk, Steps
from agents.ctnetlink import Delete, Entry
from agents.outcomes import Outcome
from agents.wire import syndata
from agents.wire.packet import as_client_sent, readdress


class Offered(NamedTuple):
    """A SYN as the kernel sent it, and its entry; `time` it was offered or released.

    `again`: it was offered a second time, to tell the app that it is served here already.
    """

    frame: bytes
    entry: Entry
    interface: int
    out_interface: int
    time: float
    again: bool = False


def as_it_came(desk: Desk, offered: Offered, to: bytes, by: bytes, outcome: Outcome) -> Steps:
    """The SYN as its client sent it, by these Ethernet addresses, and no entry of it here."""
    orig = offered.entry.orig
    yield Delete(orig)
    desk.frames.append(readdress(as_client_sent(offered.frame, orig), to, by))
    return outcome


def data_size(entry: Entry) -> int:
    """Bytes of SYN data that this entry will make."""
    size = syndata.MIN_SIZE
    if entry.helper:
        size += 2 + len(entry.helper)
    if entry.master:
        size += 2 + len(entry.master)
    return size
