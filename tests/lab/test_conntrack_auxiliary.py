"""The entries that an auxiliary's agent makes: what becomes of their sessions in a real kernel."""

import contextlib
import errno
import socket
from pathlib import Path

import pytest

from agents.ctnetlink import (
    ASSURED,
    CLOSE,
    ESTABLISHED,
    EXPECTED,
    SEEN_REPLY,
    SYN_SENT,
    TIME_WAIT,
    Create,
    Get,
    Update,
)
from agents.nft import inet_rules
from agents.wire.labels import BALANCE_BIT, CLOSING_BIT, unit_of, with_unit
from agents.wire.packet import inverse, tuple12
from agents.wire.ports import mac_text
from tests.lab.entry_wall import (
    AGREEABLE,
    CONTRARY,
    FTP,
    HTTP,
    SHUT,
    SPARE,
    Wall,
    entry_of,
    said_back,
    snat,
    tcp_segment,
)
from tests.lab.firewall import CLIENT, INSIDE, OUTSIDE, SERVER
from tests.lab.ftp_wall import CLUSTER
from tests.polling import until


def test_an_entry_with_nat_carries_a_session_whatever_the_rules_say(wall: Wall) -> None:
    orig = wall.orig()
    reply = snat(orig, SPARE, 5555)
    assert wall.do(Create(entry_of(orig, reply))) == 0
    made = wall.get(orig)
    assert (made.reply, made.state, made.mark, unit_of(made.labels)) == (reply, SYN_SENT, 7, 3)
    with wall.open(orig) as sock:
        assert said_back(sock) == 300_000
        assert wall.seen == [(SPARE, 5555)]
        now = wall.get(orig)
        # Its own rules had nothing to say: not the mark, not the NAT, not the policy of new ones.
        assert (now.reply, now.mark, now.state) == (reply, 7, ESTABLISHED)
        assert now.status & (SEEN_REPLY | ASSURED) == SEEN_REPLY | ASSURED
    until(lambda: wall.get(orig).state == TIME_WAIT)


def test_an_entry_without_nat_stays_untranslated(wall: Wall) -> None:
    orig = wall.orig()
    wall.server.run("ip", "route", "replace", "10.1.0.0/24", "via", OUTSIDE)
    assert wall.do(Create(entry_of(orig))) == 0
    with wall.open(orig) as sock:
        assert said_back(sock) == 300_000
        assert wall.seen == [(CLIENT, int.from_bytes(orig[8:10]))]
        assert wall.get(orig).reply == inverse(orig)


def test_of_a_copy_that_is_closing_nothing_is_told_but_its_end(wall: Wall, tmp_path: Path) -> None:
    """Its labels alone would be, by the first packet it meets: a SYN, of the session after it."""
    wall.firewall.rules(AGREEABLE)
    wall.firewall.run("nft", "-f", "-", stdin=inet_rules(CLUSTER))
    told = tmp_path / "told"
    copy, other = wall.orig(), wall.orig()
    labels = int.from_bytes(with_unit(3)[0], "little") | 1 << CLOSING_BIT

    def tells(orig: bytes) -> bool:
        return f"sport={int.from_bytes(orig[8:10])} " in told.read_text()

    listening = ("stdbuf", "-oL", "conntrack", "-E", "-e", "UPDATES")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(told.open("w"))
        process = stack.enter_context(wall.firewall.popen(*listening, stdout=file))
        stack.callback(process.kill)
        until(lambda: wall.open(wall.orig()).close() or told.stat().st_size)
        closing = entry_of(copy, state=ESTABLISHED, labels=labels.to_bytes(16, "little"))
        assert wall.do(Create(closing)) == 0
        with wall.open(copy), wall.open(other):
            until(lambda: tells(other))
        process.terminate()
    assert not tells(copy), told.read_text()


def test_a_syn_that_was_handed_over_goes_nowhere_without_an_entry(wall: Wall) -> None:
    """By Synod's own rules: the user's would let it pass."""
    interface = CLUSTER.interfaces[0]
    wall.firewall.rules(AGREEABLE)
    wall.firewall.run("nft", "-f", "-", stdin=inet_rules(CLUSTER))
    mac = wall.client.run("cat", "/sys/class/net/eth0/address").strip()
    wall.client.run("ip", "link", "set", "eth0", "address", mac_text(interface.virtual_mac))
    try:
        orig = wall.orig()
        with pytest.raises(TimeoutError):
            wall.open(orig, timeout=0.3)
        assert wall.do(Get(orig)) == errno.ENOENT
        orig = wall.orig()
        assert wall.do(Create(entry_of(orig, snat(orig, SPARE, 5602)))) == 0
        with wall.open(orig) as sock:
            assert said_back(sock) == 300_000
        assert wall.seen == [(SPARE, 5602)]
    finally:
        wall.client.run("ip", "link", "set", "eth0", "address", mac)


def test_destination_and_both_are_translated(wall: Wall) -> None:
    """A port forward: the client asks the firewall's own address."""
    orig = wall.orig(dport=9000, dst=INSIDE)
    behind = tuple12(SERVER, SPARE, HTTP, 6001)
    assert wall.do(Create(entry_of(orig, behind))) == 0
    with wall.open(orig) as sock:
        assert said_back(sock) == 300_000
    assert wall.seen == [(SPARE, 6001)]


def test_windows_are_checked_on_an_entry_made_before_its_syn(wall: Wall) -> None:
    """The SYN initialises tracking as if the kernel had made the entry: strays are invalid."""
    orig = wall.orig()
    wall.do(Create(entry_of(orig, snat(orig, SPARE, 5601))))
    wall.firewall.run("nft", "add counter ip user invalid")
    wall.firewall.run(
        "nft",
        "insert rule ip user filters ct state invalid counter name invalid",
    )
    with wall.open(orig) as sock:
        assert said_back(sock, 1000) == 1000
        # Initial numbers are random. Of these at least one is far ahead of the window.
        strays = [tcp_segment(orig, seq=number << 30, ack=0) for number in range(4)]
        with wall.client.entered():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with raw:
            for stray in strays:
                raw.sendto(stray, (SERVER, 0))
        until(lambda: "packets 0 " not in wall.firewall.run("nft", "list counters"))
        assert said_back(sock, 1000) == 1000


def test_mark_labels_and_timeout_are_those_asked_for(wall: Wall) -> None:
    orig = wall.orig()
    labels = (1 << 3 | 1 << 66 | 1 << BALANCE_BIT | 1 << 127).to_bytes(16, "little")
    assert wall.do(Create(entry_of(orig, mark=0xDEADBEEF, labels=labels, timeout=33))) == 0
    made = wall.get(orig)
    assert (made.mark, made.labels) == (0xDEADBEEF, labels)
    assert made.timeout in (32, 33)
    listed = wall.firewall.run("conntrack", "-L", "-m", str(0xDEADBEEF))
    assert f"sport={int.from_bytes(orig[8:10])}" in listed


def test_a_helper_is_attached_and_stays(wall: Wall) -> None:
    wall.firewall.rules(CONTRARY.replace("dport 80 dnat", "dport 9 dnat"))
    orig = wall.orig(FTP)
    assert wall.do(Create(entry_of(orig, snat(orig, SPARE, 5700), helper="ftp"))) == 0
    assert wall.get(orig).helper == "ftp"
    with wall.open(orig) as sock:
        # What the helper is for: it reads the session, and translates the address in it.
        sock.sendall(b"PORT 10,1,0,10,30,40\r\n")
        assert sock.recv(100) == b"PORT 203,0,113,77,30,40\r\n"
        expected = wall.firewall.run("conntrack", "-L", "expect")
        assert f"dst={SPARE} sport=0 dport={30 * 256 + 40}" in expected
    assert wall.get(orig).helper == "ftp"


def test_a_helper_that_is_not_there_is_an_error(wall: Wall) -> None:
    orig = wall.orig()
    assert wall.do(Create(entry_of(orig, helper="nonesuch"))) == errno.EOPNOTSUPP
    assert wall.do(Get(orig)) == errno.ENOENT


def test_an_expected_session_has_its_master(wall: Wall) -> None:
    master, orig = wall.orig(FTP), wall.orig()
    assert wall.do(Create(entry_of(orig, master=master))) == errno.ENOENT
    assert wall.do(Create(entry_of(master, helper="ftp"))) == 0
    assert wall.do(Create(entry_of(orig, master=master))) == 0
    made = wall.get(orig)
    assert made.master == master
    assert made.status & EXPECTED
    labels, mask = with_unit(2)
    status = made.status | SEEN_REPLY | ASSURED
    assert wall.do(Update(orig, labels, mask, status, 1000)) == 0
    assert unit_of(wall.get(orig).labels) == 2


def test_a_tuple_in_use_is_refused_in_either_direction(wall: Wall) -> None:
    first, second = wall.orig(), wall.orig()
    reply = snat(first, SPARE, 5800)
    assert wall.do(Create(entry_of(first, reply))) == 0
    assert wall.do(Create(entry_of(first, snat(first, SPARE, 5801)))) == errno.EEXIST
    assert wall.get(first).reply == reply
    assert wall.do(Create(entry_of(second, reply))) == errno.EEXIST
    assert wall.do(Get(second)) == errno.ENOENT
    assert wall.get(reply).orig == first


def test_a_refused_session_is_closed_in_ten_seconds(wall: Wall) -> None:
    orig = wall.orig(SHUT)
    wall.do(Create(entry_of(orig, snat(orig, SPARE, 5900))))
    with pytest.raises(ConnectionRefusedError):
        wall.open(orig)
    closed = wall.get(orig)
    assert closed.state == CLOSE
    assert closed.timeout <= 10
