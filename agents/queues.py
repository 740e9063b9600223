"""The queues from which Open vSwitch's userspace datapath reads NICs: long enough for a burst.

    python -m agents.queues        gives each packet socket of the switch QUEUE bytes

That datapath opens a packet socket for each NIC (netdev_linux_rxq_construct() in lib/netdev-
linux.c) and leaves its queue as long as the machine has it, net.core.rmem_default: some 200 small
frames, with the kernel's bookkeeping. When sessions of a unit that died all send again at once,
that is too little, and TCP waits three times as long before the next try (measured:
docs/performance.md). So another process makes them longer: it is given a copy of the switch's
descriptors (pidfd_getfd(2)), and an option set by one copy holds for all. Frames aren't read here,
and nothing is to be undone: the sockets go with the switch. Another switch has short ones again,
until `agents.mending` sees it, within five seconds.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

QUEUE = 4 << 20  # bytes; the kernel doubles what is asked for (sock_setsockopt()), and so do we
PID_FILE = Path("/var/run/openvswitch/ovs-vswitchd.pid")

_PIDFD_GETFD = 438  # the same on all architectures but alpha (include/uapi/asm-generic/unistd.h)
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_ALL_PROTOCOLS = "0003"  # ETH_P_ALL: those that read everything


def packet_sockets(listed: str) -> set[int]:
    """The inodes of the sockets that read all frames, of the text of /proc/net/packet."""
    rows = (line.split() for line in listed.splitlines()[1:])
    return {int(row[8]) for row in rows if row[3] == _ALL_PROTOCOLS}


def short() -> bool:
    """Whether the switch reads a NIC from a queue that is too short; False without a switch."""
    try:
        with _sockets(_switch()) as sockets:
            return any(_length(each) < 2 * QUEUE for each in sockets)
    except OSError:
        return False


def lengthen() -> int:
    """Makes them long; how many there are. OSError without a switch, or if it isn't allowed."""
    with _sockets(_switch()) as sockets:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, QUEUE)
        return len(sockets)


def _length(each: socket.socket) -> int:
    return each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _switch() -> int:
    try:
        return int(PID_FILE.read_text())
    except ValueError:
        raise ProcessLookupError(f"{PID_FILE} has no process id") from None


@contextmanager
def _sockets(pid: int) -> Iterator[list[socket.socket]]:
    """Copies of a process's packet sockets."""
    wanted = packet_sockets(Path(f"/proc/{pid}/net/packet").read_text())
    process = os.pidfd_open(pid)
    found: list[socket.socket] = []
    try:
        found += [socket.socket(fileno=_copy(process, fd)) for fd in _descriptors(pid, wanted)]
        yield found
    finally:
        for each in found:
            each.close()
        os.close(process)


def _descriptors(pid: int, inodes: Iterable[int]) -> list[int]:
    links = {f"socket:[{inode}]" for inode in inodes}
    entries = Path(f"/proc/{pid}/fd").iterdir()
    return [int(entry.name) for entry in entries if os.readlink(entry) in links]


def _copy(process: int, descriptor: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    copied = libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
    if copied < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
    return int(copied)


def main() -> int:
    """The command line."""
    try:
        lengthen()
    except OSError as problem:
        print(f"the switch's queues stay short: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
