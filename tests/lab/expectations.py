"""Makes everything that the network it runs in expects time out, in so many seconds.

Runs on a unit as a program of its own (`python -m tests.lab.expectations SECONDS`): what the FTP
helper expects it expects for five minutes, which no setting changes, but a message of ctnetlink
does (ctnetlink_change_expect() in net/netfilter/nf_conntrack_netlink.c). Prints how many there are.
"""

import socket
import struct
import sys
from collections.abc import Iterator

NETLINK_NETFILTER = 12
NEW, GET = 0x0200, 0x0201  # NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_…
REQUEST, ACK, DUMP = 1, 4, 0x300
ERROR, DONE = 2, 3
MASTER, TUPLE, MASK, TIMEOUT = 1, 2, 3, 4  # CTA_EXPECT_…
HEAD = struct.Struct("=IHHII4s")  # nlmsghdr, nfgenmsg
IPV4 = bytes((socket.AF_INET, 0, 0, 0))


def message(kind: int, flags: int, body: bytes = b"") -> bytes:
    return HEAD.pack(HEAD.size + len(body), kind, REQUEST | flags, 1, 0, IPV4) + body


def pieces(data: bytes, layout: str, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """Messages, or attributes: whatever begins with its length and its kind."""
    while at < len(data):
        length, kind = struct.unpack_from(layout, data, at)
        yield kind & 0x3FFF, data[at : at + length].ljust(length + 3 & ~3, b"\0")
        at += length + 3 & ~3


def names(sock: socket.socket) -> Iterator[bytes]:
    """The attributes of each expectation that ctnetlink_new_expect() wants, as they are."""
    sock.send(message(GET, DUMP))
    while True:
        for kind, found in pieces(sock.recv(1 << 16), "=IH"):
            if kind in (DONE, ERROR):
                return
            parts = dict(pieces(found, "=HH", HEAD.size))
            yield parts[MASTER] + parts[TUPLE] + parts[MASK]


def main() -> None:
    timeout = struct.pack("=HH", 8, TIMEOUT) + struct.pack("!I", int(sys.argv[1]))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.bind((0, 0))
        found = list(names(sock))
        for each in found:
            sock.send(message(NEW, ACK, each + timeout))
            (code,) = struct.unpack_from("=i", sock.recv(1 << 16), 16)
            assert code == 0, code
    print(len(found))


if __name__ == "__main__":
    main()
