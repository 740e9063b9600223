"""Paced transfers through a lab, from outside: begun, looked at, finished.

    with Paced(lab) as paced:
        paced.open(12)
        paced.mark()
        …
        outcome = paced.finish()

Client and server are one process each, on the hosts `client` and `server`; they end with the block.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from agents.priority import NICENESS
from topologies.answering import Answering, Ended, Refused
from topologies.cluster import NETWORKS
from topologies.lab import Lab, LabError
from topologies.paced_client import OPEN, WHOLE

PORT = 7100
_CLIENT, _SERVER = NETWORKS[0], NETWORKS[1]


@dataclass(frozen=True, slots=True)
class Transfer:
    """How one transfer goes. Times are seconds of CLOCK_MONOTONIC.

    `port`: the client's; `state`: one of `paced_client`'s; `last`: when bytes came; `gap`: the
    longest wait for bytes since the mark, in seconds; `resumed`: when that was over.
    """

    port: int
    state: str
    received: int
    last: float
    gap: float
    resumed: float

    @property
    def lost(self) -> bool:
        """Whether it has ended otherwise than whole."""
        return self.state not in (OPEN, WHOLE)


@dataclass(frozen=True, slots=True)
class Call:
    """A new session: when it began, how long it took to be answered, or what came instead."""

    started: float
    took: float
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How all transfers and calls went."""

    transfers: tuple[Transfer, ...]
    calls: tuple[Call, ...]


class Paced:
    """A client and a server in a running lab. They are to wait for what they measure, not for a
    core: they stand for machines of their own.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def __enter__(self) -> Self:
        """Both are there. LabError if they don't come up."""
        first = int(NICENESS)
        server = "topologies.paced_server"
        self._server = Answering(self._lab, "server", server, str(PORT), niceness=first)
        if self._server.line() != "ready\n":
            raise LabError("the server of paced transfers doesn't start")
        client = "topologies.paced_client"
        self._client = Answering(
            self._lab, "client", client, _SERVER.address, str(PORT), niceness=first
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Both are gone."""
        for process in (self._client, self._server):
            process.stop()

    def open(self, count: int) -> list[Transfer]:
        """Begins so many transfers; each has its first bytes. LabError if one can't."""
        return [Transfer(**each) for each in self._ask("open", count=count)]

    def look(self) -> list[Transfer]:
        """How they go."""
        return [Transfer(**each) for each in self._ask("look")]

    def mark(self) -> float:
        """Forgets how long transfers have waited so far; the time."""
        at: float = self._ask("mark")
        return at

    def call(self, rate: int) -> None:
        """New sessions, so many a second, until all finishes."""
        self._ask("call", rate=rate)

    def answered(self) -> int:
        """How many of them have been answered, or have failed."""
        count: int = self._ask("answered")
        return count

    def finish(self) -> Outcome:
        """Ends all in order, and waits for that."""
        found = self._ask("finish")
        return Outcome(
            tuple(Transfer(**each) for each in found["transfers"]),
            tuple(Call(**each) for each in found["calls"]),
        )

    def _ask(self, operation: str, **arguments: Any) -> Any:
        try:
            return self._client.ask(operation, **arguments)
        except Ended as ended:
            raise LabError(f"the client of paced transfers ended with {ended}") from None
        except Refused as refused:
            raise LabError(f"paced transfers: {operation}: {refused}") from None
