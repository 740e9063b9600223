"""Mininet's prompt on the hosts of a running lab (`synod-lab cli`).

Runs inside the sandbox. The network is there already, so nothing is made: each node is a shell that
enters a host.
"""

import json
import sys
from typing import Any

from mininet.cli import CLI
from mininet.link import Intf
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node

from topologies.cluster import SynodTopo


class AttachedHost(Node):  # type: ignore[misc]
    """A shell on a host that exists. `at` is the process id of the shell that holds the host."""

    def __init__(self, name: str, at: int) -> None:
        self.at = at
        super().__init__(name, inNamespace=False)

    def startShell(self, mnopts: str | None = None) -> None:
        """Mininet starts its shell by `mnexec`, which can also enter a process's namespaces."""
        super().startShell(f"-cda{self.at}")

    def terminate(self) -> None:
        """Leaves the host as it is."""
        self.shell.kill()
        self.cleanup()


def attach(units: int, interfaces: int, hosts: dict[str, int]) -> Any:
    """A Mininet object over the running network."""
    Mininet.inited = True  # else it would raise limits of the whole machine
    topology = SynodTopo(units, interfaces)
    network = Mininet(controller=None, build=False)
    for name, pid in hosts.items():
        network.hosts.append(AttachedHost(name, pid))
        network.nameToNode[name] = network.hosts[-1]
    for host, _switch, link in topology.links(sort=True, withInfo=True):
        node = network.nameToNode[host]
        interface = Intf.__new__(Intf)  # its constructor would configure the interface
        interface.node, interface.name, interface.link = node, link["intfName1"], None
        address, _, length = link["params1"].get("ip", "").partition("/")
        interface.mac, interface.ip, interface.prefixLen = (
            link["addr1"],
            address or None,
            length or None,
        )
        interface.params = {}
        node.addIntf(interface, moveIntfFn=lambda *_args: None)
    return network


def main(units: int, interfaces: int, hosts: dict[str, int]) -> None:
    """The prompt, until its end."""
    setLogLevel("info")
    network = attach(units, interfaces, hosts)
    try:
        CLI(network)
    finally:
        for host in network.hosts:
            host.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
