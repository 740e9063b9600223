"""The cluster's file as written: its keys, and what each of their values may be.

Forms know one value at a time; what values mean beside each other is `agents.config_checks`'s. All
scalars arrive as text (`agents.config_text`), so that no value changes its meaning by looking like
another of YAML's types: an interface may be named `no`, and 12:34:56:01:02:03 is no number.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from agents.wire import ports

METHODS = (
    "round-robin",
    "weighted-round-robin",
    "least-connection",
    "weighted-least-connection",
    "source-hash",
)

MOST_WEIGHT = 1000
LONGEST_DEADLINE = 7 * 24 * 3600.0  # seconds, of a drain
MOST_LIMIT = 100_000_000  # packets a second

# dev_valid_name() in net/core/dev.c allows more (anything but '/', ':' and white space); these also
# pass unquoted through YAML, a shell, nft and ovs-vsctl.
_LINUX_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_CONTROLLER = re.compile(r"(?:tcp|ssl):([0-9.]+)(?::([0-9]{1,5}))?")
# `all` and `default` are directories beside the interfaces' own in /proc/sys/net/ipv4/conf;
# ovs-netdev and ovs-system are ports that a datapath makes for itself.
_NAMES_IN_USE = ("lo", "all", "default", "ovs-netdev", "ovs-system", ".", "..")

Errors = list[tuple[str, str]]  # path, message


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("empty, or not a single value")
    return value


def _number(low: int, high: int) -> BeforeValidator:
    def number(value: object) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,9}", value):
            raise ValueError(f"not a whole number from {low} to {high}")
        if not low <= int(value) <= high:
            raise ValueError(f"{int(value)} is not in {low} to {high}")
        return int(value)

    return BeforeValidator(number)


def one_of(*choices: str) -> BeforeValidator:
    """What a value of a few names is checked by."""

    def choice(value: object) -> str:
        if value not in choices:
            raise ValueError(f"not one of: {', '.join(choices)}")
        return str(value)

    return BeforeValidator(choice)


def _yes_or_no(value: object) -> bool:
    if value not in ("true", "false"):
        raise ValueError("not one of: true, false")
    return value == "true"


def _cluster_name(value: object) -> str:
    if not _CLUSTER_NAME.fullmatch(_text(value)):
        raise ValueError("not a name of 1 to 32 letters, digits, '_', '-' and '.'")
    return _text(value)


def linux_name(value: object) -> str:
    """A name that a network interface can have; ValueError otherwise."""
    name = _text(value)
    if not _LINUX_NAME.fullmatch(name):
        raise ValueError(
            "not a name that a network interface can have: "
            "1 to 15 letters, digits, '_', '-' and '.', not '-' or '.' at the start"
        )
    if name in _NAMES_IN_USE:
        raise ValueError(f"'{name}' is a name that the system uses itself")
    return name


def _mac(value: object) -> bytes:
    mac = ports.mac_bytes(_text(value))
    if mac[0] & 1:
        raise ValueError("a multicast address: the first byte of a unit's MAC address must be even")
    if not any(mac):
        raise ValueError("the all-zero address is nobody's")
    return mac


def _address(value: object) -> IPv4Interface:
    text = _text(value)
    if "/" not in text:
        raise ValueError("has no prefix length; write it as in 10.1.0.1/24")
    try:
        address = IPv4Interface(text)
    except ValueError as error:
        raise ValueError("not an IPv4 address with prefix length, as in 10.1.0.1/24") from error
    ip, network = address.ip, address.network
    special = ip.is_multicast or ip.is_loopback or ip.is_unspecified or ip.is_reserved
    if special or network.prefixlen == 0:
        raise ValueError("not an address that an interface can have")
    if network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address):
        raise ValueError(f"the network or broadcast address of {network}, not a host's")
    return address


def _destination(value: object) -> IPv4Network:
    text = _text(value)
    if text == "default":
        return IPv4Network("0.0.0.0/0")
    if "/" not in text:
        raise ValueError("has no prefix length; write default, or as in 10.2.0.0/16")
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ValueError("not default, nor a network's address, as in 10.2.0.0/16") from error


def _next_hop(value: object) -> IPv4Address:
    try:
        return IPv4Address(_text(value))
    except ValueError as error:
        raise ValueError("not an IPv4 address, as in 203.0.113.254") from error


def _subnet(value: object) -> IPv4Network:
    text = _text(value)
    try:
        subnet = IPv4Interface(text).network
    except ValueError as error:
        raise ValueError("not an IPv4 subnet, as in 169.254.83.0/24") from error
    if "/" not in text or str(subnet.network_address) != text.partition("/")[0]:
        raise ValueError(f"not the address of a subnet; did you mean {subnet}?")
    if not 8 <= subnet.prefixlen <= 30 or subnet.is_multicast or subnet.is_loopback:
        raise ValueError("not a subnet for the HA link; take one of /8 to /30, as 169.254.83.0/24")
    return subnet


def _controller(value: object) -> str:
    match = _CONTROLLER.fullmatch(_text(value))
    try:
        if match is None or not 1 <= int(match[2] or 1) <= 65535:
            raise ValueError
        IPv4Address(match[1])
    except ValueError as error:
        raise ValueError(
            "not a controller: write ssl:ADDRESS:PORT or tcp:ADDRESS:PORT, as ssl:10.254.0.254:6653"
        ) from error
    return _text(value)


Text = Annotated[str, BeforeValidator(_text)]
LinuxName = Annotated[str, BeforeValidator(linux_name)]
Mac = Annotated[bytes, BeforeValidator(_mac)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsForm(_Form):
    """Packets a second of each kind, and new sessions that are shared out; 0 is no limit."""

    arp: Annotated[int, _number(0, MOST_LIMIT)] = 1000
    icmp: Annotated[int, _number(0, MOST_LIMIT)] = 1000
    broadcast: Annotated[int, _number(0, MOST_LIMIT)] = 1000
    ip: Annotated[int, _number(0, MOST_LIMIT)] = 100_000
    routed_arp: Annotated[int, _number(0, MOST_LIMIT)] = 1000
    decisions: Annotated[int, _number(0, MOST_LIMIT)] = 50_000


class RouteForm(_Form):
    """An entry of `routes`."""

    to: Annotated[IPv4Network, BeforeValidator(_destination)]
    via: Annotated[IPv4Address, BeforeValidator(_next_hop)]


class HeadForm(_Form):
    """What stands at the top of the file but isn't a section of its own."""

    name: Annotated[str, BeforeValidator(_cluster_name)]
    group: Annotated[int, _number(1, ports.MAX_GROUP)]
    method: Annotated[str, one_of(*METHODS)] = "round-robin"
    balance: Annotated[Literal["all", "labelled"], one_of("all", "labelled")] = "all"
    session_table: Annotated[Literal["flows", "conntrack"], one_of("flows", "conntrack")] = "flows"
    pickup: Annotated[Literal["established", "off"], one_of("established", "off")] = "established"
    limits: LimitsForm = LimitsForm()
    bridge: LinuxName = "br-synod"
    routes: list[RouteForm] = Field(default_factory=list)
    openflow: Annotated[Literal["tls", "plain"], one_of("tls", "plain")] = "tls"
    controllers: Annotated[list[Annotated[str, BeforeValidator(_controller)]], Field(min_length=1)]


# For checks of the rest, where the file has none of these, or a wrong one.
HEAD_STAND_IN = {"name": "unnamed", "group": "1", "controllers": ["tcp:127.0.0.1"]}


class InterfaceForm(_Form):
    """An entry of `interfaces`."""

    nic: LinuxName
    addresses: Annotated[
        list[Annotated[IPv4Interface, BeforeValidator(_address)]], Field(min_length=1)
    ]
    virtual_mac: Mac | None = None
    mtu: Annotated[int, _number(576, 9216)] = 1500


class HaForm(_Form):
    """The section `ha`."""

    nic: LinuxName
    subnet: Annotated[IPv4Network, BeforeValidator(_subnet)] = IPv4Network("169.254.83.0/24")


class UnitPortForm(_Form):
    """What one unit has otherwise on one interface, or on the HA link."""

    nic: LinuxName | None = None
    mac: Mac | None = None


class UnitForm(_Form):
    """An entry of `units`."""

    id: Annotated[int, _number(1, ports.MAX_UNITS)]
    weight: Annotated[int, _number(0, MOST_WEIGHT)] = 1
    priority: Annotated[int, _number(0, 65535)] = 100
    override: Annotated[bool, BeforeValidator(_yes_or_no)] = False
    interfaces: dict[str, UnitPortForm] = Field(default_factory=dict)
    ha: UnitPortForm = UnitPortForm()


_F = TypeVar("_F", bound=BaseModel)


def take(
    form: type[_F],
    raw: object,
    path: str,
    errors: Errors,
    stand_in: Mapping[str, object] = MappingProxyType({}),
) -> _F | None:
    """Fill a form; what is wrong goes to `errors`, each with its path.

    With wrong values the form is filled without them (and with `stand_in` in place of what is
    missing then), so that the rest of it can still be checked against its neighbours; None if even
    that can't be done.
    """
    try:
        return form.model_validate(raw)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    errors += [(join(path, *fault["loc"]), _message(form, fault)) for fault in faults]
    if not isinstance(raw, dict):
        return None
    try:
        return form.model_validate({**stand_in, **_right_part(raw, [f["loc"] for f in faults])})
    except ValidationError:
        return None


def _right_part(
    raw: Mapping[str, object], wrong: Sequence[tuple[int | str, ...]]
) -> dict[str, object]:
    """`raw` without what is at the wrong places; of a list what is before them, so that the rest
    keeps its numbers.
    """
    right: dict[str, object] = {}
    for key, value in raw.items():
        below = [loc[1:] for loc in wrong if loc[0] == key]
        inside = {loc[0] for loc in below if loc}
        if not below:
            right[key] = value
        elif isinstance(value, list) and (before := min(map(int, inside), default=0)):
            right[key] = value[:before]
        elif isinstance(value, dict) and inside:
            right[key] = {name: item for name, item in value.items() if name not in inside}
    return right


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say of a key that nobody knows."""
    close = difflib.get_close_matches(key, sorted(known), 1)
    if close:
        return f"unknown key; did you mean '{close[0]}'?"
    return f"unknown key; known here: {', '.join(known)}"


def join(path: str, *steps: int | str) -> str:
    """`units[2].interfaces.int` of its steps."""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


# pydantic's error types (those that text, lists and mappings cause in these forms) in our words.
_SHAPES = {
    "too_short": "empty",
    "list_type": "not a list",
    "dict_type": "not a mapping of names to values",
    "model_type": "not a mapping of keys to values",
}
_EXAMPLES = {
    "name": "name: lab",
    "group": "group: 1",
    "controllers": 'controllers: ["ssl:10.254.0.254:6653"]',
    "nic": "nic: eth1",
    "addresses": "addresses: [10.1.0.1/24]",
    "id": "id: 1",
    "interfaces": "interfaces: {int: {mac: ...}}",
    "ha": "ha: {nic: eth2}",
    "limits": "limits: {arp: 500}",
    "routes": "routes: [{to: default, via: 203.0.113.254}]",
    "to": "{to: default, via: 203.0.113.254}",
    "via": "{to: default, via: 203.0.113.254}",
}


_INNER: dict[str, type[BaseModel]] = {"limits": LimitsForm, "routes": RouteForm}


def _message(form: type[BaseModel], fault: ErrorDetails) -> str:
    """One fault in a sentence that says what to do."""
    kind, loc = fault["type"], fault["loc"]
    key = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        inner = _INNER.get(str(loc[0]), UnitPortForm)
        return unknown_key(key, (form if len(loc) == 1 else inner).model_fields)
    example = f"; write it as in {_EXAMPLES[key]}" if key in _EXAMPLES else ""
    if kind == "missing":
        return f"missing{example}"
    if kind in _SHAPES:
        return _SHAPES[kind] + example
    return str(fault["ctx"]["error"])
