"""When SYNs pass a device of a host, by the kernel's clock.

    python -m tests.bench.syn_tap DEVICE

A packet socket with a filter for SYNs, read when it is asked to: nobody is woken by a packet, so
that it costs each SYN a copy, and all others a few instructions. All hosts of a lab have one clock.
A SYN is known by its sequence number, which no unit changes. Of one that is sent again, the first
counts, on either side.
"""

import contextlib
import ctypes
import socket
import struct
import sys

from tests.bench.answering_loop import answer
from topologies.answering import Answering
from topologies.lab import Lab

_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_ATTACH_FILTER = 33, 35, 26
_QUEUE = 64 << 20  # bytes; some 1,000 a SYN
# Classic BPF (linux/filter.h): code, jump if true, jump if false, operand.
_FILTER = (
    (0x28, 0, 0, 12),  # ldh [12]: the EtherType
    (0x15, 0, 7, 0x0800),  # IPv4
    (0x30, 0, 0, 23),  # ldb [23]: the protocol
    (0x15, 0, 5, 6),  # TCP
    (0xB1, 0, 0, 14),  # ldxb 4*([14]&0xf): the IP header's length
    (0x50, 0, 0, 27),  # ldb [x + 27]: TCP's flags
    (0x54, 0, 0, 0x12),  # and SYN|ACK
    (0x15, 0, 1, 0x02),  # SYN alone
    (0x06, 0, 0, 0xFFFF),  # taken
    (0x06, 0, 0, 0),  # not
)


class Tap:
    """The socket."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        program = b"".join(struct.pack("HBBI", *each) for each in _FILTER)
        code = ctypes.create_string_buffer(program)
        attached = struct.pack("HxxxxxxP", len(_FILTER), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        self._socket.bind((device, 3))  # ETH_P_ALL

    def do_read(self) -> dict[int, int]:
        """Nanoseconds by sequence number, of all that passed since the last time."""
        found: dict[int, int] = {}
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, control, _, _ = self._socket.recvmsg(256, 64)
                seconds, nanoseconds = struct.unpack("qq", control[0][2])
                at = 14 + (frame[14] & 15) * 4 + 4
                sequence = int.from_bytes(frame[at : at + 4], "big")
                found.setdefault(sequence, seconds * 10**9 + nanoseconds)
        return found


class Crossing:
    """Taps where SYNs enter the cluster's network and where they leave it: the client's device, and
    the server's.
    """

    def __init__(self, lab: Lab) -> None:
        self._taps = [
            Answering(lab, host, "tests.bench.syn_tap", "eth0") for host in ("client", "server")
        ]
        for tap in self._taps:
            assert tap.line() == "ready\n", "no tap"

    def read(self) -> list[int]:
        """Nanoseconds from one to the other, of all SYNs since the last time that came through."""
        entered, left = (tap.ask("read") for tap in self._taps)
        return [left[each] - entered[each] for each in left if each in entered]

    def close(self) -> None:
        """Both are gone."""
        for tap in self._taps:
            tap.stop()


if __name__ == "__main__":
    answer({"read": Tap(sys.argv[1]).do_read})
