"""A running lab as the tests use it: peers that open sessions, what must be so before and after.

Nothing here sleeps for a condition: it polls one against a deadline.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.polling import until
from topologies.answering import Answering, Ended, Refused
from topologies.lab import Lab
from topologies.observe import Capture, Endpoints, Entry, entries, switch_sessions

ROOT = Path(__file__).parents[2]
CLIENT, SERVER, DMZ = "10.1.0.10", "203.0.113.10", "10.2.0.10"
ADDRESSES = {"client": CLIENT, "server": SERVER, "dmz": DMZ}
INSIDE, OUTSIDE = "10.1.0.1", "203.0.113.1"
PORT = 7000

SNAT = """
table ip user {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" ip saddr 10.1.0.0/24 snat to 203.0.113.1
    }
}
"""
NO_RULES = "table ip user {\n}\n"


class PeerError(OSError):
    """What a peer answers when a socket call failed: the error's name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class PeerProcess:
    """The program of `peer.py`, or one that does more, in one host."""

    def __init__(self, lab: Lab, host: str, module: str = "tests.lab.peer") -> None:
        self.host = host
        self._program = Answering(lab, host, module, env={"PYTHONPATH": str(ROOT)})

    def __call__(self, operation: str, **arguments: Any) -> Any:
        """Asks for an operation. Raises PeerError."""
        try:
            return self._program.ask(operation, **arguments)
        except Ended as ended:
            raise RuntimeError(f"the peer in {self.host} ended with {ended}") from None
        except Refused as refused:
            raise PeerError(str(refused)) from None

    def stop(self) -> None:
        """Ends it, and with it every socket it holds."""
        self._program.stop()


@dataclass(frozen=True, slots=True)
class Session:
    """One open session: the client's socket, whom the server took it for, who serves it."""

    id: int
    endpoints: Endpoints
    seen: str
    entry: Entry

    @property
    def unit(self) -> int:
        """The unit that serves it, by the primary's label."""
        return self.entry.unit


class World:
    """A lab with its peers."""

    def __init__(self, lab: Lab, units: int, folder: Path) -> None:
        self.lab = lab
        self.units = tuple(range(1, units + 1))
        self.primary = 1  # where no test makes another unit primary
        self.folder = folder
        self._peers: dict[str, PeerProcess] = {}
        self._hosts = [network.host for network in lab.options.networks]
        self._others: list[PeerProcess] = []
        self._commands: list[subprocess.Popen[str]] = []
        self._links: dict[str, dict[str, Any]] = {}

    @property
    def client(self) -> PeerProcess:
        """The peer in `client`."""
        return self.peer("client")

    @property
    def server(self) -> PeerProcess:
        """The peer in `server`, which has a server at PORT."""
        return self.peer("server")

    def peer(self, host: str) -> PeerProcess:
        """The peer in a host. With the first one asked for, all servers are started."""
        for name in {*(self._hosts if not self._peers else ()), host} - set(self._peers):
            self._peers[name] = PeerProcess(self.lab, name)
            self._peers[name]("serve", port=PORT)
        return self._peers[host]

    def another_peer(self, host: str, module: str = "tests.lab.peer") -> PeerProcess:
        """One more, for what is to happen at the same time; ends with the others."""
        peer = PeerProcess(self.lab, host, module)
        self._others.append(peer)
        return peer

    def popen(self, host: str, *argv: str) -> subprocess.Popen[str]:
        """Starts a command on a host; it ends with the peers, if it hasn't before."""
        process: subprocess.Popen[str] = self.lab.popen(host, argv)
        self._commands.append(process)
        return process

    def stop(self) -> None:
        """Ends the peers, and the commands."""
        with ExitStack() as stack:  # each, even if one doesn't end
            for peer in (*self._peers.values(), *self._others):
                stack.callback(peer.stop)
            for process in self._commands:
                stack.callback(process.wait, 10)
                stack.callback(process.kill)
            self._peers.clear()
            self._others.clear()
            self._commands.clear()

    def device(self, host: str) -> str:
        """The name of a host's interface to the cluster."""
        return str(self._link(host)["ifname"])

    def mac(self, host: str) -> str:
        """The MAC address of a host's interface to the cluster."""
        return str(self._link(host)["address"])

    def _link(self, host: str) -> dict[str, Any]:
        if host not in self._links:
            rows = json.loads(self.lab.run(host, ["ip", "-j", "address"]).stdout)
            self._links[host] = next(
                row
                for row in rows
                for address in row["addr_info"]
                if address["local"] == ADDRESSES[host]
            )
        return self._links[host]

    def rules(self, text: str, *units: int) -> None:
        """Puts the user's table `user` in place of what it was, on these units or on all."""
        self.lab.load_rules(f"table ip user\ndelete table ip user\n{text}", units)

    def sysctl(self, setting: str, value: int) -> None:
        """Sets a kernel setting on every unit."""
        for unit in self.units:
            self.lab.run(f"u{unit}", ["sysctl", "-q", "-w", f"{setting}={value}"])

    def timeouts(self, **seconds: int) -> None:
        """How long every unit's kernel keeps connections that are in a state."""
        for state, value in seconds.items():
            self.sysctl(f"net.netfilter.nf_conntrack_tcp_timeout_{state}", value)

    def connect(
        self,
        host: str = "client",
        address: str = SERVER,
        port: int = PORT,
        **how: Any,
    ) -> Session:
        """Opens a session and looks up who serves it. `how` is the peer's. Raises PeerError."""
        answer = self.peer(host)("connect", address=address, port=port, **how)
        endpoints = Endpoints(ADDRESSES[host], answer["port"], address, port)
        entry = self.until(lambda: self.entry(endpoints), f"no label on {endpoints}")
        return Session(answer["id"], endpoints, answer["seen"], entry)

    def connect_through(self, unit: int, **how: Any) -> Session:
        """Opens sessions until one is served by this unit, and closes the others in order."""
        host = how.get("host", "client")
        others: list[Session] = []
        try:
            while (session := self.connect(**how)).unit != unit:
                others.append(session)
                assert len(others) <= 2 * len(self.units), f"unit {unit} is never chosen"
        finally:
            for other in others:
                self.peer(host)("close", id=other.id)
        return session

    def entry(self, session: Endpoints, unit: int = 0, *, labelled: bool = True) -> Entry | None:
        """A session's entry on a unit; on the primary, once it says who serves."""
        for entry in entries(self.lab, unit or self.primary):
            if entry.original == session and (entry.unit or not labelled):
                return entry
        return None

    def entry_of_port(self, port: int, unit: int) -> Entry | None:
        """An entry of a session that the client opened from this port."""
        return next((e for e in entries(self.lab, unit) if e.original.sport == port), None)

    def learned(self, switch: str) -> dict[str, set[str]]:
        """Which source addresses a switch has seen, and at which of its ports."""
        argv = self.lab.switch_argv(["bridge", "-j", "fdb", "show", "br", switch])
        rows = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        found: dict[str, set[str]] = {}
        for row in rows:
            if row.get("state") != "permanent":
                found.setdefault(row["mac"], set()).add(row["ifname"])
        return found

    def status(self) -> dict[str, Any]:
        """What `synod status --json` says."""
        return self.lab.status()

    def counters(self) -> Counter[str]:
        """The app's counters."""
        return Counter(self.status()["counters"])

    def agent_counters(self, unit: int) -> Counter[str]:
        """The counters that a unit's agent reports."""
        return Counter(self.unit_status(unit)["agent"])

    def drops(self, unit: int) -> Counter[str]:
        """How many packets a unit's bridge has dropped, by reason."""
        return Counter(self.unit_status(unit)["drops"])

    def unit_status(self, unit: int) -> dict[str, Any]:
        """One unit's row of the status."""
        return next(row for row in self.status()["units"] if row["id"] == unit)

    def served(self) -> Counter[int]:
        """How many decisions have gone to each unit."""
        return Counter({row["id"]: row["sessions"]["served"] for row in self.status()["units"]})

    def live(self) -> int:
        """Sessions that the app holds."""
        return sum(row["sessions"]["live"] for row in self.status()["units"])

    def sessions_of(self, unit: int) -> list[Entry]:
        """A unit's entries but for those of its own connections, to the controller, and the
        canaries, on the HA link.
        """
        ours = ("10.254.0.", "169.254.83.")
        return [
            entry for entry in entries(self.lab, unit) if not entry.original.source.startswith(ours)
        ]

    def left_over(self) -> dict[str, object]:
        """Everything per session that is still somewhere; empty when all is gone.

        An entry in TIME_WAIT, CLOSE and the like is the kernel's, gone by its own timeout: it
        counts all the same.
        """
        found: dict[str, object] = {}
        for unit in self.units:
            if held := self.sessions_of(unit):
                found[f"conntrack of unit {unit}"] = held
            if sessions := switch_sessions(self.lab, unit):
                found[f"the switch of unit {unit}"] = sessions
        if live := self.live():
            found["sessions in the app"] = live
        return found

    def until(
        self, condition: Callable[[], Any], what: str | Callable[[], str], timeout: float = 10
    ) -> Any:
        """Polls until a condition holds, and returns its value."""
        return until(condition, what, timeout, pause=0.05)

    def until_gone(self, timeout: float) -> float:
        """Waits until nothing of any session is left anywhere; seconds until the look that found
        nothing began. (A look takes long on a busy machine.)
        """
        start = looked = time.monotonic()

        def gone() -> bool:
            nonlocal looked
            looked = time.monotonic()
            return not self.left_over()

        self.until(gone, lambda: f"left over: {self.left_over()}", timeout)
        return looked - start

    def healthy(self) -> bool:
        """Every unit up and given sessions; if there is more than one, the cluster balancing?"""
        try:
            status = self.status()
        except OSError:
            return False  # the app is not there
        up = all(row["state"] == "up" and row["settled"] for row in status["units"])
        return up and bool(status["balancing"] or len(self.units) == 1)

    def situation(self) -> str:
        """The status, or why there is none; for a failure's message."""
        try:
            return f"{self.status()}"
        except OSError as error:
            return repr(error)

    def forget_sessions(self) -> None:
        """Ends all sessions at both ends and in every kernel, and waits until the app knows. The
        entry of a session that has only just begun a unit makes again: it isn't to go so soon.
        """
        self.stop()

        def gone() -> bool:
            for unit in self.units:
                self.lab.run(f"u{unit}", ["conntrack", "-F"], check=False)
            return not self.left_over()

        self.until(gone, lambda: f"left over: {self.left_over()}", 20)

    def pass_time(self, seconds: float) -> None:
        """Lets time go by where the passing of time is itself what is tested."""
        time.sleep(seconds)

    @contextmanager
    def silenced(self, *hosts: str) -> Iterator[None]:
        """Hosts that neither hear nor say anything but ARP, as if they had gone."""
        drop = "\n".join(
            f"chain {hook} {{ type filter hook {hook} priority raw; policy drop; }}"
            for hook in ("prerouting", "output")
        )
        for host in hosts:
            self.lab.run(host, ["nft", f"table ip silence {{\n{drop}\n}}"])
        try:
            yield
        finally:
            for host in hosts:
                self.lab.run(host, ["nft", "delete table ip silence"])

    @contextmanager
    def captures(
        self, *places: str, expression: str = "", direction: str = "inout"
    ) -> Iterator[dict[str, Capture]]:
        """Captures at "host/interface" places, by that name."""
        with ExitStack() as stack:
            started = {}
            for place in places:
                host, interface = place.split("/")
                capture = Capture(
                    self.lab,
                    host,
                    interface,
                    self.folder,
                    expression=expression,
                    direction=direction,
                )
                started[place] = stack.enter_context(capture)
            yield started
