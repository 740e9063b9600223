"""Runs on a lab's client: as many smallest segments of established sessions as get through.

    python -m tests.bench.small_segments ADDRESS PORT SESSIONS SECONDS PID

It opens so many TCP sessions, keeps the last segment that its kernel sent on each, the bare ACK of
the handshake, and sends copies of these by a packet socket, padded to 60 bytes (64 with the
checksum that a cable would carry). To everybody on the way, connection trackers included, they are
segments of those sessions; to the server they are ACKs of what it knows, which it answers by
nothing. Never more than `WINDOW` are on their way: what the server's kernel has received is read
from the counters of PID's network namespace, so that what is measured is what gets through and not
how fast it can be lost. It prints one line of JSON.
"""

import ctypes
import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

DEVICE = "eth0"
WINDOW = 1024  # frames on their way
_BATCH = 256  # frames of one call
_SMALLEST = 60  # bytes of an Ethernet frame, without its checksum
_LOST_AFTER = 0.1  # seconds without any progress
_LOOK = 0.0005  # seconds between two looks at what has come
_IPV4 = 0x0800
_ACK = 0x10
_OUTGOING = socket.PACKET_OUTGOING  # type: ignore[attr-defined,unused-ignore]


class _Vector(ctypes.Structure):
    """struct iovec (<bits/types/struct_iovec.h>)"""

    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    """struct mmsghdr (<bits/socket.h>), of a socket that is bound."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    ]


def acknowledgement(packets: socket.socket, port: int) -> bytes:
    """The bare ACK that this host has sent from that port, padded; the first that comes."""
    while True:
        frame, (_, _, direction, _, _) = packets.recvfrom(2048)
        at = 14 + (frame[14] & 15) * 4
        ours = direction == _OUTGOING and int.from_bytes(frame[at : at + 2]) == port
        if ours and frame[at + 13] == _ACK:
            if len(frame) > _SMALLEST:
                raise ValueError(f"{len(frame)} bytes: are TCP's timestamps on?")
            return frame.ljust(_SMALLEST, b"\0")


def sender(packets: socket.socket, frames: list[bytes]) -> Callable[[], int]:
    """What sends a batch of them, in turns, by one call; it returns how many."""
    vectors = (_Vector * _BATCH)()
    messages = (_Message * _BATCH)()
    for number in range(_BATCH):
        vectors[number] = _Vector(frames[number % len(frames)], _SMALLEST)
        messages[number].vectors = ctypes.pointer(vectors[number])
        messages[number].vector_count = 1
    libc = ctypes.CDLL(None, use_errno=True)

    def send() -> int:
        sent: int = libc.sendmmsg(packets.fileno(), messages, _BATCH, 0)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        return sent

    return send


def segments(process: Path) -> int:
    """TCP segments that the server's kernel has received: InSegs of its net/snmp."""
    names, values = (
        line.split()
        for line in (process / "net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("InSegs")])


def arrived(process: Path) -> int:
    """Frames that have come to the server: asked often, for it takes a quarter of the time."""
    with open(process / "net/dev") as lines:
        return next(int(line.split()[2]) for line in lines if DEVICE in line)


def run(send: Callable[[], int], process: Path, seconds: float) -> dict[str, float]:
    """Sends for so long; what got through."""
    before = segments(process)
    began = moved = time.monotonic()
    start = seen = arrived(process)
    sent = lost = 0
    while (now := time.monotonic()) < began + seconds:
        through = arrived(process)
        if through != seen:
            seen, moved = through, now
        waiting = sent - lost - (seen - start)
        if waiting <= WINDOW - _BATCH:
            sent += send()
        elif now - moved > _LOST_AFTER:
            lost += waiting
        else:
            time.sleep(_LOOK)
    return {"segments": segments(process) - before, "lost": lost, "seconds": now - began}


def main(address: str, port: int, sessions: int, seconds: float, pid: int) -> None:
    """Opens the sessions, sends, prints."""
    with ExitStack() as stack:
        new = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        packets = stack.enter_context(new)
        packets.bind((DEVICE, 0x0003))
        packets.settimeout(5)
        opened = [
            stack.enter_context(socket.create_connection((address, port))) for _ in range(sessions)
        ]
        frames = [acknowledgement(packets, each.getsockname()[1]) for each in opened]
        # Another, bound to no protocol: it gets no copies of what is sent.
        quiet = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        quiet.bind((DEVICE, 0))
        packets.close()
        print(json.dumps(run(sender(quiet, frames), Path(f"/proc/{pid}"), seconds)))


if __name__ == "__main__":
    _, address, port, sessions, seconds, pid = sys.argv
    main(address, int(port), int(sessions), float(seconds), int(pid))
