"""Service files: what stands in them, that systemd takes them, and when they are refused."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agents.config import Cluster, parse
from agents.systemd import APP, UNIT, Place, app_file, unit_file

CLUSTER = """
name: office
group: 1
interfaces:
  int: {nic: enp2s0, addresses: [10.1.0.1/24]}
ha: {nic: enp4s0}
units: [{id: 1}, {id: 2}]
controllers: ["ssl:192.0.2.10:6653"]
"""
CONFIG = "/etc/synod/cluster.yaml"


@pytest.fixture
def cluster() -> Cluster:
    return parse(CLUSTER)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("python", "ryu-manager"):
        (tmp_path / name).symlink_to("/bin/true")  # systemd looks whether they are there
    return Place(str(tmp_path / "python"), ("/opt/synod/.venv", "/usr"))


def settings(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    return dict(pairs)


def test_systemd_takes_them(cluster: Cluster, place: Place, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    files = {
        UNIT: unit_file(cluster, 1, "/etc/a b%c$d/cluster.yaml", place),
        APP: app_file(cluster, "/etc/a b%c$d/cluster.yaml", place),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    argv = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in files)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "synod" in line]
    assert (done.returncode, said) == (0, [])


def test_a_unit_is_brought_up_and_kept_by_one_process(cluster: Cluster, place: Place) -> None:
    found = settings(unit_file(cluster, 2, CONFIG, place))
    assert found["ExecStart"] == (
        f"{place.python} -u -m agents.cli unit up --foreground --id 2 --config {CONFIG}"
    )
    chosen = settings(unit_file(cluster, 2, CONFIG, place, "netdev"))
    assert chosen["ExecStart"] == f"{found['ExecStart']} --datapath netdev"
    assert found["ExecStop"] == f"{place.python} -m agents.cli unit down"
    assert found["Type"] == "notify"
    assert found["NoNewPrivileges"] == "yes"


def test_the_app_listens_where_the_units_look_for_it(cluster: Cluster, place: Place) -> None:
    found = settings(app_file(cluster, CONFIG, place))["ExecStart"]
    assert "/ryu-manager --ofp-listen-host 192.0.2.10 --ofp-ssl-listen-port 6653 " in found
    plain = replace(cluster, controller="tcp:192.0.2.11")
    found = settings(app_file(plain, CONFIG, place))["ExecStart"]
    assert "/ryu-manager --ofp-listen-host 192.0.2.11 --ofp-tcp-listen-port 6653 --wsapi" in found


def test_the_app_has_its_keys_and_is_given_them(cluster: Cluster, place: Place) -> None:
    found = settings(app_file(cluster, CONFIG, place))
    for option, name in (("privkey", "privkey"), ("cert", "cert")):
        assert f"--ctl-{option} /etc/synod/app-tls/{name}.pem" in found["ExecStart"]
    assert "--ca-certs /etc/synod/app-tls/cacert.pem" in found["ExecStart"]
    assert found["ExecStartPre"].split()[1:] == [
        *("--recursive", "synod:", "/etc/synod/token", "/etc/synod/app-tls")
    ]


def test_what_a_service_would_not_see_is_known() -> None:
    place = Place("python", ("/opt/synod/.venv", "/root/.pyenv/versions/3.11", "/home", "/homes"))
    assert place.hidden() == ["/root/.pyenv/versions/3.11", "/home"]
    assert Place.here().prefixes


def test_special_characters_are_systemds(cluster: Cluster, place: Place) -> None:
    text = unit_file(cluster, 1, '/a b/"c"%d$e', place)
    assert '--config "/a b/\\"c\\"%%d$$e"' in text
