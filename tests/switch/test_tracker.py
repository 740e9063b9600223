"""What only the session table `conntrack` has: entries of the switch's own connection tracker.

That frames go where they go with flows, too, is `test_primary`.
"""

import re
import subprocess

import pytest

from agents.bringup import Host, plan
from agents.bringup_steps import Command
from agents.wire.packet import inverse
from agents.wire.ports import CT_ZONE
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from tests.switch import frames
from tests.switch.frames import ACK, FIN, RST, SYN_ACK
from tests.switch.ovs import Switch
from tests.switch.units import (
    CLIENT,
    CLIENT_MAC,
    CLUSTER,
    EXT,
    INT,
    SERVER,
    SERVER_MAC,
    UnitBridge,
    cluster_of,
)

LAB = cluster_of(3, "conntrack")
VIRTUAL = {interface.index: interface.virtual_mac for interface in LAB.interfaces}


def session(number: int) -> tuple[bytes, bytes]:
    port = (40000 + number).to_bytes(2, "big")
    return CLIENT + SERVER + port + b"\0\x50", SERVER + CLUSTER + b"\0\x50" + port


@pytest.fixture(scope="module")
def _made(switch: Switch) -> UnitBridge:
    made = UnitBridge(switch, LAB, 1)
    made.become(Role.PRIMARY, 1, diverting=True)
    return made


@pytest.fixture
def unit(_made: UnitBridge) -> UnitBridge:
    """The primary's bridge, without any entry."""
    _made.tell(events.Forget(1))
    return _made


def entries(unit: UnitBridge) -> dict[tuple[str, int, str, int], int]:
    """Source and target of each entry of ours -> its mark."""
    text = unit.bridge.switch.appctl("dpctl/dump-conntrack", f"zone={CT_ZONE}")
    entry = r"orig=\(src=(.*?),dst=(.*?),sport=(\d+),dport=(\d+)\).*mark=(\d+)"
    return {
        (source, int(sport), target, int(dport)): int(mark)
        for source, target, sport, dport, mark in re.findall(entry, text)
    }


def goes_to(unit: UnitBridge, tuple12: bytes, flags: str = ACK, payload: bytes = b"") -> int:
    """To which unit a packet from outside goes; 1: to the kernel."""
    port, mac, interface = ("nic1", CLIENT_MAC, INT)
    if tuple12[:4] == SERVER:
        port, mac, interface = ("nic2", SERVER_MAC, EXT)
    frame = frames.tcp(mac, VIRTUAL[interface], tuple12, flags, payload)
    ((left_by, (sent,)),) = unit.pass_through(port, frame).items()
    if left_by == f"kernel{interface}":
        return 1
    assert left_by == port
    return next(each.id for each in LAB.units if each.macs[interface - 1] == sent[:6])


def test_a_session_is_an_entry_each_way_with_its_units_id_as_the_mark(unit: UnitBridge) -> None:
    unit.tell(events.Settle(1, [], [(2, *session(1))], []))
    assert entries(unit) == {
        ("10.1.0.10", 40001, "203.0.113.10", 80): 2,
        ("203.0.113.1", 40001, "203.0.113.10", 80): 2,
    }


def test_a_session_without_nat_is_one_entry(unit: UnitBridge) -> None:
    orig, _ = session(2)
    unit.tell(events.Settle(1, [], [(3, orig, inverse(orig))], []))
    assert entries(unit) == {("10.1.0.10", 40002, "203.0.113.10", 80): 3}
    assert [goes_to(unit, orig), goes_to(unit, inverse(orig), SYN_ACK)] == [3, 3]
    unit.tell(events.Settle(1, [orig, inverse(orig)], [], []))
    assert entries(unit) == {}


def test_what_is_removed_is_in_no_other_entrys_place(unit: UnitBridge) -> None:
    unit.tell(events.Settle(1, [], [(2, *session(number)) for number in (3, 4)], []))
    unit.tell(events.Settle(1, [*session(3)], [], []))
    assert [goes_to(unit, tuple12) for tuple12 in session(3)] == [1, 1]
    assert [goes_to(unit, tuple12) for tuple12 in session(4)] == [2, 2]


def test_nothing_that_is_no_entry_is_in_the_switchs_log(unit: UnitBridge) -> None:
    """It warns of each tuple to be removed that it hasn't (conntrack_flush_tuple())."""
    orig, reply = session(5)
    for reply_tuple in (reply, inverse(orig)):
        unit.tell(events.Settle(1, [], [(2, orig, reply_tuple)], []))
        unit.tell(events.Settle(1, [orig, reply_tuple], [], []))
    log = (unit.bridge.switch.dir / "vswitchd.log").read_text()
    assert "Must flush tuple" not in log


def test_another_decision_counts_at_once_whatever_was_seen_of_the_one_before(
    unit: UnitBridge,
) -> None:
    orig, reply = session(6)
    unit.tell(events.Settle(1, [], [(2, orig, reply)], []))
    for flags in (ACK, FIN, RST, "RA", ACK):
        assert [goes_to(unit, tuple12, flags) for tuple12 in (orig, reply)] == [2, 2]
    unit.tell(events.Settle(1, [], [(3, orig, reply)], []))
    assert [goes_to(unit, tuple12) for tuple12 in (orig, reply)] == [3, 3]


def test_what_is_out_of_every_window_is_of_its_session_all_the_same(unit: UnitBridge) -> None:
    """The tracker has never seen a sequence number of it."""
    orig, _ = session(7)
    unit.tell(events.Settle(1, [], [(2, *session(7))], []))
    for number in range(1, 2**32, 2**29):
        frame = bytearray(frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK, b"x" * 1000))
        for at in (38, 42):  # sequence number, acknowledgement
            frame[at : at + 4] = number.to_bytes(4, "big")
        whole = checksummed(bytes(frame))
        assert set(unit.pass_through("nic1", whole)) == {"nic1"}
    cached = unit.bridge.switch.appctl("dpctl/dump-flows")
    assert "ct_state(+inv" not in cached
    assert "ct_mark(0x2)" in cached


def checksummed(frame: bytes) -> bytes:
    from scapy.layers.inet import TCP  # noqa: PLC0415
    from scapy.layers.l2 import Ether  # noqa: PLC0415

    packet = Ether(frame)
    del packet[TCP].chksum
    return bytes(packet)


def test_neither_flows_nor_what_is_cached_grow_with_sessions(unit: UnitBridge) -> None:
    def counted() -> tuple[int, int]:
        cached = unit.bridge.switch.appctl("dpctl/dump-flows").strip().splitlines()
        return len(unit.bridge.flows()), len(cached)

    found = []
    for numbers in (range(100, 110), range(110, 410)):
        unit.tell(events.Settle(1, [], [(2, *session(number)) for number in numbers], []))
        for number in numbers:
            orig, reply = session(number)
            unit.bridge.put(
                unit.port("nic1"), frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK, b"?")
            )
            unit.bridge.put(
                unit.port("nic2"), frames.tcp(SERVER_MAC, VIRTUAL[EXT], reply, ACK, b"!")
            )
        assert goes_to(unit, session(numbers[-1])[0]) == 2
        found.append(counted())
    assert len(entries(unit)) == 2 * 310
    few, many = found
    assert many[0] == few[0]
    assert many[1] <= few[1]  # what tests before have left in the cache goes meanwhile


def test_all_entries_go_by_one_message(unit: UnitBridge) -> None:
    unit.tell(events.Settle(1, [], [(2, *session(number)) for number in range(50)], []))
    unit.tell(events.Forget(1))
    assert entries(unit) == {}


def test_another_zones_entries_are_left_alone(unit: UnitBridge) -> None:
    switch, orig = unit.bridge.switch, session(8)[0]
    theirs = switch.bridge("theirs", 77, {"theirs1": 1})
    flow = "tcp,actions=ct(commit,zone=5,exec(set_field:9->ct_mark))"
    switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "theirs", flow)
    theirs.put("theirs1", frames.tcp(CLIENT_MAC, SERVER_MAC, orig))
    assert goes_to(unit, orig) == 1
    unit.tell(events.Forget(1))
    assert "zone=5" in switch.appctl("dpctl/dump-conntrack")
    switch.vsctl("del-br", "theirs")


def test_entries_live_as_long_as_a_unit_is_brought_up_to_let_them(unit: UnitBridge) -> None:
    """24 days, and a RST doesn't change it."""
    switch = unit.bridge.switch
    steps = plan(LAB, 1, "", Host(datapath="dummy", ovs_running=True))
    done = [
        switch.vsctl(*step.argv[1:])
        for step in steps
        if isinstance(step, Command) and "add-zone-tp" in step.argv
    ]
    assert len(done) == 1
    unit.tell(events.Settle(1, [], [(2, *session(9))], []))
    for tuple12 in session(9):
        assert goes_to(unit, tuple12, RST) == 2
    text = switch.appctl("dpctl/dump-conntrack", "-s", f"zone={CT_ZONE}")
    left = [int(found) for found in re.findall(r"timeout=(\d+)", text)]
    assert len(left) == 2
    assert min(left) > 23.9 * 86400


def test_the_message_is_that_which_the_switchs_own_program_sends(unit: UnitBridge) -> None:
    unit.tell(events.Settle(1, [], [(2, *session(10))], []))
    words = "ct_nw_src={},ct_nw_dst=203.0.113.10,ct_tp_src=40010,ct_tp_dst=80,ct_nw_proto=6"
    for source in ("10.1.0.10", "203.0.113.1"):
        argv = ("ct-flush", unit.name, f"zone={CT_ZONE}", words.format(source))
        try:
            unit.bridge.switch.run("ovs-ofctl", "-O", "OpenFlow13", *argv)
        except subprocess.SubprocessError as error:
            pytest.skip(f"no ct-flush in this ovs-ofctl: {error}")
    assert entries(unit) == {}


def test_what_has_a_bad_checksum_is_nobodys_session(unit: UnitBridge) -> None:
    """The tracker can't read it (conn_key_extract()); the primary's kernel decides about it."""
    orig, _ = session(11)
    unit.tell(events.Settle(1, [], [(2, *session(11))], []))
    frame = frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK, b"x")
    assert set(unit.pass_through("nic1", frame[:-1] + b"y")) == {"kernel1"}
    assert set(unit.pass_through("nic1", frame)) == {"nic1"}


def test_fragments_never_reach_the_tracker_which_would_hold_them(unit: UnitBridge) -> None:
    """It puts them together if they have 1,200 bytes (lib/ipf.c), and finds their session."""
    from scapy.layers.inet import fragment  # noqa: PLC0415
    from scapy.layers.l2 import Ether  # noqa: PLC0415

    orig, _ = session(12)
    unit.tell(events.Settle(1, [], [(2, *session(12))], []))
    whole = Ether(frames.tcp(CLIENT_MAC, VIRTUAL[INT], orig, ACK, b"x" * 2380))
    first, second = (bytes(piece) for piece in fragment(whole, 1200))
    for piece in (first, second):
        assert set(unit.pass_through("nic1", piece)) == {"kernel1"}
