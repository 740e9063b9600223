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
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.cores_used import processes
from topologies.lab import Lab

PERIOD = 10_000  # us: at the usual 100 ms a unit would stand still for 80 of them
_ONE = Path("/sys/fs/cgroup/cpu")
_TWO = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def capped(lab: Lab, host: str, share: float) -> Iterator[Path]:
    """The host's processes, and those that they start, have that share of one core as long as the
    block lasts; who is still there then has no quota any more. Their control group. OSError if this
    machine gives no CPU quotas.
    """
    unified = (_TWO / "cgroup.controllers").exists()
    root = _TWO if unified else _ONE
    group = root / f"{lab.options.name}-{host}"
    if unified:
        (root / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir()
    try:
        quota = round(share * PERIOD)
        if unified:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        for pid, where in processes(lab).items():
            if where == host:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        while members := _members(group):
            for member in members:
                try:
                    (root / "cgroup.procs").write_text(member)
                except ProcessLookupError:
                    time.sleep(0.01)  # it ends
        group.rmdir()


def cpu_seconds(group: Path) -> float:
    """Seconds that its processes have spent on a CPU."""
    total = 0
    for pid in _members(group):
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1e9


def _members(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()
