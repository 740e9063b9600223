"""Each thing that can be wrong with a cluster's file, with the path and the words it is told in."""

import pytest

from tests.unit.test_config import changed, errors, example


def route(**other: str) -> dict[str, str]:
    return {"to": "default", "via": "203.0.113.254"} | other


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        # The top
        ("name", None, "name", "missing; write it as in name: lab"),
        ("name", "", "name", "empty, or not a single value"),
        ("name", "two words", "name", "not a name of 1 to 32 letters"),
        ("name", ["lab"], "name", "empty, or not a single value"),
        ("group", None, "group", "missing; write it as in group: 1"),
        ("group", 0, "group", "0 is not in 1 to 255"),
        ("group", 256, "group", "256 is not in 1 to 255"),
        ("group", "1.5", "group", "not a whole number from 1 to 255"),
        ("group", -1, "group", "not a whole number from 1 to 255"),
        ("method", "robin", "method", "not one of: round-robin, weighted-round-robin, least-"),
        ("balance", "some", "balance", "not one of: all, labelled"),
        ("session_table", "marks", "session_table", "not one of: flows, conntrack"),
        ("bridge", "x" * 16, "bridge", "not a name that a network interface can have"),
        ("bridge", "lo", "bridge", "'lo' is a name that the system uses itself"),
        ("bridge", "ha", "bridge", "'ha' is the name of the HA link's kernel port"),
        ("bridge", "synod0", "bridge", "'synod0' is the name of the agent's port"),
        ("controllers", None, "controllers", "missing; write it as in controllers: ["),
        ("controllers", [], "controllers", "empty; write it as in controllers: ["),
        ("controllers", "ssl:1.2.3.4", "controllers", "not a list; write it as in controllers: ["),
        ("controllers", ["1.2.3.4:6653"], "controllers[0]", "not a controller: write ssl:ADDRESS"),
        ("controllers", ["tcp:1.2.3:6653"], "controllers[0]", "not a controller"),
        ("controllers", ["tcp:1.2.3.4:0"], "controllers[0]", "not a controller"),
        ("controllers", ["tcp:1.2.3.4:65536"], "controllers[0]", "not a controller"),
        ("controllers", ["udp:1.2.3.4:6653"], "controllers[0]", "not a controller"),
        ("controllers", ["ssl:1.2.3.4"] * 2, "controllers[1]", "there is one app, at one address"),
        ("controllers", ["tcp:1.2.3.4"], "controllers[0]", "tcp is neither secret nor"),
        ("openflow", "open", "openflow", "not one of: tls, plain"),
        ("openflow", "plain", "controllers[0]", "ssl is TLS, and 'openflow: plain' wants tcp"),
        ("weights", 3, "weights", "unknown key; known here: name, group, method, balance, "),
        ("unit", 3, "unit", "unknown key; did you mean 'units'?"),
        ("limits", 5, "limits", "not a mapping of keys to values; write it as in limits: {arp: 5"),
        ("limits.arp", "many", "limits.arp", "not a whole number from 0 to 100000000"),
        ("limits.arps", 5, "limits.arps", "unknown key; did you mean 'arp'?"),
        # Routes
        ("routes", "default", "routes", "not a list; write it as in routes: [{to: default, via: "),
        ("routes", ["default"], "routes[0]", "not a mapping of keys to values"),
        ("routes", [{"via": "10.1.0.9"}], "routes[0].to", "missing; write it as in {to: default"),
        ("routes", [{"to": "default"}], "routes[0].via", "missing; write it as in {to: default"),
        ("routes", [route(dev="ext")], "routes[0].dev", "unknown key; known here: to, via"),
        ("routes", [route(to="10.2.0.0")], "routes[0].to", "has no prefix length; write default"),
        ("routes", [route(to="10.2.0.1/16")], "routes[0].to", "not default, nor a network's addr"),
        ("routes", [route(to="fd00::/8")], "routes[0].to", "not default, nor a network's address"),
        ("routes", [route(to="10.1.0.0/24")], "routes[0].to", "10.1.0.0/24 is the network of"),
        ("routes", [route(to="169.254.83.0/25")], "routes[0].to", "169.254.83.0/25 is the HA"),
        ("routes", [route(), route()], "routes[1].to", "0.0.0.0/0 is there already, as routes[0]"),
        ("routes", [route(via="x")], "routes[0].via", "not an IPv4 address, as in 203.0.113.254"),
        ("routes", [route(via="10.1.0.1")], "routes[0].via", "10.1.0.1 is the cluster's own"),
        ("routes", [route(via="10.3.0.1")], "routes[0].via", "10.3.0.1 is in no network of an"),
        # Interfaces
        ("interfaces", None, "interfaces", "missing, or not a mapping of names; write it as"),
        ("interfaces", [], "interfaces", "missing, or not a mapping of names; write it as"),
        ("interfaces", {}, "interfaces", "missing, or not a mapping of names; write it as"),
        ("interfaces.int", "eth1", "interfaces.int", "not a mapping of keys to values"),
        ("interfaces.int.nic", None, "interfaces.int.nic", "missing; write it as in nic: eth1"),
        ("interfaces.int.nic", "a/b", "interfaces.int.nic", "not a name that a network interface"),
        ("interfaces.int.nic", "int", "interfaces.int.nic", "'int' is the name of the kernel port"),
        ("interfaces.int.nic", "ha", "interfaces.int.nic", "'ha' is the name of the HA link's"),
        ("interfaces.int.nic", "br-synod", "interfaces.int.nic", "'br-synod' is the name of the b"),
        ("interfaces.int.nic", "nic-ext", "interfaces.ext.nic", "nic-ext is also the NIC of inter"),
        ("interfaces.int.nics", "x", "interfaces.int.nics", "unknown key; did you mean 'nic'?"),
        ("interfaces.int.mtu", 575, "interfaces.int.mtu", "575 is not in 576 to 9216"),
        ("interfaces.int.virtual_mac", "x", "interfaces.int.virtual_mac", "not a MAC address"),
        (
            "interfaces.int.virtual_mac",
            "01:00:00:00:00:01",
            "interfaces.int.virtual_mac",
            "a multicast address: the first byte of a unit's MAC address must be even",
        ),
        (
            "interfaces.int.virtual_mac",
            "00:00:00:00:00:00",
            "interfaces.int.virtual_mac",
            "the all-zero address is nobody's",
        ),
        (
            "interfaces.int.addresses",
            None,
            "interfaces.int.addresses",
            "missing; write it as in addresses: [10.1.0.1/24]",
        ),
        ("interfaces.int.addresses", [], "interfaces.int.addresses", "empty; write it as in addr"),
        ("interfaces.int.addresses", "10.1.0.1/24", "interfaces.int.addresses", "not a list; wri"),
        # Names
        ("interfaces.ha", {"nic": "a", "addresses": ["10.9.0.1/24"]}, "interfaces.ha", "'ha' is"),
        ("interfaces.br-synod", {"nic": "a", "addresses": ["10.9.0.1/24"]}, "interfaces.br-synod",
         "'br-synod' is the name of the bridge; choose another"),
        ("interfaces.-x", {"nic": "a", "addresses": ["10.9.0.1/24"]}, "interfaces.-x", "not a na"),
        ("interfaces.all", {"nic": "a", "addresses": ["10.9.0.1/24"]}, "interfaces.all", "'all'"),
        # HA link
        ("ha", None, "ha", "missing; the HA link needs a NIC of its own"),
        ("ha", "eth1", "ha", "not a mapping of keys to values"),
        ("ha.nic", None, "ha.nic", "missing; write it as in nic: eth1"),
        ("ha.nic", "nic-int", "ha.nic", "nic-int is also the NIC of interface int: the HA link n"),
        ("ha.nic", "synod0", "ha.nic", "'synod0' is the name of the agent's port"),
        ("ha.subnet", "x", "ha.subnet", "not an IPv4 subnet, as in 169.254.83.0/24"),
        ("ha.subnet", "10.9.0.1/24", "ha.subnet", "not the address of a subnet; did you mean 10."),
        ("ha.subnet", "10.9.0.0", "ha.subnet", "not the address of a subnet; did you mean 10.9.0"),
        ("ha.subnet", "10.9.0.0/31", "ha.subnet", "not a subnet for the HA link; take one of /8"),
        ("ha.subnet", "224.1.0.0/24", "ha.subnet", "not a subnet for the HA link"),
        ("ha.subnet", "127.0.0.0/24", "ha.subnet", "not a subnet for the HA link"),
        ("ha.subnet", "10.1.0.0/16", "ha.subnet", "10.1.0.0/16 overlaps 10.1.0.0/24 of interface"),
        # Units
        ("units", None, "units", "missing, or not a list; write it as units: [{id: 1}, {id: 2}]"),
        ("units", {"id": 1}, "units", "missing, or not a list; write it as units: ["),
        ("units", [], "units", "missing, or not a list; write it as units: ["),
        ("units.1", 7, "units[1]", "not a mapping of keys to values"),
        ("units.1.id", None, "units[1].id", "missing; write it as in id: 1"),
        ("units.1.id", 0, "units[1].id", "0 is not in 1 to 64"),
        ("units.1.id", 65, "units[1].id", "65 is not in 1 to 64"),
        ("units.1.id", 1, "units[1].id", "1 is also the id of units[0]"),
        ("units.1.weight", 1001, "units[1].weight", "1001 is not in 0 to 1000"),
        ("units.1.weight", "heavy", "units[1].weight", "not a whole number from 0 to 1000"),
        ("units.1.priority", 65536, "units[1].priority", "65536 is not in 0 to 65535"),
        ("units.1.override", "yes", "units[1].override", "not one of: true, false"),
        ("units.1.override", 1, "units[1].override", "not one of: true, false"),
        ("units.1.wieght", 1, "units[1].wieght", "unknown key; did you mean 'weight'?"),
        ("units.1.interfaces", [], "units[1].interfaces", "not a mapping of names to values; wri"),
        ("units.1.interfaces.int", "x", "units[1].interfaces.int", "not a mapping of keys to val"),
        ("units.1.interfaces.dmz", {}, "units[1].interfaces.dmz", "unknown key; known here: int,"),
        ("units.1.interfaces.int.mac", "x", "units[1].interfaces.int.mac", "not a MAC address"),
        ("units.1.interfaces.int.nick", "x", "units[1].interfaces.int.nick", "unknown key; did y"),
        ("units.1.interfaces.int.nic", "nic-ext", "units[1].interfaces.int.nic", "nic-ext is als"),
        ("units.1.interfaces.int.nic", "nic-ha", "units[1].interfaces.int.nic", "nic-ha is also"),
        ("units.1.ha.nic", "nic-int", "units[1].ha.nic", "nic-int is also the NIC of interface i"),
        ("units.1.ha.mac", "02:53:59", "units[1].ha.mac", "not a MAC address"),
    ],
)  # fmt: skip
def test_one_thing_wrong(path: str, value: object, where: str, message: str) -> None:
    ((found, said),) = errors(changed(path, value))
    assert found == where
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.1.0.1", "has no prefix length; write it as in 10.1.0.1/24"),
        ("10.1.0.1/33", "not an IPv4 address with prefix length"),
        ("10.1.0/24", "not an IPv4 address with prefix length"),
        ("2001:db8::1/64", "not an IPv4 address with prefix length"),
        ("10.1.0.0/24", "the network or broadcast address of 10.1.0.0/24, not a host's"),
        ("10.1.0.255/24", "the network or broadcast address of 10.1.0.0/24, not a host's"),
        ("224.0.0.1/24", "not an address that an interface can have"),
        ("127.0.0.1/8", "not an address that an interface can have"),
        ("0.0.0.0/8", "not an address that an interface can have"),
        ("10.1.0.1/0", "not an address that an interface can have"),
        ("240.0.0.1/24", "not an address that an interface can have"),
    ],
)
def test_what_is_no_address_of_an_interface(address: str, message: str) -> None:
    ((path, said),) = errors(changed("interfaces.int.addresses", [address]))
    assert path == "interfaces.int.addresses[0]"
    assert said.startswith(message)


def test_addresses_of_interfaces_do_not_meet() -> None:
    raw = changed("interfaces.ext.addresses", ["10.1.0.1/24", "10.1.0.129/25", "10.1.0.1/32"])
    assert errors(raw) == [
        (
            "interfaces.ext.addresses[0]",
            "10.1.0.1 is there already, as interfaces.int.addresses[0]",
        ),
        (
            "interfaces.ext.addresses[1]",
            "10.1.0.128/25 overlaps 10.1.0.0/24 of interfaces.int.addresses[0]",
        ),
        (
            "interfaces.ext.addresses[2]",
            "10.1.0.1 is there already, as interfaces.int.addresses[0]",
        ),
        (
            "interfaces.ext.addresses[2]",
            "10.1.0.1 is there already, as interfaces.ext.addresses[0]",
        ),
    ]


def test_macs_do_not_meet_given_or_generated() -> None:
    raw = example()
    raw["interfaces"]["int"]["virtual_mac"] = "02:53:59:01:02:02"
    raw["interfaces"]["ext"]["virtual_mac"] = "02:53:59:00:00:01"
    raw["units"][0]["interfaces"] = {"int": {"mac": "02:00:00:00:00:01"}}
    raw["units"][0]["ha"] = {"mac": "02:53:59:01:02:00"}
    raw["units"][1]["interfaces"] = {"int": {"mac": "02:00:00:00:00:01"}}
    assert errors(raw) == [
        (
            "interfaces.int.virtual_mac",
            "02:53:59:01:02:02 is also the one generated for units[1].interfaces.ext.mac",
        ),
        (
            "interfaces.ext.virtual_mac",
            "02:53:59:00:00:01 is also that of control frames",
        ),
        ("units[0].ha.mac", "02:53:59:01:02:00 is also the one generated for units[1].ha.mac"),
        (
            "units[1].interfaces.int.mac",
            "02:00:00:00:00:01 is also that of units[0].interfaces.int.mac",
        ),
    ]


def test_a_mac_taken_from_its_owner_is_free() -> None:
    raw = example()
    raw["units"][0]["ha"] = {"mac": "02:53:59:01:02:00"}
    raw["units"][1]["ha"] = {"mac": "02:53:59:01:01:00"}
    with pytest.raises(pytest.fail.Exception):
        errors(raw)


def test_someone_must_serve() -> None:
    raw = example(units=[{"id": 1, "weight": 0}, {"id": 2, "weight": 0}])
    assert errors(raw) == [
        ("units", "all have weight 0, so none may serve a session; give one a weight of 1")
    ]


def test_at_most_sixteen_interfaces() -> None:
    named = {f"i{n}": {"nic": f"eth{n}", "addresses": [f"10.{n}.0.1/24"]} for n in range(17)}
    assert errors(example(interfaces=named)) == [("interfaces", "17 of them; at most 16 can be")]


def test_the_ha_subnet_has_room_for_the_highest_id() -> None:
    raw = example(units=[{"id": 7}, {"id": 6}])
    raw["ha"]["subnet"] = "10.9.0.0/29"
    assert errors(raw) == [
        ("ha.subnet", "10.9.0.0/29 has no address for unit 7; take a larger one")
    ]


def test_a_nic_that_is_wrong_for_all_is_told_once() -> None:
    raw = changed("ha.nic", "nic-ext")
    raw["units"] = [{"id": number} for number in range(1, 10)]
    assert len(errors(raw)) == 1


def test_all_that_is_wrong_is_told_at_once() -> None:
    raw = example(group="x", wieght=1)
    del raw["name"]
    raw["interfaces"]["ext"] = {"nic": "nic-int", "addresses": ["10.1.0.7/16", "nonsense"]}
    raw["interfaces"]["dmz"] = {}
    raw["ha"]["subnet"] = "10.1.0.0/30"
    raw["units"] = [
        {"id": 1, "weight": "heavy", "interfaces": {"int": {"nic": "eth9"}, "ext": {"mac": "x"}}},
        {"id": 1},
        {"id": 99},
        {"id": 5, "interfaces": {"int": {"nic": "nic-ha"}}},
    ]
    raw["controllers"] = ["ssl:1.2.3.4", "ssl:1.2.3.4", "nonsense"]
    assert {path for path, _ in errors(raw)} == {
        "name",
        "group",
        "wieght",
        "controllers[1]",
        "controllers[2]",
        "interfaces.ext.nic",
        "interfaces.ext.addresses[0]",
        "interfaces.ext.addresses[1]",
        "interfaces.dmz.nic",
        "interfaces.dmz.addresses",
        "ha.subnet",
        "units[0].weight",
        "units[0].interfaces.ext.mac",
        "units[1].id",
        "units[2].id",
        "units[3].interfaces.int.nic",
    }


def test_plain_tcp_is_told_how_to_be_tls_or_allowed() -> None:
    ((_, said),) = errors(example(controllers=["tcp:192.0.2.1:6633"]))
    assert "Write ssl:192.0.2.1:6633, and make keys by 'synod pki make'" in said
    assert said.endswith("add 'openflow: plain'")
