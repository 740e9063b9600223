"""`synod pki make`, with Open vSwitch's own ovs-pki: what comes out, and what stays as it was."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents import pki
from agents.cli import app
from agents.config_tls import NAMES, faults, of
from agents.machine import ProvisionError
from tests.switch import ovs
from tests.switch.units import cluster_text

MACHINES = ["controller", "unit-1", "unit-2"]


@pytest.fixture(scope="module", autouse=True)
def _ovs_is_here() -> None:
    if lacking := ovs.missing():
        pytest.skip(f"missing: {', '.join(lacking)}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "new" / "pki"
    assert make(made) == MACHINES
    yield made
    assert not list(made.glob(".*")), "nothing half done is left"


def make(folder: Path, *units: int) -> list[str]:
    return pki.make(folder, units or (1, 2), lambda _: None)


def signed_by(folder: Path, authority: str, machine: str) -> bool:
    ca, certificate = folder / "ca" / authority / "cacert.pem", folder / machine / "cert.pem"
    argv = ("openssl", "verify", "-CAfile", ca, certificate)
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_machine_has_what_it_needs_and_no_more(folder: Path) -> None:
    for machine in MACHINES:
        assert sorted(path.name for path in (folder / machine).iterdir()) == sorted(NAMES)
        assert faults(of(str(folder / machine))) == []
        assert (folder / machine / "privkey.pem").stat().st_mode & 0o777 == 0o600
        assert (folder / machine).stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700


def test_each_side_is_signed_by_one_ca_and_given_the_others(folder: Path) -> None:
    assert signed_by(folder, "controllerca", "controller")
    assert not signed_by(folder, "switchca", "controller")
    assert signed_by(folder, "switchca", "unit-2")
    assert not signed_by(folder, "controllerca", "unit-2")
    of_switches = (folder / "ca/switchca/cacert.pem").read_bytes()
    of_controller = (folder / "ca/controllerca/cacert.pem").read_bytes()
    assert (folder / "controller/cacert.pem").read_bytes() == of_switches
    assert (folder / "unit-1/cacert.pem").read_bytes() == of_controller


def test_done_again_it_adds_what_is_missing_and_changes_nothing(folder: Path) -> None:
    before = contents(folder)
    assert make(folder) == []
    assert contents(folder) == before
    assert make(folder, 1, 2, 7) == ["unit-7"]
    after = contents(folder)
    assert {name: after[name] for name in before if not name.startswith("ca/")} == {
        name: text for name, text in before.items() if not name.startswith("ca/")
    }
    assert signed_by(folder, "switchca", "unit-7")


def test_a_folder_that_is_not_whole_is_told_of_and_left(folder: Path) -> None:
    (folder / "unit-1" / "cert.pem").unlink()
    before = contents(folder)
    with pytest.raises(ProvisionError, match=r"unit-1 lacks cert\.pem: remove that folder"):
        make(folder)
    assert contents(folder) == before


def test_without_its_cas_nothing_is_signed_by_others(folder: Path) -> None:
    (folder / "ca").rename(folder.parent / "away")
    with pytest.raises(ProvisionError, match=r"ca is missing, and controller, unit-1, unit-2 had"):
        make(folder)
    (folder.parent / "away").rename(folder / "ca")


def test_a_folder_of_everybodys_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ProvisionError, match=r"others than its owner can look into it"):
        make(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_fails_says_what_failed_and_leaves_nothing(folder: Path) -> None:
    (folder / "ca/switchca/private/cakey.pem").unlink()
    with pytest.raises(ProvisionError, match=r"'ovs-pki .*sign.*' failed|ovs-pki signed nothing"):
        make(folder, 3)
    assert not (folder / "unit-3").exists()


def test_the_command_says_what_it_does_and_what_is_to_be_done_then(tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text(cluster_text(2))
    run = CliRunner()
    argv = ["pki", "make", "--config", str(config), str(tmp_path / "pki")]
    first = run.invoke(app, argv)
    assert first.exit_code == 0
    lines = first.output.splitlines()
    assert lines[:2] == [
        "two certificate authorities: the controller's, the switches'",
        "controller: its key, and a certificate for it",
    ]
    assert lines[-1] == f"copy {tmp_path}/pki/unit-2 to that unit: /etc/synod/tls"
    assert run.invoke(app, argv).output == f"{tmp_path}/pki has all of it already\n"
    (tmp_path / "pki/unit-2/cacert.pem").unlink()
    assert run.invoke(app, argv).exit_code == 1
