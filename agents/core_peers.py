"""What other units' agents say over the HA link: who may say what, and whose ear it is for.

Nothing is heard that has no right seal (`agents.core_vouching`), and of what is the primary's to
say nothing by anybody else.
"""

from collections.abc import Callable, Iterator, Mapping

from agents.core_facts import Desk, Facts, Steps
from agents.core_vouching import Vouching
from agents.outcomes import Outcome
from agents.wire import control
from agents.wire.errors import WireError
from agents.wire.ports import ha_group

# What is done about a message at that time; WireError if its records can't be read.
Ear = Callable[[control.Message, float], Iterator[Steps]]

_FROM_PRIMARY = (control.EXPECTED, control.CLEAR)
_TO_ALL = (control.KEEPALIVE, control.BEGUN, control.PICKUP)


class Peers:
    """The other units' agents. `ears`: by kind of message, of all of `agents.wire.peer`."""

    def __init__(
        self, facts: Facts, desk: Desk, vouching: Vouching, ears: Mapping[int, Ear]
    ) -> None:
        self._facts = facts
        self._desk = desk
        self._vouching = vouching
        self._ears = ears

    def heard(self, message: control.Message, frame: bytes, now: float) -> Iterator[Steps]:
        """A frame of another unit's agent. WireError as `Vouching.open`, control_stranger, and
        those of what reads its records.
        """
        facts, unit = self._facts, message.unit
        if message.group != facts.cluster.group or unit not in facts.peers:
            raise WireError(Outcome.CONTROL_STRANGER)
        to_all = message.kind in _TO_ALL
        own = ha_group(message.group) if to_all else facts.ha_macs[facts.unit]
        if frame[:12] != own + facts.ha_macs[unit]:
            raise WireError(Outcome.CONTROL_STRANGER)
        self._vouching.open(frame, message)
        told = self._desk.told
        if message.kind in _FROM_PRIMARY and unit != (told.primary if told else 0):
            raise WireError(Outcome.CONTROL_STRANGER)
        if message.kind == control.BEGUN and not self._desk.may_have_begun(unit):
            raise WireError(Outcome.CONTROL_STRANGER)
        yield from self._ears[message.kind](message, now)
