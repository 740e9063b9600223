"""What `agent_path` compares with: an agent as one would write it from the manual pages.

It does with a SYN what the agent does, by the project's own formats, but one thing at a time: it
reads a frame, sends the kernel a request with an acknowledgement, waits for both, writes a frame.
Attributes are packed one in another as netlink(7) describes them and read into a dictionary. It has
no answer to anything that goes wrong, and knows no clock: that much less it has to do.
"""

import os
import socket
import struct

from agents.config import Cluster
from agents.core_primary import LASTING
from agents.ctnetlink import ASSURED, CONFIRMED, LIBERAL, SEEN_REPLY, SYN_RECV, SYN_SENT
from agents.nfnetlink import (
    ACK,
    CREATE,
    EXCL,
    HEAD_SIZE,
    NLMSG_ERROR,
    REQUEST,
    attribute,
    attributes,
    message,
    messages,
    parse_error,
)
from agents.wire import control, peer, syndata
from agents.wire.labels import interface_of, relabelled, with_unit
from agents.wire.packet import as_client_sent, cut_data, handed_over, inverse, parse_syn
from agents.wire.ports import SYNOD_NAME, ha_group
from agents.wire.seal import SIZE, SYN, Keys, Opener, Sealer, epoch_bytes

_NEW, _GET = 0x0100, 0x0101
_ORIG, _REPLY, _STATUS, _PROTOINFO, _NAT_SRC, _TIMEOUT, _MARK = 1, 2, 3, 4, 6, 7, 8
_LABELS, _LABELS_MASK = 22, 23


class OneAtATime:
    """A unit's agent: the primary's, if it is that unit, else an auxiliary's."""

    def __init__(self, cluster: Cluster, unit: int, primary: int) -> None:
        self._cluster, self._unit, self._primary = cluster, unit, primary
        self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._frames.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        self._frames.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        patience = struct.pack("@ll", 10, 0)  # struct timeval
        self._frames.setsockopt(socket.SOL_SOCKET, 20, patience)  # SO_RCVTIMEO
        self._frames.bind((SYNOD_NAME, 3))
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
        self._netlink.bind((0, 0))
        self._seq = 0
        self._offered: dict[int, tuple[bytes, dict[int, bytes]]] = {}
        ha = cluster.unit(unit).ha_mac
        keys = Keys([bytes(32)], cluster.group)
        self._sealer, self._opener = Sealer(keys, unit, unit), Opener(keys)
        self._opener.name({primary: primary})
        self._epoch = epoch_bytes(unit)
        self._to_all = peer.Link(cluster.group, unit, ha, ha_group(cluster.group))

    def close(self) -> None:
        """Close the sockets."""
        self._frames.close()
        self._netlink.close()

    def turn(self) -> int:
        """One frame, waited for."""
        frame = self._frames.recv(2048)
        if frame[12:14] != b"\x88\xb5":
            (self._leaving if self._unit == self._primary else self._arriving)(frame)
        elif (told := control.parse(frame)).kind == control.DECIDED:
            for offer_id, unit in control.decided(told):
                self._decided(offer_id, unit)
        return 1

    def _leaving(self, frame: bytes) -> None:
        syn = parse_syn(frame)
        found = self._ask(_GET, 0, _tuple(_ORIG, inverse(syn.tuple12)))
        offer_id = len(self._offered)
        self._offered[offer_id] = frame, found
        orig, reply = _read_tuple(found[_ORIG]), _read_tuple(found[_REPLY])
        interfaces = interface_of(found[_LABELS]), self._interface(syn.eth_src)
        offer = control.Offer(offer_id, 0, *interfaces, 0, orig, reply)
        for each in control.offer_frames(self._cluster.group, self._unit, [offer]):
            self._frames.send(each)

    def _decided(self, offer_id: int, unit: int) -> None:
        frame, found = self._offered[offer_id]
        orig, reply = _read_tuple(found[_ORIG]), _read_tuple(found[_REPLY])
        labels, mask = with_unit(unit)
        status = int.from_bytes(found[_STATUS]) | SEEN_REPLY | ASSURED
        body = _tuple(_ORIG, orig) + attribute(_LABELS, labels) + attribute(_LABELS_MASK, mask)
        body += _number(_STATUS, status) + _number(_TIMEOUT, LASTING) + _tcp(SYN_RECV)
        self._ask(_NEW, 0, body)
        new, mark = relabelled(found[_LABELS], labels, mask), int.from_bytes(found[_MARK])
        interface = interface_of(new)
        begun = peer.Beginning(orig, reply, b"", "", new, mark)
        for each in peer.begun_frames(self._to_all, [begun]):
            self._frames.send(peer.sealed(each, self._sealer))
        data = syndata.SynData(unit, self._unit, interface, mark, new, reply)
        sent, told = as_client_sent(frame, orig), syndata.encode(data)
        told += self._sealer.seal(SYN, sent[14:] + told + epoch_bytes(unit))
        to, by = (self._cluster.unit(each).macs[interface - 1] for each in (unit, self._unit))
        self._frames.send(handed_over(sent, told, to, by))

    def _arriving(self, frame: bytes) -> None:
        syn = parse_syn(frame)
        data, length = syndata.decode(syn.payload)
        sent, told = cut_data(syn.frame, length), syn.payload[-length:]
        self._opener.open(SYN, data.primary, told[-SIZE:], sent[14:] + told[:-SIZE] + self._epoch)
        address = attribute(1, data.reply[4:8]) + attribute(2, data.reply[4:8])
        port = attribute(1, data.reply[10:]) + attribute(2, data.reply[10:])
        nat = address + attribute(3, port, nested=True)
        body = _tuple(_ORIG, syn.tuple12) + _tuple(_REPLY, inverse(syn.tuple12))
        body += attribute(_NAT_SRC, nat, nested=True)
        body += _number(_STATUS, CONFIRMED | SEEN_REPLY) + _number(_TIMEOUT, 120)
        body += _number(_MARK, data.mark) + _tcp(SYN_SENT) + attribute(_LABELS, data.labels)
        self._ask(_NEW, CREATE | EXCL, body)
        self._frames.send(sent)

    def _ask(self, kind: int, flags: int, body: bytes) -> dict[int, bytes]:
        """What the kernel answers, once it has acknowledged the request."""
        self._seq += 1
        self._netlink.send(message(kind, flags | REQUEST | ACK, self._seq, body))
        found: dict[int, bytes] = {}
        while True:
            data = self._netlink.recv(8192)
            for each in messages(data):
                if each.kind != NLMSG_ERROR:
                    found = attributes(data[each.start + HEAD_SIZE : each.end])
                elif code := parse_error(data, each):
                    raise OSError(code, os.strerror(code))
                else:
                    return found

    def _interface(self, mac: bytes) -> int:
        return self._cluster.unit(self._unit).macs.index(mac) + 1


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))


def _tcp(state: int) -> bytes:
    flags = bytes((LIBERAL, LIBERAL))
    tcp = attribute(1, bytes((state,))) + attribute(4, flags) + attribute(5, flags)
    return attribute(_PROTOINFO, attribute(1, tcp, nested=True), nested=True)


def _tuple(kind: int, t: bytes) -> bytes:
    addresses = attribute(1, t[:4]) + attribute(2, t[4:8])
    ports = attribute(1, b"\x06") + attribute(2, t[8:10]) + attribute(3, t[10:])
    parts = attribute(1, addresses, nested=True) + attribute(2, ports, nested=True)
    return attribute(kind, parts, nested=True)


def _read_tuple(value: bytes) -> bytes:
    parts = attributes(value)
    addresses, ports = attributes(parts[1]), attributes(parts[2])
    return addresses[1] + addresses[2] + ports[2] + ports[3]
