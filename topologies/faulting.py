"""Breaks a lab, and mends it, from outside: what `topologies.faults` has as text is done here.

    faults = Faults(lab)
    faults.power_off("u2")
    faults.cut("u1", "ha", way="in")
    damage.broken()   # what is broken now, as the world shows it
    faults.restart("u2")
    faults.heal()

Nothing is remembered: what is broken is asked of links, rules, processes and files. A verb that is
done twice does nothing the second time.
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topologies import damage, faults, registry
from topologies.damage import Broken, Seen
from topologies.faults import CONTROLLER, SWITCHES, Act, Cable, Program
from topologies.hosts import LabError
from topologies.lab import Lab
from topologies.processes import Process, on_host

_POLL = 0.02  # seconds
_PATIENCE = 10.0  # seconds that the kernel may take to end, stop or continue a process
_COMING = 2.0  # seconds that a program may be missing which is started again by itself
_ORDERLY = 2.0  # seconds that vswitchd has to end by itself
_JOURNAL = "run/synod/unit.json"


class Faults:
    """The faults of a running lab."""

    def __init__(self, lab: Lab) -> None:
        """LabError if it doesn't run."""
        state = registry.read(lab.directory)
        if state is None:
            raise LabError(f"there is no lab {lab.options.name!r}")
        self._lab, self._options, self._state = lab, lab.options, state

    # -- hosts

    def kill(self, host: str) -> None:
        """SIGKILL of all that runs on a unit; of the app."""
        if faults.host_named(self._options, host) == CONTROLLER:
            self._app_note.unlink(missing_ok=True)  # else the lab would miss it
            self.crash(CONTROLLER, "app")
        else:
            self._kill_all(host)

    def power_off(self, unit: str) -> None:
        """A unit without power: off the wires first, then dead, then without memory."""
        faults.unit_named(self._options, unit)
        self._do(faults.cut_off(self._options, unit))
        self._kill_all(unit)
        self._forget(unit)

    def restart(self, host: str) -> bool:
        """Brings a unit or the app back; returns when that has come up. False, and nothing is done,
        if it is whole.
        """
        faults.host_named(self._options, host)
        seen = self.look()
        names = {program.name for program in faults.programs(host)}
        if set(seen.programs[host]) == names and "T" not in seen.programs[host].values():
            return False
        self.kill(host)
        if host == CONTROLLER:
            self._lab.start_app()
            self._lab.wait(lambda _status: True)
        else:
            self._boot(host, seen)
        return True

    def _boot(self, unit: str, seen: Seen) -> None:
        self._forget(unit)
        for cable in faults.cables_of(self._options, unit):
            self._mend(cable, seen.cuts.get((unit, cable.name), ()))
        for act in faults.boot(self._options, unit):
            self._do(act)
        number = faults.unit_named(self._options, unit)
        self._lab.start_unit(number)
        self._lab.load_rules(self._options.rules, [number])

    def _forget(self, unit: str) -> None:
        journal = self._root(unit) / _JOURNAL
        for act in faults.forget(
            self._options, unit, journal.read_text() if journal.exists() else ""
        ):
            self._do(act, check=False)

    # -- programs

    def stop(self, host: str, program: str = "") -> None:
        """SIGSTOP of a program. LabError if it doesn't run."""
        wanted = faults.program_named(self._options, host, program)
        with self._running(host, wanted) as found:
            if not found:
                raise LabError(f"{host} runs no {wanted.name}: 'synod-lab fault list' says why")
            self._signal(found, signal.SIGSTOP, lambda process: process.state in "TZX")

    def continue_(self, host: str, program: str = "") -> None:
        """SIGCONT of a program; nothing if it doesn't run."""
        with self._running(host, faults.program_named(self._options, host, program)) as found:
            self._signal(found, signal.SIGCONT, lambda process: process.state != "T")

    def crash(self, host: str, program: str = "") -> None:
        """SIGKILL of a program; nothing if it doesn't run."""
        with self._running(host, faults.program_named(self._options, host, program)) as found:
            self._signal(found, signal.SIGKILL, lambda process: process.ended)

    def restart_switch(self, unit: str, anew: bool = False) -> None:
        """Ends a unit's vswitchd in order, by force if it doesn't, and starts it again; its
        database's server too if that doesn't run. `anew`: it takes its ports away when it ends, and
        makes others. LabError if the unit is dead.
        """
        number = faults.unit_named(self._options, unit)
        seen = self.look()
        if unit in seen.dark or not seen.programs[unit]:
            raise LabError(f"{unit} is dead: 'synod-lab fault restart {unit}' brings it back")
        with self._running(unit, faults.program_named(self._options, unit, "vswitchd")) as found:
            end = ["ovs-appctl", "-T", f"{_ORDERLY:g}", "-t", "ovs-vswitchd", "exit"]
            end += ["--cleanup"] if anew else []
            if found and self._do(Act(unit, tuple(end)), check=False).returncode == 0:
                _until(lambda: all(process.ended for process in found), _ORDERLY)
            self._signal(found, signal.SIGKILL, lambda process: process.ended)
        for program, argv in faults.switch_argv(self._options, number):
            with self._running(unit, program) as found:
                if not found:
                    self._do(Act(unit, argv))

    # -- cables

    def cut(self, host: str, cable: str, way: str = "both", nic: bool = False) -> None:
        """Cuts a cable: pulls it, or loses what goes `in` to the host or `out` of it, or sets the
        host's NIC down.
        """
        self._do(faults.cut(faults.cable_named(self._options, host, cable), way, nic))

    def heal(self, host: str = "", cable: str = "") -> list[Broken]:
        """Plugs in what was cut and continues what was stopped: everything, a host's, or one cable.
        Returns what stays broken of that, for it is dead.
        """
        if cable:
            faults.cable_named(self._options, host, cable)
        elif host:
            faults.host_named(self._options, host)
        stays = []
        for each in self.broken():
            if (host and each.host != host) or (cable and each.part not in ("", cable)):
                continue
            if each.kind in damage.STAYS:
                stays.append(each)
            elif each.kind == "stopped":
                self.continue_(each.host, each.part)
            else:
                found = faults.cable_named(self._options, each.host, each.part)
                self._mend(found, [each.kind])
        return stays

    def _mend(self, cable: Cable, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self._do(faults.CUTS[kind].mend(cable))

    # -- looking

    def broken(self) -> list[Broken]:
        """What is broken now."""
        return damage.broken(self._options, self.look())

    def look(self) -> Seen:
        """What there is to see of faults. A program that is just being started again is none."""
        ports = self._links(SWITCHES)
        listed = self._json(SWITCHES, "nft", "--json", "list", "tables")["nftables"]
        tables = {each["table"]["name"] for each in listed if "table" in each}
        cuts, dark = {}, set()
        for host in faults.hosts(self._options):
            nics = self._links(host)
            for cable in faults.cables_of(self._options, host):
                nic = nics[cable.nic]
                signs = {
                    "both": "UP" not in ports[cable.port]["flags"],
                    "in": faults.lost_table(cable, "in") in tables,
                    "out": faults.lost_table(cable, "out") in tables,
                    "nic": "UP" not in nic["flags"],
                }
                cuts[host, cable.name] = tuple(kind for kind, sign in signs.items() if sign)
                if host != CONTROLLER and cable.address and not nic["addr_info"]:
                    dark.add(host)
        return Seen(
            programs={host: self._settled(host) for host in faults.hosts(self._options)},
            cuts=cuts,
            dark=frozenset(dark),
            units=frozenset(
                host
                for host in faults.hosts(self._options)
                if (self._root(host) / _JOURNAL).exists()
            ),
        )

    def _settled(self, host: str) -> dict[str, str]:
        """`_states`, once nothing is being started."""
        deadline = time.monotonic() + _COMING
        while faults.coming(host, found := self._states(host)) and time.monotonic() < deadline:
            time.sleep(_POLL)
        return found

    def _states(self, host: str) -> dict[str, str]:
        """The programs that run on a host, and their states."""
        with on_host(self._state.init, self._state.hosts[host]) as found:
            return {
                program.name: process.state
                for program in faults.programs(host)
                for process in found
                if program.line.match(process.line) and not process.ended
            }

    def _links(self, host: str) -> dict[str, Any]:
        return {link["ifname"]: link for link in self._json(host, "ip", "-json", "address", "show")}

    def _json(self, host: str, *argv: str) -> Any:
        return json.loads(self._do(Act(host, argv)).stdout)

    # -- how

    @contextmanager
    def _running(self, host: str, program: Program) -> Iterator[list[Process]]:
        """The processes of a program of a host."""
        with on_host(self._state.init, self._state.hosts[host]) as found:
            yield [process for process in found if program.line.match(process.line)]

    def _kill_all(self, host: str) -> None:
        """Until none is left: one may have started another meanwhile."""
        while True:
            with on_host(self._state.init, self._state.hosts[host]) as found:
                if not found:
                    return
                self._signal(found, signal.SIGKILL, lambda process: process.ended)

    def _signal(
        self, found: list[Process], number: signal.Signals, done: Callable[[Process], bool]
    ) -> None:
        """Signals them all at once, and waits until it is done."""
        for process in found:
            process.signal(number)
        if not _until(lambda: all(done(process) for process in found), _PATIENCE):
            left = ", ".join(process.line for process in found if not done(process))
            raise LabError(f"{number.name} had no effect within {_PATIENCE:g} s: {left}")

    def _do(self, act: Act, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = self._lab.switch_argv(act.argv)
        if act.host != SWITCHES:
            argv = self._lab.argv(act.host, act.argv)
        done = subprocess.run(
            argv,
            input=act.stdin,
            env=self._lab.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"'{' '.join(act.argv)}' failed with {done.returncode}: {said}")
        return done

    def _root(self, host: str) -> Path:
        """A host's files, as seen from here."""
        shell = self._state.hosts[host]
        return Path(f"/proc/{self._state.init}/root/proc/{shell}/root")

    @property
    def _app_note(self) -> Path:
        """The file by which the lab knows that the app should run."""
        return self._lab.directory / "app.pid"


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Polls; whether the condition came to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
