"""Frames on the agent's port: a packet socket that reads what the bridge writes, and writes to it.

Nothing here looks into a frame. Needs CAP_NET_RAW; acts on the network namespace of the process.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

from agents.datagrams import Datagrams

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_SIOCGIFMTU = 0x8921
_BUFFER = 8 << 20
_ETHERNET = 14
_AT_ONCE = 64  # frames of one system call

# A frame that the port doesn't take now, or never will: the sender of its SYN sends it again.
_NOT_TAKEN = (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE, errno.EINVAL)


def mtu_of(device: str) -> int:
    """Bytes of IP that fit into a frame of this device; OSError if there is none of the name.

    Asked of a socket: /sys shows the network namespace that it was mounted in, maybe another.
    """
    request = struct.pack("16s16x", device.encode())  # struct ifreq
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFMTU, request)
    mtu: int = struct.unpack_from("=i", answer, 16)[0]
    return mtu


class Frames:
    """The socket on one device, OSError if there is none. What the host itself sends isn't read."""

    def __init__(self, device: str) -> None:
        size = mtu_of(device) + _ETHERNET
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        # With protocol 0 nothing was received until here.
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.setblocking(False)
        self._incoming = Datagrams(self._socket, _AT_ONCE, size)
        self._outgoing = Datagrams(self._socket, _AT_ONCE, size)

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self, most: int) -> list[bytes]:
        """Up to so many frames that wait (64 at most), in order; one longer than the MTU is cut
        short.

        OSError (ENETDOWN) once the device is down or gone.
        """
        return self._incoming.receive(most)

    def write(self, frames: Sequence[bytes]) -> list[bytes]:
        """Send frames, in order. Returns those that weren't taken: too long, too short, no room."""
        size = self._outgoing.size
        refused = [frame for frame in frames if len(frame) > size]
        if refused:
            frames = [frame for frame in frames if len(frame) <= size]
        at = 0
        while at < len(frames):
            taken, code = self._outgoing.send(frames[at : at + _AT_ONCE])
            at += taken
            if code:
                if code not in _NOT_TAKEN:
                    raise OSError(code, os.strerror(code))
                refused.append(frames[at])
                at += 1
        return refused
