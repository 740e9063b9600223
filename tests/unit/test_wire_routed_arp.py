"""ARP frames, compared with scapy's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether

from agents.wire import routed_arp
from agents.wire.errors import WireError
from agents.wire.ports import mac_text
from agents.wire.routed_arp import Arp
from tests.unit.wire_frames import addresses, junk, macs, u16

ops = st.sampled_from([1, 2, 201, 202]) | u16
arps = st.builds(Arp, ops, macs, addresses, macs, addresses, macs, macs)


def by_scapy(arp: Arp) -> bytes:
    dotted = [".".join(map(str, address)) for address in (arp.spa, arp.tpa)]
    ether = Ether(dst=mac_text(arp.eth_dst), src=mac_text(arp.eth_src))
    return bytes(
        ether
        / ARP(
            op=arp.op,
            hwsrc=mac_text(arp.sha),
            psrc=dotted[0],
            hwdst=mac_text(arp.tha),
            pdst=dotted[1],
        )
    )


@given(arps)
def test_encode_makes_what_scapy_makes(arp: Arp) -> None:
    assert routed_arp.encode(arp) == by_scapy(arp)


@given(arps, st.binary(max_size=30))
def test_parse_gives_it_back_padding_or_not(arp: Arp, padding: bytes) -> None:
    frame = routed_arp.encode(arp)
    assert len(frame) == 42
    assert routed_arp.parse(frame + padding) == arp


def test_the_opcodes_of_the_talk() -> None:
    assert (routed_arp.ROUTED_REQUEST, routed_arp.ROUTED_REPLY) == (201, 202)
    assert (routed_arp.REQUEST, routed_arp.REPLY) == (1, 2)
    assert (len(routed_arp.BROADCAST), len(routed_arp.UNKNOWN)) == (6, 6)


ONE = routed_arp.encode(Arp(1, b"s" * 6, b"sspa", routed_arp.UNKNOWN, b"ttpa", b"d" * 6, b"e" * 6))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not_arp"),
        (ONE[:13], "not_arp"),
        (ONE[:12] + b"\x08\x00" + ONE[14:], "not_arp"),
        (ONE[:14], "arp_truncated"),
        (ONE[:41], "arp_truncated"),
        (ONE[:15] + b"\x06" + ONE[16:], "arp_format"),
        (ONE[:16] + b"\x86\xdd" + ONE[18:], "arp_format"),
        (ONE[:18] + b"\x08" + ONE[19:], "arp_format"),
        (ONE[:19] + b"\x10" + ONE[20:], "arp_format"),
    ],
)
def test_what_is_no_arp_is_named(frame: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        routed_arp.parse(frame)
    assert caught.value.reason == reason


@given(junk | junk.map(lambda tail: ONE[:14] + tail))
def test_any_bytes_are_an_arp_or_a_wire_error(frame: bytes) -> None:
    try:
        found = routed_arp.parse(frame)
    except WireError:
        return
    assert routed_arp.encode(found) == frame[:42]
