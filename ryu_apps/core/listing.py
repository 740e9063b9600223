"""Live sessions as an operator asks for them: some of them, in order, a page at a time.

Pure, and done in steps: the app may have 100,000 sessions and more, and whoever runs the steps
decides something else between two of them. A page begins after a session that is named, not at a
number: what comes and goes meanwhile shifts nothing.

In the order of tuples: the client's address, the server's, their ports.
"""

from collections.abc import Callable, Generator, Mapping
from ipaddress import IPv4Network
from typing import Any, NamedTuple

from agents.wire.packet import inverse, tuple_text
from ryu_apps.core.sessions import Session, Sessions

STEP = 500  # sessions looked at in one go: a millisecond or two at most (measured), and so are
TOLD = 100  # sessions told of in one go
MOST = 1000  # sessions of one page
USUAL = 100

Record = dict[str, Any]
Steps = Generator[None, None, Record]


class Wanted(NamedTuple):
    """Which sessions: None for any. `src`, `dst`, `port`: before or after translation."""

    unit: int | None = None
    src: IPv4Network | None = None
    dst: IPv4Network | None = None
    port: int | None = None
    limit: int = USUAL
    after: bytes = b""

    def has(self, orig: bytes, session: Session) -> bool:
        """Is this one of them?"""
        reply = session.reply
        return (
            (self.unit is None or session.unit == self.unit)
            and (self.src is None or _within(self.src, orig[:4], reply[4:8]))
            and (self.dst is None or _within(self.dst, orig[4:8], reply[:4]))
            and (self.port is None or _has_port(self.port, orig) or _has_port(self.port, reply))
        )


def wanted(query: Mapping[str, str]) -> Wanted:
    """What a query asks for; ValueError says what is wrong with it."""
    if unknown := sorted(set(query) - _FIELDS.keys()):
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(_FIELDS)}")
    found: dict[str, Any] = {}
    for name, text in query.items():
        read, what = _FIELDS[name]
        try:
            found[name] = read(text)
        except ValueError:
            raise ValueError(f"{name}: {text!r} is not {what}") from None
    return Wanted(**found)


def number(low: int, high: int) -> Callable[[str], int]:
    """What reads a number of so much, of five digits at most; ValueError if it is none."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 5:
            raise ValueError
        found = int(text)
        if not low <= found <= high:
            raise ValueError
        return found

    return read


def _network(text: str) -> IPv4Network:
    return IPv4Network(text, strict=False)


def _cursor(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != 12:
        raise ValueError
    return found


_FIELDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "unit": (number(1, 64), "a unit's id"),
    "src": (_network, "an IPv4 address or network"),
    "dst": (_network, "an IPv4 address or network"),
    "port": (number(1, 65535), "a TCP port"),
    "limit": (number(1, MOST), f"a number from 1 to {MOST}"),
    "after": (_cursor, "what `next` said"),
}


def listing(sessions: Sessions, asked: Wanted, at: Callable[[float], float | None]) -> Steps:
    """The page, as the value that the steps end with; `at` makes a time of day of the core's time,
    None of one that isn't known.
    """
    known = sessions.known()
    page: list[bytes] = []
    matching = 0
    for start in range(0, len(known), STEP):
        found = [
            orig
            for orig in known[start : start + STEP]
            if (session := sessions.get(orig)) and asked.has(orig, session)
        ]
        matching += len(found)
        page = sorted(page + [orig for orig in found if orig > asked.after])[: asked.limit + 1]
        yield
    shown = page[: asked.limit]
    records: list[Record] = []
    for start in range(0, len(shown), TOLD):
        part = shown[start : start + TOLD]
        records += [record(orig, kept, at) for orig in part if (kept := sessions.get(orig))]
        yield
    more = len(page) > asked.limit
    return {
        "live": len(sessions),
        "matching": matching,
        "sessions": records,
        "next": shown[-1].hex() if more else None,
    }


def record(orig: bytes, session: Session, at: Callable[[float], float | None]) -> Record:
    """One session. `nat_src` and `nat_dst` are what its packets have after translation."""
    return {**faces(orig, session.reply), "unit": session.unit, "decided": at(session.since)}


def faces(orig: bytes, reply: bytes) -> dict[str, str]:
    """Both ends before translation, and after it."""
    src, dst = ends(orig)
    nat_src, nat_dst = ends(inverse(reply))
    return {"src": src, "dst": dst, "nat_src": nat_src, "nat_dst": nat_dst}


def ends(tuple12: bytes) -> tuple[str, str]:
    """`10.1.0.10:40000`, `203.0.113.10:80`."""
    source, target = tuple_text(tuple12).split(" > ")
    return source, target


def _within(network: IPv4Network, *addresses: bytes) -> bool:
    mask, wanted_bits = int(network.netmask), int(network.network_address)
    return any(int.from_bytes(each, "big") & mask == wanted_bits for each in addresses)


def _has_port(port: int, tuple12: bytes) -> bool:
    return port.to_bytes(2, "big") in (tuple12[8:10], tuple12[10:12])
