"""Session pickup: conntrackd, by which every unit holds every established session.

    python -m agents.replication --config FILE --id N      prepares, and becomes conntrackd

conntrackd tells the kernels of all units over the HA link what this unit's kernel tracks
(https://conntrack-tools.netfilter.org/manual.html). What it needs of entries and events, and why it
is set up like this, is measured in docs/adr/0016; which entries it hears of is said in
`agents.nft`. Nothing here knows of roles: whose sessions go where is the app's to say.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable

from agents import priority
from agents.config import Cluster, load
from agents.conntrack import Conntrack, Dump
from agents.core_forfeiting import demotion
from agents.ctnetlink import OVER, SYN_RECV, Delete, Entry, Request
from agents.running import RUN
from agents.wire.labels import interface_of, unit_of
from agents.wire.ports import HA_KERNEL_NAME, PICKUP_GROUP, PICKUP_PORT

CONTROL = RUN / "conntrackd.ctl"

# Sessions in these states only are told; what was told keeps its last one until its end.
_STATES = "ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSED"

# Of all that root may do it needs conntrack's netlink, and long socket buffers. And not SYS_NICE:
# it would make itself a real-time process, and can't be told not to: one that may not goes on as an
# ordinary one, and writes a line to its log (measured, with 1.4.7). As real-time, its bulk updates
# held packets up for as long as they took: it may wait for what forwards, its socket has room.
_ORDINARY = ("setpriv", "--bounding-set", "-all,+net_admin")

_TEXT = """\
# Written by Synod at each start: changes are lost.
Sync {{
    Mode NOTRACK {{
        DisableExternalCache yes
        StartupResync yes
    }}
    Multicast {{
        IPv4_address {group}
        Group {port}
        IPv4_interface {address}
        Interface {interface}
        SndSocketBuffer 8388608
        RcvSocketBuffer 8388608
        Checksum off
    }}
}}
General {{
    Systemd no
    HashSize 65536
    HashLimit 1048576
    LogFile {run}/conntrackd.log
    LockFile {run}/conntrackd.lock
    UNIX {{
        Path {control}
    }}
    NetlinkBufferSize 8388608
    NetlinkBufferSizeMaxGrowth 67108864
    NetlinkOverrunResync no
    Filter From Userspace {{
        Protocol Accept {{
            TCP
        }}
        State Accept {{
            {states} for TCP
        }}
        Address Ignore {{
            {ignored}
        }}
    }}
}}
"""


def configuration(cluster: Cluster, unit_id: int) -> str:
    """The text of conntrackd.conf of that unit; KeyError if the cluster has no such unit.

    It is to speak without UDP checksums: a seal says more (`agents.core_pickup`), and a kernel may
    leave a checksum to a NIC that the packet never comes to.

    NOTRACK, as FTFW is for two: it keeps one sequence number for all that it hears (ftfw_recv()).
    """
    hosts = ["127.0.0.1", cluster.controller.split(":")[1]]
    return _TEXT.format(
        group=PICKUP_GROUP,
        port=PICKUP_PORT,
        address=cluster.unit(unit_id).ha_address.ip,
        interface=HA_KERNEL_NAME,
        run=RUN,
        control=CONTROL,
        states=_STATES,
        ignored="\n            ".join(f"IPv4_address {host}" for host in sorted(set(hosts))),
    )


def demoted(entries: Iterable[Entry], unit_id: int) -> list[Request]:
    """What makes entries of other units' sessions such as conntrackd doesn't take for this unit's
    own, as it does with all that it finds at its start: it would tell their end when they expire
    here. Those units tell them again at once; what they don't is over. A session that came in by a
    data interface and names no unit is the primary's: it began while that served alone.
    """
    requests: list[Request] = []
    for entry in entries:
        unit = unit_of(entry.labels)
        local = not unit and not interface_of(entry.labels)
        if unit == unit_id or local or entry.state <= SYN_RECV:
            continue
        if entry.state in OVER:
            requests.append(Delete(entry.orig))
        else:
            requests.append(demotion(entry))
    return requests


def main(argv: list[str] | None = None) -> None:
    """The command line; doesn't return."""
    parser = argparse.ArgumentParser(prog="python -m agents.replication", description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--id", type=int, required=True)
    options = parser.parse_args(argv)
    path = RUN / "conntrackd.conf"
    path.write_text(configuration(load(options.config), options.id))
    _demote(options.id)
    # A lock is left behind by a daemon that was killed; whoever supervises starts only one.
    (RUN / "conntrackd.lock").unlink(missing_ok=True)
    CONTROL.unlink(missing_ok=True)
    sys.stdout.flush()
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    priority.of_session(os.getpid(), 0)
    os.execvp(_ORDINARY[0], [*_ORDINARY, "conntrackd", "-C", str(path)])


def _demote(unit_id: int) -> None:
    dump, conntrack = Dump(), Conntrack()
    last = False
    while not last:
        entries, last = dump.read()
        conntrack.transact(demoted(entries, unit_id))
        if not entries:
            time.sleep(0.001)
    dump.close()
    conntrack.close()


if __name__ == "__main__":
    main()
