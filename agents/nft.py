"""Synod's own nftables rules on a unit, as text for `nft -f -`.

Three tables, and nothing outside them: the user's rules are the user's. `inet synod` notes what the
agent must know about a connection and does for handed-over SYNs what the talk's ipt_SYNDATA.ko does
with the mark; `netdev synod` and `netdev synod0` keep the kernel from seeing frames that are the
bridge's and the agent's business. Loading a text again replaces its table in one step.
"""

from collections.abc import Iterable

from agents.config import Cluster
from agents.wire.labels import INTERFACE_BIT
from agents.wire.ports import SYNOD_NAME, mac_text

# Connection tracking is at -200 (NF_IP_PRI_CONNTRACK), mangle at -150: the first place where there
# is an entry.
_JUST_AFTER_CONNTRACK = -199

_SYN = "tcp flags & (fin | syn | rst | ack) == syn"


def inet_rules(cluster: Cluster) -> str:
    """The table `inet synod`.

    - A new connection gets a label that says which interface it came in by. (A label: the mark is
      the user's.)
    - A SYN handed over by the primary (known by its source, a virtual MAC) finds the entry that the
      agent made, and takes the entry's mark as its own: the talk's "copy mark information to
      skb->mark and nfct->mark".
    - TCP that connection tracking calls invalid is not forwarded: it would leave untranslated.
    - Empty nat chains: a network namespace translates only once a nat chain is registered in it
      (nf_nat_register_fn()), and an auxiliary may have no nat rule of the user's.
    """
    labels = [
        f'iifname "{each.name}" ct state new '
        f'ct label set {INTERFACE_BIT + each.index} comment "in-{each.index}"'
        for each in cluster.interfaces
    ]
    marks = [
        f'iifname "{each.name}" ether saddr {mac_text(each.virtual_mac)} {_SYN} '
        "ct mark != 0 meta mark set ct mark"
        for each in cluster.interfaces
    ]
    return _table(
        "inet",
        {
            "arrival": (
                f"type filter hook prerouting priority {_JUST_AFTER_CONNTRACK}",
                [*labels, *marks],
            ),
            "forward": (
                "type filter hook forward priority -1",
                ["meta l4proto tcp ct state invalid counter drop"],
            ),
            "translate_in": ("type nat hook prerouting priority -101", []),
            "translate_out": ("type nat hook postrouting priority 99", []),
        },
    )


def nic_rules(nics: Iterable[str]) -> str:
    """The table `netdev synod`: what the NICs receive is not for the kernel's IP stack.

    For OVS's userspace datapath, whose packet sockets are served before the ingress hook
    (__netif_receive_skb_core()). With the kernel's datapath this would be wrong: the hook also
    comes before the bridge (rx_handler), which would get nothing.
    """
    return _ingress("synod", nics)


def agent_port_rules() -> str:
    """The table `netdev synod0`: nor is what the bridge gives the agent, whose packet socket is
    bound to ETH_P_ALL, and so comes before the hook, too.
    """
    return _ingress("synod0", [SYNOD_NAME])


def _ingress(table: str, devices: Iterable[str]) -> str:
    listed = ", ".join(f'"{device}"' for device in devices)
    hook = f"type filter hook ingress devices = {{ {listed} }} priority 0"
    return _table("netdev", {"ingress": (hook, ["counter drop"])}, table)


def _table(family: str, chains: dict[str, tuple[str, list[str]]], name: str = "synod") -> str:
    lines = [f"add table {family} {name}", f"delete table {family} {name}"]
    lines += [f"table {family} {name} {{"]
    for chain, (hook, rules) in chains.items():
        lines += [f"    chain {chain} {{", f"        {hook}; policy accept;"]
        lines += [f"        {rule}" for rule in rules]
        lines += ["    }"]
    return "\n".join([*lines, "}", ""])
