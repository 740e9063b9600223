"""A peer that speaks as a client of FTP or IRC, one command at a time.

Runs as `peer.py` does (`python -m tests.lab.related_peer`). Real clients do all of an exchange at
once; this one stops wherever a test wants to look, or to have something go wrong.
"""

import hashlib
import random
import re
import socket
from typing import Any

from tests.lab.peer import Peer, serve

FTP = 21
_PASSIVE = re.compile(r"\((?:\d+,){3}\d+,(\d+),(\d+)\)")  # RFC 959, section 4.1.2
_EXTENDED = re.compile(r"\(\|\|\|(\d+)\|\)")  # RFC 2428, section 3


class RelatedPeer(Peer):
    """The sockets, and what came in by those that only count."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[int, tuple[int, Any]] = {}

    def do_login(self, address: str, source: str, sport: int) -> dict[str, Any]:
        """A control session of an anonymous user."""
        opened = self.do_connect(address, FTP, source=source, sport=sport)
        for line in ("USER anonymous", "PASS anonymous@", "TYPE I"):
            reply = self.do_talk(opened["id"], line + "\r")
        return {**opened, "reply": reply}

    def do_passive(self, id: int, mode: str) -> int:
        """PASV or EPSV: the port that the server announces."""
        reply = self.do_talk(id, mode + "\r")
        if found := _PASSIVE.search(reply):
            return int(found[1]) * 256 + int(found[2])
        if found := _EXTENDED.search(reply):
            return int(found[1])
        raise ConnectionError(reply)

    def do_listen(self, port: int, source: str = "") -> int:
        """A port for data to come to."""
        return self.keep(socket.create_server((source, port)))

    def do_announce(self, id: int, port: int, mode: str) -> None:
        """PORT or EPRT, with this end's own address; the answer is left unread."""
        address = self.sockets[id].getsockname()[0]
        if mode == "PORT":
            where = ",".join([*address.split("."), str(port >> 8), str(port & 255)])
        else:
            where = f"|1|{address}|{port}|"
        self.do_send(id, f"{mode} {where}\r\n")

    def do_reply(self, id: int, timeout: float = 10) -> str:
        """A line from the server."""
        sock = self.sockets[id]
        sock.settimeout(timeout)
        return self.line(sock).rstrip("\r")

    def do_until(self, id: int, text: str, timeout: float = 10) -> str:
        """The first line from an IRC server that has these words; its PINGs are answered."""
        while text not in (line := self.do_reply(id, timeout)):
            if line.startswith("PING "):
                self.do_send(id, f"PONG {line[5:]}\r\n")
        return line

    def do_accept(self, id: int, timeout: float = 10) -> dict[str, Any]:
        """Who comes to a listener."""
        listener = self.sockets[id]
        listener.settimeout(timeout)
        sock, address = listener.accept()
        return {"id": self.keep(sock), "seen": address}

    def do_take(self, id: int, least: int = 0, timeout: float = 30) -> dict[str, Any]:
        """Reads so many bytes at least, or up to the end; size and digest of all so far."""
        sock = self.sockets[id]
        sock.settimeout(timeout)
        size, found = self.taken.get(id) or (0, hashlib.sha256())
        wanted = size + least
        while (not least or size < wanted) and (data := sock.recv(65536)):
            size += len(data)
            found.update(data)
        self.taken[id] = (size, found)
        return {"size": size, "digest": found.hexdigest()}

    def do_offer(self, id: int, size: int, seed: int) -> str:
        """Sends so many random bytes and says that this was all; their digest."""
        data = random.Random(seed).randbytes(size)
        sock = self.sockets[id]
        sock.settimeout(30)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return hashlib.sha256(data).hexdigest()

    def do_give(self, id: int, size: int, seed: int) -> str:
        """The same, up to the other side's end."""
        digest = self.do_offer(id, size, seed)
        self.sockets[id].recv(1)
        self.do_close(id)
        return digest


if __name__ == "__main__":
    serve(RelatedPeer())
