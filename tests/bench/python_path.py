"""No Python on the path of any packet but SYNs and ARP: shown by counting.

A download of 100 MB, then a thousand short sessions, all served by the auxiliary. Counted on both
units: what their NICs carried, what their bridges sent to the app, and every frame on `synod0`, the
one port that an agent reads and writes: a SYN, a control frame, what conntrackd says to other units
and agents carry, or, which must not be, another.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scapy.layers.l2 import Ether

from agents.wire import pickup
from agents.wire.control import ETHERTYPE
from agents.wire.ports import nic_port
from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.short_sessions import cluster_options
from topologies.lab import Lab
from topologies.observe import Capture, is_syn

UNITS = (1, 2)
SERVER = "http://203.0.113.10"
SESSIONS = 1000


def measure() -> dict[str, Any]:
    """Packets of both, and how many of them any program of ours saw."""
    with Lab(len(UNITS), **cluster_options("flows")) as lab:
        _fetch(lab, "/", 1)  # now the neighbours are known
        return {
            "download": _during(lab, lambda: _fetch(lab, "/100M", 1), 1),
            "short": _during(lab, lambda: _fetch(lab, f"/?[1-{SESSIONS}]", SESSIONS), SESSIONS),
        }


def _during(lab: Lab, action: Callable[[], None], sessions: int) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at_agents = [
            stack.enter_context(Capture(lab, f"u{unit}", "synod0", folder)) for unit in UNITS
        ]
        carried, to_app = _carried(lab), _to_app(lab)
        action()
        carried, to_app = _carried(lab) - carried, _to_app(lab) - to_app
        # tcpdump writes each frame as it comes, but what it has not read yet is not written.
        at_agents[0].wait(2 * sessions, is_syn)
        at_agents[1].wait(2 * sessions, is_syn)
        kinds = Counter(_kind(frame) for capture in at_agents for frame in capture.frames())
    return {
        "sessions": sessions,
        "packets": carried,
        "syns_at_agents": kinds["syn"],
        "control_frames": kinds["control"],
        "pickup_at_agents": kinds["pickup"],
        "others_at_agents": kinds["other"],
        "packet_ins": to_app,
    }


def _kind(frame: Any) -> str:
    if is_syn(frame):
        return "syn"
    if frame.original[:6] == pickup.MAC:
        return "pickup"
    return "control" if frame[Ether].type == ETHERTYPE else "other"


def _carried(lab: Lab) -> int:
    """Packets in and out of the NICs of both interfaces of both units."""
    total = 0
    for unit in UNITS:
        listing = lab.run(f"u{unit}", ["ovs-ofctl", "--no-names", "dump-ports", "br-synod"]).stdout
        found = re.findall(r"port +(\d+): rx pkts=(\d+).*?tx pkts=(\d+)", listing, re.DOTALL)
        total += sum(
            int(got) + int(sent)
            for port, got, sent in found
            if int(port) in (nic_port(1), nic_port(2))
        )
    return total


def _to_app(lab: Lab) -> int:
    """Packet-ins of both bridges, by the flows that send them."""
    total = 0
    for unit in UNITS:
        lab.run(f"u{unit}", ["ovs-appctl", "revalidator/wait"])  # flows have counted what passed
        listing = lab.run(f"u{unit}", ["ovs-ofctl", "dump-flows", "br-synod"]).stdout
        to_app = [line for line in listing.splitlines() if "CONTROLLER" in line]
        total += sum(int(found[1]) for line in to_app if (found := _PACKETS.search(line)))
    return total


_PACKETS = re.compile(r"n_packets=(\d+)")


def _fetch(lab: Lab, path: str, count: int) -> None:
    argv = ["curl", "-sS", "-m", "60", "-H", "Connection: close", "-o", "/dev/null"]
    done = lab.run("client", [*argv, "-w", "%{http_code}\\n", SERVER + path], timeout=90)
    if done.stdout.split() != ["200"] * count:
        raise AssertionError(f"not all answered: {done.stdout[-200:]} {done.stderr}")


def _rows(figures: Figures) -> Rows:
    keys = ("sessions", "packets", "syns_at_agents", "pickup_at_agents")
    keys += ("others_at_agents", "packet_ins")
    names = {"download": "100 MB at once", "short": "short sessions"}
    rows: Rows = [
        ("", "sessions", "packets", "SYNs at agents", "conntrackd's", "others", "packet-ins")
    ]
    for name, text in names.items():
        rows.append((text, *(f"{figures[name][key]:,}" for key in keys)))
    return rows


def _promises(figures: Figures) -> dict[str, bool]:
    """A SYN crosses an agent's port four times: in and out of the primary's, the auxiliary's."""
    every = figures.values()
    per_session = [each["packet_ins"] / each["sessions"] for each in every]
    return {
        "agents saw each SYN, in and out of two of them, and no other packet of a session": all(
            each["syns_at_agents"] == 4 * each["sessions"] and not each["others_at_agents"]
            for each in every
        ),
        f"{per_session[-1]:.2f} packet-ins a short session, announcements included": (
            per_session[-1] < 2
        ),
    }


BENCHMARK = Benchmark(
    "Packets that any program of ours sees",
    measure,
    _rows,
    _promises,
    about="How many packets any program of Synod's sees, of a large download and of short sessions."
    " Counted, not timed.",
    minutes=0.2,
)
