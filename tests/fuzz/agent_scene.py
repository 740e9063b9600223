"""The agent's whole entry, played by choices: frames of all sorts, entries that go, walks through
all entries, time; and a kernel that answers anything that a kernel can answer.

Whatever comes: nothing is raised, each frame is counted under a name, and what can't be read
changes nothing and sends nothing.
"""

import errno
import struct
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address

from agents.agent import advance
from agents.core_facts import Steps
from agents.ctexpect import Expected, GetExpectation
from agents.ctnetlink import ASKS, Adjustment, Entry, Get, Request, Result
from agents.outcomes import Outcome
from agents.wire import control, inquiry, packet, peer, pickup, ports, routed_arp, syndata
from agents.wire.control_maps import ROLES, State
from agents.wire.errors import WireError
from agents.wire.packet import inverse, readdress, tuple12
from agents.wire.ports import helper_mac
from agents.wire.seal import epoch_bytes
from tests.fuzz.feed import Feed, damaged, one_of
from tests.unit.agent_scene import (
    BOOTS,
    EXT,
    GROUP,
    INT,
    PICKUP,
    SEALERS,
    Scene,
    expectation,
    labels,
    link,
    with_data,
    with_seal,
)
from tests.unit.agent_scene import link_to_all as to_all
from tests.unit.wire_frames import syn

STEPS = 40
OTHERS = (2, 3)
TUPLES = tuple(tuple12("10.1.0.10", "203.0.113.10", 40000 + n, 80) for n in range(6))
REPLIES = tuple(tuple12("203.0.113.10", "203.0.113.1", 80, 1025 + n) for n in range(6))
HA_ADDRESSES = {unit.id: unit.ha_address.ip.packed for unit in PICKUP.units}
_GROUP = IPv4Address(ports.PICKUP_GROUP).packed
_ERRNOS = (0, errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.ENOSPC, errno.EPROTO, errno.ENOBUFS)
_ERRNOS += (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOMEM)
_SYN, _PLAIN = syn(), syn(flags="PA", payload=b"227 Entering Passive Mode")
# What a session with a helper sends: read by its tuple alone.
_FORMATS = (
    (control.OFFER, 0), (control.DECIDED, 8), (control.FORGET, 24), (control.CENSUS_REQUEST, 0),
    (control.EXPECT, 68), (control.EXPECTED, 8), (control.WITHDRAW, 28), (control.CLEAR, 28),
    (control.CLEARED, 4), (control.KEEPALIVE, 12), (control.BEGUN, 72),
)  # fmt: skip


def play(feed: Feed, captured: tuple[bytes, ...] = ()) -> Scene:
    """As many steps as the feed has choices for; the scene that is left. `captured` are frames to
    begin with where frames are damaged.
    """
    scene = Scene(unit=1, cluster=PICKUP)
    for _ in range(STEPS):
        if not feed.more():
            break
        one_of(feed, _ACTS)(scene, feed, captured)
        _bounded(scene)
    return scene


def _run(scene: Scene, feed: Feed, steps: Sequence[Steps]) -> None:
    """The steps to their ends, the kernel's answers chosen."""
    counters = scene.core.desk.counters
    before = counters.total()
    advance(steps, lambda requests: [_answer(feed, request) for request in requests], counters)
    assert counters.total() >= before + len(steps)


def _answer(feed: Feed, request: Request) -> Result:
    if type(request) is GetExpectation and feed.below(2):
        return expectation(50000 + feed.below(3), one_of(feed, TUPLES))
    if isinstance(request, Get) and feed.below(4):
        return _entry(feed, request.tuple12)
    code = one_of(feed, _ERRNOS)
    # Who asks is told what was asked for, or why not.
    return code or errno.ENOENT if isinstance(request, ASKS) else code


def _entry(feed: Feed, near: bytes = b"") -> Entry:
    """An entry of a few sessions; `near`: rather one that has that tuple."""
    number = feed.below(6)
    orig, reply = TUPLES[number], REPLIES[number]
    if near and feed.below(4):
        orig, reply = (near, reply) if feed.below(2) else (orig, near)
    bits = [64 + feed.below(17)] + [feed.below(128) for _ in range(feed.below(3))]
    bits += [feed.below(4)] if feed.below(2) else []
    return Entry(
        orig,
        reply,
        status=feed.below(16),
        state=feed.below(10),
        timeout=feed.below(600),
        mark=feed.below(9),
        labels=labels(*set(bits)),
        helper=one_of(feed, ("", "", "ftp", "pptp", "irc", "a-name-of-15-ch")),
        master=one_of(feed, (b"", b"", TUPLES[0])),
        adjusted=one_of(feed, (None, Adjustment(1, 0, 4))),
        adjusted_reply=one_of(feed, (None, Adjustment(0xFFFFFFFF, -4, 4))),
    )


# -- what may happen


def _told(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    """The app's word, as it is or in other words."""
    state = State(
        boot=feed.below(3),
        role=one_of(feed, ROLES),
        primary=one_of(feed, (0, 1, 2, 3, 64)),
        balancing=bool(feed.below(2)),
        term=feed.below(3),
        adopt=tuple(each % 4 + 1 for each in feed.take(3)),
        forfeit=feed.below(3),
        heir=one_of(feed, (0, 0, 1, 2, 64)),
        boots=one_of(feed, ({}, {}, BOOTS, {2: 5}, {2: BOOTS[2]})),
    )
    _give(scene, feed, control.state_frame(GROUP, 1, state))


def _time(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    scene.now += one_of(feed, (0.0, 0.02, 0.3, 1.0, 5.0, 61.0))
    scene.core.desk.down = one_of(feed, ((), (1,), (1, 2)))
    _run(scene, feed, list(scene.core.due(scene.now)))
    _take(scene, feed)


def _kernel(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    """Entries and expectations went, or came."""
    gone = [_entry(feed) for _ in range(feed.below(4))]
    how, lost = feed.below(3), not feed.below(4)
    if how == 0:
        scene.core.destroyed(gone, lost, scene.now)
    elif how == 1:
        scene.core.removed(gone, scene.now)
    else:
        made = [
            Expected(bool(feed.below(2)), expectation(50000 + feed.below(3), each.orig))
            for each in gone
        ]
        scene.core.expected(made, lost, scene.now)


def _dump(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> None:
    if not feed.below(8):
        scene.core.undumped()
        return
    pieces = [_entry(feed) for _ in range(feed.below(4))]
    _run(scene, feed, list(scene.core.dumped(pieces, bool(feed.below(2)), 432000, scene.now)))


def _take(scene: Scene, feed: Feed) -> None:
    """What it writes: the kernel takes it, or doesn't."""
    frames, _ = scene.core.take(scene.now)
    macs = scene.core.facts
    inside = {mac for unit in macs.peers.values() for mac in unit.values()}
    for frame in frames:
        if frame[12:14] == b"\x88\xb5":
            control.parse(frame)
            assert len(frame) <= 1514
        elif _carries_decisions(frame):
            assert frame[:6] in inside, "SYN data on their way out"
        if not feed.below(16):
            scene.core.unwritten(frame)


def _carries_decisions(frame: bytes) -> bool:
    """Whether SYN data of this unit's are on the frame."""
    try:
        data, _ = syndata.decode(packet.parse_syn(frame).payload)
    except WireError:
        return False
    return data.primary == 1 and data.unit in OTHERS and data.reply in REPLIES


def _frame(scene: Scene, feed: Feed, captured: tuple[bytes, ...]) -> None:
    """A frame from wherever, as it should be, damaged or made up."""
    frame = one_of(feed, _SORTS)(scene, feed, captured)
    if feed.below(2):
        frame = damaged(feed, frame)
    _give(scene, feed, frame)


def _give(scene: Scene, feed: Feed, frame: bytes) -> None:
    core = scene.core
    before, counted = _state_of(scene), Counter(core.desk.counters)
    steps = scene.given_as_they_are(frame)
    grown = core.desk.counters - counted
    if not steps and (grown.keys() <= _DROPS or not _readable(scene, frame)):
        assert grown.total() == 1 or _empty(frame), grown
        assert _state_of(scene) == before, grown
    _run(scene, feed, steps)
    assert (core.desk.counters - counted).total() >= 1 or _empty(frame)


def _empty(frame: bytes) -> bool:
    """A control frame of no records: it says nothing, and isn't counted. (A keepalive is.)"""
    return frame[12:14] == b"\x88\xb5" and not control.parse(frame).body


def _readable(scene: Scene, frame: bytes) -> bool:
    """By the decoders alone."""
    try:
        if frame[12:14] == b"\x08\x06":
            if not scene.core.fencing.is_rival(frame):
                routed_arp.parse(frame)
            return True
        if frame[6:12] in scene.core.facts.interface_of_helper:
            return True
        if frame[12:14] != b"\x88\xb5":
            if frame[6:12] == scene.core.facts.ha_macs[1]:
                pickup.packet_of(frame, HA_ADDRESSES[1])
            else:
                packet.parse_syn(frame)
            return True
        message = control.parse(frame)
        _READ.get(message.kind, lambda _message: None)(message)
    except WireError:
        return False
    return True


# Why frames are dropped before anything is asked: what a decoder says, and who may say what.
_OF_PICKUP = (Outcome.PICKUP_VALUE, Outcome.PICKUP_LONG)
_DROPS = frozenset(
    outcome
    for outcome in Outcome
    if outcome.startswith(("syndata_", "control_", "not_", "seal_"))
    or outcome in {Outcome.TRUNCATED, Outcome.BAD_LENGTH, Outcome.FRAGMENT, *_OF_PICKUP}
)
_READ = {
    control.STATE: control.state,
    control.DECIDED: control.decided,
    control.QUESTION: inquiry.question,
    control.FORGET: control.forgotten,
    control.EXPECT: peer.asks,
    control.EXPECTED: peer.answers,
    control.WITHDRAW: peer.withdrawn,
    control.CLEAR: peer.clears,
    control.CLEARED: peer.cleared,
    control.BEGUN: peer.begun,
    control.PICKUP: lambda message: pickup.frame_of(
        message.body, HA_ADDRESSES.get(message.unit, b""), bytes(6)
    ),
}


# -- sorts of frames


def _any(_scene: Scene, feed: Feed, captured: tuple[bytes, ...]) -> bytes:
    return one_of(feed, captured) if captured else feed.take(200)


def _records(_scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """Control frames of records, whose numbers are few, so that they meet."""
    kind, size = one_of(feed, _FORMATS)
    sender = one_of(feed, (1, 2, 3))
    if kind < control.EXPECT:
        ends, sender = control.ETH_DST + control.ETH_SRC, 1
    else:
        to = to_all(sender) if kind in (control.KEEPALIVE, control.BEGUN) else link(sender, 1)
        ends = to.dst + to.src
    count = feed.below(4)
    body = b"".join(_record(feed, kind, size) for _ in range(count))
    head = (ends[:6], ends[6:], control.ETHERTYPE, control.VERSION, kind, GROUP, sender, count)
    return with_seal(control.HEADER.pack(*head, feed.below(2), feed.below(4)) + body)


def _record(feed: Feed, kind: int, size: int) -> bytes:
    """A record with ids and tuples that there are, else with whatever."""
    number = feed.below(6)
    session = TUPLES[number] + REPLIES[number]
    ident = (0xFFFFFFFF + feed.below(8) & 0xFFFFFFFF).to_bytes(4)
    match kind:
        case control.DECIDED:
            body = ident + bytes((feed.below(66), 0, 0, 0))
        case control.FORGET:
            body = session
        case control.EXPECT:
            ask = peer.Ask(feed.below(8), expectation(50000 + feed.below(3), session[:12]))
            body = peer.expect_frames(link(2, 1), [ask])[0][control.HEADER.size :]
        case control.EXPECTED:
            body = ident + bytes((feed.below(5), 0, 0, 0))
        case control.CLEAR | control.CLEARED:
            body = ident + session
        case control.WITHDRAW:
            body = session[:12] + expectation(50000 + feed.below(3)).tuple12 + b"\x06\0\0\0"
        case control.KEEPALIVE:
            nonce = (BOOTS[1] + feed.below(3)).to_bytes(8)
            body = bytes((one_of(feed, (1, 1, 2, 65)), feed.below(4), 0, 0)) + nonce
        case control.BEGUN:
            told = labels(feed.below(4), 64 + feed.below(3))
            body = session + bytes(28) + told + feed.below(9).to_bytes(4)
        case _:
            body = feed.take(size)
    return body[:size].ljust(size, b"\0")


def _leaving(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """A SYN that this unit's kernel has sent."""
    reply = one_of(feed, REPLIES)
    payload = one_of(feed, (b"", b"early", bytes(1400)))
    frame = syn(inverse(reply), ttl=one_of(feed, (63, 255)), payload=payload)
    return readdress(frame, bytes(6), scene.core.facts.own_macs[one_of(feed, (INT, EXT))])


def _arriving(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """A SYN that was handed over to this unit, or that somebody would have it take for one."""
    number = feed.below(6)
    data = syndata.SynData(
        unit=one_of(feed, (1, 1, 1, 2)),
        primary=one_of(feed, OTHERS),
        interface=one_of(feed, (INT, INT, EXT)),
        mark=feed.below(9),
        labels=labels(1, 64 + INT),
        reply=REPLIES[number],
        helper=one_of(feed, ("", "ftp")),
        master=one_of(feed, (b"", TUPLES[0])),
    )
    frame = syn(TUPLES[number], payload=one_of(feed, (b"", b"early")))
    if told := one_of(feed, (b"", syndata.encode(data))):
        frame = with_data(frame, told, data.primary, to=1)
    interface = one_of(feed, (INT, EXT))
    facts = scene.core.facts
    return readdress(frame, facts.own_macs[interface], facts.virtual_macs[interface])


def _helpers(_scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """A packet of a session with a helper, on its way out."""
    frame = one_of(feed, (_SYN, _PLAIN))
    return readdress(frame, bytes(6), helper_mac(one_of(feed, (INT, EXT))))


def _rival(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """ARP from a virtual MAC."""
    virtual = scene.core.facts.virtual_macs[INT]
    return b"\xff" * 6 + virtual + b"\x08\x06" + feed.take(28)


def _routed(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """ARP: what this unit's kernel asks, and what comes over the HA link or from the app."""
    facts = scene.core.facts
    op, other = one_of(feed, (1, 2, 201, 202)), one_of(feed, OTHERS)
    own, address = facts.own_macs[one_of(feed, (INT, EXT))], bytes((10, 1, 0, feed.below(3)))
    theirs = facts.peers[other][one_of(feed, (INT, EXT))]
    macs = one_of(feed, ((own, bytes(6)), (theirs, bytes(6)), (bytes(6), own), (own, theirs)))
    app = (control.ETH_DST, control.ETH_SRC)
    link_ = (facts.ha_macs[1], facts.ha_macs[other])
    ends = one_of(feed, (app, link_, link_, (b"\xff" * 6, own)))
    arp = routed_arp.Arp(op, macs[0], address, macs[1], address, *ends)
    return (
        routed_arp.sealed(arp, SEALERS[other], epoch_bytes(BOOTS[1]))
        if feed.below(4)
        else routed_arp.encode(arp)
    )


def _pickup(scene: Scene, feed: Feed, _captured: tuple[bytes, ...]) -> bytes:
    """What this unit's conntrackd says, and what another's agent carries."""
    unit = one_of(feed, (1, 1, *OTHERS))
    source, body = HA_ADDRESSES[one_of(feed, (unit, unit, 1, 2))], feed.take(40)
    packet_ = struct.pack(
        "!BxHHHBBH4s4sHHHH", 0x45, 28 + len(body), feed.below(9), 0, 1, 17, 0,
        *(source, _GROUP, 40000, ports.PICKUP_PORT, 8 + len(body), 0),
    ) + body  # fmt: skip
    if unit == 1:
        return pickup.MAC + scene.core.facts.ha_macs[1] + b"\x08\x00" + packet_
    return with_seal(peer.pickup_frame(to_all(unit), packet_))


_SORTS = (
    _any,
    _pickup,
    _records,
    _records,
    _leaving,
    _leaving,
    _arriving,
    _arriving,
    _helpers,
    _rival,
    _routed,
)
_ACTS = (_told, _told, _time, _time, _kernel, _dump, _frame, _frame, _frame, _frame, _frame)


# -- what must be so


def _state_of(scene: Scene) -> object:
    """All that a frame which can't be read must leave as it was."""
    core = scene.core
    desk, serving, primary = core.desk, core.serving, core.primary
    return (
        (
            desk.told,
            desk.before,
            desk.heard,
            list(desk.frames),
            list(desk.offers),
            list(desk.begun),
        ),
        (dict(serving.sessions), list(serving.ended), dict(serving._made), len(serving._settling)),
        (
            dict(primary.pending),
            dict(primary.clearing._waiting),
            dict(primary._released),
            primary.alone,
        ),
        (dict(core.hearing._heard), set(core.hearing._apart)),
        (dict(core.announcing._asked), core.announcing._held.keys() | set()),
        (list(core.beginnings._heard), core.fencing.fenced, core.fencing._rival),
        (core.adopting._walking, core.forfeiting._walking, core._dump, core.censuses._doubt),
    )


def _bounded(scene: Scene) -> None:
    """What waits is bounded, and every counter has a name."""
    core = scene.core
    assert len(core.primary.pending) <= 8192
    assert all(isinstance(name, Outcome) for name in core.desk.counters)
    assert core.announcing._looked_up == 0
