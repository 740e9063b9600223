"""Prints the TCP entries of the network that it runs in, masters included, one JSON row each.

Runs on a unit as a program of its own (`python -m tests.lab.masters`), because `conntrack -L` can't
say what an expected connection's master is. Address and port are given as `address:port`.
"""

import json
import select
import socket

from agents.conntrack import Dump
from agents.wire.labels import unit_of


def sides(tuple12: bytes) -> list[str | int]:
    """Source, its port, destination, its port; nothing of no tuple."""
    if not tuple12:
        return []
    source, destination = (socket.inet_ntoa(tuple12[at : at + 4]) for at in (0, 4))
    sport, dport = (int.from_bytes(tuple12[at : at + 2]) for at in (8, 10))
    return [source, sport, destination, dport]


def main() -> None:
    dump = Dump()
    last = False
    while not last:
        select.select([dump], [], [])
        entries, last = dump.read()
        for entry in entries:
            row = {
                "original": sides(entry.orig),
                "reply": sides(entry.reply),
                "master": sides(entry.master),
                "status": entry.status,
                "state": entry.state,
                "helper": entry.helper,
                "unit": unit_of(entry.labels),
            }
            print(json.dumps(row))


if __name__ == "__main__":
    main()
