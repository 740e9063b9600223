"""Session pickup's messages, carried between units: conntrackd speaks in the clear to whoever
listens, and believes whoever speaks. What this unit's says goes out in a sealed frame of the
agent's, and what others' say is given to it once its seal was found right.

Nothing of it is read, kept or repeated: what is lost conntrackd and `agents.core_renewing` make up
for.
"""

from agents.core_facts import Desk, Facts
from agents.outcomes import Outcome
from agents.wire import control, peer, pickup


class Pickup:
    """Between conntrackd and the HA link."""

    def __init__(self, facts: Facts, desk: Desk) -> None:
        self._desk = desk
        self._link = facts.link_to_all
        self._macs = facts.ha_macs
        self._addresses = {unit.id: unit.ha_address.ip.packed for unit in facts.cluster.units}
        self._own = self._addresses[facts.unit]

    def said(self, frame: bytes) -> None:
        """This unit's conntrackd has sent that. WireError pickup_value, pickup_long."""
        packet = pickup.packet_of(frame, self._own)
        self._desk.frames.append(peer.pickup_frame(self._link, packet))
        self._desk.counters[Outcome.PICKUP_SAID] += 1

    def heard(self, message: control.Message) -> None:
        """A PICKUP of another unit's agent. WireError pickup_value."""
        unit = message.unit
        frame = pickup.frame_of(peer.carried(message), self._addresses[unit], self._macs[unit])
        self._desk.frames.append(frame)
        self._desk.counters[Outcome.PICKUP_HEARD] += 1
