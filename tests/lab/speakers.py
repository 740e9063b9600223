"""Which units speak as the primary, frame by frame: who sends with a virtual MAC as the source.

As a program (`python -m tests.lab.speakers MAC…`) it listens where the switches are, to what comes
in from units, and answers each line on its standard input by all that it has heard.
"""

import ctypes
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from tests.lab.world import ROOT, World

Heard = tuple[float, int]  # when, which unit

QUIET = 0.3  # seconds; under traffic a primary speaks many times in each

_SO_ATTACH_FILTER = 26
_RETURN_ALL, _RETURN_NONE = (0x06, 0, 0, 64), (0x06, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Speech:
    """What was heard, in order."""

    heard: Sequence[Heard]

    def since(self, moment: float) -> "Speech":
        """What was heard from then on."""
        return Speech([each for each in self.heard if each[0] >= moment])

    @property
    def units(self) -> set[int]:
        """Who has spoken."""
        return {unit for _, unit in self.heard}

    @property
    def together(self) -> float:
        """Seconds in which two spoke at once. Who was silent for longer than QUIET didn't speak
        meanwhile: a switch that hung sends what it still had when it goes on.
        """
        spans = [span for unit in self.units for span in self._spans(unit)]
        return sum(
            max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
            for one, other in combinations(spans, 2)
        )

    def _spans(self, unit: int) -> Iterator[tuple[float, float]]:
        """When it began to speak, and when it ended."""
        times = [when for when, who in self.heard if who == unit]
        begins = [now for before, now in pairwise([float("-inf"), *times]) if now - before > QUIET]
        ends = [now for now, after in pairwise([*times, float("inf")]) if after - now > QUIET]
        yield from zip(begins, ends, strict=True)


class Speakers:
    """The program, while it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def speech(self) -> Speech:
        """What was heard so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Speech([(when, unit) for when, unit in json.loads(self._process.stdout.readline())])


@contextmanager
def speakers(world: World, macs: Sequence[str]) -> Iterator[Speakers]:
    """Listens for these virtual MACs."""
    program = [sys.executable, "-m", "tests.lab.speakers", *macs]
    process = subprocess.Popen(
        world.lab.switch_argv(program),
        env={**world.lab.environment(), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = Speakers(process)
        found.speech()  # it listens when it answers
        yield found
    finally:
        process.terminate()
        process.communicate(timeout=10)


def attach(sock: socket.socket) -> None:
    """Only frames whose source begins like a virtual MAC: a program of a few instructions."""
    load = (0x20, 0, 0, 6)  # the first four bytes of the source: 02 53 59 and the group
    match = (0x15, 0, 1, 0x02535901)
    code = b"".join(
        struct.pack("=HBBI", *each) for each in (load, match, _RETURN_ALL, _RETURN_NONE)
    )
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HL", 4, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def unit_of(port: str) -> int:
    """The unit at a switch's port for data, such as s2-u3; 0 of sha-u1, s1-client and the like."""
    switch, _, host = port.partition("-")
    return int(host[1:]) if switch[1:].isdigit() and host[:1] == "u" else 0


def main(macs: list[str]) -> None:
    """Until standard input ends."""
    wanted = {bytes.fromhex(mac.replace(":", "")) for mac in macs}
    heard: list[Any] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sock:
        attach(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        while True:
            ready = select.select([sock, sys.stdin], [], [])[0]
            if sock in ready:
                _, (port, _, kind, _, source) = sock.recvfrom(64)
                if kind != socket.PACKET_OUTGOING and source in wanted and unit_of(port):
                    heard.append((time.monotonic(), unit_of(port)))
            elif not sys.stdin.readline():
                return
            else:
                print(json.dumps(heard), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
