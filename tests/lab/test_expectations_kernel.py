"""What a real kernel does with the expectations that the agent makes, and tells of its own."""

import errno
import socket
from collections.abc import Iterator

import pytest

from agents.conntrack import Conntrack
from agents.ctexpect import PERMANENT, Expect, GetExpectation, Unexpect
from agents.ctnetlink import EXPECTED, Create, Delete
from agents.wire.labels import interface_of
from agents.wire.packet import inverse, tuple12
from agents.wire.peer import Expectation
from tests.lab.firewall import CLIENT, OUTSIDE, SERVER
from tests.lab.ftp_wall import EXT, Wall, active, ftp_wall, injected, passive_reply, port_command


@pytest.fixture(scope="module")
def stack() -> Iterator[Wall]:
    with ftp_wall() as made:
        yield made


@pytest.fixture
def wall(stack: Wall) -> Wall:
    return stack.emptied()


# -- expectations that the agent makes


def test_a_syn_that_meets_an_expectation_is_related_and_translated_as_told(wall: Wall) -> None:
    """The primary: its kernel has seen nothing of the session but its SYN."""
    master = wall.master()
    made = active(master, 50001, nat=bytes(4) + (50111).to_bytes(2))
    assert wall.do(Expect(made)) == 0
    assert wall.do(GetExpectation(tuple12(SERVER, OUTSIDE, 20, 50001))) == made
    with wall.client.entered():
        listener = socket.create_server((CLIENT, 50111))
    with wall.server.entered():
        sock = socket.socket()
    with listener, sock:
        listener.settimeout(5)
        sock.settimeout(5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((SERVER, 20))
        sock.connect((OUTSIDE, 50001))
        accepted, who = listener.accept()
        with accepted:
            assert who == (SERVER, 20)
            entry = wall.get(tuple12(SERVER, OUTSIDE, 20, 50001))
    assert entry.reply == tuple12(CLIENT, SERVER, 50111, 20)
    assert entry.master == master
    assert entry.status & EXPECTED
    assert interface_of(entry.labels) == EXT
    # It has come once, and is told to be gone.
    assert wall.do(GetExpectation(made.tuple12)) == errno.ENOENT
    assert wall.told() == [(False, made)]


def test_a_permanent_expectation_stays(wall: Wall) -> None:
    master = wall.master()
    made = active(master, 50002, flags=PERMANENT)
    assert wall.do(Expect(made)) == 0
    with wall.server.entered(), socket.socket() as sock:
        sock.bind((SERVER, 0))
        sock.settimeout(5)
        with pytest.raises(ConnectionRefusedError):  # by the client, which doesn't listen
            sock.connect((OUTSIDE, 50002))
    assert wall.do(GetExpectation(made.tuple12)) == made
    assert wall.told() == []


def test_what_nothing_has_announced_stays_outside(wall: Wall) -> None:
    """The rules are such that the tests above show something."""
    with wall.server.entered(), socket.socket() as sock:
        sock.settimeout(0.3)
        with pytest.raises(OSError, match=r"timed out|refused"):
            sock.connect((OUTSIDE, 50003))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"protocol": 17},
        {"flags": PERMANENT},
        {"nat": b"", "function": "", "direction": 0},
        {"direction": 0, "nat": socket.inet_aton(CLIENT) + b"\x12\x34"},
        {"mask": b"\xff" * 6, "tuple12": tuple12(SERVER, OUTSIDE, 20, 50004)},
        {"mask": bytes(6), "tuple12": tuple12("0.0.0.0", OUTSIDE, 0, 50004)},
    ],
)
def test_what_is_made_is_found_as_it_was_made_and_removed(
    wall: Wall, change: dict[str, object]
) -> None:
    made = active(wall.master(), 50004, **change)
    asked = made.tuple12, made.protocol
    get, remove = GetExpectation(*asked), Unexpect(*asked)
    script = [get, Expect(made), get, remove, get, remove]
    results = [errno.ENOENT, 0, made, 0, errno.ENOENT, errno.ENOENT]
    assert wall.conntrack.transact(script) == results


def test_an_expectation_needs_a_master(wall: Wall) -> None:
    master = wall.master()
    other = wall.orig()
    assert wall.do(Expect(active(other))) == errno.ENOENT
    assert wall.do(Expect(active(inverse(master)))) == errno.ENOENT  # not a tuple of the entry
    assert wall.do(Delete(master)) == 0
    assert wall.do(Expect(active(master))) == errno.ENOENT


def test_the_master_needs_a_helper(wall: Wall) -> None:
    assert wall.do(Expect(active(wall.master(helper="")))) == errno.EOPNOTSUPP


def test_the_same_is_not_expected_twice(wall: Wall) -> None:
    first, second = wall.master(), wall.orig()
    reply = inverse(second)[:4] + socket.inet_aton(OUTSIDE) + inverse(second)[8:]
    assert wall.do(Create(injected(second, reply))) == 0
    assert wall.do(Expect(active(first))) == 0
    assert wall.do(Expect(active(first))) == errno.EEXIST
    assert wall.do(Expect(active(second))) == errno.EEXIST
    narrower = active(second, tuple12=tuple12(SERVER, OUTSIDE, 20, 50000), mask=b"\xff" * 6)
    assert wall.do(Expect(narrower)) == errno.EEXIST
    wider = active(second, tuple12=tuple12("0.0.0.0", OUTSIDE, 0, 50000), mask=bytes(6))
    assert wall.do(Expect(wider)) == errno.EBUSY
    assert wall.do(GetExpectation(wider.tuple12)) == errno.ENOENT
    assert wall.do(GetExpectation(active(second).tuple12)) == active(first)


def test_a_function_that_the_kernel_has_not_is_refused(wall: Wall) -> None:
    assert wall.do(Expect(active(wall.master(), function="nonesuch"))) == errno.EINVAL


# -- events


def test_own_requests_are_not_heard_others_are(wall: Wall) -> None:
    master = wall.master()
    with wall.firewall.entered():
        other = Conntrack()
    made = active(master)
    requests = [Expect(made), Unexpect(made.tuple12)]
    assert wall.conntrack.transact(requests) == [0, 0]
    assert wall.told() == []
    assert other.transact(requests) == [0, 0]
    other.close()
    assert wall.told() == [(True, made), (False, made)]


def test_the_end_of_the_master_is_that_of_what_it_announced(wall: Wall) -> None:
    master = wall.master()
    assert wall.do(Expect(active(master))) == 0
    number = str(int.from_bytes(master[8:10]))
    wall.firewall.run("conntrack", "-D", "-p", "tcp", "--sport", number)
    assert wall.told() == [(False, active(master))]


def test_what_a_packet_announces_is_told_before_it_leaves(wall: Wall) -> None:
    """Whoever has the packet finds the event. Both ways, and time and again."""
    orig = wall.orig()
    with wall.control(orig) as (client, server):
        assert wall.told() == []
        before: Expectation | None = None
        for port in range(40000, 40100):
            if port % 2:
                client.sendall(port_command(CLIENT, port))
                assert server.recv(100) == port_command(OUTSIDE, port)
                made = active(orig, port)
            else:
                server.sendall(passive_reply(SERVER, port))
                assert client.recv(100) == passive_reply(SERVER, port)
                made = active(orig, port, tuple12=tuple12(CLIENT, SERVER, 0, port), direction=0)
            # One at a time (ftp_exp_policy in nf_conntrack_ftp.c): the one before goes.
            assert wall.told() == ([(False, before)] if before else []) + [(True, made)]
            before = made


def test_what_is_announced_again_goes_and_is_made_anew(wall: Wall) -> None:
    orig = wall.orig()
    with wall.control(orig) as (client, server):
        for _ in range(2):
            client.sendall(port_command(CLIENT, 41000))
            assert server.recv(100) == port_command(OUTSIDE, 41000)
        made = active(orig, 41000)
        assert wall.told() == [(True, made), (False, made), (True, made)]
