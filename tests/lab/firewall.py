"""A client, a firewall and a server, each with a network stack of its own; the firewall's kernel
forwards, and tracks connections as a unit's does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.namespaces import Namespace, link, namespaces

CLIENT, INSIDE, OUTSIDE, SERVER = "10.1.0.10", "10.1.0.1", "203.0.113.1", "203.0.113.10"


@contextmanager
def firewall_between() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """The three; the firewall's interfaces are `int` and `ext`, and it has no rules yet."""
    with namespaces(3) as (client, firewall, server):
        link(client, "eth0", firewall, "int")
        link(firewall, "ext", server, "eth0")
        client.address("eth0", f"{CLIENT}/24")
        firewall.address("int", f"{INSIDE}/24")
        firewall.address("ext", f"{OUTSIDE}/24")
        server.address("eth0", f"{SERVER}/24")
        client.run("ip", "route", "add", "default", "via", INSIDE)
        firewall.sysctl(
            net__ipv4__ip_forward=1,
            net__netfilter__nf_conntrack_tcp_loose=0,
            net__netfilter__nf_conntrack_events=1,
        )
        yield client, firewall, server
