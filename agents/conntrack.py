"""The kernel's connection tracking over netlink: requests, events, a dump in pieces.

Nothing here decides. Requests are synchronous: the kernel carries them out inside `send()`
(netlink_unicast_kernel() in net/netlink/af_netlink.c), so their answers wait by the time it
returns: many go in one call, and come in one. Needs CAP_NET_ADMIN; acts on the network namespace of
the process.
"""

import errno
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from agents.ctexpect import Expected, parse_event
from agents.ctmessages import pack_all, pack_dump, parse_answer, parse_entry, parse_gone
from agents.ctnetlink import ASKS, Entry, Request, Result
from agents.datagrams import Datagrams
from agents.nfnetlink import NLMSG_DONE, NLMSG_ERROR, Message, first_of, messages, parse_error

# An answer takes up to 8 KiB of a socket's receive buffer, whatever its length.
MAX_REQUESTS = 128
_REQUESTS_BUFFER = 4 << 20
_EVENTS_BUFFER = 16 << 20
_MAX_EVENTS = 4096
_DATAGRAM = 1 << 16
# The longest answer has an entry with all that there is to tell of it, and takes some 500 bytes; an
# error has the request in it. An entry cut short can't be read (EPROTO).
_ANSWER = 2048
_EVENTS_AT_ONCE = 64

_NETLINK_NETFILTER = 12
_SO_RCVBUFFORCE = 33
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
# NFNLGRP_CONNTRACK_DESTROY, …_EXP_NEW, …_EXP_DESTROY
_DESTROYED, _EXPECTATION_MADE, _EXPECTATION_GONE = 3, 4, 6


class Gone(NamedTuple):
    """An entry that was destroyed (only its tuples are read), and on whose request: a netlink port;
    0: of itself.
    """

    entry: Entry
    by: int


T = TypeVar("T", Gone, Expected)


class Conntrack:
    """Requests: one batch at a time."""

    def __init__(self) -> None:
        self._socket = _socket(_REQUESTS_BUFFER)
        self._answers = Datagrams(self._socket, MAX_REQUESTS, _ANSWER)
        self._seq = 0
        self.pid: int = self._socket.getsockname()[0]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def transact(self, requests: Sequence[Request]) -> list[Result]:
        """Carry out requests in order; one result each, in order: what was asked for, or an errno
        (0: done).

        EPROTO: what was found isn't TCP over IPv4. ENOBUFS: no memory for the answer.
        """
        results: list[Result] = []
        for start in range(0, len(requests), MAX_REQUESTS):
            results += self._transact(requests[start : start + MAX_REQUESTS])
        return results

    def _transact(self, requests: Sequence[Request]) -> list[Result]:
        last = len(requests) - 1
        first = self._seq
        self._seq = first + len(requests) & 0x7FFFFFFF
        self._socket.send(pack_all(requests, first))
        lost = self._lost()
        results: list[Result] = [
            errno.ENOBUFS if lost or type(ask) in ASKS else 0 for ask in requests
        ]
        while answers := self._answers.receive(MAX_REQUESTS):
            for data in answers:
                kind, seq = first_of(data)
                at = seq - first
                if not 0 <= at <= last:
                    continue  # the answer to a batch given up before
                if kind != NLMSG_ERROR:
                    results[at] = parse_answer(requests[at], data) or errno.EPROTO
                elif code := parse_error(data, Message(kind, seq, 0, 0, len(data))):
                    results[at] = code
                if at == last:
                    return results
        # Not even the last was answered.
        return [result or errno.ENOBUFS for result in results]

    def _lost(self) -> bool:
        """Whether the kernel had no memory, or no room here, for some answer: it says so once, and
        before those that it could give (netlink_ack(), netlink_overrun() in af_netlink.c).
        """
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENOBUFS


class Told(NamedTuple, Generic[T]):
    """Events in order; whether there were more than the socket could hold (ENOBUFS), and whether
    more wait to be read.
    """

    events: list[T]
    lost: bool
    waiting: bool


class Events(Generic[T]):
    """What becomes of entries or expectations, except by the requests of one netlink port.

    `net.netfilter.nf_conntrack_events` must be 1: at 2, the kernel's default, entries made while
    nobody listened go silently (nf_ct_ecache_ext_add() in nf_conntrack_ecache.c).
    """

    def __init__(
        self, ignore: int, groups: Iterable[int], parse: Callable[[bytes, Message], T | None]
    ) -> None:
        self._ignore = ignore
        self._parse: Callable[[bytes, Message], T | None] = parse
        self._socket = _socket(_EVENTS_BUFFER)
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._datagrams = Datagrams(self._socket, _EVENTS_AT_ONCE, _ANSWER)

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> Told[T]:
        """What happened since the last call, up to a bound; does not wait."""
        events: list[T] = []
        lost = False
        for _ in range(_MAX_EVENTS // _EVENTS_AT_ONCE):
            try:
                read = self._datagrams.receive(_EVENTS_AT_ONCE)
            except OSError as problem:
                if problem.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            for data in read:
                for message in messages(data):
                    # Of a change on request it is the port of who asked
                    # (ctnetlink_conntrack_event()).
                    if message.pid != self._ignore:
                        event = self._parse(data, message)
                        if event:
                            events.append(event)
            if len(read) < _EVENTS_AT_ONCE:
                return Told(events, lost, waiting=False)
        return Told(events, lost, waiting=True)


def destroyed(ignore: int) -> Events[Gone]:
    """Entries that go, whoever removes them."""

    def parse(data: bytes, it: Message) -> Gone | None:
        entry = parse_gone(data, it.start, it.end)
        return Gone(entry, it.pid) if entry else None

    return Events(ignore, (_DESTROYED,), parse)


def expected(ignore: int) -> Events[Expected]:
    """Expectations that come and go.

    The kernel tells of an expectation before it goes on with the packet that announced it
    (nf_ct_expect_related_report() calls nf_ct_expect_event_report(), which sends: the message is in
    this socket when they return). So whoever has that packet can find the event here.
    """
    return Events(ignore, (_EXPECTATION_MADE, _EXPECTATION_GONE), parse_event)


class Dump:
    """All entries of IPv4, in pieces: the kernel writes the next when one is read
    (netlink_recvmsg() in net/netlink/af_netlink.c).

    So the loop goes on meanwhile, however many there are, and reads the next when it has time.
    """

    def __init__(self) -> None:
        self._socket = _socket(_REQUESTS_BUFFER)
        self._socket.send(pack_dump(1))

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket, at the end or before."""
        self._socket.close()

    def read(self) -> tuple[list[Entry], bool]:
        """The next piece, empty if it isn't there yet, and whether it was the last.

        OSError if the kernel gives up: what it told is not all.
        """
        entries: list[Entry] = []
        try:
            data = self._socket.recv(_DATAGRAM)
        except BlockingIOError:
            return entries, False
        for message in messages(data):
            if message.kind in (NLMSG_DONE, NLMSG_ERROR):
                # Either has an errno first; that of the end of a dump is 0.
                code = parse_error(data, message)
                if code > 0:
                    raise OSError(code, "conntrack dump")
                return entries, True
            entry = parse_entry(data, message.start, message.end)
            if entry:
                entries.append(entry)
        return entries, False


def _socket(receive_buffer: int) -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
    )
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
    sock.bind((0, 0))
    sock.setblocking(False)
    return sock
