"""Many requests at once, the ends of entries, and dumps of all, with a real kernel."""

import contextlib
import errno
import socket

import pytest

from agents.conntrack import MAX_REQUESTS, Conntrack, Dump, destroyed
from agents.ctnetlink import Create, Delete, Entry, Get
from agents.wire.labels import unit_of
from agents.wire.packet import tuple12
from tests.lab.entry_wall import AGREEABLE, Wall, entry_of
from tests.lab.firewall import CLIENT, SERVER
from tests.lab.namespaces import namespaces
from tests.polling import until


def test_requests_in_one_send_are_done_in_order(wall: Wall) -> None:
    origs = [wall.orig() for _ in range(2 * MAX_REQUESTS + 5)]
    results = wall.conntrack.transact([Create(entry_of(orig)) for orig in origs])
    assert results == [0] * len(origs)
    mixed = [
        Get(origs[0]),
        Delete(origs[0]),
        Get(origs[0]),
        Create(entry_of(origs[1])),
        Get(origs[2]),
    ]
    found = wall.conntrack.transact(mixed)
    assert isinstance(found[0], Entry)
    assert found[0].orig == origs[0]
    assert found[1:4] == [0, errno.ENOENT, errno.EEXIST]
    assert isinstance(found[4], Entry)
    got = wall.conntrack.transact([Get(orig) for orig in origs[1:]])
    assert [entry.orig for entry in got if isinstance(entry, Entry)] == origs[1:]


def test_answers_that_find_no_room_are_missing_and_the_next_are_there(wall: Wall) -> None:
    origs = [wall.orig() for _ in range(MAX_REQUESTS)]
    assert wall.conntrack.transact([Create(entry_of(orig)) for orig in origs]) == [0] * len(origs)
    with wall.firewall.entered():
        conntrack = Conntrack()
    with contextlib.closing(conntrack):
        conntrack._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        found = conntrack.transact([Get(orig) for orig in origs])
        assert isinstance(found[0], Entry)
        assert found[-1] == errno.ENOBUFS
        found = conntrack.transact([Delete(wall.orig()) for _ in range(MAX_REQUESTS)])
        assert set(found) == {errno.ENOENT, errno.ENOBUFS}  # none is told to be done
        conntrack._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert isinstance(conntrack.transact([Get(origs[-1])])[0], Entry)


def test_ends_are_told_unless_one_has_asked_for_them(wall: Wall) -> None:
    mine, other, expiring = wall.orig(), wall.orig(), wall.orig()
    for orig in (mine, other):
        wall.do(Create(entry_of(orig)))
    wall.do(Delete(mine))
    wall.firewall.run("conntrack", "-D", "-p", "tcp", "--sport", str(int.from_bytes(other[8:10])))
    wall.do(Create(entry_of(expiring, timeout=1)))
    told: list[Entry] = []

    def all_told() -> bool:
        wall.do(Get(expiring))  # what is looked at after its time goes at once
        told.extend(wall.ended())
        return len(told) >= 2

    until(all_told)
    assert [entry.orig for entry in told] == [other, expiring]
    assert unit_of(told[0].labels) in (0, 3)


@pytest.mark.parametrize(("setting", "told"), [(1, True), (0, False)])
def test_entries_older_than_their_listener(setting: int, told: bool) -> None:
    """Why the unit's bring-up sets nf_conntrack_events=1. (At 2, the default, it depends on whether
    anybody on the whole machine was listening when the entry was made.)
    """
    with namespaces(1) as (alone,):
        alone.sysctl(net__netfilter__nf_conntrack_events=setting)
        alone.rules(AGREEABLE)
        with alone.entered(), socket.create_server(("127.0.0.1", 1234)) as listener:
            with socket.create_connection(("127.0.0.1", 1234)) as sock:
                orig = tuple12("127.0.0.1", "127.0.0.1", sock.getsockname()[1], 1234)
                conntrack = Conntrack()
                late = destroyed(ignore=0)
                assert conntrack.transact([Delete(orig)]) == [0]
                found = [gone.entry.orig for gone in late.read().events]
            listener.close()
        assert found == ([orig] if told else [])
        conntrack.close()
        late.close()


def test_lost_events_are_noticed(wall: Wall) -> None:
    with wall.firewall.entered():
        small = destroyed(ignore=0)
    small._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    origs = [wall.orig() for _ in range(100)]
    wall.conntrack.transact([Create(entry_of(orig)) for orig in origs])
    wall.conntrack.transact([Delete(orig) for orig in origs])
    ended = small.read()
    small.close()
    assert ended.lost
    assert len(ended.events) < 100


def test_a_dump_has_every_entry_and_comes_in_pieces(wall: Wall) -> None:
    origs = [wall.orig() for _ in range(1000)]
    wall.conntrack.transact([Create(entry_of(orig)) for orig in origs])
    wall.firewall.run(
        *("conntrack", "-I", "-p", "udp", "-s", CLIENT, "-d", SERVER),
        *("--sport", "5", "--dport", "6", "-t", "100"),
    )
    with wall.firewall.entered():
        dump = Dump()
    found: list[Entry] = []
    pieces = 0
    last = False
    while not last:
        entries, last = dump.read()
        found += entries
        pieces += 1
    dump.close()
    assert {entry.orig for entry in found} >= set(origs)
    assert len(found) == len({entry.orig for entry in found})
    assert pieces > 3
    assert all(unit_of(entry.labels) == 3 for entry in found if entry.orig in set(origs))
