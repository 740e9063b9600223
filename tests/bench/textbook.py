"""The app that a textbook on Ryu would write for this: what `decisions` compares with.

It parses the SYN with `ryu.lib.packet`, takes the next of the other units in turn, sends one
OFPFlowMod object a direction, and a packet-out with the SYN.
"""

from itertools import cycle

from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import MAIN_DISPATCHER, set_ev_cls
from ryu.lib.packet import ethernet, ipv4, packet, tcp
from ryu.ofproto import ofproto_v1_3

UNITS = ("02:53:59:01:02:01",)


class Textbook(RyuApp):
    """Two flows a session, and the SYN on its way."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]  # noqa: RUF012

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.turn = cycle(UNITS)

    def add_flow(self, datapath, match, actions):
        """Install one direction of a session."""
        parser, ofproto = datapath.ofproto_parser, datapath.ofproto
        instructions = [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions)]
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath, priority=100, match=match, instructions=instructions
            )
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, ev):
        """A SYN."""
        message = ev.msg
        datapath = message.datapath
        parser, ofproto = datapath.ofproto_parser, datapath.ofproto
        parsed = packet.Packet(message.data)
        if parsed.get_protocol(ethernet.ethernet).ethertype != 0x0800:
            return
        ip, segment = parsed.get_protocol(ipv4.ipv4), parsed.get_protocol(tcp.tcp)
        actions = [
            parser.OFPActionSetField(eth_src="02:53:59:01:00:01"),
            parser.OFPActionSetField(eth_dst=next(self.turn)),
            parser.OFPActionOutput(ofproto.OFPP_IN_PORT),
        ]
        there = parser.OFPMatch(
            eth_type=0x0800,
            ip_proto=6,
            ipv4_src=ip.src,
            ipv4_dst=ip.dst,
            tcp_src=segment.src_port,
            tcp_dst=segment.dst_port,
        )
        back = parser.OFPMatch(
            eth_type=0x0800,
            ip_proto=6,
            ipv4_src=ip.dst,
            ipv4_dst=ip.src,
            tcp_src=segment.dst_port,
            tcp_dst=segment.src_port,
        )
        self.add_flow(datapath, there, actions)
        self.add_flow(datapath, back, actions)
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=ofproto.OFP_NO_BUFFER,
                in_port=message.match["in_port"],
                actions=actions,
                data=message.data,
            )
        )
