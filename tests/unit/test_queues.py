"""Which packet sockets of a machine read everything, and making a process's queues longer: this
one's own, of UDP, which takes no root.
"""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import queues
from agents import switch as daemon

HEADER = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"
LISTED = f"""\
{HEADER}\
000000006fbd9a2e 3      3    0003   12    1 768    0      40961
00000000a1c2b3d4 3      3    88cc   0     1 0      0      40962
000000001b2c3d4e 3      3    0003   13    1 0      0      40963
"""
SHORT, LONG = 4096, 32768  # bytes asked for; the kernel doubles them


def test_those_of_one_protocol_are_others() -> None:
    assert queues.packet_sockets(LISTED) == {40961, 40963}
    assert queues.packet_sockets(HEADER) == set()


def test_what_the_kernel_tells_is_twice_what_was_asked_for() -> None:
    assert queues.is_short(212992)
    assert queues.is_short(2 * queues.QUEUE - 1)
    assert not queues.is_short(2 * queues.QUEUE)


def length(each: socket.socket) -> int:
    return each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


@pytest.fixture
def switch(this_is_the_switch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process is the switch, by the file that is returned; long queues are 32 KiB there."""
    monkeypatch.setattr(queues, "QUEUE", LONG // 2)
    monkeypatch.setattr(queues, "_SO_RCVBUFFORCE", socket.SO_RCVBUF)
    monkeypatch.setattr(queues, "packet_sockets", lambda _listed: set())
    return this_is_the_switch


@pytest.fixture
def two(switch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """The sockets from which it reads NICs, a short one and a long one."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for each, asked in ((one, SHORT), (other, LONG)):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked)
        inodes = {os.fstat(each.fileno()).st_ino for each in (one, other)}
        monkeypatch.setattr(queues, "packet_sockets", lambda _listed: inodes)
        yield [one, other]


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_a_short_queue_is_made_longer_and_a_long_one_stays(two: list[socket.socket]) -> None:
    before = descriptors()
    assert queues.short()
    assert queues.lengthen() == 1
    assert [length(each) for each in two] == [LONG, 2 * LONG]
    assert not queues.short()
    assert queues.lengthen() == 0
    assert queues.main() == 0
    assert descriptors() == before


def fails(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """It isn't done, and these are among the words that say so; nor is it to be done again."""
    assert queues.main() == 1
    said = capsys.readouterr().err
    assert re.fullmatch(f"the switch's queues stay short: .*{words}.*\n", said)
    assert not queues.short()


@pytest.mark.parametrize("noted", [None, "\n", "0\n", f"{1 << 30}\n"])
def test_without_a_switch(
    switch: Path, noted: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.unlink()
    if noted is not None:
        switch.write_text(noted)
    fails(capsys, "ovs-vswitchd.pid names no .* that runs")


@pytest.mark.usefixtures("two")
def test_another_process_that_has_got_its_id_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(daemon, "SWITCH", "ovs-vswitchd")
    fails(capsys, "ovs-vswitchd.pid names no ovs-vswitchd that runs")


def test_one_that_has_ended_runs_no_more(
    switch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(daemon, "SWITCH", "true")
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        switch.write_text(f"{ended.pid}\n")
        fails(capsys, "ovs-vswitchd.pid names no true that runs")


@pytest.mark.usefixtures("switch")
def test_a_switch_that_has_no_such_socket(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "reads no NIC from a packet socket")


@pytest.mark.usefixtures("two")
def test_where_it_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    fails(capsys, r"Operation not permitted \(it takes root\)")
