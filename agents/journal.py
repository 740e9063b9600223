"""What `synod unit up` has done on this host, and the commands that take it back.

Every step has its undoing here before it is done, as it is on this machine (settings as they were
found). One that isn't `complete` is that of a bring-up, or of an undoing, that was killed: such a
host is neither a unit nor what it was before, and the way is back.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from agents.machine import ProvisionError
from agents.running import FENCE, RUN

JOURNAL = RUN / "unit.json"


@dataclass(frozen=True, slots=True)
class Journal:
    """Whose unit this host is, and the commands that undo it, last first."""

    cluster: str
    unit: int
    digest: str
    undo: list[tuple[str, list[str]]]  # (why the step was done, command)
    complete: bool = False

    def write(self) -> None:
        """Replaces the file in one step. ProvisionError if it can't be."""
        fresh = JOURNAL.with_suffix(".new")
        try:
            JOURNAL.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(asdict(self), indent=1))
            fresh.replace(JOURNAL)
        except OSError as error:
            raise ProvisionError(f"{JOURNAL}: {error.strerror}") from None

    def undoing(self) -> Iterator[tuple[str, list[str]]]:
        """The commands that take it back, in order.

        NICs that the agent has taken down come up again at the very end, but for those that were
        down before: as long as there is the bridge, it has an old primary's flows.
        """
        yield from reversed(self.undo)
        undone = [argv for _why, argv in self.undo]
        for nic in fenced():
            if _link(nic, "down") not in undone:
                yield f"{nic} down, as the unit is fenced", _link(nic, "up")


def read() -> Journal | None:
    """The journal, if this host is a unit (or was on its way to be one)."""
    try:
        fields = json.loads(JOURNAL.read_text())
    except FileNotFoundError:
        return None
    undo = [(why, list(argv)) for why, argv in fields.pop("undo")]
    return Journal(undo=undo, **fields)


def forget() -> None:
    """There is nothing to take back any more."""
    FENCE.unlink(missing_ok=True)
    JOURNAL.unlink(missing_ok=True)


def fenced() -> list[str]:
    """The NICs that the unit's agent has taken down, as the unit is fenced."""
    return FENCE.read_text().split() if FENCE.exists() else []


def _link(nic: str, how: str) -> list[str]:
    return ["ip", "link", "set", nic, how]
