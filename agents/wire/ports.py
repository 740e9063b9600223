"""Numbers and names on a unit's bridge: OpenFlow ports, the datapath id, generated MAC addresses.

Interfaces are numbered from 1 in the order of the configuration (*interface index*); everything
here follows from that number, the cluster's group and the unit id, so that no unit ever has to ask
another for it.

    OpenFlow port      what
    1 … 16             NIC of interface i
    99                 NIC of the HA link
    101 … 116          kernel port of interface i: the OVS internal port that the kernel routes by
    199                kernel port of the HA link
    200                `synod0`, on which the agent reads and writes frames

    datapath id        0x5359 | 0 u16 | group u16 | unit u16      ("SY" in ASCII)
    conntrack zone     0x5359
    virtual MAC        02:53:59:GG:00:II
    physical MAC       02:53:59:GG:UU:II
    MAC of the HA port 02:53:59:GG:UU:00
    all HA ports       03:53:59:GG:00:00
    helper MAC         02:53:59:00:01:II

02 makes them locally administered (IEEE 802, clause 8), so none can meet a manufacturer's. Group 0
is no cluster's: its addresses never leave a bridge. They are those of the control frames
(`agents.wire.control`), and the helper MACs: by one of them as its source the kernel shows its
bridge that a packet, on its way out by that interface, may announce a connection (`agents.nft`).
"""

import re

MAX_UNITS = 64
MAX_INTERFACES = 16
MAX_GROUP = 255

HA_NIC = 99
HA_KERNEL = 199
SYNOD = 200

HA_KERNEL_NAME = "ha"
SYNOD_NAME = "synod0"

PICKUP_GROUP, PICKUP_PORT = "225.0.0.83", 3780  # UDP, to all units' conntrackds

MAGIC = 0x5359  # "SY": the first bits of what is Synod's, cookies of flows too
CT_ZONE = MAGIC  # of the sessions in Open vSwitch's connection tracker, apart from anybody else's
MAC_PATTERN = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")


def nic_port(interface: int) -> int:
    """OpenFlow port of the NIC of interface 1…16."""
    return _checked("interface", interface, MAX_INTERFACES)


def kernel_port(interface: int) -> int:
    """OpenFlow port of the kernel port of interface 1…16."""
    return 100 + _checked("interface", interface, MAX_INTERFACES)


def interface_of_nic(port: int) -> int | None:
    """Interface index whose NIC this OpenFlow port is; None if it is no NIC of an interface."""
    return port if 1 <= port <= MAX_INTERFACES else None


def datapath_id(group: int, unit: int) -> int:
    """Datapath id of the bridge of a unit (1…64) of the cluster of that group (1…255)."""
    _checked("group", group, MAX_GROUP)
    return MAGIC << 48 | group << 16 | _checked("unit", unit, MAX_UNITS)


def unit_of(dpid: int, group: int) -> int | None:
    """Unit id in a datapath id; None if it is not a bridge of this group."""
    unit = dpid - (MAGIC << 48 | group << 16)
    return unit if 1 <= unit <= MAX_UNITS else None


def virtual_mac(group: int, interface: int) -> bytes:
    """Generated virtual MAC (6 bytes) of an interface."""
    return _mac(group, 0, _checked("interface", interface, MAX_INTERFACES))


def physical_mac(group: int, unit: int, interface: int) -> bytes:
    """Generated physical MAC (6 bytes) of a unit's kernel port of an interface."""
    _checked("interface", interface, MAX_INTERFACES)
    return _mac(group, _checked("unit", unit, MAX_UNITS), interface)


def ha_mac(group: int, unit: int) -> bytes:
    """Generated MAC (6 bytes) of a unit's kernel port of the HA link."""
    return _mac(group, _checked("unit", unit, MAX_UNITS), 0)


def ha_group(group: int) -> bytes:
    """Multicast MAC (6 bytes) of all HA ports of a cluster."""
    return b"\x03" + _mac(group, 0, 0)[1:]


def helper_mac(interface: int) -> bytes:
    """Helper MAC (6 bytes) of an interface, the same on every unit."""
    return bytes((0x02, 0x53, 0x59, 0, 1, _checked("interface", interface, MAX_INTERFACES)))


def mac_bytes(text: str) -> bytes:
    """6 bytes of `02:53:59:01:00:01`; ValueError if it is not six pairs of hex digits."""
    if not MAC_PATTERN.fullmatch(text):
        raise ValueError("not a MAC address")
    return bytes.fromhex(text.replace(":", ""))


def mac_text(mac: bytes) -> str:
    """`02:53:59:01:00:01` of 6 bytes."""
    return mac.hex(":")


def _mac(group: int, unit: int, interface: int) -> bytes:
    return bytes((0x02, 0x53, 0x59, _checked("group", group, MAX_GROUP), unit, interface))


def _checked(what: str, number: int, highest: int) -> int:
    if not 1 <= number <= highest:
        raise ValueError(f"{what} {number} is not in 1 to {highest}")
    return number
