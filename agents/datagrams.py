"""Many datagrams by one system call: recvmmsg(2) and sendmmsg(2), which Python's sockets haven't.

All that the kernel is shown (headers, vectors, room for what comes) is made once and used again.
The socket is the caller's, who closes it; neither call waits. Nothing here looks into a datagram.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Sequence

_LIBC = ctypes.CDLL(None, use_errno=True)
_RECEIVE, _SEND = _LIBC.recvmmsg, _LIBC.sendmmsg
_RECEIVE.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_SEND.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr; `length` is that of what was received or sent."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Datagrams:
    """Room for `most` datagrams of up to `size` bytes, one way: what comes or what goes."""

    def __init__(self, sock: socket.socket, most: int, size: int) -> None:
        self._number = sock.fileno()
        self._most = most
        self.size = size
        room = bytearray(most * size)
        vectors, heads = (_Vector * most)(), (_Message * most)()
        base = ctypes.addressof(ctypes.c_char.from_buffer(room))
        for at in range(most):
            vectors[at].base, vectors[at].length = base + at * size, size
            heads[at].header.vectors = ctypes.addressof(vectors[at])
            heads[at].header.vector_count = 1
        self._heads = ctypes.addressof(heads)
        self._room = memoryview(room)
        self._starts = range(0, most * size, size)
        # The lengths alone. They keep the structures, and those are never moved.
        words = memoryview(heads).cast("B").cast("I")
        self._received = words[_Message.length.offset // 4 :: ctypes.sizeof(_Message) // 4]
        words = memoryview(vectors).cast("B").cast("L")
        self._to_send = words[1::2]

    def receive(self, most: int) -> list[bytes]:
        """Up to so many that wait, in order, each cut to `size`; OSError as of recv()."""
        count = _RECEIVE(
            self._number, self._heads, min(most, self._most), socket.MSG_DONTWAIT, None
        )
        if count < 0:
            code = ctypes.get_errno()
            if code == errno.EAGAIN:
                return []
            raise OSError(code, os.strerror(code))
        room = self._room
        lengths = self._received[:count].tolist()
        return [
            room[at : at + length].tobytes()
            for at, length in zip(self._starts, lengths, strict=False)
        ]

    def send(self, datagrams: Sequence[bytes]) -> tuple[int, int]:
        """Send these, in order, none longer than `size` and not more than there is room for.

        How many were taken from the first on, and why the next wasn't: an errno, or 0.
        """
        room, lengths = self._room, self._to_send
        for index, (at, datagram) in enumerate(zip(self._starts, datagrams, strict=False)):
            lengths[index] = length = len(datagram)
            room[at : at + length] = datagram
        count = _SEND(self._number, self._heads, len(datagrams), socket.MSG_DONTWAIT)
        return (count, 0) if count >= 0 else (0, ctypes.get_errno())
