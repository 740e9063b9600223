"""One session followed hop by hop: what each place on its way saw of it, from real captures.

The steps are those of the talk's slide "Auxiliary unit is serving the request", in its order. What
is claimed of two frames (the same bytes, only this address changed) is compared, not assumed.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from agents.wire import ports, syndata
from topologies.lab import Lab, LabError
from topologies.observe import (
    Capture,
    Endpoints,
    Entry,
    endpoints,
    entries,
    ip_bytes,
    is_syn,
    payload,
)

GROUP, PRIMARY, INSIDE, OUTSIDE = 1, 1, 1, 2  # as the lab's file has them
SERVER = "203.0.113.10"
PATIENCE = 5.0  # seconds for a frame that was sent to be in a capture


@dataclass(frozen=True, slots=True)
class Hop:
    """One frame at one place, and what became of it there."""

    where: str
    what: str
    frame: Packet
    note: str = ""


@dataclass(frozen=True, slots=True)
class Journey:
    """A session from the client's SYN to its answer, and what is known of it afterwards."""

    unit: int
    session: Endpoints
    translated: Endpoints
    hops: tuple[Hop, ...]
    entries: dict[int, Entry]
    flows: tuple[str, ...]


def follow(lab: Lab, folder: Path) -> Journey:
    """Asks for the page until an auxiliary serves it, and tells how. LabError if none ever does."""
    for _ in range(2 * len(lab.units)):
        with ExitStack() as stack:
            at = {
                place: stack.enter_context(_capture(lab, place, folder)) for place in _places(lab)
            }
            port = fetch(lab)
            known = {
                unit: entry
                for unit in lab.units
                for entry in entries(lab, unit)
                if entry.original.sport == port
            }
            served = known[PRIMARY].unit
            if served != PRIMARY:
                session, translated = known[PRIMARY].original, known[PRIMARY].reply.reverse
                hops = tuple(_hops(_Record(at, session, translated), served))
                flows = tuple(_flows(lab, session, translated, served))
                return Journey(served, session, translated, hops, known, flows)
    raise LabError("no auxiliary was given a session")


def fetch(lab: Lab) -> int:
    """One page over one connection, as a user would; the client's port."""
    url = f"http://{SERVER}/"
    done = lab.run(
        "client", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{local_port}", url]
    )
    return int(done.stdout)


def macs(lab: Lab) -> dict[str, str]:
    """What the lab's MAC addresses are called."""
    found = {}
    for index, network in enumerate(lab.options.networks, 1):
        name = network.interface
        found[ports.mac_text(ports.virtual_mac(GROUP, index))] = (
            f"the cluster's virtual MAC on {name}"
        )
        for unit in lab.units:
            found[ports.mac_text(ports.physical_mac(GROUP, unit, index))] = (
                f"u{unit}'s own on {name}"
            )
        link = lab.run(network.host, ["cat", "/sys/class/net/eth0/address"])
        found[link.stdout.strip()] = f"the {network.host}'s"
    return found


def _places(lab: Lab) -> list[str]:
    inside = [f"u{unit}/{name}" for unit in lab.units for name in ("nic-int", "nic-ext", "int")]
    return ["client/eth0", "server/eth0", f"u{PRIMARY}/synod0", *inside]


def _capture(lab: Lab, place: str, folder: Path) -> Capture:
    host, interface = place.split("/")
    return Capture(lab, host, interface, folder, expression="tcp")


@dataclass(frozen=True, slots=True)
class _Record:
    at: dict[str, Capture]
    session: Endpoints
    translated: Endpoints

    def first(
        self, place: str, *, like: Endpoints, syn: bool, dst: str = "", src: str = ""
    ) -> Packet:
        """The first frame at a place with these addresses; LabError if there is none."""

        def wanted(frame: Packet) -> bool:
            return (
                endpoints(frame) == like
                and is_syn(frame) == syn
                and dst in ("", frame[Ether].dst)
                and src in ("", frame[Ether].src)
            )

        try:
            return self.at[place].wait(1, wanted, PATIENCE)[0]
        except TimeoutError as error:
            raise LabError(f"{like} was not seen at {place}: {error}") from error


def _hops(record: _Record, unit: int) -> Iterator[Hop]:
    yield from _to_the_primary(record)
    yield from _to_the_auxiliary(record, unit)
    yield from _the_rest(record, unit)


def _to_the_primary(record: _Record) -> Iterator[Hop]:
    session, translated = record.session, record.translated
    sent = record.first("client/eth0", like=session, syn=True)
    yield Hop("client", "sends a SYN to the cluster's virtual MAC", sent)
    seen = record.first(f"u{PRIMARY}/int", like=session, syn=True)
    note = _same(seen, sent, "the same packet, readdressed to the kernel's own MAC")
    yield Hop("u1 bridge → kernel", "the primary's kernel processes it entirely", seen, note)
    decided = record.first(f"u{PRIMARY}/synod0", like=translated, syn=True)
    now = f"{translated.source}:{translated.sport}"
    note = f"source translated: {session.source}:{session.sport} is now {now}"
    yield Hop("u1 kernel → agent", "filtered, marked, translated, routed: diverted", decided, note)


def _to_the_auxiliary(record: _Record, unit: int) -> Iterator[Hop]:
    session, translated = record.session, record.translated
    physical = ports.mac_text(ports.physical_mac(GROUP, unit, INSIDE))
    handed = record.first(f"u{PRIMARY}/nic-int", like=session, syn=True, dst=physical)
    data, length = syndata.decode(payload(handed))
    note = f"{length} bytes appended: {_decisions(data)}"
    yield Hop(
        f"u1 agent → u{unit}", "the SYN as the client sent it, and the decisions", handed, note
    )
    given = record.first(f"u{unit}/int", like=session, syn=True)
    sent = record.first("client/eth0", like=session, syn=True)
    note = _same(given, sent, f"{length} bytes cut off: byte for byte the client's packet again")
    yield Hop(
        f"u{unit} agent → kernel", "an entry with the decisions stands before it", given, note
    )
    left = record.first(f"u{unit}/nic-ext", like=translated, syn=True)
    decided = record.first(f"u{PRIMARY}/synod0", like=translated, syn=True)
    note = _same(left, decided, "byte for byte what u1's kernel would have sent alone")
    yield Hop(f"u{unit} → server", "translated by that entry, straight to the next hop", left, note)


def _the_rest(record: _Record, unit: int) -> Iterator[Hop]:
    back, answer = record.session.reverse, record.translated.reverse
    virtual = ports.mac_text(ports.virtual_mac(GROUP, OUTSIDE))
    inside, outside = (
        ports.mac_text(ports.physical_mac(GROUP, unit, index)) for index in (INSIDE, OUTSIDE)
    )
    came = record.first(f"u{PRIMARY}/nic-ext", like=answer, syn=False, dst=virtual)
    yield Hop("server → u1", "answers the cluster's virtual MAC", came)
    went = record.first(f"u{PRIMARY}/nic-ext", like=answer, syn=False, dst=outside)
    note = _same(went, came, "sent on by the bridge's flows: no kernel, no program")
    yield Hop(f"u1 bridge → u{unit}", "back out of the port it came in by", went, note)
    direct = record.first("client/eth0", like=back, syn=False, src=inside)
    yield Hop(f"u{unit} → client", "translated back, straight to the client", direct)
    acked = record.first(f"u{PRIMARY}/nic-int", like=record.session, syn=False, dst=inside)
    note = "and so does everything that follows, until both sides have closed"
    yield Hop(f"client → u1 bridge → u{unit}", "the client's ACK goes the same way", acked, note)


def _decisions(data: syndata.SynData) -> str:
    reply = data.reply
    client = ".".join(map(str, reply[4:8]))
    port = int.from_bytes(reply[10:12], "big")
    return f"serve it, u{data.unit}; answers come to {client}:{port}; mark {data.mark:#x}"


def _same(frame: Packet, other: Packet, claim: str) -> str:
    if ip_bytes(frame) != ip_bytes(other):
        raise LabError(f"not so: {claim}: {ip_bytes(frame).hex()} {ip_bytes(other).hex()}")
    return claim


def _flows(lab: Lab, session: Endpoints, translated: Endpoints, unit: int) -> Iterator[str]:
    """The session's two flows, the unit's row, and the two that send it on."""
    # What the datapath has counted reaches the flows when its cache of them is given up (measured:
    # else 1 of 21 packets could be seen).
    lab.run("u1", ["ovs-appctl", "revalidator/purge"])
    listing = lab.run("u1", ["ovs-ofctl", "dump-flows", "br-synod"]).stdout.splitlines()
    ends = (
        f"tp_src={session.sport},tp_dst={session.dport}",
        f"tp_src={translated.dport},tp_dst={translated.sport}",
    )
    wanted = [
        *(f"table=2,{end}" for end in ends),
        f"table=3,reg1={unit:#x}",
        *(f"table=4,reg2={unit:#x},in_port={index}" for index in (INSIDE, OUTSIDE)),
    ]
    for line in listing:
        fields = set(line.replace(" ", ",").split(","))
        if any(fields.issuperset(each.split(",")) for each in wanted):
            yield line.strip()
