"""The queues from which Open vSwitch's userspace datapath reads NICs: long enough for a burst.

    python -m agents.queues        gives each packet socket of the switch QUEUE bytes

That datapath opens a packet socket for each NIC (netdev_linux_rxq_construct() in lib/netdev-
linux.c) and leaves its queue as long as the machine has it, net.core.rmem_default: some 200 small
frames, with the kernel's bookkeeping. When sessions of a unit that died all send again at once,
that is too little, and TCP waits three times as long before the next try (measured:
docs/performance.md). So another process makes them longer: it is given a copy of the switch's
descriptors (pidfd_getfd(2), Linux 5.6), and an option set by one copy holds for all. Frames are
never read here, no queue is made shorter, and nothing is to be undone: the sockets go with the
switch. Another switch has short ones again, until `agents.mending` sees it: ports that are others
are seen at once, a switch that has kept its ports within some five seconds (measured: 0.4 to 4.1).
"""

import ctypes
import os
import socket
import sys
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agents import switch

QUEUE = 4 << 20  # bytes; the kernel doubles what is asked for (sock_setsockopt()), and so do we

_PIDFD_GETFD = 438  # the same on all architectures but alpha (include/uapi/asm-generic/unistd.h)
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; beyond net.core.rmem_max, with CAP_NET_ADMIN
_ALL_PROTOCOLS = "0003"  # ETH_P_ALL: those that read everything


def packet_sockets(listed: str) -> set[int]:
    """The inodes of the sockets that read all frames, of the text of /proc/net/packet."""
    rows = (line.split() for line in listed.splitlines()[1:])
    return {int(row[8]) for row in rows if row[3] == _ALL_PROTOCOLS}


def is_short(length: int) -> bool:
    """Whether a queue is, by the length that the kernel tells (SO_RCVBUF)."""
    return length < 2 * QUEUE


def short() -> bool:
    """Whether the switch reads a NIC from a queue that is too short; False without a switch."""
    try:
        with _sockets() as sockets:
            return any(is_short(_length(each)) for each in sockets)
    except OSError:
        return False


def lengthen() -> int:
    """Makes those long that are short; how many were. OSError if there are none at all, without a
    switch, or if it isn't allowed.
    """
    with _sockets() as sockets:
        if not sockets:
            raise OSError(f"{switch.SWITCH} reads no NIC from a packet socket")
        found = [each for each in sockets if is_short(_length(each))]
        for each in found:
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, QUEUE)
        return len(found)


def _length(each: socket.socket) -> int:
    return each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


@contextmanager
def _sockets() -> Iterator[list[socket.socket]]:
    """Copies of the switch's packet sockets."""
    pid = switch.process()
    listed = Path(f"/proc/{pid}/net/packet").read_text()
    with ExitStack() as held:
        process = os.pidfd_open(pid)
        held.callback(os.close, process)
        descriptors = _descriptors(pid, packet_sockets(listed))
        yield [held.enter_context(_copy(process, number)) for number in descriptors]


def _descriptors(pid: int, inodes: Set[int]) -> list[int]:
    links = {f"socket:[{inode}]" for inode in inodes}
    return [int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir() if _link(each) in links]


def _link(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:  # closed since it was listed
        return ""


def _copy(process: int, descriptor: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    copied = libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
    if copied < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
    return socket.socket(fileno=copied)


def main() -> int:
    """The command line."""
    return switch.attempt(lengthen, "the switch's queues stay short")


if __name__ == "__main__":
    sys.exit(main())
