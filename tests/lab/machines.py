"""Machines as a reader of docs/install.md has them: each boots systemd, with files of its own.

A machine is a sandbox of namespaces (network, mounts, processes, host name, control groups) whose
first process is systemd. It shares this machine's programs, and has an /etc, /var, /run, /tmp, /dev
and /usr/local of its own that begin as this machine's, less all services and all that has to do
with Synod. It goes with the process that made it, and leaves nothing.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SYSTEMD = Path("/lib/systemd/systemd")

# Run as the sandbox's first process, which becomes systemd. $1: a directory of the machine's own.
_BOOT = r"""
set -e
own=$1 name=$2
mount -t tmpfs tmpfs "$own/files"
for each in etc var usr/local; do
    top=$own/files/$each
    mkdir -p "$top" "$top.work"
    mount -t overlay overlay -o "lowerdir=/$each,upperdir=$top,workdir=$top.work" "/$each"
done
mkdir "$own/files/dev"
dev=$own/files/dev
for each in null zero full random urandom tty; do cp -a "/dev/$each" "$dev/"; done
mkdir "$dev/pts" "$dev/shm" "$dev/net"
mknod "$dev/net/tun" c 10 200
ln -s /proc/self/fd "$dev/fd"
ln -s null "$dev/console"
mkdir -p /opt
mount --bind "$3" /opt
mount --rbind "$dev" /dev
mount -t devpts -o newinstance,ptmxmode=666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
mount -t tmpfs tmpfs /dev/shm
mount -t proc proc /proc
# Nobody but this machine's network may be changed by what runs here.
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for each in run tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "/$each"; done
chmod 755 /run
ip link set lo up
for which in all default; do echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6; done
hostname "$name"
echo "$name" >/etc/hostname
mountpoint -q /etc
mountpoint -q /usr/local
# No service but what the reader has been told to start.
find /etc/rc?.d -name 'S*' ! -name '*openvswitch-switch' ! -name '*conntrackd' -delete
rm -rf /etc/systemd/system/* /etc/synod /etc/openvswitch/conf.db /etc/connlabel.conf
rm -rf /etc/xtables /usr/local/bin/synod /usr/local/bin/synod-lab /var/log/synod
: >/etc/fstab
: >/etc/machine-id
for each in console-getty getty@ systemd-logind systemd-update-utmp systemd-binfmt; do
    ln -s /dev/null "/etc/systemd/system/$each.service"
done
exec env -i container=synod PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    "$4" --system --unit=multi-user.target --log-target=journal
"""

# What starts the sandbox: in a control group of its own, so that systemd orders none but its own.
_START = r"""
set -e
mount --make-rprivate /
mkdir -p "$1/cgroup" "$1/files"
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$1/cgroup/$5"
echo $$ >"$1/cgroup/$5/cgroup.procs"
exec unshare --net --pid --cgroup --uts --ipc --mount --fork --kill-child \
    sh -c "$6" sh "$1" "$2" "$3" "$4"
"""


class Machine:
    """A machine that has booted, or is about to."""

    def __init__(self, name: str, own: Path, software: Path) -> None:
        """`own`: an empty directory; `software`: what is /opt there, shared by all machines."""
        self.name = name
        self._group = f"synod-{os.getpid()}-{name}"
        self._own = own
        with (own / "boot.log").open("w") as log:
            self._outer = subprocess.Popen(
                self._argv(software), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = 0  # of its first process, once that is there
        self._environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **{key: value for key, value in os.environ.items() if _of_downloads(key)},
        }

    def _argv(self, software: Path) -> list[str]:
        start = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", _START, "sh"]
        names = [str(self._own), self.name, str(software), str(SYSTEMD), self._group]
        return [*start, *names, _BOOT]

    def booted(self, seconds: float = 30) -> None:
        """Waits until systemd has started what it is to start. AssertionError if it doesn't."""
        deadline = time.monotonic() + seconds
        while True:
            assert self._outer.poll() is None, f"{self.name} ended: {self._said()}"
            assert time.monotonic() < deadline, f"{self.name} doesn't boot: {self._said()}"
            if self.pid == 0:
                self.pid = _child_of(self._outer.pid, SYSTEMD.name)
            elif self.run("systemctl is-system-running", check=False)[0] in ("running", "degraded"):
                return
            time.sleep(0.1)

    def run(
        self, command: str, *, check: bool = True, online: bool = False, seconds: float = 120
    ) -> list[str]:
        """The lines that a shell's command prints. AssertionError if it fails, if that is checked.

        `online`: with this machine's own network, for a machine has none that leads anywhere.
        """
        net = () if online else ("--net",)
        argv = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--uts", "--ipc", *net]
        done = subprocess.run(
            [*argv, "--cgroup", "--wd=/root", "bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
            env=self._environment,
        )
        assert not check or done.returncode == 0, (
            f"{self.name}: {command}\nfailed with {done.returncode}:\n{done.stdout}"
        )
        return done.stdout.splitlines() or [""]

    def close(self) -> None:
        """Powers it off, hard."""
        self._outer.kill()
        self._outer.wait()
        with contextlib.suppress(OSError), _control_groups(self._own) as groups:
            _remove_groups(groups / self._group)

    def _said(self) -> str:
        return (self._own / "boot.log").read_text() + (
            "\n".join(self.run("systemctl list-jobs; journalctl -n 30 --no-pager", check=False))
            if self.pid
            else ""
        )


def _child_of(pid: int, program: str) -> int:
    """A process's child that runs a program; 0 if there is none yet."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{child}/comm").read_text().strip() == program:
                return int(child)
    return 0


def _of_downloads(key: str) -> bool:
    """Whether a variable of the environment says how this machine downloads."""
    return key.startswith("PIP_") or key.lower().endswith(("_proxy", "_cert", "_bundle"))


@contextlib.contextmanager
def _control_groups(own: Path) -> Iterator[Path]:
    """The whole tree of control groups, mounted somewhere for a moment."""
    place = own / "cgroup"
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _remove_groups(top: Path, seconds: float = 5) -> None:
    """Removes control groups whose processes are about to be gone."""
    deadline = time.monotonic() + seconds
    while top.exists():
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


@contextlib.contextmanager
def machines(names: Sequence[str], folder: Path) -> Iterator[dict[str, Machine]]:
    """Machines of these names that have booted; `folder`: an empty directory for their files."""
    for program in ("unshare", "nsenter", "setpriv", "systemctl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if not SYSTEMD.exists():
        pytest.skip(f"needs {SYSTEMD}")
    software = folder / "opt"
    software.mkdir()
    made: dict[str, Machine] = {}
    try:
        for name in names:
            own = folder / name
            own.mkdir()
            made[name] = Machine(name, own, software)
        for machine in made.values():
            machine.booted()
        yield made
    finally:
        for machine in made.values():
            machine.close()
