"""Synod's own nftables rules on a unit, as text for `nft -f -`.

Three tables, and nothing outside them: the user's rules are the user's. `inet synod` notes what the
agent must know about a connection and does for handed-over SYNs what the talk's ipt_SYNDATA.ko does
with the mark; `netdev synod` and `netdev synod0` keep the kernel from seeing frames that are the
bridge's and the agent's business. Loading a text again replaces its table in one step.
"""

from collections.abc import Iterable

from agents.config import Cluster
from agents.wire.labels import CLOSING_BIT, HELPER_BIT, INTERFACE_BIT, LIVE_BIT
from agents.wire.ports import HA_KERNEL_NAME, PICKUP_PORT, SYNOD_NAME, helper_mac, mac_text

# Connection tracking is at -200 (NF_IP_PRI_CONNTRACK), mangle at -150: the first place where there
# is an entry.
_JUST_AFTER_CONNTRACK = -199

# Of enum ip_conntrack_events all but new, related, reply, secmark and label.
_TOLD, _THE_END = "0x1f4", "destroy"

# Behind everything of the user's; the connection is confirmed at INT_MAX.
_LAST = 2147483646

_SYN = "tcp flags & (fin | syn | rst | ack) == syn"
# Not a SYN or RST, and of the bytes after the TCP header there is a first.
_DATA = "tcp flags & (syn | rst) == 0 @ih,0,8 >= 0"
# The priority of a packet (a queueing discipline's class) that may announce a connection: the one
# field of it that the egress hook can match on and that a rule before it can set without the
# packet, its mark or its entry being changed.
_ANNOUNCING = "5359:0001"


def inet_rules(cluster: Cluster) -> str:
    """The table `inet synod`.

    - A new connection gets a label that says which interface it came in by, one that another
      connection has announced, too. (A label: the mark is the user's.)
    - A SYN handed over by the primary (known by its source, a virtual MAC) finds the entry that the
      agent made, and takes the entry's mark as its own: the talk's "copy mark information to
      skb->mark and nfct->mark".
    - A SYN handed over that finds none is dropped: an auxiliary decides nothing. (Session pickup
      has just removed it, as that of the session before: the agent makes it and the SYN again.)
    - conntrackd listens at every address and believes whoever speaks to it: what comes by another
      way than the HA link, from this machine itself, too, is dropped.
    - What conntrackd hears, if there is session pickup. Of an entry's state, and not of its labels
      alone (a unit that adopts a copy changes them): that would be told without the state, and pass
      conntrackd's filter. So its labels are told with the state, as one more is set by the packet
      that makes it established (`live`). From the first FIN or RST on (`closing`) only the end:
      others keep it as an established one until its tuple may be another session's. That must be
      said with each packet: a copy that conntrackd makes is told of entirely at first, and the
      labels it came with are told with its first packet (nf_connlabels_replace() leaves the event
      to nf_ct_deliver_cached_events()). Of the unit's own connections only the end, too.
    - A packet with data of a session that an auxiliary serves with a helper (the label `helper`)
      is marked for `egress`, below, to be shown to the agent.
    - TCP that connection tracking calls invalid is not forwarded: it would leave untranslated.
    - Nor does a unit answer it by a reset: of a session that this unit doesn't know, or doesn't at
      this moment (conntrackd puts one entry in the place of another), another unit may know.
    - Empty nat chains: a network namespace translates only once a nat chain is registered in it
      (nf_nat_register_fn()), and an auxiliary may have no nat rule of the user's.
    """
    labels = [
        f'iifname "{each.name}" ct state new '
        f'ct label set {INTERFACE_BIT + each.index} comment "in-{each.index}"'
        for each in cluster.interfaces
    ]
    # Of what is related, ICMP errors are not the beginning of anything.
    labels += [
        f'iifname "{each.name}" ct state related {_SYN} '
        f'ct label set {INTERFACE_BIT + each.index} comment "in-{each.index}"'
        for each in cluster.interfaces
    ]
    handed_over = [
        f'iifname "{each.name}" ether saddr {mac_text(each.virtual_mac)} {_SYN}'
        for each in cluster.interfaces
    ]
    undecided = [f'{syn} ct state new counter drop comment "undecided"' for syn in handed_over]
    marks = [f"{syn} ct mark != 0 meta mark set ct mark" for syn in handed_over]
    pickup = [
        f"tcp flags & (fin | rst) != 0 ct event set {_THE_END} "
        f'ct label set {CLOSING_BIT} comment "closing"',
        f"meta l4proto tcp ct label {CLOSING_BIT} ct event set {_THE_END} accept",
        f"meta l4proto tcp ct event set {_TOLD}",
        f'tcp flags & (syn | ack) == ack ct status assured ct label set {LIVE_BIT} comment "live"',
    ]
    own = [f"meta l4proto tcp ct event set {_THE_END}"]
    if cluster.pickup == "off":
        pickup, own = [], []
    return _table(
        "inet",
        {
            "arrival": (
                f"type filter hook prerouting priority {_JUST_AFTER_CONNTRACK}",
                [*undecided, *labels, *marks, *pickup],
            ),
            "departure": (
                "type filter hook output priority -1",
                own,
            ),
            "forward": (
                "type filter hook forward priority -1",
                ["meta l4proto tcp ct state invalid counter drop"],
            ),
            "local": (
                "type filter hook input priority -1",
                [
                    f'iifname != "{HA_KERNEL_NAME}" udp dport {PICKUP_PORT} '
                    'counter drop comment "pickup"',
                    *(
                        f'iifname "{each.name}" meta l4proto tcp ct state invalid counter drop'
                        for each in cluster.interfaces
                    ),
                    *own,
                ],
            ),
            "translate_in": ("type nat hook prerouting priority -101", []),
            "translate_out": ("type nat hook postrouting priority 99", []),
            "announcing": (
                f"type filter hook postrouting priority {_LAST}",
                [f"ct label {HELPER_BIT} {_DATA} meta priority set {_ANNOUNCING}"],
            ),
        },
    )


def nic_rules(nics: Iterable[str]) -> str:
    """The table `netdev synod`: what the NICs receive is not for the kernel's IP stack.

    For OVS's userspace datapath, whose packet sockets are served before the ingress hook
    (__netif_receive_skb_core()). With the kernel's datapath this would be wrong: the hook also
    comes before the bridge (rx_handler), which would get nothing.
    """
    return _table("netdev", {"ingress": (_on("ingress", nics), ["counter drop"])}, "synod")


def agent_port_rules(cluster: Cluster) -> str:
    """The table `netdev synod0`: what the bridge gives the agent isn't for the kernel, either; the
    agent's packet socket is bound to ETH_P_ALL, and so comes before the hook, too.

    And the other way: by a helper MAC as its source the bridge knows a packet for the agent.
    """
    names = [each.name for each in cluster.interfaces]
    readdress = [
        f'oifname "{each.name}" meta priority {_ANNOUNCING} '
        f"ether saddr set {mac_text(helper_mac(each.index))}"
        for each in cluster.interfaces
    ]
    chains = {
        "ingress": (_on("ingress", [SYNOD_NAME]), ["counter drop"]),
        "egress": (_on("egress", names), readdress),
    }
    return _table("netdev", chains, "synod0")


def _on(hook: str, devices: Iterable[str]) -> str:
    listed = ", ".join(f'"{device}"' for device in devices)
    return f"type filter hook {hook} devices = {{ {listed} }} priority 0"


def _table(family: str, chains: dict[str, tuple[str, list[str]]], name: str = "synod") -> str:
    lines = [f"add table {family} {name}", f"delete table {family} {name}"]
    lines += [f"table {family} {name} {{"]
    for chain, (hook, rules) in chains.items():
        lines += [f"    chain {chain} {{", f"        {hook}; policy accept;"]
        lines += [f"        {rule}" for rule in rules]
        lines += ["    }"]
    return "\n".join([*lines, "}", ""])
