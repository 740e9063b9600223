"""A unit's bridge on the dummy switch, with its ports by what they are."""

from agents.config import Cluster, parse
from agents.wire import ports
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import Flow
from ryu_apps.core.limits import meters
from ryu_apps.core.pipeline import Passing, desired
from ryu_apps.openflow import Encoder
from tests.polling import until
from tests.switch.ovs import Bridge, Controller, Switch

CLIENT_MAC, SERVER_MAC = bytes.fromhex("0a0000000010"), bytes.fromhex("0a0000000020")
CLIENT, SERVER, CLUSTER = bytes((10, 1, 0, 10)), bytes((203, 0, 113, 10)), bytes((203, 0, 113, 1))
INT, EXT = 1, 2


def cluster_text(
    units: int, session_table: str = "flows", controller: str = "ssl:127.0.0.1:6653"
) -> str:
    """The file of a cluster of two interfaces and so many units."""
    listed = ", ".join(f"{{id: {unit}}}" for unit in range(1, units + 1))
    return f"""
name: lab
group: 1
method: round-robin
session_table: {session_table}
interfaces:
  int: {{nic: nic-int, addresses: [10.1.0.1/24]}}
  ext: {{nic: nic-ext, addresses: [203.0.113.1/24]}}
ha: {{nic: nic-ha}}
units: [{listed}]
controllers: ["{controller}"]
"""


def cluster_of(
    units: int, session_table: str = "flows", controller: str = "ssl:127.0.0.1:6653"
) -> Cluster:
    """That cluster."""
    return parse(cluster_text(units, session_table, controller))


class UnitBridge:
    """The bridge of one unit."""

    def __init__(self, switch: Switch, cluster: Cluster, unit: int) -> None:
        self.cluster = cluster
        self.unit = unit
        self.name = f"{'u' if cluster.session_table == 'flows' else 'c'}{unit}"
        numbers = {"ha-nic": ports.HA_NIC, "ha": ports.HA_KERNEL, "synod": ports.SYNOD}
        for interface in cluster.interfaces:
            numbers[f"nic{interface.index}"] = ports.nic_port(interface.index)
            numbers[f"kernel{interface.index}"] = ports.kernel_port(interface.index)
        self.bridge: Bridge = switch.bridge(
            self.name,
            ports.datapath_id(cluster.group, unit),
            {self.port(what): number for what, number in numbers.items()},
        )
        self._encoder = Encoder((each.id for each in cluster.units), cluster.session_table)
        self._installed: tuple[Flow, ...] = ()
        self.openflow: Controller | None = None

    def port(self, what: str) -> str:
        """Name of `nic1`, `kernel2`, `ha-nic`, `ha` or `synod` on this switch."""
        return f"{self.name}-{what}"

    def become(
        self, role: Role, primary: int, *, diverting: bool = False, passing: Passing | None = None
    ) -> tuple[Flow, ...]:
        """Install the pipeline of a role, as the app would; the flows."""
        if self.openflow is None:
            self.openflow = self.bridge.connect()
        flows = desired(
            self.cluster, self.unit, role, primary, diverting=diverting, passing=passing
        )
        lacking = () if self._installed else tuple(sorted(meters(self.cluster)))
        stale = {flow.cookie for flow in self._installed} - {flow.cookie for flow in flows}
        self.tell(events.Install(self.unit, flows, tuple(stale), 99, events.Meters(lacking)))
        self._installed = flows
        return flows

    def tell(self, effect: events.Effect) -> None:
        """Have the switch do what the app wants done."""
        assert self.openflow
        self.openflow.send(self._encoder.encode(effect))

    def pass_through(self, port: str, frame: bytes) -> dict[str, list[bytes]]:
        """Where a frame that arrives at a port leaves, and how.

        A second frame follows, of which is known that it leaves by the HA link: when it is there,
        the first has been dealt with. (The switch handles the frames of all ports in one thread.)
        """
        self.bridge.flush()
        marker = b"\xff" * 12 + b"\x88\xb6" + b"marker".ljust(46, b".")
        self.bridge.put(self.port(port), frame)
        self.bridge.put(self.port("ha"), marker)
        found: dict[str, list[bytes]] = {}

        def done() -> bool:
            for name, sent in self.bridge.all_sent().items():
                found.setdefault(name.removeprefix(f"{self.name}-"), []).extend(sent)
            return marker in found.get("ha-nic", ())

        until(done, "the frame that marks the end leaves")
        found["ha-nic"].remove(marker)
        return {name: sent for name, sent in found.items() if sent}
