"""What a check of the doctor's is, what it finds, and what it is given to see of a unit.

Data. The checks are in `agents.doctor_checks` and `agents.doctor_cluster`; `agents.doctor_look`
looks.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agents.bringup_ports import Port, ports_of
from agents.bringup_steps import Step
from agents.config import Cluster
from agents.config_tls import Keys
from agents.journal import Journal
from agents.mending import Seen

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault. `name` is the check's."""

    name: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """`faults` says each that it sees, for a person to read."""

    name: str
    remedy: str
    faults: Callable[[T], Iterable[str]]


def findings(checks: Iterable[Check[T]], seen: T) -> list[Finding]:
    """All that these checks find."""
    return [
        Finding(check.name, what, check.remedy) for check in checks for what in check.faults(seen)
    ]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a unit.

    `plan`: its bring-up's, of which `brought_up` is the journal; `offloads`: by NIC, of those that
    must be off the ones that are on; `cookies` of the bridge's flows;
    `ports`: the bridge's, by name; `controllers`: by target, whether it is connected; `conntrack`:
    entries, and how many fit; `programs`: by name, the letter of the process's state (proc(5)),
    empty if there is none; `strangers`: conntrackds that aren't the unit's; `files`: the text of
    files in which blocks are to be; `flushing`: the file that the system loads rules from flushes
    all; `synchronised`: whether the clock is, None if nobody says; `token`: the mode of its file,
    None if there is none; `key_fault`: why the file of the cluster's key is unfit; `cluster_keys`:
    what its keys are called; `keys`: Open vSwitch's for TLS; `errors`: by target of a controller,
    what it says of the last try.
    """

    cluster: Cluster
    unit: int
    plan: tuple[Step, ...]
    seen: Seen
    brought_up: Journal | None
    versions: Mapping[str, str]
    offloads: Mapping[str, Iterable[str]]
    cookies: Iterable[int]
    ports: Mapping[str, int]
    controllers: Mapping[str, bool]
    conntrack: tuple[int, int]
    programs: Mapping[str, str]
    files: Mapping[str, str]
    strangers: tuple[int, ...] = ()
    fenced: bool = False
    flushing: bool = False
    synchronised: bool | None = None
    token: int | None = None
    key_fault: str = ""
    cluster_keys: tuple[str, ...] = ()
    keys: Keys | None = None
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def kernel_ports(self) -> tuple[Port, ...]:
        """The ports that the kernel is to have."""
        return tuple(port for port in self._wanted if port.internal)

    @property
    def nics(self) -> tuple[Port, ...]:
        """The NICs that are to be ports."""
        return tuple(port for port in self._wanted if not port.internal)

    @property
    def _wanted(self) -> Iterable[Port]:
        return ports_of(self.cluster, self.cluster.unit(self.unit))
