"""What `agents.wire` writes, written again by Ryu's packet library: a second second opinion, beside
scapy's.
"""

from hypothesis import given
from hypothesis import strategies as st
from ryu.lib.packet import arp as ryu_arp
from ryu.lib.packet import ethernet, ipv4, packet, tcp

from agents.wire import control, peer, routed_arp, syndata
from agents.wire.packet import as_client_sent, cut_data, handed_over, tuple_text
from agents.wire.ports import mac_text
from tests.unit.test_wire_peer import asks, beginnings, links
from tests.unit.test_wire_routed_arp import arps
from tests.unit.test_wire_syndata import values
from tests.unit.wire_frames import OPTIONS, append_data, macs, syn, tuples, u8, u16

# Ryu knows no ECN bits, and clears them; a payload of nothing but zeros it takes for padding.
payloads = st.binary(max_size=60).filter(lambda payload: not payload or any(payload))
# What comes to or from these it reads as OpenFlow, BGP, Zebra (tcp.get_payload_type()).
READ = {port.to_bytes(2) for port in (179, 2600, 6633, 6653)}
unread = tuples.filter(lambda tuple12: not READ & {tuple12[8:10], tuple12[10:]})
plain = st.builds(
    syn,
    unread,
    ttl=st.integers(1, 255),
    flags=st.sampled_from(["S", "SP"]),
    payload=payloads,
    options=st.sampled_from([(), OPTIONS, (("MSS", 536),), (("NOP", None),) * 40]),
    id=u16,
    tos=u8,
)
OPCODES = (routed_arp.REQUEST, routed_arp.REPLY, routed_arp.ROUTED_REQUEST, routed_arp.ROUTED_REPLY)


def by_ryu(frame: bytes) -> bytes:
    """The frame as Ryu writes it after reading it: lengths and both checksums computed anew."""
    read = packet.Packet(frame)
    written = packet.Packet()
    for protocol in read.protocols:
        if isinstance(protocol, ipv4.ipv4):
            protocol.total_length = 0
        if isinstance(protocol, tcp.tcp):
            protocol.csum = 0
        written.add_protocol(protocol)
    return unpadded(written, len(frame))


def unpadded(written: packet.Packet, length: int) -> bytes:
    """Ryu fills frames up to what Ethernet demands, which here is the NIC's business."""
    written.serialize()
    data = bytes(written.data)
    assert not any(data[length:])
    return data[:length]


def dotted(address: bytes) -> str:
    return ".".join(map(str, address))


@given(arps, st.sampled_from(OPCODES))
def test_arp_is_what_ryu_writes(sent: routed_arp.Arp, op: int) -> None:
    sent = sent._replace(op=op)
    written = packet.Packet()
    ends = mac_text(sent.eth_dst), mac_text(sent.eth_src)
    written.add_protocol(ethernet.ethernet(*ends, ethertype=routed_arp.ETHERTYPE))
    sender = {"src_mac": mac_text(sent.sha), "src_ip": dotted(sent.spa)}
    target = {"dst_mac": mac_text(sent.tha), "dst_ip": dotted(sent.tpa)}
    written.add_protocol(ryu_arp.arp(opcode=op, **sender, **target))
    assert routed_arp.encode(sent) == unpadded(written, 42)


@given(plain, unread, values.map(syndata.encode), macs, macs)
def test_a_syn_on_its_way_to_another_unit_is_what_ryu_writes(
    frame: bytes, orig: bytes, data: bytes, to: bytes, by: bytes
) -> None:
    handed = handed_over(as_client_sent(frame, orig), data, to, by)
    assert handed == by_ryu(handed)
    found = {
        each.protocol_name: each for each in packet.Packet(handed) if hasattr(each, "serialize")
    }
    ends = found["ipv4"], found["tcp"]
    read = f"{ends[0].src}:{ends[1].src_port} > {ends[0].dst}:{ends[1].dst_port}"
    assert read == tuple_text(orig)
    assert cut_data(handed, len(data)) == by_ryu(cut_data(handed, len(data)))


@given(plain, unread, payloads)
def test_each_step_of_it_too(frame: bytes, orig: bytes, data: bytes) -> None:
    assert as_client_sent(frame, orig) == by_ryu(as_client_sent(frame, orig))
    assert append_data(frame, data) == by_ryu(append_data(frame, data))


@given(st.lists(asks, min_size=1, max_size=9), st.lists(beginnings, min_size=1, max_size=9), links)
def test_what_agents_say_is_ethernet_of_its_own_type_to_ryu(
    asked: list[peer.Ask], begun: list[peer.Beginning], link: peer.Link
) -> None:
    for frame in peer.expect_frames(link, asked) + peer.begun_frames(link, begun):
        head, body = packet.Packet(frame).protocols
        ends = mac_text(link.dst), mac_text(link.src)
        assert (head.dst, head.src, head.ethertype) == (*ends, control.ETHERTYPE)
        assert len(body) == len(frame) - 14
