"""Frames on the agent's port: a packet socket that reads what the bridge writes, and writes to it.

Nothing here looks into a frame. Needs CAP_NET_RAW; acts on the network namespace of the process.
"""

import errno
import fcntl
import socket
import struct
from collections.abc import Iterable

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_SIOCGIFMTU = 0x8921
_BUFFER = 8 << 20
_ETHERNET = 14

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
        self._size = mtu_of(device) + _ETHERNET
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        # With protocol 0 nothing was received until here.
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """For poll()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self, most: int) -> list[bytes]:
        """Up to so many frames that wait, in order; one longer than the MTU is cut short.

        OSError (ENETDOWN) once the device is down or gone.
        """
        frames: list[bytes] = []
        receive, size = self._socket.recv, self._size
        try:
            for _ in range(most):
                frames.append(receive(size))
        except BlockingIOError:
            pass
        return frames

    def write(self, frames: Iterable[bytes]) -> list[bytes]:
        """Send frames, in order. Returns those that weren't taken: too long, too short, no room."""
        refused: list[bytes] = []
        send = self._socket.send
        for frame in frames:
            try:
                send(frame)
            except OSError as problem:
                if problem.errno not in _NOT_TAKEN:
                    raise
                refused.append(frame)
        return refused
