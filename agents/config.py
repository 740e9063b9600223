"""The cluster's file, parsed once into frozen values: what every part of Synod knows of the
cluster.

The file is the same on every unit. It is read as text (`agents.config_text`), then value by value
(`agents.config_form`), then as a whole (`agents.config_checks`); whatever is wrong is reported
together, each with its path. What the file leaves out is filled in here, MAC addresses too, so that
those who use the values have no defaults of their own.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Literal

from agents import config_text
from agents.config_checks import Forms, check, unit_ports
from agents.config_form import (
    HEAD_STAND_IN,
    Errors,
    HaForm,
    HeadForm,
    InterfaceForm,
    UnitForm,
    join,
    take,
    unknown_key,
)
from agents.wire import ports

DEFAULT_PATH = "/etc/synod/cluster.yaml"


class ConfigErrors(ValueError):
    """All that is wrong with a cluster's file: `errors`, pairs of path and message.

    Its text has a line for each. The path is empty where the file as a whole is meant.
    """

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{path}: {text}" if path else text for path, text in errors))
        self.errors = list(errors)


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of the cluster. `index` counts from 1 in the file's order; `name` is also that
    of the kernel port; `nic` the NIC's on units that don't say otherwise; MACs are 6 bytes.
    """

    index: int
    name: str
    nic: str
    addresses: tuple[IPv4Interface, ...]
    virtual_mac: bytes
    mtu: int


@dataclass(frozen=True, slots=True)
class Route:
    """What is behind a neighbour of the cluster: `interface` is the name of the one that has it."""

    to: IPv4Network
    via: IPv4Address
    interface: str


@dataclass(frozen=True, slots=True)
class HaLink:
    """The dedicated link; `nic` as in `Interface`."""

    nic: str
    subnet: IPv4Network


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit. `macs` (physical, 6 bytes each) and `nics` are in the order of the interfaces: that
    of the interface with index i is at i - 1. `ha_address` has the HA subnet's prefix length.
    """

    id: int
    weight: int
    priority: int
    override: bool
    macs: tuple[bytes, ...]
    nics: tuple[str, ...]
    ha_mac: bytes
    ha_nic: str
    ha_address: IPv4Interface


@dataclass(frozen=True, slots=True)
class Limits:
    """What bridges pass to kernels, agents and the app at most, in packets a second of each kind
    (and interface, but for `routed_arp`), and how many new sessions are shared out; 0 is no limit.
    Only the app reads them.
    """

    arp: int
    icmp: int
    broadcast: int
    ip: int
    routed_arp: int
    decisions: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as configured. Interfaces are in the order of their indices, units in that of ids,
    routes in that of their destinations.

    `digest` is the same for two files that say the same, whatever they look like, and whatever the
    limits in them.
    """

    name: str
    group: int
    method: str
    balance: Literal["all", "labelled"]
    session_table: Literal["flows", "conntrack"]
    pickup: Literal["established", "off"]
    limits: Limits
    bridge: str
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]
    ha: HaLink
    units: tuple[Unit, ...]
    controller: str
    digest: str = field(default="")

    @property
    def tls(self) -> bool:
        """Whether OpenFlow is spoken over TLS."""
        return self.controller.startswith("ssl:")

    def unit(self, unit_id: int) -> Unit:
        """The unit of that id; KeyError if the cluster has none."""
        for unit in self.units:
            if unit.id == unit_id:
                return unit
        raise KeyError(f"the cluster {self.name} has no unit {unit_id}")

    def interface(self, index: int) -> Interface:
        """The interface of that index (from 1); KeyError if the cluster has none."""
        if not 1 <= index <= len(self.interfaces):
            raise KeyError(f"the cluster {self.name} has no interface {index}")
        return self.interfaces[index - 1]


def load(path: str | Path) -> Cluster:
    """The cluster that a file describes; ConfigErrors with all that is wrong with it."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ConfigErrors([(str(path), f"cannot be read: {error.strerror}")]) from error
    return parse(text)


def parse(text: str | bytes) -> Cluster:
    """The cluster that YAML text describes; ConfigErrors with all that is wrong with it."""
    try:
        raw, twice = config_text.read(text)
    except config_text.YamlError as error:
        raise ConfigErrors([("", f"not YAML: {error}")]) from error
    errors: Errors = [("", message) for message in twice]
    if not isinstance(raw, dict):
        raise ConfigErrors([*errors, ("", "not a mapping of keys to values, as name: lab")])
    forms = _forms(raw, errors)
    check(forms, errors)
    if errors or not forms.ha:
        raise ConfigErrors(errors)
    return _cluster(forms, forms.ha)


_SECTIONS = ("interfaces", "ha", "units")


def _forms(raw: Mapping[str, object], errors: Errors) -> Forms:
    """Fill the forms of all sections, each by itself, so that a wrong one leaves the others."""
    known = [*HeadForm.model_fields, *_SECTIONS]
    errors += [(key, unknown_key(key, known)) for key in raw if key not in known]
    top = {key: raw[key] for key in raw if key in HeadForm.model_fields}
    head = take(HeadForm, top, "", errors, HEAD_STAND_IN)
    assert head  # nothing is missing where something stands in

    named = raw.get("interfaces")
    if not isinstance(named, dict) or not named:
        example = "interfaces: {int: {nic: eth1, addresses: [10.1.0.1/24]}}"
        errors.append(("interfaces", f"missing, or not a mapping of names; write it as {example}"))
        named = {}
    interfaces = {
        name: take(InterfaceForm, value, join("interfaces", name), errors)
        for name, value in named.items()
    }

    ha = None
    if "ha" in raw:
        ha = take(HaForm, raw["ha"], "ha", errors)
    else:
        errors.append(("ha", "missing; the HA link needs a NIC of its own, as in ha: {nic: eth2}"))

    listed = raw.get("units")
    if not isinstance(listed, list) or not listed:
        errors.append(("units", "missing, or not a list; write it as units: [{id: 1}, {id: 2}]"))
        listed = []
    units = {
        place: take(UnitForm, value, join("units", place), errors)
        for place, value in enumerate(listed)
    }
    return Forms(
        head,
        tuple(named),
        {name: form for name, form in interfaces.items() if form},
        ha,
        {place: form for place, form in units.items() if form},
    )


def _cluster(forms: Forms, ha: HaForm) -> Cluster:
    head = forms.head
    interfaces = tuple(
        Interface(
            index=index,
            name=name,
            nic=form.nic,
            addresses=tuple(form.addresses),
            virtual_mac=form.virtual_mac or ports.virtual_mac(head.group, index),
            mtu=form.mtu,
        )
        for index, (name, form) in enumerate(forms.interfaces.items(), 1)
    )
    units = (_unit(forms, place, ha.subnet) for place in forms.units)
    cluster = Cluster(
        name=head.name,
        group=head.group,
        method=head.method,
        balance=head.balance,
        session_table=head.session_table,
        pickup=head.pickup,
        limits=Limits(**head.limits.model_dump()),
        bridge=head.bridge,
        interfaces=interfaces,
        routes=tuple(_routes(forms, interfaces)),
        ha=HaLink(ha.nic, ha.subnet),
        units=tuple(sorted(units, key=lambda unit: unit.id)),
        controller=head.controllers[0],
    )
    told = {key: value for key, value in asdict(cluster).items() if key != "limits"}
    canonical = json.dumps(told, default=_plain, sort_keys=True)
    return replace(cluster, digest=hashlib.sha256(canonical.encode()).hexdigest()[:16])


def _routes(forms: Forms, interfaces: Sequence[Interface]) -> Iterator[Route]:
    for form in sorted(forms.head.routes, key=lambda form: form.to):
        for interface in interfaces:
            if any(form.via in address.network for address in interface.addresses):
                yield Route(form.to, form.via, interface.name)


def _unit(forms: Forms, place: int, subnet: IPv4Network) -> Unit:
    form = forms.units[place]
    *data, ha = unit_ports(forms, place, form)
    address = subnet.network_address + form.id
    return Unit(
        id=form.id,
        weight=form.weight,
        priority=form.priority,
        override=form.override,
        macs=tuple(port.mac for port in data),
        nics=tuple(port.nic for port in data),
        ha_mac=ha.mac,
        ha_nic=ha.nic,
        ha_address=IPv4Interface((address, subnet.prefixlen)),
    )


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
