"""How the primary comes to expect a data connection that an auxiliary's FTP session announces.

The kernel of the unit that serves a control connection reads the announcement (`227`, `PORT`),
translates it and expects the connection. The SYN of that comes to the primary, one round trip of
the LAN later. Measured for each way of telling the primary: when its kernel expects the connection
and when the SYN is there, both after the announcement left the serving unit, and how many SYNs were
refused, which is what the primary's kernel itself made of it.

Fast clients, thousands of transfers one after the other: PASV and a SYN at once, and PORT and NLST
in one segment. Times are of one machine's clock: packets' by the kernel, the expectation's taken
when the request has been carried out or, of conntrackd and the mirror, when its event is read: that
is later by as long as it takes to wake a program.
"""

import contextlib
import errno
import re
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

from tests.bench.expectation_ways import Way, conntrackd, diverted, mirrored, told
from tests.bench.ftp_units import SERVER, Session, Tap, is_syn

TRANSFERS = 1000  # of each kind, by each way
PAUSE = 0.001  # seconds between two of them, for all to come to rest
CLOSED = 9  # a port that no rule lets through
PORT = 7720  # that both clients of the mirrored units announce


def transfers(way: Way, kind: str, count: int) -> dict[str, Any]:
    """So many, one after the other."""
    announcement, device = {"passive": (b"227 ", "int"), "active": (b"PORT ", "ext")}[kind]
    transfer = getattr(way.session, kind)
    refused = 0
    expected: list[int] = []
    syns: list[int] = []
    with (
        contextlib.closing(Tap(way.net.units[1], device)) as leaving,
        contextlib.closing(Tap(way.net.primary, device)) as coming,
    ):
        _logged(way.held)
        for _ in range(count):
            refused += not transfer()
            assert way.expected.poll(5), "the primary expects nothing"
            then, code = struct.unpack("=qi", way.expected.recv_bytes())
            assert code in (0, errno.EEXIST), errno.errorcode[code]
            time.sleep(PAUSE)
            _logged(way.expected)
            left = min(t for t, out, frame in leaving.read() if out and announcement in frame)
            expected.append(then - left)
            syns.append(
                min(t for t, out, frame in coming.read() if not out and is_syn(frame)) - left
            )
    held = [duration for duration, announced in _logged(way.held) if announced]
    late = [then - syn for then, syn in zip(expected, syns, strict=True)]
    times = {"expected_us": expected, "syn_us": syns, "late_us": late, "held_us": held}
    return {"transfers": count, "refused": refused} | {
        name: spread(each) for name, each in times.items() if each
    }


def _logged(log: Connection | None) -> list[tuple[int, int]]:
    found = []
    while log and log.poll():
        found.append(struct.unpack("=qi", log.recv_bytes()))
    return found


def spread(nanoseconds: list[int]) -> dict[str, float]:
    """Microseconds: the median, and those that so many of a hundred don't exceed."""
    cuts = statistics.quantiles(nanoseconds, n=1000, method="inclusive")
    picked = {"p1": cuts[9], "median": cuts[499], "p99": cuts[989], "p99.9": cuts[998]}
    picked["max"] = max(nanoseconds)
    return {name: round(value / 1000, 1) for name, value in picked.items()}


def refusals(count: int) -> dict[str, Any]:
    """How soon a client hears that its SYN is refused. Where SYNs wait, it waits as long, too."""
    with told() as way:
        took = []
        for _ in range(count):
            with way.session.new_socket() as sock:
                before = time.monotonic_ns()
                assert sock.connect_ex((SERVER, CLOSED)) == errno.ECONNREFUSED
                took.append(time.monotonic_ns() - before)
            time.sleep(PAUSE)
    return {"connections": count, "refused_us": spread(took)}


def clash() -> dict[str, Any]:
    """Two clients of two mirrored units announce one port; then the second asks for data."""
    with (
        mirrored(2) as way,
        contextlib.closing(Session(way.net, 2)) as second,
        ExitStack() as stack,
    ):
        first = way.session
        listeners = [stack.enter_context(each.listen(PORT)) for each in (first, second)]
        taps = [Tap(unit, "ext") for unit in way.net.units[1:]]
        for session, listener in zip((first, second), listeners, strict=True):
            session.say(session.port(listener), b"200 ")
        announced = [port for tap in taps for port in _ports(tap)]
        listed = way.net.primary.run("conntrack", "-L", "expect")
        ports = {
            m: int(p) for p, m in re.findall(r" sport=0 dport=(\d+) .*master-src=(\S+)", listed)
        }
        second.control.sendall(b"NLST\r\n")
        wrong = False
        with contextlib.suppress(TimeoutError):
            listeners[0].accept()[0].close()
            wrong = True
        return {
            "announced": announced,
            "primary_expects": [ports[each.address] for each in (first, second)],
            "data_at_the_wrong_client": wrong,
        }


def _ports(tap: Tap) -> Iterator[int]:
    for _, out, frame in tap.read():
        if out and (found := re.search(rb"PORT \d+,\d+,\d+,\d+,(\d+),(\d+)\r\n", frame)):
            yield int(found[1]) << 8 | int(found[2])
    tap.close()


WAYS: dict[str, Callable[[], contextlib.AbstractContextManager[Way]]] = {
    "told": told,
    "conntrackd": conntrackd,
    "mirrored": mirrored,
    "diverted": lambda: diverted(wait=False),
    "held": lambda: diverted(wait=True),
}


def measure(count: int = TRANSFERS) -> dict[str, Any]:
    """All ways, both kinds."""
    figures: dict[str, Any] = {}
    for name, way in WAYS.items():
        with way() as entered:
            figures[name] = {
                kind: transfers(entered, kind, count) for kind in ("passive", "active")
            }
    return {**figures, "refusals": refusals(count), "clash": clash()}
