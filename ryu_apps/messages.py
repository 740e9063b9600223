"""OpenFlow 1.3 messages that more than one kind of session table needs, by Ryu's own classes."""

from collections.abc import Sequence
from typing import Any

from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from ryu_apps.core import events

PROTOCOL = ProtocolDesc(ofp.OFP_VERSION)


class TemplateError(Exception):
    """A template doesn't give what Ryu's classes give."""


def encoded(message: Any, xid: int) -> bytes:
    """The bytes of one of Ryu's messages."""
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def packet_out(actions: Sequence[Any], frame: bytes) -> bytes:
    """A frame, and what is done with it."""
    message = parser.OFPPacketOut(
        PROTOCOL, ofp.OFP_NO_BUFFER, ofp.OFPP_CONTROLLER, list(actions), frame
    )
    return encoded(message, events.SESSION_TOKEN)
