"""What Synod is compared with: two Linux routers, one active, by keepalived and conntrackd.

In the lab's network, on the hosts that are units otherwise: the same switches and cables, the
cluster's addresses by VRRP version 3 (which has no authentication), the same rules of the
user's. conntrackd as its package's example for FTFW has it (`sync/ftfw`), with
`primary-backup.sh` from there; keepalived calls that as `sync/keepalived.conf` shows. Neither
router takes the role back (`nopreempt`), as no unit of Synod does.

Made as well as its documentation advises: packets of connections that a router doesn't know are
dropped, not answered, by filters that let in what is established (a takeover would reset sessions
else, between the addresses' coming and the entries'), and TCP connections are not picked up from
their middle.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from topologies import making
from topologies.cluster import NETWORKS
from topologies.faulting import Faults
from topologies.lab import Lab, LabError
from topologies.recipe import DEFAULT_RULES

EXAMPLES = Path("/usr/share/doc/conntrackd/examples/sync")
USUAL, FASTEST = 1.0, 0.01  # seconds between two advertisements: keepalived's default, its least
_POLL = 0.05  # seconds

CONNTRACKD = """\
Sync {{
    Mode FTFW {{
    }}
    Multicast {{
        IPv4_address 225.0.0.50
        Group 3780
        IPv4_interface 169.254.83.{unit}
        Interface nic-ha
        SndSocketBuffer 1249280
        RcvSocketBuffer 1249280
        Checksum on
    }}
}}
General {{
    HashSize 32768
    HashLimit 131072
    LogFile /var/log/conntrackd.log
    LockFile {folder}/u{unit}.lock
    UNIX {{
        Path {folder}/u{unit}.ctl
    }}
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608
    Filter From Userspace {{
        Protocol Accept {{
            TCP
        }}
        Address Ignore {{
            IPv4_address 127.0.0.1
            IPv4_address 10.1.0.1
            IPv4_address 203.0.113.1
            IPv4_address 10.1.0.20{unit}
            IPv4_address 203.0.113.20{unit}
            IPv4_address 169.254.83.{unit}
        }}
    }}
}}
"""
KEEPALIVED = """\
global_defs {{
    router_id u{unit}
    script_user root
    vrrp_version 3
}}
vrrp_sync_group G1 {{
    group {{
        VI_int
        VI_ext
    }}
    notify_master "/etc/conntrackd/primary-backup.sh primary"
    notify_backup "/etc/conntrackd/primary-backup.sh backup"
    notify_fault "/etc/conntrackd/primary-backup.sh fault"
}}
"""
INSTANCE = """\
vrrp_instance VI_{interface} {{
    interface nic-{interface}
    state BACKUP
    nopreempt
    virtual_router_id {number}
    priority {priority}
    advert_int {interval:g}
    virtual_ipaddress {{
        {address}
    }}
}}
"""
FILTERS = """
table inet router {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "nic-int" ct state new accept
    }
    chain input {
        type filter hook input priority filter; policy drop;
        iifname { "lo", "nic-ha", "mgmt" } accept
        ip protocol { vrrp, icmp } accept
        ct state established,related accept
    }
}
"""
_SETTINGS = ("net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_tcp_loose=0")


class Routers(Lab):
    """A lab whose hosts u1 and u2 are routers, one of them active, and no units."""

    def __init__(self, interval: float) -> None:
        """`interval`: seconds between two advertisements."""
        rules = DEFAULT_RULES.replace('oifname "ext"', 'oifname "nic-ext"') + FILTERS
        super().__init__(2, rules=rules)
        self._interval = interval

    def up(
        self,
        report: Callable[[str], None] = lambda _step: None,
        tied: bool = False,
        timeout: float = 60,
    ) -> None:
        """The network, and the routers; no app, no units. LabError if it fails: nothing is left."""
        making.make_directory(self.options, self.config)
        try:
            report("network, routers")
            self._adopt(making.start_sandbox(self.options, tied))
            for number in self.units:
                self.start_unit(number)
                self.load_rules(self.options.rules, [number])
            self.wait_whole(timeout)
        except BaseException:
            self.down()
            raise

    def start_unit(self, unit: int) -> None:
        """A router boots."""
        host, root = f"u{unit}", self._etc(unit)
        folder = root / "conntrackd"
        folder.mkdir(exist_ok=True)
        (folder / "conntrackd.conf").write_text(CONNTRACKD.format(unit=unit, folder=self.directory))
        shutil.copy(EXAMPLES / "primary-backup.sh", folder)
        (folder / "primary-backup.sh").chmod(0o755)
        (root / "keepalived.conf").write_text(self._keepalived(unit))
        for lock in ("lock", "ctl"):
            (self.directory / f"u{unit}.{lock}").unlink(missing_ok=True)
        self.run(host, ["sysctl", "-q", "-w", *_SETTINGS])
        addresses = {"nic-int": f"10.1.0.20{unit}", "nic-ext": f"203.0.113.20{unit}"}
        for nic, address in {**addresses, "nic-ha": f"169.254.83.{unit}"}.items():
            self.run(host, ["ip", "address", "replace", f"{address}/24", "dev", nic])
            self.run(host, ["ip", "link", "set", nic, "up"])
        self.run(host, ["conntrackd", "-d", "-C", "/etc/conntrackd/conntrackd.conf"])
        self.run(host, [*self._keepalived_argv(unit)])

    def wait_whole(self, timeout: float = 30) -> dict[str, Any]:
        """Waits until one is active and the other has heard it."""
        deadline = time.monotonic() + timeout
        while sorted(map(self.active, self.units)) != [False, True]:
            if time.monotonic() > deadline:
                raise LabError(f"no router is active: {self.elections()}")
            time.sleep(_POLL)
        return {}

    def active(self, unit: int) -> bool:
        """Whether a router has the addresses."""
        listed = self.run(f"u{unit}", ["ip", "-json", "address", "show", "nic-ext"]).stdout
        wanted = NETWORKS[1].gateway
        return any(
            found["local"] == wanted for link in json.loads(listed) for found in link["addr_info"]
        )

    def elections(self) -> int:
        """How often a router has become active, or has ceased to be."""
        logs = (self.log_dir / f"u{unit}" / "keepalived.log" for unit in self.units)
        text = "".join(log.read_text() for log in logs if log.exists())
        return sum(text.count(f"(VI_ext) Entering {state} STATE") for state in ("MASTER", "BACKUP"))

    def _keepalived(self, unit: int) -> str:
        instances = [
            INSTANCE.format(
                interface=network.interface,
                number=60 + number,
                priority=110 - 10 * unit,
                interval=self._interval,
                address=network.cluster_address,
            )
            for number, network in enumerate(self.options.networks, 1)
        ]
        return "".join((KEEPALIVED.format(unit=unit), *instances))

    def _keepalived_argv(self, unit: int) -> list[str]:
        """Its parent, and its child that speaks VRRP, in the background; its log in /var/log."""
        own = self.directory / f"u{unit}"
        command = (
            "exec setsid keepalived --vrrp --dont-fork --log-console"
            f" --use-file /etc/keepalived.conf --pid {own}.pid --vrrp_pid {own}-vrrp.pid"
            " >>/var/log/keepalived.log 2>&1 </dev/null"
        )
        return ["sh", "-c", f"({command}) &"]

    def _etc(self, unit: int) -> Path:
        assert self._state is not None
        return Path(f"/proc/{self._state.init}/root/proc/{self._state.hosts[f'u{unit}']}/root/etc")


class Pair:
    """Two routers, and what is done to them."""

    def __init__(self, lab: Routers) -> None:
        self.lab = lab
        self._faults = Faults(lab)
        self._victim = 0

    def power_off(self, *, active: bool) -> int:
        """Takes the power of the active router, or of the other. Which it was."""
        self.lab.wait_whole()
        one, other = self.lab.units
        self._victim = one if self.lab.active(one) is active else other
        self._faults.power_off(f"u{self._victim}")
        return self._victim

    def restart(self) -> None:
        """Both are there again, and one knows what the other does."""
        self._faults.restart(f"u{self._victim}")
        self.lab.wait_whole()
