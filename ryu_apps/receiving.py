"""How a switch's messages come in: in blocks, of which the frames that agents write go to the app
at once, and all else Ryu's ordinary way.

Ryu's receive loop (`Datapath._recv_loop` in ryu/controller/controller.py) reads eight bytes, then
the rest of one message, makes objects of it, and queues an event for the app. That was most of what
a decision cost (docs/adr/0020-frames-come-in-blocks.md). The loop runs here as it is, but on a
socket that holds back the packet-ins by which agents' frames come. Whatever isn't just such a
packet-in is read, parsed and dispatched by Ryu itself.

**Order.** All is handed on in the order in which it came: a run of frames to `take`, one message to
Ryu, and so on. What Ryu was given waits in the app's queue; `take` lets it be handled first
(`LoadBalancer._taking`). So nobody has to ask what may overtake what.

**Fairness.** Before each block everybody else has a turn. A block holds some 150 offers sent one by
one, or 500 sent together: 1 to 2 ms (measured).

Decides nothing, and looks into no frame.
"""

import struct
from collections.abc import Callable
from typing import Any

import ryu.base.app_manager  # noqa: F401 - it and the next import each other: this one goes first
from ryu.controller import controller
from ryu.lib import hub

from agents.wire.ports import SYNOD
from ryu_apps.tls import Tls

Take = Callable[[list[bytes]], None]

BLOCK = 16 << 10  # bytes; four times as many gain nothing, and make others wait longer (measured)

_HEADER = 8  # bytes: version, type, length, transaction id (OpenFlow 1.3.5, section 7.1)
_LENGTH = struct.Struct("!2xH4x")
# Version and type, length; buffer, length of the frame; reason, table and cookie; match (section
# 7.4.1). Behind the match's padding and two bytes more comes the frame.
_PACKET_IN = struct.Struct("!HH4xIH10x12s")
_VERSION_AND_TYPE = 0x040A
_NO_BUFFER = 0xFFFFFFFF
_FROM_AGENT = struct.pack("!HHII", 1, 12, 0x80000004, SYNOD)  # OXM: in_port, and nothing else
_FRAME = 42  # where it begins


class Sieve:
    """A switch's connection, as Ryu's loop sees it. While `take` is set, it is given the frames
    that come in by the agent's port.
    """

    def __init__(self, socket: Any) -> None:
        self.take: Take | None = None
        self._socket = socket
        self._shut = False
        self._data = b""  # what was read; handed on up to `_at`
        self._at = 0
        self._ordinary = b""  # what is Ryu's, of what was handed on last
        self._sending = False

    def __getattr__(self, name: str) -> Any:
        """Whatever else a socket does."""
        return getattr(self._socket, name)

    def shutdown(self, how: int) -> None:
        """Ryu has done with it (`Datapath._close_write`): nothing more is read."""
        self._shut = True
        self._socket.shutdown(how)

    def sendall(self, data: bytes) -> None:
        """Ryu's way to write: waits until all of it is taken."""
        self._sending = True
        try:
            self._socket.sendall(data)
        finally:
            self._sending = False

    def send_at_once(self, data: bytes) -> tuple[bytes, bool]:
        """Writes what is taken without waiting; what is left, and whether Ryu must go on with it
        before anybody else writes. All is left while Ryu is writing, and of a connection that has
        ended.
        """
        if self._sending:
            return data, False
        try:
            if isinstance(self._socket, Tls):
                return self._socket.send_at_once(data)
            taken = self._socket.fd.send(data)  # eventlet's GreenSocket's own, which never waits
        except OSError:
            return data, False
        return data[taken:], 0 < taken < len(data)

    def recv(self, most: int) -> bytes:
        """Of what is Ryu's, as soon as there is any, at most so many bytes; none at the end."""
        while not self._ordinary:
            frames, self._ordinary, self._at = cut(self._data, self._at, sift=bool(self.take))
            if frames and self.take:
                self.take(frames)
            elif not self._ordinary and not self._read():
                return b""
        part, self._ordinary = self._ordinary[:most], self._ordinary[most:]
        return part

    def _read(self) -> bool:
        hub.sleep(0)
        if self._shut:
            return False
        block: bytes = self._socket.recv(BLOCK)
        self._data, self._at = self._data[self._at :] + block, 0
        return bool(block)


def sift() -> None:
    """From now on Ryu serves switches through sieves.

    Its server looks the function up for each connection (`OpenFlowController.server_loop`).
    """
    serve = controller.datapath_connection_factory

    def serve_sifted(socket: Any, address: Any) -> None:
        serve(Sieve(socket), address)

    controller.datapath_connection_factory = serve_sifted


def cut(data: bytes, at: int, *, sift: bool) -> tuple[list[bytes], bytes, int]:
    """What is next: agents' frames, up to the first other message (none unless `sift`); or that
    message; or nothing, if it isn't there as a whole. And where what comes then begins.
    """
    frames: list[bytes] = []
    end = len(data)
    parts, last = _PACKET_IN.unpack_from, end - _FRAME
    while sift and at <= last:
        start, length, buffer, total, match = parts(data, at)
        if (
            start != _VERSION_AND_TYPE
            or match != _FROM_AGENT
            or total != length - _FRAME
            or buffer != _NO_BUFFER
            or at + length > end
        ):
            break
        frames.append(data[at + _FRAME : at + length])
        at += length
    if frames or end - at < _HEADER:
        return frames, b"", at
    # A length that is none is eight to Ryu's loop.
    length = max(_HEADER, *_LENGTH.unpack_from(data, at))
    if at + length > end:
        return [], b"", at
    return [], data[at : at + length], at + length
