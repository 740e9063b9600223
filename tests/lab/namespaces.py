"""Throw-away network namespaces, for tests of what a real kernel does.

Each is held by one sleeping process and goes with it; nothing outside is touched, and nothing needs
cleaning up. Skips, saying so, without root or a program; that root can't make them is an error.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_READY = """
mount -t sysfs none /sys && ip link set lo up || exit
for which in all default; do
    echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/$which/disable_ipv6
done
echo ready
exec sleep infinity
"""


class Namespace:
    """A network stack of its own, IPv4 only, with a mount namespace whose /sys shows it."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--kill-child", "sh", "-c", _READY],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != "ready\n":
            assert self.holder.stderr is not None
            self.holder.kill()
            raise OSError(f"no network namespace: {self.holder.stderr.read().strip()}")
        self.prefix = ["nsenter", "--net", "--mount", "--target", str(self.holder.pid), "--"]

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command inside and return what it prints; AssertionError if it fails."""
        done = subprocess.run(
            [*self.prefix, *argv], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stderr.strip() or done.stdout.strip()}"
        return done.stdout

    def popen(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command inside."""
        return subprocess.Popen([*self.prefix, *argv], **options)

    def rules(self, text: str) -> None:
        """Load an nftables ruleset in place of the one there."""
        self.run("nft", "-f", "-", stdin="flush ruleset\n" + text)

    def sysctl(self, **settings: int) -> None:
        """Set sysctls; two underscores stand for a dot."""
        for name, value in settings.items():
            self.run("sysctl", "-qw", f"{name.replace('__', '.')}={value}")

    def address(self, device: str, *addresses: str) -> None:
        """Give a device its addresses and set it up."""
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", device)
        self.run("ip", "link", "set", device, "up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread opens meanwhile (sockets, /proc/sys/net) belongs to the namespace."""
        with open("/proc/thread-self/ns/net") as home:
            with open(f"/proc/{self.holder.pid}/ns/net") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def close(self) -> None:
        """End it."""
        self.holder.kill()
        self.holder.communicate()


def link(
    left: Namespace, left_name: str, right: Namespace, right_name: str, mtu: int = 1500
) -> None:
    """A veth pair between two namespaces, up, its checksums complete on the wire."""
    left.run(
        *("ip", "link", "add", left_name, "mtu", str(mtu), "type", "veth"),
        *("peer", "name", right_name, "mtu", str(mtu), "netns", str(right.holder.pid)),
    )
    for namespace, name in ((left, left_name), (right, right_name)):
        if shutil.which("ethtool"):
            namespace.run("ethtool", "-K", name, "tx", "off")
        namespace.run("ip", "link", "set", name, "up")
    for namespace, name in ((left, left_name), (right, right_name)):
        # Until it is fully up, a moment after both ends are, it drops what is sent.
        deadline = time.monotonic() + 5
        while "state UP" not in namespace.run("ip", "link", "show", name):
            assert time.monotonic() < deadline, f"{name} doesn't come up"
            time.sleep(0.01)


def need_root(*commands: str) -> None:
    """Skip unless the test may make namespaces and finds these commands."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}")


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[Sequence[Namespace]]:
    """That many namespaces, gone at the end."""
    made: list[Namespace] = []
    try:
        for _ in range(count):
            made.append(Namespace())
        yield made
    finally:
        for namespace in made:
            namespace.close()


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
