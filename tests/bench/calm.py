"""False alarms: is anybody taken for dead when all cores are busy?

A cluster, and two routers at keepalived's fastest, both up and carrying a little; beside them as
many processes that do nothing but count as there are cores. Nothing is broken. What counts is how
often the app says that a unit is dead or another is primary, and how often a router's role changes.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

from tests.bench.routers import FASTEST, Routers
from topologies.app_log import AppLog, until_deaths_count
from topologies.lab import Lab
from topologies.paced import Paced

ALARMS = ("unit_dead", "primary_promoted")
_TRANSFERS, _CALLS = 6, 1  # at a time; a second
_BUSY = "while True: pass"


def measure(minutes: float) -> dict[str, Any]:
    """So many minutes of it."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(3))
        routers = stack.enter_context(Routers(FASTEST))
        loads = [stack.enter_context(Paced(each)) for each in (lab, routers)]
        until_deaths_count(lab.log_dir / "app.log")
        for load in loads:
            load.open(_TRANSFERS)
            load.call(_CALLS)
        log, elections = AppLog(lab.log_dir / "app.log"), routers.elections()
        used = _keep_busy(lab, minutes * 60)
        noted = Counter(event.name for event in log.events())
        outcomes = [load.finish() for load in loads]
        return {
            "minutes": minutes,
            "cores_used": round(used, 2),
            "cores": os.cpu_count(),
            "synod": {name: noted[name] for name in (*ALARMS, "unit_down", "unit_silent")},
            "synod_lost": sum(each.lost for each in outcomes[0].transfers),
            "keepalived_role_changes": routers.elections() - elections,
            "keepalived_lost": sum(each.lost for each in outcomes[1].transfers),
        }


def _keep_busy(lab: Lab, seconds: float) -> float:
    """All cores, for so long: the passing of time is what is measured. How many were busy."""
    before, began = _idle(), time.monotonic()
    running = [
        lab.popen("controller", [sys.executable, "-c", _BUSY], stdin=subprocess.DEVNULL)
        for _ in range(os.cpu_count() or 1)
    ]
    time.sleep(seconds)
    idle = (_idle() - before) / (time.monotonic() - began)
    for process in running:
        process.kill()
        process.wait()
    return (os.cpu_count() or 1) - idle


def _idle() -> float:
    """Seconds that all cores together have been idle since the machine's start (proc(5))."""
    with open("/proc/uptime") as file:
        return float(file.read().split()[1])
