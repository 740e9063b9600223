"""Runs on a lab's client: SYNs at a steady pace, each from another address, that nobody goes on
with.

    python -m tests.bench.syn_flood ADDRESS PORT RATE SOURCE_PORT SOURCE_MAC VIRTUAL_MAC

Sources are of 198.18.0.0/15 (RFC 2544), which the lab's units must be told to be behind this host;
it drops what is answered. It sends until its input ends, then prints how many SYNs it has sent, and
in how many seconds.
"""

import json
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Callable

from agents.wire.ports import mac_bytes

DEVICE = "eth0"
NETWORK, ADDRESSES = 0xC6120000, 1 << 17
_TICK = 0.002  # seconds
_SYN_OPTIONS = bytes.fromhex("020405b40402080a000000010000000001030307")  # as Linux sends them
_IP = struct.Struct("!BBHHHBBHI4s")
_TCP = struct.Struct("!HHIIBBHHH")


def checksum(data: bytes) -> int:
    """RFC 1071; of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF & ~((total >> 16) + total)


def syn(source: int, sport: int, destination: bytes, port: int) -> bytes:
    """An IPv4 packet."""
    size = _TCP.size + len(_SYN_OPTIONS)
    ip = (0x45, 0, _IP.size + size, 0, 0x4000, 64, socket.IPPROTO_TCP)
    tcp = (sport, port, random.getrandbits(32), 0, size << 2, 2, 64240)
    pseudo = struct.pack("!I4sHH", source, destination, socket.IPPROTO_TCP, size)
    tcp_sum = checksum(pseudo + _TCP.pack(*tcp, 0, 0) + _SYN_OPTIONS)
    ip_sum = checksum(_IP.pack(*ip, 0, source, destination))
    head = _IP.pack(*ip, ip_sum, source, destination)
    return head + _TCP.pack(*tcp, tcp_sum, 0) + _SYN_OPTIONS


def keep_pace(frame: Callable[[int], bytes], rate: int) -> None:
    """Sends the frame of each number, so many a second, until the input ends; then says how many,
    and in how many seconds.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packets:
        packets.bind((DEVICE, 0))
        began, sent = time.monotonic(), 0
        print("begun", flush=True)
        while not select.select([sys.stdin], [], [], _TICK)[0]:
            due = round((time.monotonic() - began) * rate)
            for number in range(sent, due):
                packets.send(frame(number))
            sent = due
        print(json.dumps({"sent": sent, "seconds": time.monotonic() - began}))


def main(ethernet: bytes, address: str, port: int, rate: int, sport: int) -> None:
    """At that pace until the input ends."""
    destination = socket.inet_aton(address)

    def frame(number: int) -> bytes:
        # All addresses in turn, so that no tuple is used twice.
        at = NETWORK + number % ADDRESSES
        return ethernet + syn(at, sport + number // ADDRESSES, destination, port)

    keep_pace(frame, rate)


if __name__ == "__main__":
    _, address, port, rate, sport, source, target = sys.argv
    header = mac_bytes(target) + mac_bytes(source) + b"\x08\x00"
    main(header, address, int(port), int(rate), int(sport))
