"""How messages go to a switch: at once if it takes them, else by a greenlet that waits for it.

Whoever has something to send never waits, so that a unit that reads slowly holds up nobody else.
And what a session waits for waits for no turn of a greenlet: Ryu's own way is a queue and a
greenlet that writes, and with nothing else to do each turn of those takes as long as deciding.

Ryu writes to the same connection, by its queue. A message that is written at once goes where that
queue is empty and its greenlet isn't writing, so that nothing is overtaken, and no message is put
into another.
"""

from typing import Any

from ryu.lib import hub

from ryu_apps import log
from ryu_apps.core.events import Line
from ryu_apps.core.limits import Meter

BEHIND = 1 << 20  # bytes, beside the 16 blocks that Ryu queues (Datapath.send_q)
MOST_UNSENT = 64 << 20  # bytes for one switch; one that is so far behind is disconnected


class Connection:
    """One OpenFlow connection of a unit's bridge. `datapath`: Ryu's, on a `receiving.Sieve`."""

    def __init__(self, unit: int, number: int, datapath: Any) -> None:
        self.unit = unit
        self.number = number
        self.cookies: set[int] = set()  # of an answer in several parts,
        self.meters: set[Meter] = set()  # and of the one before it
        self._datapath = datapath
        self._queue = hub.Queue()
        self._unsent = 0
        self._writer = hub.spawn(self._write)

    def send(self, data: bytes) -> None:
        """Whole messages."""
        if not self._unsent:
            data = self._at_once(data)
        if not data:
            return
        self._unsent += len(data)
        if self._unsent > MOST_UNSENT:
            log.write(Line(True, "switch_too_slow", {"unit": self.unit}))
            hub.spawn(self._datapath.close)  # not here: it waits until there is room for its event
            return
        self._queue.put(data)

    @property
    def behind(self) -> bool:
        """Whether the switch takes in less than it is sent: then nothing more that may have to be
        answered is read from it, and it keeps back, and soon drops, what it hasn't sent.
        """
        return self._unsent > BEHIND

    def close(self) -> None:
        """Nothing more will be sent."""
        hub.kill(self._writer)
        self._unsent = 0

    def _at_once(self, data: bytes) -> bytes:
        """What is left of it when the switch has taken what it takes now."""
        queue = self._datapath.send_q  # none once Ryu has done with the connection
        if queue is None or not queue.empty():
            return data
        rest, begun = self._datapath.socket.send_at_once(data)
        if begun:
            # Before anything else of Ryu's. Its queue is empty: nobody has a turn meanwhile. (Over
            # TLS the rest is in the socket, and what Ryu writes is nothing, behind it.)
            self._datapath.send(rest)
            return b""
        left: bytes = rest
        return left

    def _write(self) -> None:
        while True:
            parts = [self._queue.get()]
            while not self._queue.empty():
                parts.append(self._queue.get())
            block = b"".join(parts)
            self._datapath.send(block)
            self._unsent -= len(block)
