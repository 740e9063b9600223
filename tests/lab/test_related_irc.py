"""IRC: a client inside offers a file to one outside (DCC SEND), through a real IRC server.

The helper reads the offer, writes the cluster's address over the client's, which is a digit
shorter, and expects a connection from anywhere to the port that it offers.
"""

import itertools
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.related import PORTS, assert_together, families
from tests.lab.world import CLIENT, OUTSIDE, SERVER, PeerProcess, World

CONFIG = """
[Global]
Name = lab.example
Info = the lab
Ports = 6667
ServerUID = 0
ServerGID = 0
[Options]
DNS = no
Ident = no
PAM = no
"""
SIZE = 50_000  # fits what sockets hold: it is given before it is taken

_names = map("{}".format, itertools.count(1))


@pytest.fixture
def irc(related_world: World) -> Iterator[World]:
    """ngircd on `server`."""
    config = related_world.folder / "ngircd.conf"
    config.write_text(CONFIG)
    server = related_world.lab.popen(
        "server",
        ["ngircd", "--nodaemon", "--config", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    related_world.until(
        lambda: ":6667 " in related_world.lab.run("server", ["ss", "-lnt"]).stdout, "no IRC server"
    )
    yield related_world
    server.terminate()
    server.wait(timeout=10)


def register(peer: PeerProcess, name: str) -> int:
    """A client of the IRC server; its socket's number."""
    opened = peer("connect", address=SERVER, port=6667, sport=next(PORTS), greeted=False)
    peer("send", id=opened["id"], text=f"NICK {name}\r\nUSER {name} 0 * :{name}\r\n")
    peer("until", id=opened["id"], text=f" 001 {name} ")
    return int(opened["id"])


def send_file(alice: PeerProcess, bob: PeerProcess) -> None:
    """Alice inside offers and gives, Bob outside takes, each by a new session with the server."""
    turn = next(_names)
    ours, theirs = register(alice, f"alice{turn}"), register(bob, f"bob{turn}")
    port, seed = next(PORTS), int(turn)
    listener = alice("listen", port=port)
    offer = f"PRIVMSG bob{turn} :\x01DCC SEND file {number(CLIENT)} {port} {SIZE}\x01\r\n"
    alice("send", id=ours, text=offer)
    told = bob("until", id=theirs, text="DCC SEND file ").split("DCC SEND file ")[1].split()
    assert told[0] == number(OUTSIDE)
    data = bob("connect", address=OUTSIDE, port=int(told[1]), greeted=False)["id"]
    accepted = alice("accept", id=listener)
    assert accepted["seen"][0] == SERVER
    given = alice("offer", id=accepted["id"], size=SIZE, seed=seed)
    assert bob("take", id=data) == {"size": SIZE, "digest": given}
    # The translation has made a longer line of it: what comes behind must still fit.
    bob("send", id=theirs, text=f"PRIVMSG alice{turn} :thanks\r\n")
    alice("until", id=ours, text=":thanks")
    alice("send", id=ours, text=f"PRIVMSG bob{turn} :welcome\r\n")
    bob("until", id=theirs, text=":welcome")
    for peer, sockets in ((bob, (data, theirs)), (alice, (accepted["id"], listener, ours))):
        for each in sockets:
            peer("close", id=each)


def number(address: str) -> str:
    """An address as DCC has it."""
    return str(int.from_bytes(socket.inet_aton(address)))


def test_a_file_is_sent_through_the_unit_of_its_control_session(irc: World) -> None:
    alice, bob = (irc.another_peer(host, "tests.lab.related_peer") for host in ("client", "server"))
    known = {family.control.original for family in families(irc)}
    for _ in irc.units:
        send_file(alice, bob)
    found = [family for family in families(irc) if family.control.original not in known]
    assert [family.control.helper for family in found] == ["irc"] * 3
    assert [[data.original.source for data in family.data] for family in found] == [[SERVER]] * 3
    assert_together(irc, found)
    assert {family.unit for family in found} == set(irc.units)
