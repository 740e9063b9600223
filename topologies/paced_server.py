"""The server of paced transfers: a few bytes every 40 ms on each, so that a stall shows.

    python -m topologies.paced_server PORT

A client's first byte says what it wants. TRANSFER: random bytes at this pace until it sends END;
then the SHA-256 of all of them, and the connection's end. CALL: a short answer, and the end. It
says `ready` when it listens, keeps nothing, and never ends by itself.
"""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from typing import cast

TRANSFER, CALL, END = b"t", b"c", b"e"
PACE = 0.04  # seconds between two chunks of a transfer
CHUNK = 256  # bytes
ANSWER = b"answered".ljust(CHUNK)
_SLOTS = 20  # a pace is cut in so many, and transfers are spread over them


class Session(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, pacer: "Pacer") -> None:
        self._pacer = pacer
        self._sent = hashlib.sha256()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is sent before the client has said what it wants."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """One byte, or two if the client ends what it has only begun."""
        for number in data:
            word = bytes((number,))
            if word == TRANSFER:
                self._pacer.add(self)
            elif word == END:
                self._pacer.remove(self)
                self._finish(self._sent.digest())
            elif word == CALL:
                self._finish(ANSWER)

    def connection_lost(self, _reason: Exception | None) -> None:
        """Whatever was to be sent is not."""
        self._pacer.remove(self)

    def send(self) -> None:
        """The next chunk."""
        chunk = os.urandom(CHUNK)
        self._sent.update(chunk)
        self._transport.write(chunk)

    def _finish(self, last: bytes) -> None:
        self._transport.write(last)
        self._transport.close()


class Pacer:
    """Sends each transfer's next chunk when it is due."""

    def __init__(self) -> None:
        self._slots: list[set[Session]] = [set() for _ in range(_SLOTS)]

    def add(self, session: Session) -> None:
        """To the slot that has fewest."""
        min(self._slots, key=len).add(session)

    def remove(self, session: Session) -> None:
        """Nothing, if it isn't there."""
        for slot in self._slots:
            slot.discard(session)

    async def run(self) -> None:
        """What is late is sent at once; nothing is left out."""
        for due, slot in self._due():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for session in tuple(slot):
                session.send()

    def _due(self) -> Iterator[tuple[float, set[Session]]]:
        due = time.monotonic()
        while True:
            for slot in self._slots:
                due += PACE / _SLOTS
                yield due, slot


async def serve(port: int) -> None:
    """Until it is killed."""
    pacer = Pacer()
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Session(pacer), "0.0.0.0", port, backlog=4096)
    print("ready", flush=True)
    await pacer.run()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
