"""The agent: a loop around its core, with the sockets and the clock that the core has not.

It reads frames from `synod0` and destroyed entries from conntrack, runs the core's steps with their
requests put together, and writes frames to `synod0`. It decides nothing, and opens no connection.
Whatever goes wrong here is a bug or a missing device: it ends the agent, and the supervisor starts
another.
"""

import contextlib
import itertools
import math
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from agents import __version__, config_key, neighbours, signals
from agents.config import Cluster
from agents.conntrack import Conntrack, Dump, destroyed, expected
from agents.core import Core
from agents.core_facts import Facts, Steps, facts_of
from agents.ctnetlink import Request, Result
from agents.fence import Fence
from agents.frames import Frames, mtu_of
from agents.key_file import KeyFile
from agents.links import Links
from agents.log import tell
from agents.outcomes import TROUBLE, Outcome
from agents.replication import CONTROL
from agents.running import FENCE, REPLICATION, RUN, read_pid
from agents.supervise import ANEW
from agents.tracing import Tracer
from agents.wire.ports import SYNOD_NAME
from agents.wire.seal import Keys

_MOST_FRAMES = 64  # of one wake-up; the first waits for the last
# A walk through all entries has time. While it goes on, two thirds of it are left to what forwards:
# walks on end (20,000 entries take some 0.3 s) held packets up where cores were few (measured).
_REST = 2.0  # times as long as a piece took, until the next
_LOOK = 0.25  # seconds between two looks at conntrackd, and at the file of keys
_REPORT = 5.0  # seconds between two lines about trouble


def run(cluster: Cluster, unit_id: int) -> int:
    """Be the agent of that unit until SIGTERM or SIGINT; returns the exit code.

    KeyError if the cluster has no such unit, OSError if this machine isn't brought up as one,
    KeyFileError if it has no key of the cluster's.
    """
    key_file = KeyFile(config_key.path(), cluster.group)
    keys = key_file.load()
    with signals.heard() as woken:
        facts = facts_of(
            cluster,
            unit_id,
            boot=int.from_bytes(os.urandom(8)),
            # As an announcement takes it; sethostname(2) takes any 64 bytes.
            host="".join(filter(str.isprintable, socket.gethostname())),
            version=__version__,
            mtus=_mtus(cluster),
        )
        agent = Agent(facts, keys, key_file.changed)
        tell("agent_started", unit=unit_id, cluster=cluster.name, boot=f"{facts.boot:016x}")
        agent.serve(woken)
    tell("agent_ended", unit=unit_id)
    return 0


def advance(
    steps: Iterable[Steps],
    transact: Callable[[Sequence[Request]], list[Result]],
    counters: Counter[Outcome],
) -> None:
    """Run steps side by side to their ends, their requests put together, and count the outcomes."""
    waiting: list[Steps] = []
    requests: list[Request] = []
    for each in steps:
        try:
            requests.append(next(each))
            waiting.append(each)
        except StopIteration as end:
            counters[end.value] += 1
    while waiting:
        results = transact(requests)
        before, waiting, requests = waiting, [], []
        for each, result in zip(before, results, strict=True):
            try:
                requests.append(each.send(result))
                waiting.append(each)
            except StopIteration as end:
                counters[end.value] += 1


class Agent:
    """The sockets of a unit's agent, and its core."""

    def __init__(
        self, facts: Facts, keys: Keys, rekeyed: Callable[[], Keys | None] = lambda: None
    ) -> None:
        """`rekeyed`: says what the cluster's keys are, if they are others now."""
        self.core = Core(facts, keys, time.monotonic(), fenced=FENCE.exists())
        self._rekeyed = rekeyed
        self._conntrack = Conntrack()
        # Listening before the first frame is read: no session of ours can end unheard.
        self._destroyed = destroyed(ignore=self._conntrack.pid)
        self._expected = expected(ignore=self._conntrack.pid)
        self._frames = Frames(SYNOD_NAME)
        self._links = Links(facts.cluster.unit(facts.unit).nics)
        self._fence = Fence(self._links)
        self._dump: Dump | None = None
        self._dump_due = 0.0
        self.core.desk.down = self._links.down()
        self._poll, self._news = select.poll(), select.poll()
        self._poll.register(self._frames, select.POLLIN)
        for each in (self._destroyed, self._expected, self._links):
            self._poll.register(each, select.POLLIN)
            self._news.register(each, select.POLLIN)
        self._tracer = Tracer(self._poll)
        self._reported = (0.0, Counter[Outcome]())
        self._standing = ("none", False)
        self._looked, self._pickup, self._pickup_pid = 0.0, 0, -1
        self._held = 0.0

    def close(self) -> None:
        """Close the sockets."""
        self._end_dump()
        self._tracer.close()
        sockets = (self._conntrack, self._destroyed, self._expected, self._frames, self._links)
        for each in sockets:
            each.close()

    def serve(self, woken: socket.socket) -> None:
        """Go on until `woken` can be read."""
        self._poll.register(woken, select.POLLIN)
        while woken.fileno() not in self.wait(60):
            self.turn()
        now = time.monotonic()
        self._advance(self.core.leave(now))
        self._write(now)

    def wait(self, most: float) -> set[int]:
        """Wait until something is to be read, something is due, or so many seconds are over.

        Returns the descriptors that can be read.
        """
        due = min(self.core.deadline(), self._dump_due) if self._dump else self.core.deadline()
        pause = min(most, max(0.0, due - time.monotonic()))
        # Rounded up: a pause cut to 0 ms would be spent spinning.
        return {number for number, _ in self._poll.poll(math.ceil(pause * 1000))}

    def turn(self) -> int:
        """One round: what came, what is due, what is to be written. Returns the frames read."""
        core, now = self.core, time.monotonic()
        # Events after frames: what ended before a SYN was sent, and what the kernel came to expect
        # by a packet, is known before that is looked at.
        frames = self._frames.read(_MOST_FRAMES)
        if self._news.poll(0):
            self._hear(now)
        dump = self._dump if now >= self._dump_due else None
        dumped = self._read_dump(dump, now) if dump else ()
        self._advance(itertools.chain(dumped, core.frames(frames, now), core.due(now)))
        if dump:
            done = time.monotonic()
            self._dump_due = done + _REST * (done - now)
        self._fence.hold(core.fencing.fenced, now)
        self._trace()
        self._write(now)
        self._watch_files(now)
        self._hold_neighbours(now)
        self._report(now)
        return len(frames)

    def _hear(self, now: float) -> None:
        """What the kernel has told: entries that went, expectations, links."""
        core = self.core
        ended, announced = self._destroyed.read(), self._expected.read()
        core.desk.down = self._links.down()
        # conntrackd's port is its process's id: netlink_autobind() gives that to the first socket
        # of a process, by which it changes entries (measured).
        pickup = self._pickup_pid
        core.removed((gone.entry for gone in ended.events if gone.by == pickup), now)
        others = (gone.entry for gone in ended.events if gone.by != pickup)
        core.destroyed(others, ended.lost, now)
        core.expected(announced.events, announced.lost or announced.waiting, now)

    def _advance(self, steps: Iterable[Steps]) -> None:
        advance(steps, self._conntrack.transact, self.core.desk.counters)

    def _write(self, now: float) -> None:
        frames, dump = self.core.take(now)
        for frame in self._frames.write(frames):
            self.core.unwritten(frame)
        if dump:
            self._end_dump()
            self._dump, self._dump_due = Dump(), now

    def _trace(self) -> None:
        """Go on with what the app has asked that takes commands."""
        begun = self.core.answering.begun()
        if found := self._tracer.begin(begun) if begun else self._tracer.turn():
            self.core.answering.traced(found)

    def _read_dump(self, dump: Dump, now: float) -> Iterable[Steps]:
        try:
            entries, last = dump.read()
        except OSError as problem:
            tell("dump_failed", why=problem)
            self.core.undumped()
            self._end_dump()
            return ()
        if last:
            self._end_dump()
        return self.core.dumped(entries, last, _established(), now)

    def _hold_neighbours(self, now: float) -> None:
        """Go on with what is known of neighbours, while nobody can be asked for them."""
        core = self.core
        if now - self._held < neighbours.INTERVAL:
            return
        self._held = now
        if neighbours.unanswered(core.desk, core.hearing, now):
            neighbours.confirm(core.facts.cluster)

    def _watch_files(self, now: float) -> None:
        """End conntrackd, if that is due: its supervisor starts another, which begins anew. And
        see whether another has begun, by its socket: what happened meanwhile it has told nobody.
        Are the cluster's keys others?
        """
        if now - self._looked >= _LOOK:
            if keys := self._rekeyed():
                self.core.rekey(keys)
            self._looked, before = now, self._pickup
            with contextlib.suppress(OSError):
                self._pickup = CONTROL.stat().st_ctime_ns
            self._pickup_pid = read_pid(RUN / REPLICATION) or -1
            if self._pickup != before:
                self.core.renewing.begin(now)
        if self.core.desk.restart_pickup:
            self.core.desk.restart_pickup = False
            pid = read_pid(RUN / REPLICATION)
            tell("pickup_anew", pid=pid)
            if pid:
                os.kill(pid, ANEW)

    def _end_dump(self) -> None:
        if self._dump:
            self._dump.close()
            self._dump = None

    def _report(self, now: float) -> None:
        """Lines for the log: whether the app is heard, and what went wrong how often."""
        desk = self.core.desk
        standing = (desk.role(), desk.app_decides(now))
        if standing != self._standing:
            self._standing = standing
            tell("standing", role=standing[0], app_decides=standing[1])
        last, before = self._reported
        if now - last >= _REPORT:
            for outcome in sorted(TROUBLE):
                grown = desk.counters[outcome] - before[outcome]
                if grown:
                    tell(outcome, count=grown)
            self._reported = now, Counter(desk.counters)


def _established() -> int:
    """Seconds that an established session may be idle; of this process's network namespace."""
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established").read_text())


def _mtus(cluster: Cluster) -> dict[int, int]:
    """The longest packet that can be handed over on each interface: its own MTU, and synod0's."""
    port = mtu_of(SYNOD_NAME)
    return {i.index: min(port, mtu_of(i.name)) for i in cluster.interfaces}
