"""conntrackd's packets, as agents carry them: scapy writes them, and reads the same."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from agents.wire import pickup
from agents.wire.errors import WireError
from agents.wire.ports import PICKUP_GROUP, PICKUP_PORT
from tests.unit.pickup_frames import GROUP_MAC, SOURCE, SOURCE_MAC, said
from tests.unit.wire_frames import junk

WHOLE = said()
PACKET = WHOLE[14:]
REFUSED = {
    "of another address": said(src="169.254.83.3"),
    "to another address": said(dst="225.0.0.84"),
    "to one host": said(dst="169.254.83.2"),
    "to another port": said(dport=PICKUP_PORT + 1),
    "no UDP": said(proto=6),
    "with options": said(options=b"\x94\x04\0\0"),
    "of another version": WHOLE[:14] + b"\x65" + WHOLE[15:],
    "the first of a fragmented": said(flags="MF"),
    "the last of a fragmented": said(frag=185),
    "cut": WHOLE[:-1],
    "without its UDP header": said(b"")[:41],
    "of another length": WHOLE[:16] + b"\0\x1c" + WHOLE[18:],
    "nothing": b"",
}


@given(st.binary(max_size=1400), st.binary(max_size=20))
def test_what_is_said_comes_as_it_was_said(text: bytes, padding: bytes) -> None:
    frame = said(text)
    packet = pickup.packet_of(frame + padding, SOURCE)
    assert pickup.frame_of(packet, SOURCE, SOURCE_MAC) == frame
    shown = Ether(frame)
    assert (shown.dst, shown[IP].dst, shown[UDP].dport) == (GROUP_MAC, PICKUP_GROUP, PICKUP_PORT)


def refusal(read: Callable[[], bytes]) -> str:
    with pytest.raises(WireError) as error:
        read()
    return error.value.reason


@pytest.mark.parametrize("frame", REFUSED.values(), ids=REFUSED)
def test_what_is_no_packet_of_that_units_conntrackd(frame: bytes) -> None:
    """Neither on its way out, nor when it comes in. (On its way out, a longer frame is padded.)"""
    if frame[16:18] != b"\0\x1c":
        assert refusal(lambda: pickup.packet_of(frame, SOURCE)) == "pickup_value"
    packet = frame[14:]
    assert refusal(lambda: pickup.frame_of(packet, SOURCE, SOURCE_MAC)) == "pickup_value"


def test_what_is_no_ipv4_is_no_packet() -> None:
    arp = WHOLE[:12] + b"\x08\x06" + PACKET
    assert refusal(lambda: pickup.packet_of(arp, SOURCE)) == "pickup_value"


@given(junk)
def test_of_any_bytes_a_packet_is_made_or_a_reason_given(data: bytes) -> None:
    packet = b""
    with contextlib.suppress(WireError):
        packet = pickup.packet_of(data, SOURCE)
    if packet:
        assert pickup.frame_of(packet, SOURCE, SOURCE_MAC)[14:] == packet
