"""The cluster's file: what it becomes, and what is said of one that is wrong."""

from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agents import config
from agents.config import Cluster, ConfigErrors
from agents.wire.ports import mac_bytes

EXAMPLE = """\
name: lab
group: 1
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
ha: {nic: nic-ha}
units:
  - {id: 1}
  - {id: 2}
controllers: ["ssl:10.254.0.254:6653"]
"""


def example(**top: object) -> dict[str, Any]:
    """The example as data, with other values at its top."""
    return yaml.safe_load(EXAMPLE) | top


def parse(raw: object) -> Cluster:
    return config.parse(yaml.safe_dump(raw, sort_keys=False))


def errors(raw: object) -> list[tuple[str, str]]:
    text = raw if isinstance(raw, str | bytes) else yaml.safe_dump(raw, sort_keys=False)
    with pytest.raises(ConfigErrors) as caught:
        config.parse(text)
    assert caught.value.errors
    return caught.value.errors


def changed(path: str, value: object) -> dict[str, Any]:
    """The example with another value at `units.0.id` and the like; None takes the key away."""
    raw = example()
    place: Any = raw
    *way, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    for step in way:
        place = place.setdefault(step, {}) if isinstance(step, str) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return raw


def test_the_example_with_all_that_it_leaves_out() -> None:
    cluster = config.parse(EXAMPLE)
    assert (cluster.name, cluster.group, cluster.method) == ("lab", 1, "round-robin")
    assert (cluster.balance, cluster.session_table, cluster.bridge) == ("all", "flows", "br-synod")
    assert cluster.controller == "ssl:10.254.0.254:6653"
    first, second = cluster.interfaces
    assert first == config.Interface(
        index=1,
        name="int",
        nic="nic-int",
        addresses=(IPv4Interface("10.1.0.1/24"),),
        virtual_mac=mac_bytes("02:53:59:01:00:01"),
        mtu=1500,
    )
    assert (second.index, second.name) == (2, "ext")
    assert cluster.ha == config.HaLink("nic-ha", IPv4Network("169.254.83.0/24"))
    assert cluster.units[1] == config.Unit(
        id=2,
        weight=1,
        priority=100,
        override=False,
        macs=(mac_bytes("02:53:59:01:02:01"), mac_bytes("02:53:59:01:02:02")),
        nics=("nic-int", "nic-ext"),
        ha_mac=mac_bytes("02:53:59:01:02:00"),
        ha_nic="nic-ha",
        ha_address=IPv4Interface("169.254.83.2/24"),
    )


def test_everything_that_can_be_said() -> None:
    cluster = parse(
        {
            "name": "edge",
            "group": 7,
            "method": "weighted-least-connection",
            "balance": "labelled",
            "session_table": "flows",
            "bridge": "br0",
            "interfaces": {
                "no": {
                    "nic": "eth1",
                    "addresses": ["10.1.0.1/24", "10.1.0.2/24", "192.0.2.9/32"],
                    "virtual_mac": "12:34:56:01:02:03",
                    "mtu": 9000,
                }
            },
            "ha": {"nic": "eth0", "subnet": "192.168.7.0/26"},
            "units": [
                {"id": 9, "weight": 0, "priority": 0},
                {
                    "id": 3,
                    "weight": 1000,
                    "priority": 65535,
                    "interfaces": {"no": {"nic": "ens5", "mac": "02:AA:00:00:00:01"}},
                    "ha": {"nic": "ens6", "mac": "02:aa:00:00:00:02"},
                },
            ],
            "controllers": ["ssl:192.0.2.2:6633"],
        }
    )
    assert cluster.method == "weighted-least-connection"
    assert cluster.balance == "labelled"
    assert cluster.bridge == "br0"
    assert cluster.controller == "ssl:192.0.2.2:6633"
    assert cluster.tls
    (interface,) = cluster.interfaces
    assert (interface.name, interface.mtu) == ("no", 9000)
    assert interface.virtual_mac == bytes.fromhex("123456010203")
    assert list(map(str, interface.addresses)) == ["10.1.0.1/24", "10.1.0.2/24", "192.0.2.9/32"]
    assert [unit.id for unit in cluster.units] == [3, 9]
    unit = cluster.unit(3)
    assert (unit.weight, unit.priority, unit.nics, unit.ha_nic) == (1000, 65535, ("ens5",), "ens6")
    assert unit.macs == (bytes.fromhex("02aa00000001"),)
    assert unit.ha_mac == bytes.fromhex("02aa00000002")
    assert unit.ha_address == IPv4Interface("192.168.7.3/26")
    assert cluster.unit(9).nics == ("eth1",)


def test_units_and_interfaces_are_found_by_their_numbers() -> None:
    cluster = config.parse(EXAMPLE)
    assert cluster.unit(2).id == 2
    assert [cluster.interface(index).name for index in (1, 2)] == ["int", "ext"]
    for number in (0, 3, -1):
        with pytest.raises(KeyError, match=f"no unit {number}"):
            cluster.unit(number)
        with pytest.raises(KeyError, match=f"no interface {number}"):
            cluster.interface(number)


def test_as_large_and_as_small_as_it_may_be() -> None:
    named = {f"i{n}": {"nic": f"eth{n}", "addresses": [f"10.{n}.0.1/24"]} for n in range(16)}
    named["i0"]["addresses"] = ["10.0.0.0/31"]
    cluster = parse(example(interfaces=named, units=[{"id": 6}]) | {"ha": {"nic": "ha0"}})
    assert cluster.interface(16).name == "i15"
    assert len(cluster.unit(6).macs) == 16
    for subnet, unit in (("10.99.0.0/29", 6), ("10.99.0.0/30", 2), ("11.0.0.0/8", 64)):
        found = parse(example(units=[{"id": unit}], ha={"nic": "ha0", "subnet": subnet}))
        assert found.unit(unit).ha_address.network == IPv4Network(subnet)


def test_quotes_and_looks_make_no_difference() -> None:
    looks = "# comment\n" + EXAMPLE.replace("group: 1", "'group': \"1\"\nmethod: round-robin")
    assert config.parse(looks) == config.parse(EXAMPLE)
    assert config.parse(EXAMPLE.encode("utf-16")) == config.parse(EXAMPLE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("group", 2),
        ("method", "source-hash"),
        ("units.0.weight", 2),
        ("units.1.ha", {"mac": "02:00:00:00:00:01"}),
        ("interfaces.int.addresses", ["10.1.0.2/24"]),
        ("ha.subnet", "169.254.84.0/24"),
        ("routes", [{"to": "default", "via": "203.0.113.254"}]),
    ],
)
def test_the_digest_is_another_for_another_cluster(path: str, value: object) -> None:
    digest = config.parse(EXAMPLE).digest
    assert len(digest) == 16
    int(digest, 16)
    assert parse(changed(path, value)).digest != digest


def test_a_route_goes_by_the_interface_whose_neighbour_it_names() -> None:
    behind = [
        ("default", "203.0.113.254"),
        ("10.2.0.0/16", "10.1.0.254"),
        ("1.2.3.4/32", "10.1.0.9"),
    ]
    cluster = parse(example(routes=[{"to": to, "via": via} for to, via in behind]))
    assert [(str(each.to), str(each.via), each.interface) for each in cluster.routes] == [
        ("0.0.0.0/0", "203.0.113.254", "ext"),
        ("1.2.3.4/32", "10.1.0.9", "int"),
        ("10.2.0.0/16", "10.1.0.254", "int"),
    ]
    other = parse(example(routes=[{"via": via, "to": to} for to, via in reversed(behind)]))
    assert other == cluster


def test_limits_are_the_apps_alone() -> None:
    cluster = config.parse(EXAMPLE)
    assert cluster.limits == config.Limits(1000, 1000, 1000, 100_000, 1000, 50_000)
    other = parse(example(limits={"arp": 0, "ip": "5000"}))
    assert other.limits == config.Limits(0, 1000, 1000, 5000, 1000, 50_000)
    assert other.digest == cluster.digest


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(EXAMPLE)
    assert config.load(path) == config.load(str(path)) == config.parse(EXAMPLE)


def test_load_says_which_file_it_cannot_read(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigErrors, match=f"{path}: cannot be read: {why}"):
            config.load(path)


def test_the_text_of_the_errors_has_a_line_for_each() -> None:
    found = ConfigErrors([("", "all wrong"), ("units[0].id", "missing")])
    assert str(found) == "all wrong\nunits[0].id: missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [1\nunits: 3", "not YAML: line 2: "),
        ("a: b: c", "not YAML: line 1: mapping values are not allowed here"),
        ("name: x\n\tgroup: 1", "not YAML: line 2: "),
        ("a: 1\n---\nb: 2", "not YAML: line 2: but found another document"),
        ("? [a]\n: 1", "not YAML: line 1: found unhashable key"),
        ("a: &a [*a]", "not YAML: line 1: found unconstructable recursive node"),
        ("*a", "not YAML: line 1: found undefined alias 'a'"),
        ("[" * 1000, "not YAML: nested too deeply"),
        ("name: \x00", "not YAML: unacceptable character"),
        (b"name: \xff\xfe\xff", "not YAML: "),
        ("", "not a mapping of keys to values"),
        ("- name: lab", "not a mapping of keys to values"),
        ("lab", "not a mapping of keys to values"),
    ],
)
def test_what_is_not_yaml_says_where(text: str | bytes, message: str) -> None:
    ((path, said),) = errors(text)
    assert path == ""
    assert said.startswith(message)


def test_a_key_given_twice_is_an_error_beside_the_others() -> None:
    text = EXAMPLE.replace("{id: 2}", "{id: 2, id: 99}").replace("name: lab", "name: lab\nname: b")
    assert sorted(errors(text)) == [
        ("", "line 10: 'id' is there since line 10"),
        ("", "line 2: 'name' is there since line 1"),
        ("units[1].id", "99 is not in 1 to 64"),
    ]


raws = st.recursive(
    st.text(max_size=8) | st.integers() | st.none() | st.sampled_from(["10.1.0.1/24", "lab"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "nic", "mac", "int", "addresses"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [
        "name",
        "group",
        "bridge",
        "controllers",
        "interfaces",
        "interfaces.int",
        "interfaces.int.nic",
        "interfaces.int.addresses",
        "interfaces.int.extra",
        "ha",
        "ha.subnet",
        "units",
        "units.0",
        "units.0.id",
        "units.1.interfaces",
        "units.1.ha",
        "extra",
    ]
)


@given(places, raws)
def test_any_value_is_right_or_an_error_with_its_path(path: str, value: object) -> None:
    raw = changed(path, value) if value is not None else example()
    try:
        found = parse(raw)
    except ConfigErrors as error:
        told = [message for _, message in error.errors]
    else:
        told = [found.name]
    assert told
    assert all(told)


@given(
    st.binary(max_size=60)
    | st.text(max_size=60)
    | st.text("[]{}:,-&*!'\"#|>? \n\tab1", max_size=40)
)
def test_any_text_is_a_cluster_or_errors(text: str | bytes) -> None:
    assert errors(text)


@pytest.mark.parametrize(
    ("openflow", "controllers"),
    [("plain", ["tcp:192.0.2.1"]), ("tls", ["tcp:127.0.0.1:6653"])],
)
def test_plain_tcp_is_by_an_explicit_word_or_does_not_leave_the_machine(
    openflow: str, controllers: list[str]
) -> None:
    cluster = config.parse(yaml.dump(example(openflow=openflow, controllers=controllers)))
    assert not cluster.tls
