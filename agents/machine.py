"""This machine: commands that are run on it, and what is asked of it.

What is to be done, and what of it has been, is `agents.provision`'s.
"""

import json
import shutil
import socket
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from agents.switch import DATABASE, OVSDB_SOCKET


class ProvisionError(Exception):
    """Why the host did not become a unit, or not again what it was; for a person to read."""


def run(argv: tuple[str, ...], stdin: str = "", seconds: float = 60) -> str:
    """What a command prints. ProvisionError if it fails, or isn't done in time."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProvisionError(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or "no output"
        raise ProvisionError(f"'{' '.join(argv)[:200]}' failed with {done.returncode}: {words}")
    return done.stdout


def links() -> dict[str, dict[str, Any]]:
    """The links by name, with their addresses, as `ip -json address` gives them."""
    return {link["ifname"]: link for link in json.loads(run(("ip", "-json", "address", "show")))}


def routes() -> frozenset[tuple[str, str, str]]:
    """The main table's routes by way of a neighbour: (network, neighbour, name of the link)."""
    listed = json.loads(run(("ip", "-4", "-json", "route", "show", "table", "main")))
    return frozenset(
        (_network(each["dst"]), each["gateway"], each["dev"])
        for each in listed
        if "gateway" in each
    )


def _network(destination: str) -> str:
    """As `ip` prints it, which leaves out what goes without saying (print_route() in iproute2)."""
    return str(IPv4Network("0.0.0.0/0" if destination == "default" else destination))


def tables() -> frozenset[tuple[str, str]]:
    """The nftables tables: family and name."""
    listed = json.loads(run(("nft", "--json", "list", "tables")))["nftables"]
    found = [each["table"] for each in listed if "table" in each]
    return frozenset((table["family"], table["name"]) for table in found)


def setting(key: str) -> str:
    """A kernel setting, by its path below /proc/sys. ProvisionError if there is none."""
    try:
        return Path("/proc/sys", key).read_text().strip()
    except OSError as error:
        raise ProvisionError(f"{key}: {error.strerror}") from None


# Short names, as `ethtool -K` takes them, of the lines of `ethtool -k`.
_FEATURES = {
    "tx": "tx-checksumming",
    "gro": "generic-receive-offload",
    "lro": "large-receive-offload",
}


def features_on(nic: str) -> set[str]:
    """Which of the features that must be off are on."""
    lines = run(("ethtool", "-k", nic)).splitlines()
    return {short for short, long in _FEATURES.items() if f"{long}: on" in lines}


def runs(daemon: str) -> bool:
    """Whether one of Open vSwitch's daemons runs, by the file with its id."""
    try:
        pid = int(Path("/var/run/openvswitch", f"{daemon}.pid").read_text())
        return Path(f"/proc/{pid}/comm").read_text().strip() == daemon
    except (OSError, ValueError):
        return False


def answers(path: str) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def has_kernel_datapath() -> bool:
    """Whether the kernel has Open vSwitch's module, or can load it."""
    if Path("/sys/module/openvswitch").exists():
        return True
    probe = ("modprobe", "--dry-run", "--quiet", "openvswitch")
    return bool(shutil.which("modprobe")) and subprocess.run(probe, check=False).returncode == 0


def max_idle() -> str | None:
    """The database's other_config:max-idle."""
    argv = (
        "ovs-vsctl",
        "--timeout=15",
        "--if-exists",
        "get",
        "open_vswitch",
        ".",
        "other_config:max-idle",
    )
    return run(argv).strip().strip('"') or None


def knows_datapath(datapath: str) -> bool:
    """Whether the database has a record of that datapath."""
    argv = ("ovs-vsctl", "--timeout=15", "--if-exists", "get", "open_vswitch", ".")
    return bool(run((*argv, f"datapaths:{datapath}")).strip())


def datapath_type(bridge: str) -> str:
    """Which datapath that bridge has."""
    argv = ("ovs-vsctl", "--timeout=15", "get", "bridge", bridge, "datapath_type")
    return run(argv).strip().strip('"')


def in_file(**operation: Any) -> Any:
    """Does an operation of RFC 7047 on the database's file, which no server has open."""
    argv = ("ovsdb-tool", "transact", DATABASE, json.dumps(["Open_vSwitch", operation]))
    return json.loads(run(argv))[0]


def external_id(bridge: str) -> str | None:
    """Whose unit the bridge of that name is; None if there is none, or it is not Synod's."""
    if not answers(OVSDB_SOCKET):
        return None
    argv = (
        "ovs-vsctl",
        "--timeout=15",
        "--if-exists",
        "get",
        "bridge",
        bridge,
        "external_ids:synod",
    )
    return run(argv).strip().strip('"') or None
