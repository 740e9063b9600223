"""What a lab is made of, as text."""

import subprocess

import pytest

from agents.config import parse
from topologies.recipe import (
    DEFAULT_RULES,
    METHODS,
    Options,
    app_argv,
    by_hand,
    cluster_file,
    keeper_argv,
    unit_argv,
)


@pytest.mark.parametrize("units", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("interfaces", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_every_lab_has_a_valid_clusters_file(units: int, interfaces: int, method: str) -> None:
    weights = tuple(range(1, units + 1))
    options = Options(units=units, interfaces=interfaces, method=method, weights=weights)
    assert not options.errors()
    cluster = parse(cluster_file(options))
    assert [unit.weight for unit in cluster.units] == list(weights)
    assert [each.name for each in cluster.interfaces] == ["int", "ext", "dmz"][:interfaces]
    assert cluster.method == method
    assert cluster.controller == "ssl:10.254.0.254:6653"


def test_labelled_is_passed_on() -> None:
    assert parse(cluster_file(Options(balance="labelled"))).balance == "labelled"


def test_one_unit_takes_the_role_back() -> None:
    units = parse(cluster_file(Options(override=2))).units
    assert [(unit.priority, unit.override) for unit in units] == [
        (100, False),
        (200, True),
        (100, False),
    ]


def test_all_that_is_wrong_is_told_at_once() -> None:
    options = Options(
        name="../etc",
        units=17,
        interfaces=4,
        method="guess",
        weights=(1, 256),
        session_table="none",
        balance="some",
        override=18,
    )
    told = [error.partition(":")[0] for error in options.errors()]
    assert told == [
        *("name", "units", "interfaces", "weights", "weights", "override"),
        *("method", "session table", "balance"),
    ]


@pytest.mark.parametrize("name", ["", "a/b", ".", "a b", "x" * 33])
def test_a_name_is_one_of_a_directory(name: str) -> None:
    assert Options(name=name).errors()


@pytest.mark.parametrize("name", ["lab", "my-lab_2"])
def test_names_may_have_dashes(name: str) -> None:
    assert not Options(name=name).errors()


@pytest.mark.parametrize("interfaces", [2, 3])
def test_the_way_by_hand_is_a_shell_script(interfaces: int) -> None:
    options = Options(units=2, interfaces=interfaces)
    script = by_hand(options, parse(cluster_file(options)), "netdev")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for words in (
        "unshare --net --mount --pid",
        "ip link add s1-u2 ",
        "ip -n client route add default via 10.1.0.1",
        "-- add-br br-synod",
        "cp -aT /run/synod-lab/lab/pki/unit-2 /etc/synod/tls",
        "set-ssl /etc/synod/tls/privkey.pem",
        "--ctl-cert /run/synod-lab/lab/pki/controller/cert.pem",
        "table inet synod {",
        "sysctl -q -w net/ipv4/ip_forward=1",
        "agents.supervise start --config /run/synod-lab/lab/cluster.yaml --id 2",
        "ryu_apps.load_balancer",
        DEFAULT_RULES.strip(),
    ):
        assert words in script, words
    assert ("nic-dmz" in script) == (interfaces == 3)


def test_the_app_runs_under_a_plain_ryu_manager() -> None:
    options = Options(name="x")
    argv = app_argv(options.directory / "cluster.yaml")
    env = argv.index("env")
    assert argv[env + 1] == "SYNOD_CONFIG=/run/synod-lab/x/cluster.yaml"
    assert argv[env + 2] == "SYNOD_TOKEN_FILE=/run/synod-lab/x/token"
    assert argv[env + 3].endswith("/ryu-manager")
    assert argv[-1] == "ryu_apps.load_balancer"
    assert argv[argv.index("--wsapi-host") + 1] == "127.0.0.1"


def test_down_needs_no_configuration() -> None:
    config = Options().directory / "cluster.yaml"
    assert unit_argv("up", config, 2)[-4:] == ["--config", str(config), "--id", "2"]
    assert unit_argv("down", config, 2)[-2:] == ["unit", "down"]


def test_only_a_tied_lab_dies_with_its_maker() -> None:
    tied, loose = keeper_argv(Options(), True), keeper_argv(Options(), False)
    assert tied == ["setpriv", "--pdeathsig", "KILL", *loose]
    assert loose.count("--pdeathsig") == 1


def test_the_default_rules_follow_ftp_by_a_helper() -> None:
    assert 'type "ftp" protocol tcp;' in DEFAULT_RULES
    assert 'tcp dport 21 ct helper set "ftp"' in DEFAULT_RULES
