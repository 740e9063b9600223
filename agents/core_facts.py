"""What the parts of the agent's core share: facts of this unit, the app's word, what goes out."""

from collections import Counter
from collections.abc import Container, Generator, Mapping
from dataclasses import dataclass, field

from agents.config import Cluster
from agents.ctnetlink import Entry, Request, Result
from agents.outcomes import Outcome
from agents.wire.control import Offer
from agents.wire.control_maps import State
from agents.wire.labels import balanced, interface_of, with_unit
from agents.wire.peer import Beginning, Link
from agents.wire.ports import ha_group, helper_mac

# What is done about one frame, decision or entry: it asks for one thing of conntrack at a time, is
# sent what came of it, and ends with its outcome. Whoever runs many puts their requests together.
Steps = Generator[Request, Result, Outcome]

INTERVAL = 0.3  # seconds between announcements, and between the app's states
SILENT = 3 * INTERVAL  # an app unheard for so long is away
PASSING = 3.0  # seconds after a change of primary in which the old one may pass SYNs on


@dataclass(frozen=True, slots=True)
class Facts:
    """What doesn't change while the agent runs.

    `mtus` (bytes of IP) are by interface index, and so are the MACs of `peers`, the other units by
    id; `ha_macs` are those of all units. `boot` (u64) is random, `host` this machine's name.
    """

    cluster: Cluster
    unit: int
    boot: int
    host: str
    version: str
    mtus: Mapping[int, int]
    own_macs: Mapping[int, bytes]
    interface_of_own: Mapping[bytes, int]
    virtual_macs: Mapping[int, bytes]
    interface_of_helper: Mapping[bytes, int]
    peers: Mapping[int, Mapping[int, bytes]]
    ha_macs: Mapping[int, bytes]
    own_labels: tuple[bytes, bytes]

    def forwarded(self, entry: Entry) -> bool:
        """Whether the session is the cluster's: it came in by one of the interfaces."""
        return interface_of(entry.labels) in self.own_macs

    def selected(self, entry: Entry) -> bool:
        """Whether the session is one to balance: forwarded, and chosen or expected by another."""
        chosen = self.cluster.balance == "all" or balanced(entry.labels) or bool(entry.master)
        return chosen and self.forwarded(entry)

    def link(self, peer: int) -> Link:
        """From this unit to that one, over the HA link."""
        return Link(self.cluster.group, self.unit, self.ha_macs[self.unit], self.ha_macs[peer])

    @property
    def first_id(self) -> int:
        """Of what is numbered (u32): an answer for the agent before this one shall find nothing."""
        return self.boot & 0xFFFFFFFF

    @property
    def link_to_all(self) -> Link:
        """From this unit to all others, over the HA link."""
        group = self.cluster.group
        return Link(group, self.unit, self.ha_macs[self.unit], ha_group(group))


def facts_of(
    cluster: Cluster,
    unit: int,
    *,
    boot: int,
    host: str,
    version: str,
    mtus: Mapping[int, int],
) -> Facts:
    """The facts of a unit of this cluster; KeyError if it has no such unit."""
    macs = {u.id: dict(enumerate(u.macs, 1)) for u in cluster.units}
    own = macs[cluster.unit(unit).id]
    return Facts(
        cluster=cluster,
        unit=unit,
        boot=boot,
        host=host,
        version=version,
        mtus=mtus,
        own_macs=own,
        interface_of_own={mac: index for index, mac in own.items()},
        virtual_macs={i.index: i.virtual_mac for i in cluster.interfaces},
        interface_of_helper={helper_mac(i.index): i.index for i in cluster.interfaces},
        peers={other: by_index for other, by_index in macs.items() if other != unit},
        ha_macs={u.id: u.ha_mac for u in cluster.units},
        own_labels=with_unit(unit),
    )


@dataclass(slots=True)
class Desk:
    """What changes: the app's last word, what is to be written, what was counted."""

    told: State | None = None
    before: int = 0  # the primary before the one that was told last,
    changed: float = float("-inf")  # and when that was told first
    heard: float = 0.0
    down: tuple[int, ...] = ()  # interfaces whose NIC has no link
    synced: tuple[int, ...] | None = None  # units whose sessions are held here; None: pickup is off
    frames: list[bytes] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    begun: list[Beginning] = field(default_factory=list)  # to be told before frames are written
    counters: Counter[Outcome] = field(default_factory=Counter)
    restart_pickup: bool = False  # conntrackd is to begin anew

    def standing(self) -> tuple[object, ...]:
        """What is announced at once when it changes."""
        return self.down, self.synced

    def role(self) -> str:
        """The role that the app told last: primary, auxiliary, none."""
        return self.told.role if self.told else "none"

    def succeeds(self, unit: int) -> bool:
        """Whether that unit, which is this one, is primary or about to be."""
        return self.told is not None and (self.told.role == "primary" or self.told.heir == unit)

    def heir(self, peers: Container[int]) -> int:
        """Which of the other units is about to be primary instead of this one, or is; 0 if this
        one stays.
        """
        told = self.told
        unit = (told.heir if told.role == "primary" else told.primary) if told else 0
        return unit if unit in peers else 0

    def takes_on(self, unit: int, now: float) -> bool:
        """Whether the old primary may pass new sessions on to that unit, which is this one."""
        told = self.told
        if told is None or told.role != "primary":
            return told is not None and told.heir == unit
        return self.before != 0 and now - self.changed < PASSING

    def may_have_begun(self, unit: int) -> bool:
        """Whether sessions that unit says it has begun may be: it is primary, or was, and tells
        what it had when it stepped back.
        """
        return unit in (self.told.primary if self.told else 0, self.before)

    def app_decides(self, now: float) -> bool:
        """Whether the app is there, and takes this unit for the primary.

        Whether it has others to choose from is told by what comes: SYNs come here only if so.
        """
        told = self.told
        return told is not None and told.role == "primary" and now - self.heard < SILENT

    def app_speaks(self, now: float) -> bool:
        """Whether the app is there."""
        return now - self.heard < SILENT
