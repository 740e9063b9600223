"""systemd's service files: a unit, and the host that runs the app.

Text, computed from where this program and the cluster's file are. They are written, enabled and
taken away by `agents.installing`, never here.

A unit's service is the bring-up and the supervisor in one process, which stays in the foreground:
systemd is then what starts the supervisor again (`agents.deputy`'s part where there is no systemd).
If that process dies, the bridge stays and forwards; only an orderly stop is a `synod unit down`.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agents import config_tls
from agents.config import Cluster
from agents.priority import NICENESS

UNIT, APP = "synod-unit.service", "synod-app.service"
DIRECTORY = Path("/etc/systemd/system")
TOKEN = Path("/etc/synod/token")
DEFAULT_PORT = "6653"  # OpenFlow's, where the cluster's file names none (ovs-vsctl(8))
USER, USERS = "synod", Path("/etc/sysusers.d/synod.conf")  # the app's, and what makes it

# What the bring-up does needs these. (The agent itself is left with the first two.)
CAPABILITIES = {
    "NET_ADMIN": "links, rules, offloads, kernel settings, conntrack",
    "NET_RAW": "packet sockets",
    "SYS_NICE": "what forwards comes first for a core",
    "SYS_PTRACE": "the switch's own sockets get longer queues (pidfd_getfd(2))",
    "SETPCAP": "each program is left with less than this",
}

# Of either service. Not MemoryDenyWriteExecute: ctypes makes code at its import.
_HARDENED = """\
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

_UNIT = """\
{mark}
[Unit]
Description=Synod: unit {unit} of cluster {cluster}
Wants=openvswitch-switch.service
# The user's rules come first: nftables.service begins with a flush of all rules.
After=openvswitch-switch.service nftables.service systemd-sysctl.service
# Else the switch would be started by, and end with, this service.
AssertPathExists=/run/openvswitch/db.sock
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={python} -u -m agents.cli unit up --foreground --id {unit} --config {config}{datapath}
# Not run if the process died: then the bridge goes on, and the next process with it.
ExecStop={python} -m agents.cli unit down
Restart=on-failure
RestartSec=500ms
# Used or configured wrongly: trying again doesn't help.
RestartPreventExitStatus=2
TimeoutStartSec=120
# The switch has the same: who says that it lives must not be killed before it.
OOMScoreAdjust=-900
OOMPolicy=continue
SyslogIdentifier=synod-unit
RuntimeDirectory=synod
RuntimeDirectoryPreserve=yes
LogsDirectory=synod

CapabilityBoundingSet={capabilities}
# /etc: the names of conntrack labels. Kernel settings (net/…) are this service's to set.
ProtectSystem=strict
ReadWritePaths=/etc
RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK AF_PACKET
SystemCallFilter=@system-service pidfd_getfd
{hardened}
[Install]
WantedBy=multi-user.target
"""

_APP = """\
{mark}
[Unit]
Description=Synod: the controller app of cluster {cluster}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
# The token of those who may give orders, if root has made one, and the keys of OpenFlow, if it is
# over TLS: the app must read them.
ExecStartPre=+-/bin/chown --recursive {user}: {token} {keys}
ExecStart={ryu_manager} {listen} --wsapi-host 127.0.0.1 --wsapi-port 8080 ryu_apps.load_balancer
# Each session (setsid(2)) gets a core by its own niceness, too; there may be none such.
ExecStartPost=+-/bin/sh -c 'echo {niceness} >/proc/$MAINPID/autogroup'
Nice={niceness}
SyslogIdentifier=synod-app
Environment=SYNOD_CONFIG={config} PYTHONUNBUFFERED=1
Restart=always
RestartSec=500ms
RestartPreventExitStatus=2
OOMScoreAdjust=-900

User={user}
CapabilityBoundingSet=
ProtectSystem=strict
UMask=0077
RemoveIPC=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
{hardened}
[Install]
WantedBy=multi-user.target
"""

# The first line of a file of ours: no other is written over, or removed.
MARK = "# Written by 'synod {what} install': 'synod {what} uninstall' takes it away."

USER_TEXT = f"""{MARK.format(what="app")}
u {USER} - "Synod controller app"
"""

_HIDDEN = ("/home", "/root", "/run/user")  # from a service with ProtectHome=


@dataclass(frozen=True, slots=True)
class Place:
    """Where the programs are: `python` runs this one; `prefixes` is all that it needs."""

    python: str
    prefixes: tuple[str, ...]

    @classmethod
    def here(cls) -> "Place":
        """That of this process."""
        source = str(Path(__file__).resolve().parents[1])
        return cls(sys.executable, (sys.prefix, sys.base_prefix, source))

    def hidden(self) -> list[str]:
        """What of it a service would not see."""
        return [prefix for prefix in self.prefixes if _is_under(prefix, _HIDDEN)]


def unit_file(
    cluster: Cluster, unit: int, config: str, place: Place, datapath: str | None = None
) -> str:
    """The service of a unit; `datapath`: Open vSwitch's, if it isn't to be found out at each
    start.
    """
    return _UNIT.format(
        mark=MARK.format(what="unit"),
        unit=unit,
        cluster=cluster.name,
        python=_quoted(place.python),
        config=_quoted(config),
        datapath=f" --datapath {datapath}" if datapath else "",
        capabilities=" ".join(f"CAP_{name}" for name in CAPABILITIES),
        hardened=_HARDENED,
    )


def app_file(cluster: Cluster, config: str, place: Place) -> str:
    """The service of the app."""
    return _APP.format(
        mark=MARK.format(what="app"),
        cluster=cluster.name,
        ryu_manager=_quoted(str(Path(place.python).parent / "ryu-manager")),
        listen=_listen(cluster),
        niceness=NICENESS,
        config=_quoted(config),
        token=TOKEN,
        keys=config_tls.APP_PATH,
        user=USER,
        hardened=_HARDENED,
    )


def _listen(cluster: Cluster) -> str:
    """Where Ryu listens for the units' bridges."""
    address, port = (*cluster.controller.split(":"), DEFAULT_PORT)[1:3]
    return " ".join(["--ofp-listen-host", address, *_listening(port, cluster.tls)])


def _listening(port: str, over_tls: bool) -> list[str]:
    if not over_tls:
        return ["--ofp-tcp-listen-port", port]
    return over_tls_at(port, config_tls.APP_PATH)


def over_tls_at(port: str, folder: str) -> list[str]:
    """The arguments of `ryu-manager` by which it listens with the keys in that folder."""
    keys = config_tls.of(folder)
    files = ("--ctl-privkey", keys.key, "--ctl-cert", keys.certificate, "--ca-certs", keys.ca)
    return ["--ofp-ssl-listen-port", port, *files]


def _quoted(text: str) -> str:
    """A word of a command line or an assignment, as systemd.syntax(7) reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(text) & set(" \t\"'\\;") else escaped


def _is_under(path: str, directories: Iterable[str]) -> bool:
    return any(Path(path).is_relative_to(each) for each in directories)
