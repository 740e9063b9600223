"""What the core is told (events) and what it wants done (effects): the whole of its boundary, as
values.

`connection` numbers a unit's OpenFlow connections, so that what a connection that has been replaced
still has to say isn't taken for the present one's. A token comes back with the answer to the
request that carried it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ryu_apps.core.flows import Flow
from ryu_apps.core.limits import Meter

# -- events


class Connected(NamedTuple):
    """A unit's bridge has connected."""

    unit: int
    connection: int


class Lost(NamedTuple):
    """A connection has ended."""

    unit: int
    connection: int


class StaticFlows(NamedTuple):
    """Answer to `AskStatic`: the cookies of all static flows of the bridge, and its meters."""

    unit: int
    connection: int
    token: int
    cookies: frozenset[int]
    meters: frozenset[Meter]


class Counted(NamedTuple):
    """Answer to `AskCount`: how many packets the flows of that cookie have seen."""

    unit: int
    connection: int
    cookie: int
    packets: int


class Metered(NamedTuple):
    """Answer to `AskMeters`: by number, how many packets each meter has dropped until now."""

    unit: int
    connection: int
    packets: Mapping[int, int]


class Seen(NamedTuple):
    """What a flow has seen, and for how many seconds it has been there."""

    packets: int
    octets: int
    seconds: float


class Looked(NamedTuple):
    """Answer to `AskFlow`; `seen` is None if there is no such flow."""

    unit: int
    connection: int
    token: int
    seen: Seen | None


class Marked(NamedTuple):
    """Answer to `AskMark`; 0: the tracker knows no such packets."""

    unit: int
    connection: int
    tuple12: bytes
    mark: int


class Confirmed(NamedTuple):
    """The switch has done everything that it was told before `Install`'s token."""

    unit: int
    connection: int
    token: int


class Refused(NamedTuple):
    """The switch has refused a message; `token` is that of the message (see `Install`,
    `Settle`).
    """

    unit: int
    connection: int
    token: int
    detail: str


class Pong(NamedTuple):
    """Answer to `Ping`: the bridge is there."""

    unit: int
    connection: int


class FrameIn(NamedTuple):
    """A frame that a flow sent to the app, and the port that it had come in by."""

    unit: int
    connection: int
    port: int
    frame: bytes


class FramesIn(NamedTuple):
    """Frames that the unit's agent has written, in their order, handled together."""

    unit: int
    connection: int
    frames: list[bytes]


class Tick(NamedTuple):
    """Time has passed."""


FromSwitch = Connected | Lost | StaticFlows | Counted | Metered | Looked | Marked | Confirmed
Event = FromSwitch | Refused | Pong | FrameIn | FramesIn | Tick

# -- effects


class AskStatic(NamedTuple):
    """Ask a bridge for its static flows and its meters."""

    unit: int
    token: int


class AskCount(NamedTuple):
    """Ask a bridge for the packets of the flows of one cookie."""

    unit: int
    cookie: int


class AskMeters(NamedTuple):
    """Ask a bridge what its meters have dropped."""

    unit: int


class AskFlow(NamedTuple):
    """Ask a bridge what just that flow has seen. Answers come in the order of what was asked."""

    unit: int
    token: int
    flow: Flow


class AskMark(NamedTuple):
    """Ask a bridge with what mark its connection tracker has packets of that tuple."""

    unit: int
    tuple12: bytes


class Meters(NamedTuple):
    """Meters to be made, those that are to have another rate, numbers of those that are to go."""

    add: tuple[Meter, ...] = ()
    change: tuple[Meter, ...] = ()
    delete: tuple[int, ...] = ()


class Install(NamedTuple):
    """Make and change meters, add flows, then delete flows of these cookies, then meters (with one
    go all flows that it is part of), then have the token confirmed.
    """

    unit: int
    add: tuple[Flow, ...]
    delete: tuple[int, ...]
    token: int
    meters: Meters = Meters()


class Forget(NamedTuple):
    """Delete what a bridge has of sessions, of all units: flows, or entries of its tracker."""

    unit: int


class ForgetParts(NamedTuple):
    """Delete the flows of some parts of a unit's sessions from a bridge."""

    unit: int
    of: int
    parts: range


class Ping(NamedTuple):
    """Have a bridge answer."""

    unit: int


class Settle(NamedTuple):
    """In one write and in this order: delete what there is of sessions, add what there is to be
    (flows, or entries of the tracker), hand frames to the agent.

    `delete` holds tuples of 12 bytes, `add` (unit, orig, reply).
    """

    unit: int
    delete: list[bytes]
    add: list[tuple[int, bytes, bytes]]
    frames: list[bytes]


class Send(NamedTuple):
    """Send a frame out of a port of a bridge."""

    unit: int
    port: int
    frame: bytes


class Line(NamedTuple):
    """A line for the log."""

    warning: bool
    event: str
    fields: Mapping[str, object]


Effect = (
    AskStatic
    | AskCount
    | AskMeters
    | AskFlow
    | AskMark
    | Install
    | Forget
    | ForgetParts
    | Ping
    | Settle
    | Send
    | Line
)

# Tokens of what needs none of its own: all that `Settle`, `Forget` and `Send` put on the wire,
# `AskCount`, `AskMeters` and `Ping`. Others are above.
SESSION_TOKEN, COUNT_TOKEN, PING_TOKEN = 1, 2, 3
QUESTION = 1 << 31  # this bit is set in the tokens of operators' questions, and in no other
