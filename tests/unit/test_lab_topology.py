"""The topology as Mininet sees it; no network is made."""

import subprocess
import sys
from pathlib import Path

import pytest

from topologies import cluster
from topologies.cluster import NETWORKS, SynodTopo

FILE = Path(cluster.__file__)


def cables(topology: SynodTopo) -> dict[tuple[str, str], str]:
    """Switch by host and interface."""
    links = topology.links(sort=True, withInfo=True)
    return {(host, link["intfName1"]): switch for host, switch, link in links}


@pytest.mark.parametrize("units", [1, 2, 3, 4])
@pytest.mark.parametrize("interfaces", [2, 3])
def test_every_unit_is_on_every_network(units: int, interfaces: int) -> None:
    found = cables(SynodTopo(units, interfaces))
    for number in range(1, units + 1):
        for network in NETWORKS[:interfaces]:
            assert found[f"u{number}", f"nic-{network.interface}"] == network.switch
        assert found[f"u{number}", "nic-ha"] == "sha"
        assert found[f"u{number}", "mgmt"] == "smg"
    assert found["controller", "mgmt"] == "smg"
    assert ("dmz", "eth0") in found or interfaces == 2


def test_mininet_gives_arguments_as_text() -> None:
    assert SynodTopo("2", "3").hosts() == ["client", "controller", "dmz", "server", "u1", "u2"]


def test_names_of_interfaces_fit_the_kernel_and_are_unique() -> None:
    links = SynodTopo(16, 3).links(sort=True, withInfo=True)
    names = [link["intfName2"] for _host, _switch, link in links]
    assert max(map(len, names)) <= 15  # IFNAMSIZ - 1
    assert len({*names}) == len(names)
    macs = [link[end] for _host, _switch, link in links for end in ("addr1", "addr2")]
    assert len({*macs}) == len(macs)


def test_it_loads_with_nothing_but_mininet() -> None:
    """As `mn --custom` loads it: by its path, from a directory that has nothing else of Synod."""
    program = (
        "import runpy, sys; found = runpy.run_path(sys.argv[1]);"
        "assert found['topos'].keys() == {'synod'};"
        "found['topos']['synod'](3);"
        "ours = {'agents', 'topologies', 'ryu_apps'} & {*sys.modules};"
        "assert not ours, ours"
    )
    argv = [sys.executable, "-P", "-c", program, str(FILE)]
    subprocess.run(argv, cwd="/", check=True)


@pytest.mark.parametrize("log", ["", "/tmp/log"])
def test_each_unit_has_files_of_its_own(log: str) -> None:
    private = SynodTopo(2, 2, log).nodeInfo("u2")["privateDirs"]
    assert {"/run/openvswitch", "/run/synod", "/etc/openvswitch"} <= {*private}
    assert [each for each in private if isinstance(each, tuple)] == (
        [("/var/log", "/tmp/log/u2")] if log else []
    )
