"""Has the kernel of the network that it runs in tell its listeners of an entry again, unchanged.

Runs on a unit as a program of its own (`python -m tests.lab.renewal SRC SPORT DST DPORT`): as an
agent does once a minute (`agents.core_renewing`); conntrack(8) leaves out what changes nothing.
"""

import sys

from agents.conntrack import Conntrack
from agents.ctnetlink import Update
from agents.wire.packet import tuple12


def main() -> None:
    source, sport, destination, dport = sys.argv[1:]
    orig = tuple12(source, destination, int(sport), int(dport))
    (problem,) = Conntrack().transact([Update(orig)])
    assert not problem, problem


if __name__ == "__main__":
    main()
