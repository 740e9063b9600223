"""What the lab looks like: Mininet topologies of a cluster between its networks.

               client            dmz (with three interfaces)    server
                  |                |                              |
     int  --- s1 -+---+---   dmz  s3 --+---          ext ---- s2 -+---+---
                  |   |                |                          |   |
                 u1   u2  ...         u1 ...                     u1   u2 ...

Every unit also hangs on `sha` (the HA link) and on `smg` (management), where the host `controller`
is. Only Mininet and the standard library are needed, so the same file loads in Mininet's own
command:

    mn --custom topologies/cluster.py --topo synod,3 --controller none

This only describes. Making the hosts units is `agents.bringup`'s; the sandbox around it all is
`topologies.sandbox`'s.
"""

from dataclasses import dataclass
from typing import Any

from mininet.node import Host, Switch
from mininet.topo import Topo


@dataclass(frozen=True)
class Network:
    """A network that the cluster has an interface on, and the host that is there."""

    interface: str
    switch: str
    host: str
    host_address: str
    cluster_address: str

    @property
    def address(self) -> str:
        """The host's address without its prefix length."""
        return self.host_address.partition("/")[0]

    @property
    def gateway(self) -> str:
        """The cluster's address without its prefix length."""
        return self.cluster_address.partition("/")[0]


NETWORKS = (
    Network("int", "s1", "client", "10.1.0.10/24", "10.1.0.1/24"),
    Network("ext", "s2", "server", "203.0.113.10/24", "203.0.113.1/24"),
    Network("dmz", "s3", "dmz", "10.2.0.10/24", "10.2.0.1/24"),
)
CONTROLLER_ADDRESS = "10.254.0.254"
MAX_UNITS = 16

# What each unit has for itself, as a machine would: Open vSwitch's files, Synod's, and names of
# conntrack labels.
PRIVATE = ("/run/openvswitch", "/run/synod", "/var/lib/openvswitch", "/etc/openvswitch")


class LabHost(Host):  # type: ignore[misc]
    """A host without TX checksum offload, and without IPv6.

    A frame leaves a veth with its checksum still to be filled in if offload is on. Whoever reads it
    from a packet socket, as OVS's userspace datapath does, then gets it without one.
    """

    def config(self, **params: Any) -> dict[str, Any]:
        """Mininet calls this once the interfaces are there."""
        for name in self.intfNames():
            self.cmd(f"ethtool -K {name} tx off")
            self.cmd(f"sysctl -q -w net/ipv6/conf/{name}/disable_ipv6=1")
        result: dict[str, Any] = super().config(**params)
        return result


class LearningSwitch(Switch):  # type: ignore[misc]
    """A plain switch: a Linux bridge. `bridge fdb show br NAME` tells at which port it saw which
    source address.
    """

    def start(self, _controllers: list[Any]) -> None:
        """Makes the bridge and plugs the cables in."""
        self.cmd(f"ip link add {self.name} type bridge stp_state 0 mcast_snooping 0")
        self.cmd(f"sysctl -q -w net/ipv6/conf/{self.name}/disable_ipv6=1")
        for name in self.intfNames():
            if name == "lo":
                continue
            self.cmd(f"sysctl -q -w net/ipv6/conf/{name}/disable_ipv6=1")
            self.cmd(f"ethtool -K {name} tx off")
            self.cmd(f"ip link set {name} master {self.name} up")
            self.cmd(f"bridge link set dev {name} learning on")
        self.cmd(f"ip link set {self.name} up")

    def stop(self, deleteIntfs: bool = True) -> None:
        """Takes the bridge away; Mininet deletes the cables."""
        self.cmd(f"ip link del {self.name}")
        super().stop(deleteIntfs)


class SynodTopo(Topo):  # type: ignore[misc]
    """A cluster of `units` units between `interfaces` networks (2 or 3)."""

    def build(self, units: int | str = 3, interfaces: int | str = 2, log: str = "") -> None:
        """`log`: a directory that has one per unit, mounted as its /var/log; none: it keeps the
        system's.
        """
        self._cables = 0
        networks = NETWORKS[: int(interfaces)]
        for network in networks:
            self.addSwitch(network.switch, cls=LearningSwitch)
            self._host(network)
        self.addSwitch("sha", cls=LearningSwitch, dpid="a")
        self.addSwitch("smg", cls=LearningSwitch, dpid="b")
        self.addHost("controller", cls=LabHost, ip=None)
        self._cable("controller", "mgmt", "smg", f"{CONTROLLER_ADDRESS}/24")
        for number in range(1, int(units) + 1):
            self._unit(number, networks, log)

    def _host(self, network: Network) -> None:
        self.addHost(network.host, cls=LabHost, ip=None, defaultRoute=f"via {network.gateway}")
        self._cable(network.host, "eth0", network.switch, network.host_address)

    def _unit(self, number: int, networks: tuple[Network, ...], log: str) -> None:
        name = f"u{number}"
        private: list[str | tuple[str, str]] = [*PRIVATE]
        if log:
            private.append(("/var/log", f"{log}/{name}"))
        self.addHost(name, cls=LabHost, ip=None, privateDirs=private)
        for network in networks:
            self._cable(name, f"nic-{network.interface}", network.switch)
        self._cable(name, "nic-ha", "sha")
        self._cable(name, "mgmt", "smg", f"10.254.0.{number}/24")

    def _cable(self, host: str, interface: str, switch: str, address: str = "") -> None:
        """The switch's end is named for both, so that what the switch learned reads well."""
        self._cables += 1
        self.addLink(
            *(host, switch),
            intfName1=interface,
            intfName2=f"{switch}-{host}",
            addr1=f"06:00:00:00:00:{self._cables:02x}",
            addr2=f"06:00:00:00:01:{self._cables:02x}",
            params1={"ip": address} if address else {},
        )


topos = {"synod": SynodTopo}
