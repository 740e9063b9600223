"""Decisions a second on one core: this app against a textbook one, in one run.

Both run under a plain `ryu-manager` and are connected, over TCP, to a switch that is only its
OpenFlow end. It pushes the same new sessions at both as packet-ins, as fast as they are taken: at
the textbook app a SYN each, at this app the agent's offer of that SYN. Every session goes to the
auxiliary, so that each costs two flow-mods and a packet-out on both sides, and all of them are
counted. A second one of this app is connected over TLS, as a cluster's is unless it says otherwise.

Counted is the app's own time on the CPU (/proc/PID/schedstat): it is what "on one core" means, and
what else runs on the machine doesn't enter.

    python -m tests.bench.decisions [--json] [--rounds 5] [--sessions 4000]
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from agents import config_tls, pki
from agents.config import Cluster, parse
from agents.config_tls import Keys
from agents.systemd import over_tls_at
from agents.wire import control, ports
from ryu_apps.core.budget import Budget
from ryu_apps.core.flows import Kind, cookie
from ryu_apps.core.methods import METHODS
from ryu_apps.core.sessions import Sessions
from tests.bench.sealed import Sealed
from tests.switch.app import free_port

ROOT = Path(__file__).parents[2]
BATCH = control.MAX_BODY // control.OFFER_FORMAT.size
PATIENCE = 60.0
CLUSTER = """
name: bench
group: 1
method: round-robin
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
ha: {nic: nic-ha}
units: [{id: 1, weight: 0, priority: 100}, {id: 2, weight: 1}]
limits: {decisions: 0}
controllers: ["tcp:127.0.0.1:6653"]
"""

_HEADER = struct.Struct("!BBHI")  # version, type, length, xid (OpenFlow 1.3.5, section 7.1)
_HELLO, _ECHO, _ECHO_REPLY, _FEATURES, _FEATURES_REPLY = 0, 2, 3, 5, 6
_PACKET_IN, _PACKET_OUT, _FLOW_MOD, _MULTIPART, _MULTIPART_REPLY = 10, 13, 14, 18, 19
_BARRIER, _BARRIER_REPLY = 20, 21
_SESSION_COOKIE = cookie(Kind.SESSION).to_bytes(8, "big")[:3]


def message(kind: int, body: bytes = b"", xid: int = 0) -> bytes:
    """An OpenFlow 1.3 message."""
    return _HEADER.pack(4, kind, 8 + len(body), xid) + body


def packet_in(frame: bytes, port: int) -> bytes:
    """A frame as the switch sends it to its controller (section 7.4.1)."""
    match = struct.pack("!HHIIxxxx", 1, 12, 0x80000004, port)  # OXM in_port, padded to 8
    head = struct.pack("!IHBBQ", 0xFFFFFFFF, len(frame), 1, 0, 0)
    return message(_PACKET_IN, head + match + b"\0\0" + frame)


@dataclass(frozen=True)
class Session:
    """A new session, as both apps hear of it."""

    number: int

    @property
    def orig(self) -> bytes:
        """src, dst, sport, dport."""
        client = bytes((10, 1, *divmod(self.number // 60000 + 10, 256)))
        sport = (1024 + self.number % 60000).to_bytes(2, "big")
        return client + bytes((203, 0, 113, 10)) + sport + b"\0\x50"

    @property
    def reply(self) -> bytes:
        """The other direction; no NAT."""
        orig = self.orig
        return orig[4:8] + orig[0:4] + orig[10:12] + orig[8:10]

    def offer(self) -> control.Offer:
        """What this app is told."""
        return control.Offer(self.number, 0, 1, 2, 0, self.orig, self.reply)

    def syn(self) -> bytes:
        """What the textbook app is sent: Ethernet, IPv4, TCP with the options of a Linux SYN."""
        orig = self.orig
        options = bytes.fromhex("020405b40402080a0000000100000000 01030307")
        segment = orig[8:12] + struct.pack("!IIBBHHH", self.number, 0, 0xA0, 2, 64240, 0, 0)
        segment += options
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, 6, 0)
        ethernet = bytes.fromhex("025359010001 0a0000000010 0800")
        return ethernet + packet + orig[0:8] + segment


class Datapath:
    """The OpenFlow end of a switch: answers what it must, counts what it is told."""

    def __init__(self, port: int, datapath_id: int, keys: Keys | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.reading = threading.Event()  # cleared: it takes in nothing
        self.reading.set()
        self._id = datapath_id
        self._outgoing: SimpleQueue[bytes] = SimpleQueue()
        self._changed = threading.Condition()
        self._socket: Any = _connect(port)
        if keys:
            self._socket = Sealed(self._socket, keys)
        self.send(message(_HELLO))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, daemon=True).start()

    def send(self, data: bytes) -> None:
        """Queue whole messages: like a switch, it takes in answers while it has more to send."""
        self._outgoing.put(data)

    def close(self) -> None:
        """Hang up."""
        self._outgoing.put(b"")
        self.reading.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def wait(self, what: str, count: int) -> None:
        """Until so many of these were counted."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while self.counts[what] < count:
                if not self._changed.wait(end - time.monotonic()):
                    raise TimeoutError(f"{self.counts[what]} of {count} {what}")

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._outgoing.get():
                self._socket.sendall(data)

    def _read(self) -> None:
        buffer = b""
        while data := self._receive():
            buffer += data
            at = 0
            while len(buffer) - at >= 8:
                _, kind, length, xid = _HEADER.unpack_from(buffer, at)
                if len(buffer) - at < length:
                    break
                self._take(kind, xid, buffer[at : at + length])
                at += length
            buffer = buffer[at:]
            with self._changed:
                self._changed.notify_all()

    def _receive(self) -> bytes:
        self.reading.wait()
        with contextlib.suppress(OSError):
            return self._socket.recv(1 << 20)
        return b""

    def _take(self, kind: int, xid: int, data: bytes) -> None:
        if kind == _FLOW_MOD:
            self.counts["session_flows"] += data[8:11] == _SESSION_COOKIE
            self.counts["flow_mods"] += 1
        elif kind == _PACKET_OUT:
            self.counts["packet_outs"] += 1
            frame = data[24 + int.from_bytes(data[16:18], "big") :]
            if frame[12:14] == b"\x88\xb5" and frame[15] == control.DECIDED:
                self.counts["decided"] += int.from_bytes(frame[18:20], "big")
            elif frame[12:14] == b"\x88\xb5" and frame[15] == control.STATE:
                told = control.state(control.parse(frame))
                self.counts["balancing"] += told.balancing
        elif kind == _FEATURES:
            self.send(
                message(_FEATURES_REPLY, struct.pack("!QIBBHII", self._id, 0, 254, 0, 0, 7, 0), xid)
            )
        elif kind == _MULTIPART:
            self.send(message(_MULTIPART_REPLY, data[8:10] + bytes(6), xid))
        elif kind == _BARRIER:
            self.send(message(_BARRIER_REPLY, b"", xid))
        elif kind == _ECHO_REPLY:
            self.counts["echo_replies"] += 1
        elif kind == _ECHO:
            self.counts["pings"] += 1
            self.send(message(_ECHO_REPLY, data[8:], xid))


def _connect(port: int) -> socket.socket:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class App:
    """An app under `ryu-manager`, and the switches it is connected to."""

    def __init__(
        self, module: str, cluster: Cluster, units: tuple[int, ...], *, over_tls: bool = False
    ) -> None:
        self.cluster = cluster
        self._over_tls = over_tls
        self._units = units
        self._module = module
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start, and connect."""
        with contextlib.ExitStack() as files:
            self._start(files)
            self._files = files.pop_all()
        return self

    def _start(self, files: contextlib.ExitStack) -> None:
        folder = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="synod-bench-")))
        text = CLUSTER.replace("tcp:", "ssl:") if self._over_tls else CLUSTER
        (folder / "cluster.yaml").write_text(text)
        openflow, self.http = free_port(), free_port()
        command = (sys.executable, "-W", "ignore", "-m", "ryu.cmd.manager")
        listening = ["--ofp-tcp-listen-port", str(openflow)]
        keys: dict[int, Keys] = {}
        if self._over_tls:
            pki.make(folder / "pki", self._units, lambda _what: None)
            listening = over_tls_at(str(openflow), str(folder / "pki" / pki.CONTROLLER))
            keys = {
                unit: config_tls.of(str(folder / "pki" / pki.unit_folder(unit)))
                for unit in self._units
            }
        command += (*listening, "--wsapi-port", str(self.http), self._module)
        environment = os.environ | {"SYNOD_CONFIG": str(folder / "cluster.yaml")}
        self.log = folder / "log"
        output = files.enter_context(self.log.open("wb"))
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output
        )
        files.callback(self.process.wait)
        files.callback(self.process.kill)
        self.datapaths = []
        for unit in self._units:
            number = ports.datapath_id(self.cluster.group, unit)
            datapath = Datapath(openflow, number, keys.get(unit))
            files.callback(datapath.close)
            self.datapaths.append(datapath)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        if error:
            sys.stderr.write(self.log.read_text())
        self._files.close()

    def cpu(self) -> float:
        """Seconds that the app has spent on a CPU."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def push(self, blocks: list[bytes], what: str, count: int) -> tuple[float, float]:
        """Send all blocks, wait for the answers; decisions a second of CPU and of time."""
        primary = self.datapaths[0]
        target = primary.counts[what] + count
        cpu, start = self.cpu(), time.monotonic()
        for block in blocks:
            primary.send(block)
        primary.wait(what, target)
        took = time.monotonic() - start
        # The kernel counts what a program runs when that ends, or at a tick.
        while self.cpu() == cpu:
            time.sleep(0.001)
        return count / (self.cpu() - cpu), count / took


@contextlib.contextmanager
def announcing(app: App) -> Iterator[None]:
    """Play both agents: announce them until the end of the context."""
    over = threading.Event()
    frames = []
    for place, unit in enumerate(app.cluster.units):
        macs = {
            interface.name: ports.mac_text(mac)
            for interface, mac in zip(app.cluster.interfaces, unit.macs, strict=True)
        }
        others = tuple(each.id for each in app.cluster.units if each is not unit)
        told = control.Announce(
            *(unit.id, app.cluster.group, 1, "bench", "0", "none", 0, macs, app.cluster.digest),
            serving=0,
            resync=0,
            hears=others,
        )
        for frame in control.announce_frames(told):
            frames.append((app.datapaths[place], packet_in(frame, ports.SYNOD)))

    def announce() -> None:
        while not over.wait(0.2):
            for datapath, data in frames:
                datapath.send(data)

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        app.datapaths[0].wait("balancing", 1)
        yield
    finally:
        over.set()
        thread.join()


def _blocks(messages: list[bytes], size: int = 64) -> list[bytes]:
    """Joined into writes of a few messages: as a switch under load writes them."""
    return [b"".join(messages[at : at + size]) for at in range(0, len(messages), size)]


def _measured(samples: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "per_cpu_second": round(statistics.median(cpu for cpu, _ in samples)),
        "per_second": round(statistics.median(wall for _, wall in samples)),
        "lowest": round(min(cpu for cpu, _ in samples)),
        "highest": round(max(cpu for cpu, _ in samples)),
        "each": [round(cpu) for cpu, _ in samples],
    }


def bytes_a_session(sessions: int = 87_400) -> int:
    """What the app remembers of a live session takes so much memory (tracemalloc).

    With this many, Python's table of them has just been made larger (2/3 of 2^17 are 87,381:
    USABLE_FRACTION in Objects/dictobject.c), so that it is never emptier.
    """
    deciding = Sessions(METHODS["round-robin"], (1, 2), Budget(0))
    deciding.serve_with(1, frozenset((1, 2)), ((1, 1), (2, 1)))
    offers = (Session(number).offer() for number in range(sessions))
    tracemalloc.start()
    try:
        for frame in control.offer_frames(1, 1, offers):
            for offer in control.offers(control.parse(frame)):
                deciding.decide(offer.orig, offer.reply, 0, 0.0)
        del frame, offer
        return round(tracemalloc.get_traced_memory()[0] / sessions)
    finally:
        tracemalloc.stop()


def measure(rounds: int = 5, sessions: int = 4000) -> dict[str, Any]:
    """Medians of so many rounds, the contenders taking turns; `ratio` is single against textbook.

    `single` is this app with one offer a packet-in, `batched` with as many as a frame holds;
    `…_tls` the same over TLS.
    """
    cluster = parse(CLUSTER)
    sealed = parse(CLUSTER.replace("tcp:", "ssl:"))
    names = ("textbook", "single", "batched", "single_tls", "batched_tls")
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    numbers = iter(range(0, 1 << 31, sessions))
    with (
        App("tests.bench.textbook", cluster, (1,)) as textbook,
        App("ryu_apps.load_balancer", cluster, (1, 2)) as synod,
        App("ryu_apps.load_balancer", sealed, (1, 2), over_tls=True) as over_tls,
        announcing(synod),
        announcing(over_tls),
    ):
        for turn in range(rounds + 1):  # the first warms up
            start = next(numbers)
            new = [Session(number) for number in range(start, start + sessions)]
            syns = _blocks([packet_in(each.syn(), 1) for each in new[: sessions // 4]])
            found = {"textbook": textbook.push(syns, "packet_outs", sessions // 4)}
            offers = [control.offer_frames(1, 1, [each.offer()])[0] for each in new]
            singles = _blocks([packet_in(frame, ports.SYNOD) for frame in offers])
            found["single"] = synod.push(singles, "decided", sessions)
            found["single_tls"] = over_tls.push(singles, "decided", sessions)
            start = next(numbers)
            more = [Session(number).offer() for number in range(start, start + sessions)]
            batches = [packet_in(frame, ports.SYNOD) for frame in control.offer_frames(1, 1, more)]
            found["batched"] = synod.push(_blocks(batches), "decided", sessions)
            found["batched_tls"] = over_tls.push(_blocks(batches), "decided", sessions)
            if turn:
                for name, sample in found.items():
                    samples[name].append(sample)
        for app in (synod, over_tls):
            decided = app.datapaths[0].counts["decided"]
            expected = {"session_flows": 2 * decided, "decided": 2 * (rounds + 1) * sessions}
            counted = {name: app.datapaths[0].counts[name] for name in expected}
            if counted != expected:
                raise AssertionError(f"this app: counted {counted}, expected {expected}")
        other = textbook.datapaths[0].counts
        if not other["flow_mods"] == 2 * other["packet_outs"] > 0:
            raise AssertionError(f"the textbook app: counted {dict(other)}")
    figures = {name: _measured(taken) for name, taken in samples.items()}
    by_textbook = figures["textbook"]["per_cpu_second"]
    return {
        "rounds": rounds,
        "sessions": sessions,
        "offers_a_batch": BATCH,
        **figures,
        "bytes_a_session": bytes_a_session(),
        "ratio": round(figures["single"]["per_cpu_second"] / by_textbook, 2),
        "ratio_batched": round(figures["batched"]["per_cpu_second"] / by_textbook, 2),
        "ratio_tls": round(figures["single_tls"]["per_cpu_second"] / by_textbook, 2),
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true", help="one JSON object")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--sessions", type=int, default=4000)
    chosen = options.parse_args()
    figures = measure(chosen.rounds, chosen.sessions)
    if chosen.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"decisions per second of one core, medians of {figures['rounds']} rounds")
    for name in ("textbook", "single", "batched", "single_tls", "batched_tls"):
        found = figures[name]
        print(
            f"  {name:11}{found['per_cpu_second']:>9,.0f}"
            f"   ({found['lowest']:,.0f} to {found['highest']:,.0f})"
        )
    print(f"  single is {figures['ratio']} times the textbook, batched {figures['ratio_batched']}")


if __name__ == "__main__":
    main()
