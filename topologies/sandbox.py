"""The first process of a lab: builds the network inside the sandbox, then holds it until it is
killed.

    unshare --net --mount --pid --fork --kill-child -- \
        python -m topologies.sandbox DIRECTORY UNITS INTERFACES

It is process 1 of its own process ids: when it dies, the kernel kills every process of the lab, and
with them go the network namespaces, the interfaces and the mounts. So there is nothing to clean up,
and nothing does. The host's /run is covered by an empty one; only the lab's own directory shows
through. When the network stands, one JSON line goes to standard output; what then runs on the hosts
is started from outside (`topologies.lab`).
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from mininet.log import setLogLevel
from mininet.net import Mininet

from agents.config_tls import UNIT_PATH
from agents.pki import unit_folder
from agents.running import start_time
from topologies.cluster import LearningSwitch, SynodTopo
from topologies.recipe import KEYS

_MS_BIND = 0x1000  # <linux/mount.h>


def main(directory: Path, units: int, interfaces: int) -> None:
    """Returns never, except by being told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # /proc is still the one of outside, and so are the numbers in it.
    init = int(os.readlink("/proc/self"))
    started = start_time(init)
    _mount_own(directory)
    _run("ip", "link", "set", "lo", "up")
    _quiet_bridges()
    network = build(directory, units, interfaces)
    ready = {
        "init": init,
        "started": started,
        "hosts": {host.name: host.pid for host in network.hosts},
    }
    print(json.dumps(ready), flush=True)
    os.close(sys.stdout.fileno())
    while True:
        _reap()


def build(directory: Path, units: int, interfaces: int) -> Any:
    """The network, with each unit's own /etc, its keys in it, and /var/log."""
    setLogLevel("warning")
    Mininet.inited = (
        True  # else it would raise limits of the whole machine: Mininet.init(), fixLimits()
    )
    log = directory / "log"
    for number in range(1, units + 1):
        (log / f"u{number}").mkdir(parents=True, exist_ok=True)
    topology = SynodTopo(units, interfaces, str(log))
    network = Mininet(topo=topology, switch=LearningSwitch, controller=None, build=True)
    for number in range(1, units + 1):
        own = f"/run/etc-u{number}"
        network.get(f"u{number}").cmd(f"cp -a /etc {own} && mount --bind {own} /etc")
        keys = Path(own) / Path(UNIT_PATH).relative_to("/etc")
        shutil.copytree(directory / KEYS / unit_folder(number), keys, dirs_exist_ok=True)
    network.start()
    return network


def _mount_own(directory: Path) -> None:
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    outside = os.open(directory, os.O_PATH)
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    directory.mkdir(parents=True)
    # mount(8) would make a path of it that is covered now; the kernel follows the link itself.
    source = f"/proc/self/fd/{outside}".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, str(directory).encode(), None, _MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))
    os.close(outside)


def _quiet_bridges() -> None:
    """The lab's switches are switches: what crosses them is no business of this namespace's
    netfilter.
    """
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if setting.exists():
        setting.write_text("0")


def _reap() -> None:
    """Waits for the end of any process: the orphans of the lab are this one's to collect."""
    try:
        os.wait()
    except ChildProcessError:
        signal.pause()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
