"""Which of the packet sockets of a machine read everything."""

from agents.queues import main, packet_sockets, short

LISTED = """\
sk               RefCnt Type Proto  Iface R Rmem   User   Inode
000000006fbd9a2e 3      3    0003   12    1 768    0      40961
00000000a1c2b3d4 3      3    88cc   0     1 0      0      40962
000000001b2c3d4e 3      3    0003   13    1 0      0      40963
"""


def test_those_of_one_protocol_are_others() -> None:
    assert packet_sockets(LISTED) == {40961, 40963}
    assert packet_sockets(LISTED.splitlines(keepends=True)[0]) == set()


def test_without_a_switch_nothing_is_short_and_nothing_is_done(
    capsys, monkeypatch, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("agents.queues.PID_FILE", tmp_path / "ovs-vswitchd.pid")
    assert not short()
    assert main() == 1
    (tmp_path / "ovs-vswitchd.pid").write_text("\n")
    assert main() == 1
    assert capsys.readouterr().err.count("the switch's queues stay short") == 2
