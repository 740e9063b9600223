"""FTP through two units and more, in namespaces of their own, with the time of every packet.

    client n ══ unit n ══ server      its control connection (n = 1, 2)
             ══ unit 0 ══             all else: the SYNs of data connections come to the primary
                unit n ── HA link ── unit 0

All units have the same addresses and rules, and all clients are one address outside. The links are
veth pairs: no switch, no bridge, no wire, so that a SYN is as early as it can be. The server is
vsftpd. The client is a few lines that connect as soon as they have read where to.
"""

import contextlib
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from agents.wire.packet import tuple12
from tests.lab.namespaces import Namespace, link, namespaces

INSIDE, OUTSIDE, SERVER = "10.1.0.1", "203.0.113.1", "203.0.113.10"
FTP = 21
CONTROL = 50020  # client n's control connection comes from this port + n

# A first packet is refused at once where nothing has been expected: none waits to be sent again.
RULES = """
table ip user {
    ct helper ftp { type "ftp" protocol tcp; }
    chain helpers { type filter hook prerouting priority filter; tcp dport 21 ct helper set "ftp"; }
    chain filters {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        tcp dport 21 accept
        reject with tcp reset
    }
    chain leaving { type nat hook postrouting priority srcnat; oifname "ext" snat to 203.0.113.1; }
}
"""
VSFTPD = """
listen=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
local_enable=NO
one_process_model=YES
isolate=NO
isolate_network=NO
seccomp_sandbox=NO
ftp_username=daemon
nopriv_user=nobody
pasv_min_port=10000
pasv_max_port=49999
anon_root={empty}
secure_chroot_dir={empty}
"""

_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_ALL, _OUTGOING = 3, 4  # ETH_P_ALL, PACKET_OUTGOING
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Net(NamedTuple):
    """The namespaces, and a directory that goes with them."""

    client: Namespace
    server: Namespace
    units: list[Namespace]
    scratch: Path

    @property
    def primary(self) -> Namespace:
        """Unit 0."""
        return self.units[0]


def client_address(number: int) -> str:
    """That of client `number`."""
    return f"10.1.0.{9 + number}"


@contextlib.contextmanager
def network(serving: int = 1) -> Iterator[Net]:
    """A primary, so many units that serve control connections, and vsftpd behind them."""
    with (
        namespaces(3 + serving) as (client, server, *units),
        tempfile.TemporaryDirectory() as scratch,
    ):
        for number, unit in enumerate(units):
            _join(client, server, unit, number)
        for number, unit in enumerate(units[1:], 1):
            ha = "ha" if number == 1 else f"ha{number}"
            link(unit, "ha", units[0], ha)
            unit.address("ha", f"169.254.{number}.1/24")
            units[0].address(ha, f"169.254.{number}.2/24")
            address = client_address(number)
            # Through unit 0 all clients answer, through each other one its own does.
            client.address("to0", f"{address}/32")
            client.address(f"to{number}", f"{address}/32")
            table = str(100 + number)
            match = ("ipproto", "tcp", "dport", str(FTP), "from", address)
            client.run("ip", "rule", "add", *match, "lookup", table)
            match = ("ipproto", "tcp", "sport", str(FTP), "dport", str(CONTROL + number))
            server.run("ip", "rule", "add", *match, "lookup", table)
        with _vsftpd(server, Path(scratch)):
            yield Net(client, server, units, Path(scratch))


def _join(client: Namespace, server: Namespace, unit: Namespace, number: int) -> None:
    for host, side, gateway in ((client, "int", INSIDE), (server, "ext", OUTSIDE)):
        device = f"to{number}"
        link(host, device, unit, side)
        unit.address(side, f"{gateway}/24")
        if host is server:
            host.address(device, f"{SERVER}/32")
        where = ["via", gateway, "dev", device, "onlink"]
        host.run("ip", "route", "add", "default", *where, "table", str(100 + number))
        if number == 0:
            host.run("ip", "route", "add", "default", *where)
    unit.sysctl(net__ipv4__ip_forward=1, net__netfilter__nf_conntrack_events=1)
    unit.rules(RULES)


@contextlib.contextmanager
def _vsftpd(server: Namespace, scratch: Path) -> Iterator[None]:
    empty = scratch / "empty"
    empty.mkdir()
    scratch.chmod(0o755)
    empty.chmod(0o555)
    (scratch / "vsftpd.conf").write_text(VSFTPD.format(empty=empty))
    daemon = server.popen("vsftpd", str(scratch / "vsftpd.conf"), stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def eventually(what: Callable[[], object], seconds: float = 10) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came")
        time.sleep(0.01)


class Session:
    """A control connection of client `number`, logged in. Where data comes, none is read."""

    def __init__(self, net: Net, number: int = 1) -> None:
        self._net = net
        self.address = client_address(number)
        self.control = self.new_socket(CONTROL + number)
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        eventually(lambda: self.control.connect_ex((SERVER, FTP)) == 0)
        self.control.settimeout(10)
        self.say(b"USER anonymous\r\n", b"230 ")
        self.orig = tuple12(self.address, SERVER, CONTROL + number, FTP)

    def say(self, what: bytes, *until: bytes) -> bytes:
        """Send, and read until one of these comes."""
        self.control.sendall(what)
        answer = b""
        while not any(each in answer for each in until):
            more = self.control.recv(4096)
            if not more:
                raise ConnectionError(f"closed after {answer!r}")
            answer += more
        return answer

    def passive(self) -> bool:
        """PASV, and a SYN as soon as the answer is read. Whether it was let through."""
        with self.new_socket() as data:
            data.setblocking(False)
            self.control.sendall(b"PASV\r\n")
            answer = self.control.recv(4096)
            high, low = answer[answer.index(b"(") + 1 : answer.index(b")")].split(b",")[4:]
            data.connect_ex((SERVER, int(high) << 8 | int(low)))
            select.select((), (data,), (), 10)
            refused = data.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            return not refused

    def active(self) -> bool:
        """PORT and NLST in one segment: the server connects at once. Whether that succeeded."""
        with self.new_socket() as listener:
            listener.listen(1)
            answer = self.say(self.port(listener) + b"NLST\r\n", b"226 ", b"425 ")
            return b"226 " in answer

    def port(self, listener: socket.socket) -> bytes:
        """The command that announces this listener."""
        high, low = divmod(listener.getsockname()[1], 256)
        return f"PORT {self.address.replace('.', ',')},{high},{low}\r\n".encode()

    def listen(self, port: int) -> socket.socket:
        """A listener of this client's."""
        listener = self.new_socket(port)
        listener.listen(4)
        listener.settimeout(1)
        return listener

    def close(self) -> None:
        """End it; the server's process for it goes, too."""
        self.control.close()

    def new_socket(self, port: int = 0) -> socket.socket:
        """One of this client's, not connected."""
        with self._net.client.entered():
            sock = socket.socket()
        sock.bind((self.address, port))
        return sock


class Tap:
    """What passes a device, with the kernel's time of it. Nobody sleeps on it: it costs a copy."""

    def __init__(self, unit: Namespace, device: str) -> None:
        with unit.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        self._socket.bind((device, _ALL))

    def read(self) -> Iterator[tuple[int, bool, bytes]]:
        """Nanoseconds of the wall clock, whether it went out, the frame."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, control, _, address = self._socket.recvmsg(2048, 64)
                seconds, nanoseconds = struct.unpack("qq", control[0][2])
                yield seconds * 10**9 + nanoseconds, address[2] == _OUTGOING, frame

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def is_syn(frame: bytes) -> bool:
    """The first packet of a TCP connection (no IP options here)."""
    return frame[12:14] == b"\x08\0" and frame[23] == 6 and frame[47] & 0x12 == 0x02
