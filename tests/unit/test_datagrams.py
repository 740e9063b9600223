"""Many datagrams by one system call, between two sockets of this process."""

import errno
import socket
from collections.abc import Iterator

import pytest

from agents.datagrams import Datagrams

MOST, SIZE = 4, 32
SENT = [b"", b"one", b"x" * SIZE, b"four"]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends, of which neither waits."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        for end in (one, other):
            end.setblocking(False)
        yield one, other


Pair = tuple[socket.socket, socket.socket]


def test_they_come_whole_and_in_order_up_to_a_bound(pair: Pair) -> None:
    one, other = pair
    datagrams = Datagrams(other, MOST, SIZE)
    sent = [bytes((number,)) * number for number in range(1, 8)]
    for each in sent:
        one.send(each)
    assert datagrams.receive(3) == sent[:3]
    assert datagrams.receive(100) == sent[3:7]
    assert datagrams.receive(100) == []


def test_what_was_read_stays_as_it_was(pair: Pair) -> None:
    one, other = pair
    datagrams = Datagrams(other, MOST, SIZE)
    one.send(b"first")
    (read,) = datagrams.receive(MOST)
    one.send(b"other")
    assert datagrams.receive(MOST) == [b"other"]
    assert read == b"first"


def test_a_longer_one_is_cut(pair: Pair) -> None:
    one, other = pair
    one.send(b"x" * SIZE + b"y")
    one.send(b"z")
    assert Datagrams(other, MOST, SIZE).receive(MOST) == [b"x" * SIZE, b"z"]


def test_they_go_whole_and_in_order(pair: Pair) -> None:
    one, other = pair
    datagrams = Datagrams(one, MOST, SIZE)
    for _ in range(2):  # the second time in the same room
        assert datagrams.send(SENT) == (len(SENT), 0)
        assert [other.recv(100) for _ in SENT] == SENT


def test_what_does_not_go_says_why(pair: Pair) -> None:
    one, other = pair
    datagrams = Datagrams(one, MOST, SIZE)
    taken = 0
    while not (result := datagrams.send(SENT))[1]:
        taken += result[0]
    assert result == (0, errno.EAGAIN)
    assert len(Datagrams(other, 4096, SIZE).receive(4096)) == taken
    other.close()
    assert datagrams.send(SENT) == (0, errno.ECONNREFUSED)


def test_what_cannot_be_read_is_an_error(pair: Pair) -> None:
    _, other = pair
    datagrams = Datagrams(other, MOST, SIZE)
    other.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        datagrams.receive(MOST)
