"""The client of paced transfers and of calls, told what to do line by line.

    python -m topologies.paced_client ADDRESS PORT

Each line of its input is a JSON request `[operation, {arguments}]`, each line of its output the
answer. A *transfer* lasts until it is told to finish; it knows the longest time that it has waited
for bytes, and compares the SHA-256 of all that came with what the server says. A *call* is a new
session with one short answer. Times are seconds of CLOCK_MONOTONIC, which is this machine's: the
same for whoever breaks something meanwhile. Nothing is ever tried twice.
"""

import asyncio
import hashlib
import json
import sys
import time
from typing import Any, cast

from topologies.paced_server import ANSWER, CALL, END, TRANSFER

OPEN, WHOLE, CORRUPT, RESET, SILENT = "open", "whole", "corrupt", "reset", "silent"
PATIENCE = 30.0  # seconds that a call, or the end of a transfer, may take
_DIGEST = hashlib.sha256().digest_size
_AT_ONCE = 20  # connections opened at once


class Transfer(asyncio.Protocol):
    """One transfer, and how it goes."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.state = OPEN
        self.port = self.received = 0
        self.finishing = False
        self._hash = hashlib.sha256()
        self._tail = b""  # may be the digest: hashed when more has come
        self.last = self.gap = self.resumed = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for bytes."""
        self._transport = cast(asyncio.Transport, transport)
        self.port = self._transport.get_extra_info("sockname")[1]
        self.last = time.monotonic()
        self._transport.write(TRANSFER)

    def data_received(self, data: bytes) -> None:
        """Counts, hashes, and looks at the clock."""
        now = time.monotonic()
        self._waited(now)
        self.last = now
        self.received += len(data)
        data = self._tail + data
        self._hash.update(data[:-_DIGEST])
        self._tail = data[-_DIGEST:]
        if not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, reason: Exception | None) -> None:
        """In order, if the digest was the last that came."""
        if self.state == OPEN:
            right = self.finishing and self._tail == self._hash.digest()
            self.state = RESET if reason else WHOLE if right else CORRUPT
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)

    def mark(self, now: float) -> None:
        """What it has waited so far no longer counts. (The present wait does, from its start.)"""
        self.gap, self.resumed = 0.0, now

    async def finish(self) -> None:
        """To the last byte; or SILENT, if that doesn't come."""
        if self.state == OPEN:
            self.finishing = True
            self._transport.write(END)
            await asyncio.wait((self.ended,), timeout=PATIENCE)
        if self.state == OPEN:
            self.state = SILENT
            self._waited(time.monotonic())
            self._transport.abort()

    def report(self) -> dict[str, Any]:
        """How it goes."""
        names = ("port", "state", "received", "last", "gap", "resumed")
        return {name: getattr(self, name) for name in names}

    def _waited(self, now: float) -> None:
        if now - self.last > self.gap:
            self.gap, self.resumed = now - self.last, now


class Client:
    """The transfers, and the calls."""

    def __init__(self, address: str, port: int) -> None:
        self._where = address, port
        self._transfers: list[Transfer] = []
        self._calls: list[dict[str, Any]] = []
        self._calling: set[asyncio.Task[None]] = set()
        self._caller: asyncio.Task[None] | None = None

    async def do_open(self, count: int) -> list[dict[str, Any]]:
        """So many transfers; each has its first bytes."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one() -> Transfer:
            loop = asyncio.get_running_loop()
            async with gate, asyncio.timeout(PATIENCE):
                _, transfer = await loop.create_connection(Transfer, *self._where)
                await transfer.begun
                return transfer

        self._transfers = list(await asyncio.gather(*(one() for _ in range(count))))
        return await self.do_look()

    async def do_look(self) -> list[dict[str, Any]]:
        """How the transfers go."""
        return [transfer.report() for transfer in self._transfers]

    async def do_mark(self) -> float:
        """From now on waits count. The time."""
        now = time.monotonic()
        for transfer in self._transfers:
            transfer.mark(now)
        return now

    async def do_call(self, rate: int) -> None:
        """So many calls a second, until the transfers finish."""
        self._calls = []
        self._caller = asyncio.create_task(self._keep_calling(rate))

    async def do_answered(self) -> int:
        """How many calls were, so far."""
        return len(self._calls)

    async def do_finish(self) -> dict[str, Any]:
        """Waits for the end of all calls and transfers. How they went."""
        if self._caller:
            self._caller.cancel()
        if self._calling:
            await asyncio.wait(self._calling)
        await asyncio.gather(*(transfer.finish() for transfer in self._transfers))
        return {"transfers": await self.do_look(), "calls": self._calls}

    async def _keep_calling(self, rate: int) -> None:
        due = time.monotonic()
        while True:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._call())
            self._calling.add(task)
            task.add_done_callback(self._calling.discard)

    async def _call(self) -> None:
        started, error = time.monotonic(), ""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(*self._where)
                writer.write(CALL)
                answer = await reader.read()
                writer.close()
                if answer != ANSWER:
                    error = "wrong answer"
        except (OSError, TimeoutError) as failure:
            error = type(failure).__name__
        took = time.monotonic() - started
        self._calls.append({"started": started, "took": took, "error": error})


async def main(address: str, port: int) -> None:
    """Until its input ends."""
    client = Client(address, port)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        operation, arguments = json.loads(line)
        try:
            answer = {"ok": await getattr(client, f"do_{operation}")(**arguments)}
        except (OSError, TimeoutError) as failure:
            answer = {"error": repr(failure)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
