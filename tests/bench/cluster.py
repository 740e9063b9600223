"""A cluster of three units, and what `script/bench failover` does to it. Only strikes and mends."""

from topologies.faulting import Faults
from topologies.lab import Lab


class Cluster:
    """A lab of Synod's; any unit may be primary by now."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._faults = Faults(lab)
        self._struck = 0

    @property
    def primary(self) -> int:
        """The unit that is primary."""
        return int(self.lab.status()["primary"])

    def kill(self, *, primary: bool) -> int:
        """SIGKILL of all that runs on a unit, which is returned. Its kernel lives on."""
        unit = self._choose(primary)
        self._faults.kill(f"u{unit}")
        return unit

    def power_off(self, *, primary: bool) -> int:
        """Takes a unit's power: its cables first, so that nobody is told. The unit."""
        unit = self._choose(primary)
        self._faults.power_off(f"u{unit}")
        return unit

    def restart(self) -> None:
        """Brings back what was struck; the cluster is whole."""
        self._faults.restart(f"u{self._struck}")
        self.settle()

    def drain(self) -> int:
        """An auxiliary's sessions move, now. The unit."""
        unit = self._choose(primary=False)
        self._ask("drain", str(unit), "--deadline", "0s")
        return unit

    def undrain(self) -> None:
        """It gets sessions again."""
        self._ask("undrain", str(self._struck))
        self.settle()

    def settle(self) -> None:
        """The cluster is whole and balances, and every unit holds the sessions of all."""
        self.lab.wait_whole()
        self.lab.wait(self.lab.held, timeout=60)

    def promote(self) -> int:
        """Another unit becomes primary in order, and returns when it is. The unit."""
        unit = self._choose(primary=False)
        self._ask("promote", str(unit))
        self.lab.wait(lambda status: status["primary"] == unit)
        return unit

    def _choose(self, primary: bool) -> int:
        """The primary, or an auxiliary other than the last."""
        now, before = self.primary, self._struck
        if primary:
            self._struck = now
        else:
            others = [unit for unit in self.lab.units if unit != now]
            self._struck = next((unit for unit in others if unit > before), others[0])
        return self._struck

    def _ask(self, *argv: str) -> None:
        self.lab.run("controller", ["synod", *argv])
