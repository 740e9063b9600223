"""What the values of the cluster's file mean beside each other: who shares a MAC address or a NIC
with whom, whose subnets overlap, whether anybody may serve a session.

Checks look at whatever could be read, add to one list of errors, and stop at none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from agents.config_form import (
    Errors,
    HaForm,
    HeadForm,
    InterfaceForm,
    UnitForm,
    UnitPortForm,
    join,
    linux_name,
    unknown_key,
)
from agents.wire import control, ports


@dataclass(frozen=True, slots=True)
class Forms:
    """The file's forms, as many as could be filled.

    `names` are all interfaces of the file in their order, filled or not; units go by their place.
    """

    head: HeadForm
    names: tuple[str, ...]
    interfaces: Mapping[str, InterfaceForm]
    ha: HaForm | None
    units: Mapping[int, UnitForm]


@dataclass(frozen=True, slots=True)
class Port:
    """What a unit has on one interface (by its name) or on the HA link (None), and where in the
    file that stands. A MAC address that isn't given there is generated.
    """

    interface: str | None
    nic: str
    nic_path: str
    mac: bytes
    mac_path: str
    mac_given: bool

    @property
    def title(self) -> str:
        """`interface int`, `the HA link`."""
        return f"interface {self.interface}" if self.interface else "the HA link"


def unit_ports(forms: Forms, place: int, unit: UnitForm) -> Iterator[Port]:
    """What the unit at that place of the list has on every interface, and last on the HA link."""
    group = forms.head.group
    for index, name in enumerate(forms.names[: ports.MAX_INTERFACES], 1):
        if name in forms.interfaces:
            path = join("units", place, "interfaces", name)
            nic, nic_path = forms.interfaces[name].nic, join("interfaces", name, "nic")
            own = unit.interfaces.get(name, UnitPortForm())
            generated = ports.physical_mac(group, unit.id, index)
            yield _port(name, own, path, (nic, nic_path), generated)
    if forms.ha:
        path = join("units", place, "ha")
        generated = ports.ha_mac(group, unit.id)
        yield _port(None, unit.ha, path, (forms.ha.nic, "ha.nic"), generated)


def _port(
    interface: str | None, own: UnitPortForm, path: str, shared: tuple[str, str], generated: bytes
) -> Port:
    nic, nic_path = (own.nic, join(path, "nic")) if own.nic else shared
    mac = own.mac or generated
    return Port(interface, nic, nic_path, mac, join(path, "mac"), own.mac is not None)


def check(forms: Forms, errors: Errors) -> None:
    """Add to `errors` all that is wrong between the forms."""
    for rule in _RULES:
        for error in rule(forms):
            if error not in errors:  # what is wrong with a shared NIC is wrong for every unit
                errors.append(error)


def _counts(forms: Forms) -> Iterator[tuple[str, str]]:
    if len(forms.names) > ports.MAX_INTERFACES:
        yield "interfaces", f"{len(forms.names)} of them; at most {ports.MAX_INTERFACES} can be"
    if forms.units and not any(unit.weight for unit in forms.units.values()):
        yield "units", "all have weight 0, so none may serve a session; give one a weight of 1"


def _ids(forms: Forms) -> Iterator[tuple[str, str]]:
    seen: dict[int, int] = {}
    for place, unit in forms.units.items():
        if unit.id in seen:
            yield join("units", place, "id"), f"{unit.id} is also the id of units[{seen[unit.id]}]"
        seen.setdefault(unit.id, place)


def _controllers(forms: Forms) -> Iterator[tuple[str, str]]:
    controller, *others = forms.head.controllers
    path = join("controllers", 0)
    scheme, address, *_ = controller.split(":")
    if scheme == "ssl" and forms.head.openflow == "plain":
        yield path, "ssl is TLS, and 'openflow: plain' wants tcp: take one of the two out"
    # What stays on the machine nobody else can speak to, nor read.
    loopback = IPv4Address(address).is_loopback
    if scheme == "tcp" and forms.head.openflow == "tls" and not loopback:
        yield path, _PLAIN.format(rest=controller.removeprefix("tcp:"))
    if others:
        yield join("controllers", 1), _SECOND


_SECOND = (
    "there is one app, at one address: two would each decide for themselves; take this one out"
)
_PLAIN = (
    "tcp is neither secret nor authentic: whoever is on that network can be the controller. "
    "Write ssl:{rest}, and make keys by 'synod pki make'; or, if nobody else is there, add "
    "'openflow: plain'"
)


def _names(forms: Forms) -> Iterator[tuple[str, str]]:
    bridge = forms.head.bridge
    taken = {
        ports.HA_KERNEL_NAME: "the HA link's kernel port",
        ports.SYNOD_NAME: "the agent's port",
    }
    if bridge in taken:
        yield "bridge", f"'{bridge}' is the name of {taken[bridge]}; choose another"
    taken[bridge] = "the bridge"
    for name in forms.names:
        path = join("interfaces", name)
        try:
            linux_name(name)
        except ValueError as error:
            yield path, str(error)
        if name in taken:
            yield path, f"'{name}' is the name of {taken[name]}; choose another"
    for place, unit in forms.units.items():
        for name in unit.interfaces:
            if name not in forms.names:
                yield join("units", place, "interfaces", name), unknown_key(name, forms.names)


def _nics(forms: Forms) -> Iterator[tuple[str, str]]:
    ours = {name: f"the kernel port of interface {name}" for name in forms.names}
    ours[ports.HA_KERNEL_NAME] = "the HA link's kernel port"
    ours[ports.SYNOD_NAME] = "the agent's port"
    ours[forms.head.bridge] = "the bridge"
    # A unit of no NICs of its own comes first: it has what is wrong for all.
    units = [(0, UnitForm.model_validate({"id": "1"})), *forms.units.items()]
    for place, unit in units:
        seen: dict[str, Port] = {}
        for port in unit_ports(forms, place, unit):
            if port.nic in ours:
                yield port.nic_path, f"'{port.nic}' is the name of {ours[port.nic]}"
            if port.nic in seen:
                yield _shared_nic(seen[port.nic], port)
            seen.setdefault(port.nic, port)


def _shared_nic(first: Port, second: Port) -> tuple[str, str]:
    """Two ports of one NIC; the one to blame is the later, or the one that has it from its unit."""
    blamed, other = second, first
    if first.nic_path.startswith("units") and not second.nic_path.startswith("units"):
        blamed, other = first, second
    why = "" if second.interface else ": the HA link needs a NIC of its own"
    return blamed.nic_path, f"{second.nic} is also the NIC of {other.title}{why}"


def _macs(forms: Forms) -> Iterator[tuple[str, str]]:
    """Given addresses must differ from each other, and from those generated; generated ones do."""
    given: list[tuple[str, bytes]] = []
    seen = {control.ETH_DST: "that of control frames", control.ETH_SRC: "that of control frames"}
    group = forms.head.group
    for index, name in enumerate(forms.names[: ports.MAX_INTERFACES], 1):
        path = join("interfaces", name, "virtual_mac")
        form = forms.interfaces.get(name)
        if form and form.virtual_mac:
            given.append((path, form.virtual_mac))
        elif form:
            seen[ports.virtual_mac(group, index)] = f"the one generated for {path}"
    for place, unit in forms.units.items():
        for port in unit_ports(forms, place, unit):
            if port.mac_given:
                given.append((port.mac_path, port.mac))
            else:
                seen[port.mac] = f"the one generated for {port.mac_path}"
    for path, mac in given:
        if mac in seen:
            yield path, f"{ports.mac_text(mac)} is also {seen[mac]}"
        seen.setdefault(mac, f"that of {path}")


def _addresses(forms: Forms) -> Iterator[tuple[str, str]]:
    seen: list[tuple[str, str, IPv4Interface]] = []
    for name, form in forms.interfaces.items():
        for place, address in enumerate(form.addresses):
            path = join("interfaces", name, "addresses", place)
            for other_path, other_name, other in seen:
                if address.ip == other.ip:
                    yield path, f"{address.ip} is there already, as {other_path}"
                elif name != other_name and address.network.overlaps(other.network):
                    yield path, f"{address.network} overlaps {other.network} of {other_path}"
            seen.append((path, name, address))
    if forms.ha:
        yield from _ha_subnet(forms.ha.subnet, forms, seen)


def _ha_subnet(
    subnet: IPv4Network, forms: Forms, addresses: Iterable[tuple[str, str, IPv4Interface]]
) -> Iterator[tuple[str, str]]:
    for path, _, address in addresses:
        if subnet.overlaps(address.network):
            yield "ha.subnet", f"{subnet} overlaps {address.network} of {path}; choose another"
    room = subnet.num_addresses - 2
    highest = max((unit.id for unit in forms.units.values()), default=0)
    if highest > room:
        yield "ha.subnet", f"{subnet} has no address for unit {highest}; take a larger one"


def _routes(forms: Forms) -> Iterator[tuple[str, str]]:
    networks = {
        address.network: join("interfaces", name)
        for name, form in forms.interfaces.items()
        for address in form.addresses
    }
    own = {address.ip for form in forms.interfaces.values() for address in form.addresses}
    seen: dict[IPv4Network, int] = {}
    for place, route in enumerate(forms.head.routes):
        path = join("routes", place)
        if route.to in networks:
            yield join(path, "to"), f"{route.to} is the network of {networks[route.to]}"
        elif forms.ha and route.to.subnet_of(forms.ha.subnet):
            yield join(path, "to"), f"{route.to} is the HA link's, or part of it"
        elif route.to in seen:
            yield join(path, "to"), f"{route.to} is there already, as routes[{seen[route.to]}]"
        seen.setdefault(route.to, place)
        if route.via in own:
            yield join(path, "via"), f"{route.via} is the cluster's own address"
        elif networks and not any(route.via in network for network in networks):
            yield join(path, "via"), f"{route.via} is in no network of an interface"


_RULES = (_counts, _ids, _controllers, _names, _nics, _macs, _addresses, _routes)
