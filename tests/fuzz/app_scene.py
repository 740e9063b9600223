"""The app's whole entry, played by choices: units come and go, time passes, agents say what they
should and what they shouldn't, frames come that are no frames.

Whatever comes: nothing is raised, and what can't be read changes nothing but one counter.
"""

from dataclasses import fields
from typing import Any

from agents.wire import control, ports, routed_arp
from agents.wire.errors import WireError
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.limits import Meter
from ryu_apps.core.orders import Order, Refusal
from tests.fuzz.feed import Feed, damaged, one_of
from tests.unit.core_world import World, agent_frames, cluster_of, tuples

UNITS = (1, 2, 3)
PORTS = (ports.SYNOD, ports.HA_NIC, 1, 2, ports.HA_KERNEL, 77)
CONTROL_KINDS = tuple(control.KINDS)
STEPS = 40
_READERS = {
    control.ANNOUNCE: control.announce,
    control.OFFER: control.offers,
    control.ENDED: control.ended,
}


_SAID = {
    control.STATE: control.state,
    control.DECIDED: control.decided,
    control.FORGET: control.forgotten,
    control.CENSUS_REQUEST: lambda _message: None,
}


class Heard(World):
    """A world whose agents read all that the app says to them."""

    def feed(self, event: events.Event) -> list[events.Effect]:
        effects = super().feed(event)
        for frame in agent_frames(effects):
            message = control.parse(frame)
            _SAID[message.kind](message)
        return effects


def play(feed: Feed, captured: tuple[bytes, ...] = ()) -> World:
    """As many steps as the feed has choices for; the world that is left. `captured` are frames to
    begin with where frames are damaged.
    """
    table = one_of(feed, ("flows", "conntrack"))
    world = Heard(cluster_of(3, session_table=table))
    if feed.below(4):
        world.form()
    for _ in range(STEPS):
        if not feed.more():
            break
        one_of(feed, _ACTS)(world, feed, captured)
        _consistent(world)
    return world


# -- what may happen


def _connect(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    world.connect(one_of(feed, UNITS))


def _lose(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    unit = one_of(feed, UNITS)
    if world.bridges[unit].connection:
        world.lose(unit)


def _time(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    seconds = one_of(feed, (0.02, 0.2, 1.0, 6.0))
    announcing = [unit for unit in UNITS if feed.below(4)]
    for unit in announcing:
        if world.bridges[unit].connection:
            world.announce(unit)
    world.tick(seconds)


def _bridge(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    """A bridge answers, refuses, or has forgotten its flows."""
    bridge = world.bridges[one_of(feed, UNITS)]
    how = feed.below(4)
    bridge.answers, bridge.refuses = how != 1, how == 2
    if how == 3:
        bridge.cookies.clear()


def _switch(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    """A switch says what nobody asked for."""
    unit = one_of(feed, UNITS)
    connection = world.bridges[unit].connection + feed.below(2)
    token, numbers = feed.below(200), frozenset(feed.take(8))
    meters = frozenset(Meter(number, token) for number in numbers)
    said = one_of(
        feed,
        (
            events.StaticFlows(unit, connection, token, numbers, meters),
            events.Confirmed(unit, connection, token),
            events.Refused(unit, connection, token, "no"),
            events.Metered(unit, connection, dict.fromkeys(numbers, token)),
            events.Counted(unit, connection, int.from_bytes(feed.take(8)), token),
            events.Pong(unit, connection),
            events.Lost(unit, connection),
            events.Pong(9, connection),
        ),
    )
    world.bridges[unit].lied |= isinstance(said, events.StaticFlows)
    world.feed(said)


def _offer(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    unit, known = one_of(feed, UNITS), feed.below(5)
    world.offer(unit, *range(feed.below(20), feed.below(20) + 5), known=known)


def _ended(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    world.ended(one_of(feed, UNITS), *range(feed.below(20), feed.below(20) + 3))


def _announce(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    """A unit of this cluster says anything that can be read."""
    world.announce(one_of(feed, UNITS), **changes(feed))


def changes(feed: Feed) -> dict[str, Any]:
    """Fields of an announcement that are other than usual."""
    some = {
        "boot": feed.below(3),
        "role": one_of(feed, control.control_maps.ROLES),
        "primary": feed.below(65),
        "term": one_of(feed, (0, 1, 2, 0xFFFFFFFE, 0xFFFFFFFF)),
        "digest": "other",
        "macs": {},
        "serving": feed.below(9),
        "resync": feed.below(3),
        "hears": _units(feed),
        "missing": _units(feed),
        "adopted": _units(feed),
        "forfeited": feed.below(99),
        "down": tuple(each % 16 + 1 for each in feed.take(4)),
        "synced": one_of(feed, (None, _units(feed))),
        "counters": {name.hex(): feed.below(9) for name in (feed.take(4), feed.take(4))},
    }
    names = tuple(some)
    return {name: some[name] for name in (one_of(feed, names) for _ in range(feed.below(5)))}


def _units(feed: Feed) -> tuple[int, ...]:
    return tuple(each % 64 + 1 if each > 99 else each % 3 + 1 for each in feed.take(5))


def _census(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    unit = one_of(feed, UNITS)
    found = {number: one_of(feed, (*UNITS, 9, 64)) for number in feed.take(6)}
    world.census(unit, feed.below(40), found)


def _order(world: World, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    deadline = one_of(feed, (None, 0.0, 1.0, float("nan"), -1.0, 1e9))
    verb = one_of(feed, ("drain", "undrain", "promote"))
    order = Order(verb, feed.below(5), deadline, bool(feed.below(2)))
    before = state_of(world)
    try:
        effects = world.controller.give(order, world.now)
    except Refusal:
        assert state_of(world) == before
        return
    for effect in effects:
        answer = world._answer(effect)
        if answer:
            world.feed(answer)


def _frame(world: World, feed: Feed, captured: tuple[bytes, ...]) -> None:
    """A frame from wherever, damaged or made up."""
    unit = one_of(feed, UNITS)
    frame = _some_frame(world, feed, unit, captured)
    port = one_of(feed, PORTS)
    name = wrong_with(world, unit, port, frame)
    before, counters = state_of(world), dict(world.counters)
    effects = world.frame(unit, frame, port)
    for effect in effects:
        assert isinstance(effect, events.Effect), effect
    if name:
        assert state_of(world) == before, name
        grown = {each for each in world.counters if world.counters[each] != counters.get(each, 0)}
        assert grown == {name}, (grown, name)
        assert world.counters[name] == counters.get(name, 0) + 1
        assert all(isinstance(effect, events.Line) for effect in effects)


def _some_frame(world: World, feed: Feed, unit: int, captured: tuple[bytes, ...]) -> bytes:
    how = feed.below(5)
    if how == 0:
        return feed.take(200)
    if how == 1:
        head = (control.ETH_DST, control.ETH_SRC, control.ETHERTYPE, control.VERSION)
        kind, count = one_of(feed, CONTROL_KINDS), feed.below(5)
        fields_of = (kind, 1, one_of(feed, (unit, *UNITS)), count, feed.below(2), feed.below(40))
        return control.HEADER.pack(*head, *fields_of) + feed.take(300)
    if how == 2:
        told = world.announcement(unit, **changes(feed))
        return damaged(feed, control.announce_frames(told)[0])
    if how == 3:
        macs = [mac for each in world.cluster.units for mac in each.macs]
        macs += [each.virtual_mac for each in world.cluster.interfaces]
        address = one_of(feed, (bytes((203, 0, 113, 10)), bytes((10, 1, 0, 1)), bytes(4)))
        op = one_of(feed, (1, 2, 201, 202))
        ends = one_of(feed, macs), one_of(feed, macs)
        body = routed_arp.Arp(op, ends[0], address, ends[1], address[::-1], *ends)
        return damaged(feed, routed_arp.encode(body))
    if captured:
        return damaged(feed, one_of(feed, captured))
    offer = control.Offer(feed.below(9), feed.below(66), 1, 2, 0, *tuples(feed.below(20)))
    return damaged(feed, control.offer_frames(1, unit, [offer])[0])


_ACTS = (
    *(_connect, _lose, _time, _time, _bridge, _switch, _offer, _offer, _ended),
    *(_announce, _announce, _census, _order, _frame, _frame, _frame, _frame),
)


# -- what must be so


def wrong_with(world: World, unit: int, port: int, frame: bytes) -> str:  # noqa: PLR0911
    """The reason for which a frame can't be read, asked of the decoders alone; empty if it can."""
    member = world.controller.members.get(unit)
    if member is None or member.connection != world.bridges[unit].connection:
        return "connection_replaced"
    try:
        if port != ports.SYNOD or frame[12:14] == b"\x08\x06":
            routed_arp.parse(frame)
            return ""
        message = control.parse(frame)
        if (message.group, message.unit) != (world.cluster.group, unit):
            return ""
        primary = world.controller.members.primary_id
        if message.kind == control.OFFER and unit != primary:
            return "offer_not_primary"
        if message.kind == control.ANSWER:
            return "answer_stale"  # nobody has asked
        if message.kind == control.CENSUS:
            return _wrong_with_census(world, message)
        if message.kind not in _READERS:
            return "control_direction"
        _READERS[message.kind](message)
    except WireError as error:
        return error.reason
    return ""


def _wrong_with_census(world: World, message: control.Message) -> str:
    """A census is read if it was asked for; then it is known of which units it may tell."""
    census = world.controller._surveys._open.get(message.unit)
    if census is None or census.token != message.token:
        return "census_stale"
    told = {each.unit for each in control.census(message)}
    units = set(UNITS if message.unit == world.controller.members.primary_id else (message.unit,))
    return "" if told <= units else "census_stranger"


def state_of(world: World) -> object:
    """All that a frame which can't be read must leave as it was."""
    app = world.controller
    members = [
        tuple(_plain(getattr(member, each.name)) for each in fields(member) if each.name != "unit")
        for member in app.members
    ]
    sessions = app.sessions
    return (
        members,
        (app.members.primary_id, app.members.term),
        (dict(sessions._sessions), dict(sessions.live), dict(sessions.served)),
        (dict(world.flows), {unit: set(each.cookies) for unit, each in world.bridges.items()}),
        (dict(app._arp._known), {key: repr(each) for key, each in app._arp._waiting.items()}),
        (set(app.formation.takeover.units), dict(app.formation.takeover._forfeits)),
        (dict(app.orders._deadlines), repr(app.formation.bridges.passage)),
    )


def _plain(value: object) -> object:
    """A copy, where it would change by itself."""
    return dict(value) if isinstance(value, dict) else value


def _consistent(world: World) -> None:
    """One primary at most, and every session counted once."""
    app = world.controller
    primaries = [member for member in app.members if member.role is Role.PRIMARY]
    assert primaries == ([app.members.primary] if app.members.primary else [])
    live = dict.fromkeys(app.sessions.live, 0)
    for orig in app.sessions.known():
        session = app.sessions.get(orig)
        assert session
        live[session.unit] += 1
    assert live == app.sessions.live
