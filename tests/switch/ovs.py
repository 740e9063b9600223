"""A real Open vSwitch without root: `ovs-vswitchd --enable-dummy=override --disable-system`.

Each port is a dummy device: frames are put in by `netdev-dummy/receive`, and what leaves is read
from a capture that the device writes (both: lib/netdev-dummy.c). Everything lives in a directory of
its own and is taken down with the context.
"""

import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.polling import until

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
DEADLINE = 5.0
PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_OPENFLOW = struct.Struct("!BBHI")  # version, type, length, xid (OpenFlow 1.3.5, section 7.1)
_HELLO, _ERROR, _ECHO, _ECHO_REPLY, _SET_CONFIG, _PACKET_IN = 0, 1, 2, 3, 9, 10
_MULTIPART_REPLY, _BARRIER, _BARRIER_REPLY = 19, 20, 21
_VERSION = 4  # OpenFlow 1.3


def missing() -> list[str]:
    """What this machine lacks to run a switch."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    return lacking + ([] if SCHEMA.exists() else [str(SCHEMA)])


class Switch:
    """One `ovs-vswitchd` with its database."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="synod-ovs-"))
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self._env = os.environ | {"PATH": _PATH} | dict.fromkeys(names, str(self.dir))
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start; everything answers when this returns."""
        try:
            database = self.dir / "conf.db"
            self.run("ovsdb-tool", "create", str(database), str(SCHEMA))
            self._start("ovsdb-server", str(database), "--remote=punix:db.sock")
            until((self.dir / "db.sock").exists, "ovsdb-server listens")
            self.vsctl("--no-wait", "init")
            self._start(
                "ovs-vswitchd",
                f"unix:{self.dir}/db.sock",
                "--enable-dummy=override",
                "--disable-system",
                f"--unixctl={self.dir}/vswitchd.ctl",
                f"--log-file={self.dir}/vswitchd.log",
            )
            until((self.dir / "vswitchd.ctl").exists, "ovs-vswitchd listens")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and remove all files."""
        self.stop()

    def stop(self) -> None:
        """End both processes, without a farewell: nothing of them is to stay."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *command: str) -> str:
        """Run a program of Open vSwitch's against this one; its output."""
        done = subprocess.run(
            command, cwd=self.dir, env=self._env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def vsctl(self, *words: str) -> str:
        """Run `ovs-vsctl`."""
        return self.run("ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "--timeout=10", *words)

    def appctl(self, *words: str) -> str:
        """Run `ovs-appctl` on the switch."""
        return self.run("ovs-appctl", f"--target={self.dir}/vswitchd.ctl", *words)

    def bridge(self, name: str, datapath_id: int, ports: dict[str, int]) -> "Bridge":
        """Make a bridge with these ports: name -> OpenFlow port."""
        words = ["add-br", name, "--", "set", "Bridge", name, "fail_mode=secure"]
        words += ["datapath_type=dummy", "protocols=OpenFlow13"]
        words += [f"other_config:datapath-id={datapath_id:016x}"]
        for port, number in ports.items():
            words += ["--", "add-port", name, port, "--", "set", "Interface", port, "type=dummy"]
            words += [f"ofport_request={number}", f"options:tx_pcap={self.dir}/{port}.pcap"]
        self.vsctl(*words)
        return Bridge(self, name, ports)

    def _start(self, *command: str) -> None:
        with (self.dir / "processes.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    (*command, "--no-chdir"), cwd=self.dir, env=self._env, stdout=log, stderr=log
                )
            )


class Bridge:
    """A bridge: frames go in by ports and come out of them."""

    def __init__(self, switch: Switch, name: str, ports: dict[str, int]) -> None:
        self.switch = switch
        self.name = name
        self.ports = ports
        self._read = dict.fromkeys(ports, 0)

    def connect(self) -> "Controller":
        """An OpenFlow connection to it."""
        return Controller(self.switch.dir / f"{self.name}.mgmt")

    def put(self, port: str, *frames: bytes) -> None:
        """Have frames arrive at a port."""
        for frame in frames:
            self.switch.appctl("netdev-dummy/receive", port, frame.hex())

    def sent(self, port: str) -> list[bytes]:
        """The frames that have left by a port since this was asked last."""
        frames = list(_frames(self.switch.dir / f"{port}.pcap"))
        seen, self._read[port] = self._read[port], len(frames)
        return frames[seen:]

    def flush(self) -> None:
        """Forget what has been sent until now."""
        for port in self.ports:
            self.sent(port)

    def take(self, port: str, count: int = 1) -> list[bytes]:
        """Wait for frames to leave by a port."""
        frames: list[bytes] = []

        def enough() -> bool:
            frames.extend(self.sent(port))
            return len(frames) >= count

        until(enough, lambda: f"{count} frames by {port}: {[frame.hex() for frame in frames]}")
        return frames

    def all_sent(self) -> dict[str, list[bytes]]:
        """What has left by every port that anything has left by."""
        return {port: frames for port in self.ports if (frames := self.sent(port))}

    def flows(self, *match: str) -> list[str]:
        """`ovs-ofctl dump-flows`, without durations."""
        text = self.switch.run(
            "ovs-ofctl", "-O", "OpenFlow13", "--no-names", "dump-flows", self.name, *match
        )
        return [line.strip() for line in text.splitlines() if "cookie=" in line]

    def meters(self) -> dict[int, tuple[int, float]]:
        """Of each meter the packets that it has dropped, and for how many seconds it is there."""
        text = self.switch.run("ovs-ofctl", "-O", "OpenFlow13", "meter-stats", self.name)
        found = re.findall(r"meter:(\d+) .*duration:([\d.]+)s bands:\n0: packet_count:(\d+)", text)
        return {int(number): (int(packets), float(age)) for number, age, packets in found}

    def trace(self, packet: str) -> str:
        """What the switch would do with a packet (`ofproto/trace`)."""
        return self.switch.appctl("ofproto/trace", self.name, packet)

    def packets(self, cookie: int) -> int:
        """How many packets the flows of a cookie have seen until now.

        What the datapath's cache has counted reaches the flows when it is revalidated, which a
        purge does at once (measured: 1 of 21 packets before it, 21 after).
        """
        self.switch.appctl("revalidator/purge")
        lines = self.flows(f"cookie={cookie:#x}/-1")
        return sum(int(line.partition("n_packets=")[2].partition(",")[0]) for line in lines)


class Controller:
    """A controller's end of an OpenFlow connection, in a few lines of sockets."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        until(path.exists, f"{path} is there")
        self._socket.connect(str(path))
        self._buffer = b""
        self.errors: list[bytes] = []
        self.packet_ins: list[bytes] = []  # their frames
        self.raw_packet_ins: list[bytes] = []
        self.stats: list[bytes] = []
        self._send(_HELLO)
        # A connection that isn't a configured controller's gets packet-ins only once it has said
        # how long they may be (ofconn_receives_async_msg in OVS's ofproto/connmgr.c).
        self._send(_SET_CONFIG, struct.pack("!HH", 0, 0xFFFF))
        self.barrier()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send encoded messages, and wait until the switch has handled them without complaint."""
        self._socket.sendall(data)
        self.barrier()
        assert not self.errors, [error.hex() for error in self.errors]

    def barrier(self) -> None:
        """Wait until everything before is done."""
        self._send(_BARRIER, xid=0xBA221E12)
        while self._receive() != (_BARRIER_REPLY, 0xBA221E12):
            pass

    def take_packet_in(self) -> bytes:
        """The next frame that a flow sent to the controller."""
        while not self.packet_ins:
            self._receive()
        return self.packet_ins.pop(0)

    def take_stats(self) -> bytes:
        """The next multipart reply, whole."""
        while not self.stats:
            self._receive()
        return self.stats.pop(0)

    def _send(self, kind: int, body: bytes = b"", xid: int = 0) -> None:
        self._socket.sendall(_OPENFLOW.pack(_VERSION, kind, 8 + len(body), xid) + body)

    def _receive(self) -> tuple[int, int]:
        """Read one message; errors and packet-ins are kept."""
        self._fill(8)
        _, kind, length, xid = _OPENFLOW.unpack_from(self._buffer)
        self._fill(length)
        message, self._buffer = self._buffer[:length], self._buffer[length:]
        if kind == _ERROR:
            self.errors.append(message)
        elif kind == _ECHO:
            self._send(_ECHO_REPLY, message[8:], xid)
        elif kind == _PACKET_IN:
            self.raw_packet_ins.append(message)
            match_length = int.from_bytes(message[26:28], "big")
            self.packet_ins.append(message[24 + (match_length + 7) // 8 * 8 + 2 :])
        elif kind == _MULTIPART_REPLY:
            self.stats.append(message)
        return kind, xid

    def _fill(self, length: int) -> None:
        while len(self._buffer) < length:
            data = self._socket.recv(65536)
            assert data, "the switch has hung up"
            self._buffer += data


def _frames(path: Path) -> Iterator[bytes]:
    """The frames of a capture (pcap, in this machine's byte order) that is still being written."""
    if not path.exists():
        return
    data = path.read_bytes()
    at = 24
    while at + 16 <= len(data):
        _, _, length, _ = struct.unpack_from("=IIII", data, at)
        if at + 16 + length > len(data):
            return
        yield data[at + 16 : at + 16 + length]
        at += 16 + length
