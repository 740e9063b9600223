"""What can be wrong with the keys of OpenFlow over TLS on a machine, be it a unit's or the app's.

Pure, as `agents.doctor_checks` is: `agents.doctor_look` looks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.doctor_seen import Check

SOON = 30  # days


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """`faults`: why the files are unfit; `days`: by file, until the first of its certificates ends
    (below 0: it has).
    """

    faults: tuple[str, ...]
    days: Mapping[str, float]


def _unfit(seen: KeysSeen) -> Iterable[str]:
    return seen.faults


def _ends(seen: KeysSeen) -> Iterable[str]:
    for path, days in seen.days.items():
        if days < 0:
            yield f"{path} has ended: nobody takes it any more"
        elif days < SOON:
            yield f"{path} ends in {days:.0f} days: nobody takes it then"


KEYS: tuple[Check[KeysSeen], ...] = (
    Check(
        "keys_unfit",
        "'synod pki make' makes what is missing; copy this machine's folder here once more",
        _unfit,
    ),
    Check(
        "certificate_ends",
        "make it anew and copy it here (docs/operations.md, Keys and certificates)",
        _ends,
    ),
)
