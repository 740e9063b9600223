"""A host of a lab whose processes together get a part of one core: a control group's CPU quota.

Works with either version of control groups, wherever the machine has them mounted. What is capped
is the time of the host's processes. In the lab that is more than it seems: where Open vSwitch's
datapath is its userspace one, a frame comes into the unit's kernel by a write of `ovs-vswitchd` to
a tap device, and all that the kernel does with it (connection tracking, rules, routing, up to the
queue of the next tap) it does within that system call. So it counts as the switch's time, and the
quota holds for it, too. What a unit's packets cost behind its cable is not its own: the lab's
switch and the next unit's packet socket run in whoever sends.
"""

import contextlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from topologies.lab import Lab

PERIOD = 10_000  # us: at the usual 100 ms a unit would stand still for 80 of them
_ONE = Path("/sys/fs/cgroup/cpu")
_TWO = Path("/sys/fs/cgroup")


class Cap:
    """The processes of a host, and those that they start, as long as the block lasts."""

    def __init__(self, lab: Lab, host: str, share: float) -> None:
        """`share` of one core."""
        self._lab, self._host, self._share = lab, host, share
        self._unified = (_TWO / "cgroup.controllers").exists()
        root = _TWO if self._unified else _ONE
        self._group = root / f"{lab.options.name}-{host}"

    def __enter__(self) -> Self:
        """OSError if this machine gives no CPU quotas."""
        quota = round(self._share * PERIOD)
        if self._unified:
            (_TWO / "cgroup.subtree_control").write_text("+cpu")
        self._group.mkdir()
        if self._unified:
            (self._group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (self._group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self._group / "cpu.cfs_quota_us").write_text(str(quota))
        try:
            for pid in self._processes():
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    (self._group / "cgroup.procs").write_text(str(pid))
        except OSError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Who is still there has no quota any more."""
        members = self._group / "cgroup.procs"
        while pids := members.read_text().split():
            for pid in pids:
                try:
                    (self._group.parent / "cgroup.procs").write_text(pid)
                except ProcessLookupError:
                    time.sleep(0.01)  # it ends
        self._group.rmdir()

    def used(self) -> float:
        """Seconds that its processes have spent on a CPU."""
        total = 0
        for pid in (self._group / "cgroup.procs").read_text().split():
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(task.read_text().split()[0])
        return total / 1e9

    def _processes(self) -> list[int]:
        """Those in the host's network namespace."""
        said = self._lab.run(self._host, ["readlink", "/proc/self/ns/net"]).stdout.strip()
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(each / "ns/net") == said:
                    found.append(int(each.name))
            except OSError:
                continue  # it has ended
        return found
