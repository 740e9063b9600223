"""`script/bench --profile [FOLDER]`: what the three hot programs spend their time on.

Flame graphs of the app, and of the primary's agent and ovs-vswitchd, under the load of
`script/bench sessions` (all served by the auxiliary), with either session table. Each is looked at
in a run of its own, since to look costs: Python programs by py-spy, which stops them at each look
(what they wait in for something to do is left out), ovs-vswitchd by perf. How much of a core each
uses is measured before, with nobody looking.

ovs-vswitchd as distributions ship it has no names of functions. One with names that stands first in
PATH is used instead: docs/performance.md says how to make it.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import flame_graph
from tests.bench.benchmark import progress
from tests.bench.cores_used import during, process_id
from tests.bench.flame_graph import Stacks
from tests.bench.machine import describe, new_file, sentences, write
from tests.bench.short_sessions import PORTS, TABLES, cluster_options, parse_wrk, run_wrk
from topologies.lab import Lab

FOLDER = Path("docs/performance")
PROGRAMS = {
    "app": ("controller", "app", "the app"),
    "agent": ("u1", "agent", "the primary's agent"),
    "vswitchd": ("u1", "vswitchd", "the primary's ovs-vswitchd"),
}
SECONDS = {"perf": 10.0, "py-spy": 20.0}  # of each look
_STEADY = 2.0  # seconds of load before it
_PY_SPY = Path(sys.executable).with_name("py-spy")
_PER_SECOND = {"py-spy": 400, "perf": 499}
# Where the Python programs are when there is nothing to do.
_WAITING = {"Hub.do_poll (eventlet/hubs/epolls.py)", "Agent.wait (agents/agent.py)"}
# What the samples are told apart by, in words; a sample may be of several.
PARTS = {
    "app": {
        "read from the switches": ["Sieve._read (*"],
        "take agents' frames in, decide, say what is to be done": ["Controller.handle (*"],
        "of these, choose a unit and remember the session": ["Controller._decide (*"],
        "make messages of it": ["Encoder.encode (*"],
        "be woken, set and hear timers": ["BaseHub.run (*"],
        "write to the switches": ["Datapath._send_loop (*", "Connection.send (*"],
    },
    "agent": {
        "ask conntrack, and wait for its answers": ["Conntrack.transact (*"],
        "hand over what is decided": ["Primary.decided (*"],
        "offer what is to be decided": ["Primary.leaving (*"],
        "hear conntrack's events": ["Events.read (*"],
        "read and write frames": ["Frames.read (*", "Frames.write (*"],
        "take in what other agents and the app say, seals and all": ["Core._control (*"],
    },
    "vswitchd": {
        "revalidate cached flows": ["revalidator"],
        "carry packets by cached flows": ["dp_netdev_process_rxq_port"],
        "work out what becomes of packets that no cached flow has": ["upcall_cb", "handler"],
        "do what the app says": ["connmgr_run"],
        "go to sleep and wake up": ["poll_block"],
        # ofproto-dpif.c: run() walks all that may expire after each round of the revalidators.
        "tell the app, and see which flows are over": ["run"],
        "free what is not used any more": ["urcu"],
        "in the kernel, of all these": ["* [k]"],
    },
}
_NAMELESS = 0.2  # of the samples: more, and a graph says nothing


def main() -> int:
    """Draws them all, and keeps what they were drawn from."""
    parser = argparse.ArgumentParser(prog="script/bench --profile", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    if lacking := [text for text, there in _needs().items() if not there]:
        print("\n".join(lacking), file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    machine = describe()
    kept: dict[str, Any] = {"machine": machine, "cores_used": {}, "folded": {}}
    print("\n".join(sentences(machine)))
    file = new_file(Path("artifacts"), "flames")
    with Lab(1) as lab:
        progress("a plain gateway: how much of a core each uses")
        kept["cores_used"]["gateway"] = used = cores_used(lab)
        _tell_cores("a plain gateway", used)
    for table in TABLES:
        with Lab(2, **cluster_options(table)) as lab:
            progress(f"{table}: how much of a core each uses")
            kept["cores_used"][table] = used = cores_used(lab)
            _tell_cores(f"all by the auxiliary, {table}", used)
            for name, (_, _, text) in PROGRAMS.items():
                progress(f"{table}: {text}")
                stacks = look(lab, name)
                kept["folded"][f"{name}-{table}"] = flame_graph.folded(stacks)
                write(kept, file)
                busy = sum(used["cores"][name].values())
                title = f"{text}, session table {table}: {busy:.0%} of a core"
                title += f" at {used['sessions_per_second']:,} sessions a second"
                drawn = folder / f"flame-{name}-{table}.svg"
                drawn.write_text(flame_graph.svg(stacks, title[0].upper() + title[1:]))
                _tell(drawn, name, stacks)
    print(f"folded stacks of all: {file}")
    return 0


def cores_used(lab: Lab) -> dict[str, Any]:
    """How much of a core each program and each host uses under the load, with nobody looking; and
    what that load is.
    """
    pids = {name: process_id(lab, host, program) for name, (host, program, _) in PROGRAMS.items()}
    with load(lab, SECONDS["perf"]) as running:
        used = during(lab, pids, SECONDS["perf"])
    requests, took, failed = parse_wrk(running.result())
    assert not failed, f"{failed} sessions failed"
    return {"sessions_per_second": round(requests / took), "cores": used}


def look(lab: Lab, name: str) -> Stacks:
    """Samples of a program under the load."""
    host, program, _ = PROGRAMS[name]
    pid = process_id(lab, host, program)
    file = lab.directory / f"{name}.sampled"
    return _by_perf(lab, pid, file) if name == "vswitchd" else _by_py_spy(lab, pid, file)


def _by_perf(lab: Lab, pid: int, file: Path) -> Stacks:
    seconds = SECONDS["perf"]
    with load(lab, seconds):
        _run(
            *("perf", "record", "--quiet", "-F", str(_PER_SECOND["perf"]), "-o", str(file)),
            *("--call-graph", "dwarf,16384", "-p", str(pid), "--", "sleep", f"{seconds:g}"),
        )
    fields = ("-F", "comm,ip,sym,dso", "--no-inline")
    return flame_graph.of_perf(_run("perf", "script", "-i", str(file), *fields))


def _by_py_spy(lab: Lab, pid: int, file: Path) -> Stacks:
    seconds = SECONDS["py-spy"]
    with load(lab, seconds):
        _run(
            *(str(_PY_SPY), "record", "--nolineno", "--format", "raw", "--output", str(file)),
            *("--rate", str(_PER_SECOND["py-spy"]), "--duration", f"{seconds:.0f}"),
            *("--pid", str(pid)),
        )
    stacks = flame_graph.of_py_spy(file.read_text())
    busy = {stack: count for stack, count in stacks.items() if stack[-1] not in _WAITING}
    return flame_graph.without_common_root(Stacks(busy))


@contextmanager
def load(lab: Lab, seconds: float) -> Iterator[Future[str]]:
    """Under as many short sessions as get through, once that is steady; not a second too short."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_wrk, lab, round(seconds + 2 * _STEADY), PORTS[0])
        time.sleep(_STEADY)
        yield running
        if running.done():
            raise AssertionError(f"the load ended before the look did: {running.result()}")


def _tell_cores(who: str, used: dict[str, Any]) -> None:
    rate = used["sessions_per_second"]
    print(f"{who}: {rate:,} sessions a second; cores, in the kernel of that, us a session")
    for name, cores in used["cores"].items():
        all_ = sum(cores.values())
        if all_ >= 0.01:
            print(f"  {all_:5.2f} {cores['kernel']:5.2f} {all_ / rate * 1e6:6.0f}  {name}")


def _tell(drawn: Path, name: str, stacks: Stacks) -> None:
    print(f"{drawn}: {stacks.total():,} samples, of which")
    for text, frames in PARTS[name].items():
        print(f"  {flame_graph.share(stacks, frames):4.0%}  {text}")
    if flame_graph.share(stacks, ["in ovs-vswitchd"]) > _NAMELESS:
        print(
            "  this ovs-vswitchd has no names of functions: put one that has first in PATH"
            " (docs/performance.md, Where the time goes)"
        )


def _needs() -> dict[str, bool]:
    return {
        "perf is not here: 'apt-get install linux-perf' (Ubuntu: linux-tools-generic)": (
            shutil.which("perf") is not None
        ),
        "py-spy is not here: run 'script/bench --profile', which installs it": _PY_SPY.exists(),
    }


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
