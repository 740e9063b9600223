"""SYNs: read, given back the client's addresses, grown, cut; scapy is the second opinion."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from agents.wire import packet
from agents.wire.errors import WireError
from tests.unit.wire_frames import (
    ORIG,
    addresses,
    append_data,
    junk,
    macs,
    recomputed,
    syn,
    syns,
    tuples,
    u8,
    u16,
)

REASONS = ("", "not_ipv4", "truncated", "bad_length", "fragment", "not_tcp", "not_syn")


def reason(frame: bytes) -> str:
    with pytest.raises(WireError) as caught:
        packet.parse_syn(frame)
    return caught.value.reason


def patched(frame: bytes, offset: int, *values: int) -> bytes:
    return frame[:offset] + bytes(values) + frame[offset + len(values) :]


@given(syns)
def test_parse_reads_what_scapy_reads(frame: bytes) -> None:
    found, wanted = packet.parse_syn(frame), Ether(frame)
    assert found.frame == frame
    assert found.eth_dst == frame[:6]
    assert found.eth_src == frame[6:12]
    assert found.ttl == wanted[IP].ttl
    assert found.total_length == wanted[IP].len
    ends = f"{wanted[IP].src}:{wanted[TCP].sport} > {wanted[IP].dst}:{wanted[TCP].dport}"
    assert packet.tuple_text(found.tuple12) == ends
    assert found.tcp_offset == 34
    assert found.payload == bytes(wanted[TCP].payload)
    assert found.payload == frame[found.payload_offset :]


def test_parse_minds_ip_options() -> None:
    frame = syn(ip_options=b"\x94\x04\x00\x00", payload=b"hello")
    found = packet.parse_syn(frame)
    assert (found.tcp_offset, found.tuple12, found.payload) == (38, ORIG, b"hello")


@given(st.binary(max_size=30))
def test_padding_of_the_frame_is_no_payload(padding: bytes) -> None:
    frame = syn(options=())
    found = packet.parse_syn(frame + padding)
    assert found.frame == frame
    assert found.payload == b""


@pytest.mark.parametrize("flags", ["", "A", "SA", "SR", "SF", "F", "R", "SAEC"])
def test_only_first_syns_pass(flags: str) -> None:
    assert reason(syn(flags=flags)) == "not_syn"


def test_what_is_no_syn_is_named() -> None:
    frame = syn()
    assert reason(b"") == "truncated"
    assert reason(frame[:33]) == "truncated"
    assert reason(frame[:13]) == "truncated"
    assert reason(frame[:-1]) == "truncated"
    assert reason(patched(frame, 12, 0x86, 0xDD)) == "not_ipv4"
    assert reason(patched(frame, 12, 0x81, 0x00)[:20]) == "not_ipv4"
    assert reason(patched(frame, 14, 0x65)) == "not_ipv4"
    assert reason(patched(frame, 20, 0x20, 0)) == "fragment"
    assert reason(patched(frame, 20, 0, 1)) == "fragment"
    assert reason(patched(frame, 23, 17)) == "not_tcp"
    assert reason(patched(frame, 14, 0x44)) == "bad_length"
    assert reason(patched(frame, 16, 0, 39)) == "bad_length"
    assert reason(patched(frame, 14, 0x4F)) == "bad_length"
    assert reason(patched(frame, 46, 0x40)) == "bad_length"
    assert reason(patched(frame, 46, 0xF0)) == "bad_length"


def test_dont_fragment_is_no_fragment() -> None:
    assert packet.parse_syn(syn(flags="S", id=7)[:20] + b"\x40\x00" + syn(id=7)[22:]).ttl == 64


@given(junk | st.builds(patched, st.just(syn()), st.integers(0, 73), u8))
def test_any_bytes_are_a_syn_or_a_wire_error(frame: bytes) -> None:
    try:
        found = packet.parse_syn(frame)
    except WireError as error:
        seen = error.reason
    else:
        changed = packet.as_client_sent(found.frame, ORIG)
        assert packet.parse_syn(append_data(changed, b"12345")).tuple12 == ORIG
        seen = ""
    assert seen in REASONS


@given(syns, tuples)
def test_as_client_sent_is_what_scapy_would_have_sent(frame: bytes, orig: bytes) -> None:
    found = packet.as_client_sent(frame, orig)
    assert found == recomputed(found)
    before, after = packet.parse_syn(frame), packet.parse_syn(found)
    assert after.tuple12 == orig
    assert after.ttl == min(before.ttl + 1, 255)
    assert after.payload == before.payload


@given(st.builds(syn, tuples, ttl=st.integers(2, 255)), tuples)
def test_forwarding_and_nat_are_undone_byte_for_byte(client: bytes, translated: bytes) -> None:
    """What the kernel does on the way is what scapy makes of other addresses and TTL - 1."""
    orig = packet.parse_syn(client).tuple12
    forwarded = syn(translated, ttl=client[22] - 1)
    assert packet.as_client_sent(forwarded, orig) == client


@given(syns, st.binary(min_size=0, max_size=120))
def test_append_and_cut(frame: bytes, data: bytes) -> None:
    grown = append_data(frame, data)
    assert grown == recomputed(grown)
    assert packet.parse_syn(grown).payload == packet.parse_syn(frame).payload + data
    assert packet.parse_syn(grown).total_length == len(grown) - 14
    assert packet.cut_data(grown, len(data)) == frame


@given(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=30))
def test_padding_goes_when_the_packet_changes(payload: bytes, data: bytes, padding: bytes) -> None:
    frame = syn(payload=payload)
    assert append_data(frame + padding, data) == append_data(frame, data)
    grown = append_data(frame, data)
    assert packet.cut_data(grown + padding, len(data)) == frame


@given(syns, tuples, st.binary(min_size=1, max_size=60), st.integers(1, 0xFFFE))
def test_a_wrong_checksum_stays_wrong(frame: bytes, orig: bytes, data: bytes, by: int) -> None:
    right = int.from_bytes(frame[50:52])
    bad = frame[:50] + struct.pack("!H", (right + by) % 0xFFFF) + frame[52:]
    changed = append_data(packet.as_client_sent(bad, orig), data)
    assert changed[50:52] != recomputed(changed)[50:52]


@given(syns, st.binary(max_size=60), macs, macs)
def test_handed_over_is_the_same_packet_between_others(
    frame: bytes, data: bytes, dst: bytes, src: bytes
) -> None:
    wanted = packet.readdress(append_data(frame, data), dst, src)
    assert packet.handed_over(frame, data, dst, src) == wanted


def test_a_packet_cannot_outgrow_ip_on_its_way_to_another_unit() -> None:
    frame = syn()
    room = 65535 - (len(frame) - 14)
    assert len(packet.handed_over(frame, bytes(room), bytes(6), bytes(6))) == 14 + 65535
    with pytest.raises(WireError, match="bad_length"):
        packet.handed_over(frame, bytes(room + 1), bytes(6), bytes(6))


@pytest.mark.parametrize("length", [-1, 6, 65535])
def test_no_more_is_cut_than_there_is(length: int) -> None:
    with pytest.raises(WireError, match="bad_length"):
        packet.cut_data(syn(payload=b"hello"), length)


@given(macs, macs)
def test_readdress(dst: bytes, src: bytes) -> None:
    assert packet.readdress(syn(), dst, src) == dst + src + syn()[12:]


@given(
    st.builds(
        syn,
        tuples,
        flags=st.sampled_from(["S", "SA", "A", "PA", "F", "R"]),
        payload=st.binary(max_size=60),
        ip_options=st.sampled_from([b"", b"\x94\x04\x00\x00"]),
    )
)
def test_the_tuple_of_any_segment(frame: bytes) -> None:
    found = Ether(frame)
    ends = f"{found[IP].src}:{found[TCP].sport} > {found[IP].dst}:{found[TCP].dport}"
    assert packet.tuple_text(packet.segment_tuple(frame)) == ends
    assert packet.segment_tuple(frame + b"padding") == packet.segment_tuple(frame)


@given(junk | st.builds(patched, st.just(syn(flags="PA", options=())), st.integers(0, 53), u8))
def test_any_bytes_have_a_tuple_or_are_refused(frame: bytes) -> None:
    try:
        seen = str(len(packet.segment_tuple(frame)))
    except WireError as error:
        seen = error.reason
    assert seen in {"12", "truncated", "not_ipv4", "fragment", "not_tcp"}


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "truncated"),
        (syn()[:33], "truncated"),
        (patched(syn(), 12, 0x86, 0xDD), "not_ipv4"),
        (patched(syn(), 20, 0x20, 0), "fragment"),
        (patched(syn(), 20, 0, 1), "fragment"),
        (patched(syn(), 23, 17), "not_tcp"),
        (syn(options=())[:53], "truncated"),
        (patched(syn(options=()), 14, 0x46), "truncated"),
    ],
)
def test_what_has_no_ports_to_read_is_named(frame: bytes, why: str) -> None:
    with pytest.raises(WireError) as caught:
        packet.segment_tuple(frame)
    assert caught.value.reason == why


@given(addresses, addresses, u16, u16)
def test_tuples(src: bytes, dst: bytes, sport: int, dport: int) -> None:
    text = [".".join(map(str, address)) for address in (src, dst)]
    t12 = packet.tuple12(*text, sport, dport)
    assert t12 == src + dst + struct.pack("!HH", sport, dport)
    assert packet.tuple_text(t12) == f"{text[0]}:{sport} > {text[1]}:{dport}"
    assert packet.inverse(t12) == packet.tuple12(text[1], text[0], dport, sport)
    assert packet.inverse(packet.inverse(t12)) == t12
