"""What makes a host a unit, as data: complete, in the right order, and possible to take back."""

import subprocess
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from agents.bringup import Host, plan
from agents.bringup_steps import Block, Command, Offloads, Step, Sysctls, shell
from agents.config import Cluster, parse

TEXT = """
name: plan
group: 7
interfaces:
  int: {nic: nic-int, addresses: [10.1.0.1/24, 10.1.1.1/24]}
  ext: {nic: nic-ext, addresses: [203.0.113.1/24]}
routes: [{to: 10.2.0.0/16, via: 10.1.1.254}, {to: default, via: 203.0.113.254}]
ha: {nic: nic-ha, subnet: 169.254.83.0/24}
units:
  - {id: 1}
  - {id: 2, interfaces: {int: {nic: ens5.10, mac: "02:00:00:00:00:99"}}}
controllers: ["ssl:10.254.0.254:6653"]
"""


@pytest.fixture
def cluster() -> Cluster:
    return parse(TEXT)


def steps(cluster: Cluster, unit: int = 1, host: Host | None = None) -> tuple[Step, ...]:
    return plan(cluster, unit, "/etc/synod/cluster.yaml", host or Host(database="/etc/db"))


def commands(found: tuple[Step, ...], *words: str) -> list[Command]:
    """The commands that have all these words."""
    return [each for each in found if isinstance(each, Command) and {*words} <= {*each.argv}]


def place(found: tuple[Step, ...], *words: str) -> int:
    return found.index(commands(found, *words)[0])


def test_the_bridge_has_its_controller_and_fails_closed_before_it_has_a_port(
    cluster: Cluster,
) -> None:
    found = steps(cluster)
    (bridge,) = commands(found, "add-br")
    assert "fail_mode=secure" in bridge.argv
    assert "controller=@controller" in bridge.argv
    assert 'target="ssl:10.254.0.254:6653"' in bridge.argv
    assert "add-port" not in bridge.argv
    assert place(found, "add-br") < place(found, "add-port")


def test_the_switch_has_its_keys_before_it_connects_and_until_it_does_no_more(
    cluster: Cluster,
) -> None:
    found = steps(cluster, host=Host(tls="/keys"))
    (keys,) = commands(found, "set-ssl")
    assert keys.argv[-3:] == ("/keys/privkey.pem", "/keys/cert.pem", "/keys/cacert.pem")
    assert keys.undo[-1] == "del-ssl"
    assert found.index(keys) < place(found, "add-br")
    plain = replace(cluster, controller="tcp:10.254.0.254:6653")
    assert not commands(steps(plain), "set-ssl")


def test_the_datapath_id_says_whose_bridge_it_is(cluster: Cluster) -> None:
    (bridge,) = commands(steps(cluster, 2), "add-br")
    assert "other_config:datapath-id=5359000000070002" in bridge.argv
    assert "external_ids:synod=plan/2" in bridge.argv


def test_ports_have_their_numbers_and_the_units_macs(cluster: Cluster) -> None:
    (ports,) = commands(steps(cluster, 2), "add-port")
    settings = {}
    for command in " ".join(ports.argv).split(" -- "):
        words = command.split()
        if words[:2] == ["set", "interface"]:
            settings[words[2]] = words[3:]
    assert settings["ens5.10"] == ["ofport_request=1"]
    assert settings["nic-ext"] == ["ofport_request=2"]
    assert settings["nic-ha"] == ["ofport_request=99"]
    assert {"ofport_request=101", 'mac="02:00:00:00:00:99"'} <= {*settings["int"]}
    assert {"ofport_request=102", 'mac="02:53:59:07:02:02"'} <= {*settings["ext"]}
    assert {"ofport_request=199", 'mac="02:53:59:07:02:00"'} <= {*settings["ha"]}
    assert "ofport_request=200" in settings["synod0"]


def test_the_kernel_is_off_the_nics_before_it_has_an_address(cluster: Cluster) -> None:
    found = steps(cluster)
    (nics,) = [each for each in commands(found, "nft") if "table netdev synod {" in each.stdin]
    assert found.index(nics) < place(found, "add-br") < place(found, "address", "replace")
    assert 'devices = { "nic-int", "nic-ext", "nic-ha" }' in nics.stdin


def test_on_the_way_back_the_addresses_go_before_the_kernel_is_let_on_the_nics(
    cluster: Cluster,
) -> None:
    back = [step.undo for step in reversed(steps(cluster)) if isinstance(step, Command)]
    bridge = next(number for number, undo in enumerate(back) if "del-br" in undo)
    assert bridge < back.index(("nft", "delete", "table", "netdev", "synod"))


def test_the_agents_port_is_not_the_kernels(cluster: Cluster) -> None:
    found = steps(cluster)
    (port,) = [each for each in commands(found, "nft") if "table netdev synod0 {" in each.stdin]
    assert place(found, "add-port") < found.index(port)
    assert 'devices = { "synod0" }' in port.stdin


def test_every_address_is_given(cluster: Cluster) -> None:
    given = {(c.argv[-1], IPv4Interface(c.argv[3])) for c in commands(steps(cluster, 2), "address")}
    assert given == {
        ("ha", IPv4Interface("169.254.83.2/24")),
        ("int", IPv4Interface("10.1.0.1/24")),
        ("int", IPv4Interface("10.1.1.1/24")),
        ("ext", IPv4Interface("203.0.113.1/24")),
    }


def test_the_queues_are_made_long_once_there_are_ports(cluster: Cluster) -> None:
    found = steps(cluster, host=Host(python="/bin/python3"))
    (queues,) = commands(found, "agents.queues")
    assert queues.argv == ("/bin/python3", "-m", "agents.queues")
    assert place(found, "add-port") < found.index(queues) < place(found, "address", "replace")


def tracking(pickup: str = "established") -> Cluster:
    """The same cluster, with its sessions in the switch's connection tracker."""
    return parse(f"{TEXT}session_table: conntrack\npickup: {pickup}\n")


def test_entries_of_sessions_live_long_in_their_own_zone_only(cluster: Cluster) -> None:
    assert not commands(steps(cluster), "add-zone-tp")
    found = steps(tracking())
    (policy,) = commands(found, "add-zone-tp", "zone=21337")
    at = policy.argv.index("add-zone-tp")
    assert policy.argv[at + 1] == "netdev"
    states = dict(word.split("=") for word in policy.argv[at + 3 :])
    assert len(states) == 8
    assert set(states.values()) == {str(24 * 86400)}
    assert place(found, "add-br") < found.index(policy)


@pytest.mark.parametrize("known", [True, False])
def test_the_databases_record_of_a_datapath_is_made_if_there_is_none(known: bool) -> None:
    (policy,) = commands(steps(tracking(), host=Host(datapath_known=known)), "add-zone-tp")
    assert ("create" in policy.argv) is not known
    assert "del-zone-tp" in policy.undo
    assert ("remove" in policy.undo) is not known


def test_the_kernels_tracker_knows_no_windows_of_what_the_switch_gives_it() -> None:
    def liberal(cluster: Cluster, datapath: str) -> bool:
        settings = [
            s for s in steps(cluster, host=Host(datapath=datapath)) if isinstance(s, Sysctls)
        ]
        return any(key.endswith("tcp_be_liberal") for step in settings for key, _ in step.values)

    off = parse(f"{TEXT}pickup: off\n")
    assert [liberal(off, datapath) for datapath in ("netdev", "system")] == [False, False]
    assert [liberal(tracking("off"), datapath) for datapath in ("netdev", "system")] == [
        False,
        True,
    ]
    assert liberal(tracking(), "netdev")


def test_with_the_kernels_datapath_the_nics_are_the_bridges_already(cluster: Cluster) -> None:
    found = steps(cluster, host=Host(datapath="system"))
    assert commands(found, "modprobe", "openvswitch")
    assert not [each for each in commands(found, "nft") if "nic-int" in each.stdin]
    assert not [each for each in found if isinstance(each, Offloads)]
    assert not commands(found, "agents.queues")
    assert "datapath_type=system" in commands(found, "add-br")[0].argv


def test_an_open_vswitch_that_runs_is_left_alone(cluster: Cluster) -> None:
    found = steps(cluster, host=Host(ovs_running=True, max_idle="5000"))
    assert not commands(found, "ovs-vsctl", "init")
    assert not [c for c in found if isinstance(c, Command) and c.argv[0] == "ovs-vswitchd"]
    (idle,) = commands(found, "other_config:max-idle=1000")
    assert idle.undo[-1] == "other_config:max-idle=5000"
    (first,) = commands(found, "agents.priority")
    assert (first.argv[-1], first.undo[-1]) == ("-10", "0")


def test_what_was_unset_is_unset_again(cluster: Cluster) -> None:
    (idle,) = commands(steps(cluster), "other_config:max-idle=1000")
    assert idle.undo == ("ovs-vsctl", "remove", "open_vswitch", ".", "other_config", "max-idle")


def test_a_database_that_is_there_is_neither_made_nor_removed(cluster: Cluster) -> None:
    assert not commands(steps(cluster, host=Host()), "ovsdb-tool")
    assert commands(steps(cluster), "ovsdb-tool")[0].undo == ("rm", "-f", "/etc/db")


def test_links_that_were_up_stay_up(cluster: Cluster) -> None:
    found = steps(cluster, host=Host(links_up=frozenset({"nic-int", "nic-ha"})))
    ups = [each for each in commands(found, "link", "up") if each.undo]
    assert [each.argv[3] for each in ups] == ["nic-ext"]
    assert ups[0].undo == ("ip", "link", "set", "nic-ext", "down")


# Everything that is left over when the bridge is deleted must be undone by itself.
GOES_WITH_THE_BRIDGE = ("add-port", "agents.queues", "address", "synod0", "int", "ext", "ha")
LEAVES_NOTHING = ("mkdir", "init", "modprobe")


@pytest.mark.parametrize("datapath", ["netdev", "system"])
def test_every_command_that_leaves_something_says_how_to_undo_it(
    cluster: Cluster, datapath: str
) -> None:
    for step in steps(cluster, host=Host(datapath=datapath, database="/etc/db")):
        if isinstance(step, Command) and not step.undo:
            assert {*GOES_WITH_THE_BRIDGE, *LEAVES_NOTHING} & {*step.argv}, step


def test_interfaces_with_dots_in_their_names_have_settings_too(cluster: Cluster) -> None:
    keys = [
        key
        for step in steps(cluster, 2)
        if isinstance(step, Sysctls)
        for key, _value in step.values
    ]
    assert "net/ipv6/conf/ens5.10/disable_ipv6" in keys
    assert "net/ipv4/conf/int/send_redirects" in keys
    assert len(keys) == len({*keys})


def test_labels_have_names_for_nft_and_conntrack(cluster: Cluster) -> None:
    blocks = {step.path: step.text for step in steps(cluster) if isinstance(step, Block)}
    assert blocks.keys() == {"/etc/connlabel.conf", "/etc/xtables/connlabel.conf"}
    assert all("\n6 unit-6\n" in text for text in blocks.values())


def test_the_agent_comes_last(cluster: Cluster) -> None:
    last = steps(cluster, 2)[-1]
    assert isinstance(last, Command)
    assert last.argv[1:] == (
        *("-m", "agents.supervise", "start"),
        *("--config", "/etc/synod/cluster.yaml", "--id", "2"),
    )


@pytest.mark.parametrize("datapath", ["netdev", "system"])
def test_what_is_printed_is_a_shell_script(cluster: Cluster, datapath: str) -> None:
    found = steps(cluster, host=Host(datapath=datapath, database="/etc/db"))
    script = "\n".join(map(shell, found))
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.count("\n# ") >= len(found) - 1
    assert "\n    -- add-port br-synod nic-int \\\n" in script


def test_a_heredoc_gives_the_command_its_input() -> None:
    text = shell(Command("count", ("wc", "-l"), stdin="one\ntwo\n"))
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "2"


class TestRules:
    def inet(self, cluster: Cluster) -> str:
        found = commands(steps(cluster), "nft")
        return next(each.stdin for each in found if "table inet synod" in each.stdin)

    def test_the_incoming_interface_is_a_label(self, cluster: Cluster) -> None:
        assert 'iifname "int" ct state new ct label set 65 comment "in-1"' in self.inet(cluster)
        assert 'iifname "ext" ct state new ct label set 66 comment "in-2"' in self.inet(cluster)

    def test_only_handed_over_syns_take_their_entrys_mark(self, cluster: Cluster) -> None:
        marks = [line for line in self.inet(cluster).splitlines() if "meta mark set" in line]
        assert [line.split()[1:4] for line in marks] == [
            ['"int"', "ether", "saddr"],
            ['"ext"', "ether", "saddr"],
        ]
        assert "02:53:59:07:00:01" in marks[0]
        assert all("== syn ct mark != 0" in line for line in marks)

    def test_a_second_load_replaces_the_first(self, cluster: Cluster) -> None:
        lines = self.inet(cluster).splitlines()
        assert lines[:2] == ["add table inet synod", "delete table inet synod"]

    def test_there_are_nat_chains_whatever_the_user_has(self, cluster: Cluster) -> None:
        assert "type nat hook prerouting" in self.inet(cluster)
        assert "type nat hook postrouting" in self.inet(cluster)

    def test_announced_connections_have_the_label_of_their_interface_too(
        self, cluster: Cluster
    ) -> None:
        related = [line for line in self.inet(cluster).splitlines() if "state related" in line]
        assert [line.split()[1] for line in related] == ['"int"', '"ext"']
        assert all("== syn ct label set 6" in line for line in related)

    def test_what_may_announce_is_marked_last_and_leaves_with_a_helper_mac(
        self, cluster: Cluster
    ) -> None:
        found = commands(steps(cluster), "nft")
        (port,) = [each.stdin for each in found if "table netdev synod0 {" in each.stdin]
        priority = "5359:0001"
        assert "hook postrouting priority 2147483646" in self.inet(cluster)
        assert f"meta priority set {priority}" in self.inet(cluster)
        assert 'hook egress devices = { "int", "ext" }' in port
        for index, name in enumerate(("int", "ext"), 1):
            assert (
                f'oifname "{name}" meta priority {priority} ether saddr set 02:53:59:00:01:0{index}'
            ) in port


def test_routes_come_when_the_links_are_up_the_widest_first(cluster: Cluster) -> None:
    found = steps(cluster)
    routes = commands(found, "route")
    assert [each.argv[3:] for each in routes] == [
        ("0.0.0.0/0", "via", "203.0.113.254", "dev", "ext"),
        ("10.2.0.0/16", "via", "10.1.1.254", "dev", "int"),
    ]
    assert (
        place(found, "set", "int", "up") < place(found, "set", "ext", "up") < place(found, "route")
    )
    assert not any(each.undo for each in routes)  # they go with their ports
