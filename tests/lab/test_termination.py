"""However a session ends, nothing of it is left: entries on every unit, flows, the app's own books.

The time that it takes is asserted: the kernel's time-out for the state that the session ends in
(seconds here, see TIMEOUTS; minutes by default) and SLACK for everything that is ours. The kernel
removes what has timed out when it comes across it, as in the listings that these tests poll, and
else when its garbage collector comes by: within GARBAGE (nf_conntrack_core.c, gc_worker).
"""

from itertools import pairwise

import pytest

from tests.lab.conftest import TIMEOUTS
from tests.lab.world import PORT, SERVER, PeerError, Session, World
from topologies.observe import switch_sessions

pytestmark = pytest.mark.usefixtures("_nothing_left")

SLACK = 4.0  # seconds from the end of the serving unit's entry until the last trace is gone
GARBAGE = 60.0  # seconds: GC_SCAN_INTERVAL_MAX
EVERY_UNIT = pytest.mark.parametrize("unit", [1, pytest.param(2, marks=pytest.mark.both_tables), 3])


def on_server(world: World, session: Session) -> int:
    """The number of the server's socket of this session."""
    return int(world.server("clients")[session.seen])


@EVERY_UNIT
def test_closed_by_the_source(world: World, unit: int) -> None:
    session = world.connect_through(unit)
    world.client("close", id=session.id)
    assert world.until_gone(30) < TIMEOUTS["time_wait"] + SLACK


@EVERY_UNIT
def test_closed_by_the_destination(world: World, unit: int) -> None:
    session = world.connect_through(unit)
    world.server("close", id=on_server(world, session))
    assert world.client("read", id=session.id) == ""
    world.client("close", id=session.id)
    assert world.until_gone(30) < TIMEOUTS["time_wait"] + SLACK


@EVERY_UNIT
def test_reset_by_the_source(world: World, unit: int) -> None:
    session = world.connect_through(unit)
    world.client("reset", id=session.id)
    assert world.until_gone(30) < max(TIMEOUTS["close"], TIMEOUTS["time_wait"]) + SLACK


@EVERY_UNIT
def test_reset_by_the_destination(world: World, unit: int) -> None:
    session = world.connect_through(unit)
    assert world.client("talk", id=session.id, text="hold") == "hold"
    world.server("reset", id=on_server(world, session))
    with pytest.raises(PeerError, match="ECONNRESET"):
        world.client("read", id=session.id)
    assert world.until_gone(30) < max(TIMEOUTS["close"], TIMEOUTS["time_wait"]) + SLACK


def test_refused(world: World) -> None:
    """No server: the answer to the SYN is a reset, and it reaches the client through any unit."""
    before = world.served()
    outcomes = world.client("sessions", address=SERVER, port=9, count=3, together=1)
    assert outcomes == ["ECONNREFUSED"] * 3
    assert world.served() - before == {1: 1, 2: 1, 3: 1}
    assert world.until_gone(30) < TIMEOUTS["close"] + SLACK


def test_half_closed_for_a_minute(world: World) -> None:
    """The source has no more to say, the destination has: a minute on, it still gets through. The
    source's flow has gone long before (docs/pipeline.md): the primary's kernel sends on what it
    acknowledges.

    Sessions on all units share the minute, and six more that end at its beginning.
    """
    sessions = [world.connect() for _ in range(3)]
    assert {session.unit for session in sessions} == {1, 2, 3}
    for _ in range(6):
        world.client("close", id=world.connect().id)
    for session in sessions:
        assert world.client("talk", id=session.id, text="hold") == "hold"
        world.client("shutdown", id=session.id)
    numbers = [on_server(world, session) for session in sessions]
    world.pass_time(60)
    # Those that had ended went by themselves: nobody has listed any entries meanwhile.
    longest = GARBAGE + TIMEOUTS["time_wait"] + SLACK - 60
    world.until(lambda: world.live() == 3, world.situation, timeout=longest)
    if world.lab.options.session_table == "flows":
        others = [session for session in sessions if session.unit != world.primary]
        flows = "".join(switch_sessions(world.lab, world.primary))
        assert [f"tp_src={each.endpoints.sport}," in flows for each in others] == [False] * 2
        assert [f"tp_dst={each.endpoints.sport} " in flows for each in others] == [True] * 2
    for session, number in zip(sessions, numbers, strict=True):
        world.server("send", id=number, text="after a minute")
        world.server("close", id=number)
        assert world.client("read", id=session.id) == "after a minute"
        world.client("close", id=session.id)
    assert world.until_gone(30) < TIMEOUTS["last_ack"] + TIMEOUTS["time_wait"] + SLACK


def test_vanished_client_and_server(world: World) -> None:
    """Neither side says goodbye: the serving unit's entry runs out, and takes the rest along."""
    name = "net.netfilter.nf_conntrack_tcp_timeout_established"
    world.sysctl(name, 5)
    try:
        sessions = [world.connect() for _ in range(6)]
        assert {session.unit for session in sessions} == {1, 2, 3}
        with world.silenced("client", "server"):
            world.stop()
            assert world.until_gone(30) < 5 + SLACK
    finally:
        world.sysctl(name, TIMEOUTS["established"])


def test_a_client_that_never_gets_an_answer(world: World) -> None:
    """The server is silent: half-open sessions run out on every unit."""
    with world.silenced("server"):
        outcomes = world.client("sessions", address=SERVER, port=PORT, count=6, timeout=1)
        assert outcomes == ["ETIMEDOUT"] * 6
        assert world.until_gone(60) < TIMEOUTS["syn_sent"] + SLACK


def test_sessions_one_after_another_leave_nothing(world: World) -> None:
    """Served never goes down, live comes back to none."""
    counts = []
    for _ in range(3):
        world.client("sessions", address=SERVER, port=PORT, count=30)
        world.until_gone(30)
        counts.append(sum(world.served().values()))
    assert all(after - before == 30 for before, after in pairwise(counts))
