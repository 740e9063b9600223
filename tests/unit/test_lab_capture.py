"""`synod-lab capture`: where it listens, and what it says if it can't. Nothing is started."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from topologies.capturing import capturing, check_programs, places
from topologies.hosts import LabError, Misnamed

LINKS = {
    "u1": ["lo", "nic-int", "nic-ha", "mgmt", "br-synod", "int", "synod0", "ha"],
    "u2": ["lo", "nic-int", "nic-ha", "mgmt", "br-synod", "int", "synod0", "ha"],
    "client": ["lo", "client-eth0"],
}


class Lab:
    units = (1, 2)

    def run(self, host: str, argv: list[str]) -> Any:
        assert argv == ["ip", "-j", "link"]
        rows = [
            {"ifname": name, "flags": ["UP", *(["LOOPBACK"] if name == "lo" else [])]}
            for name in LINKS[host]
        ]
        return SimpleNamespace(stdout=json.dumps(rows))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], [f"u{unit}/{name}" for unit in (1, 2) for name in ("nic-int", "nic-ha", "synod0")]),
        (["u1/int", "u1/int"], ["u1/int"]),
        (["client", "u2/mgmt"], ["client/client-eth0", "u2/mgmt"]),
    ],
)
def test_a_unit_stands_for_its_nics_and_synod0(wanted: list[str], found: list[str]) -> None:
    assert places(Lab(), wanted) == found  # type: ignore[arg-type]


def test_an_interface_that_is_not_there_is_named_with_those_that_are() -> None:
    for name in ("eth9", ""):
        words = f"u1 has no interface '{name}'; there are nic-int, nic-ha"
        with pytest.raises(Misnamed, match=words):
            places(Lab(), [f"u1/{name}"])  # type: ignore[arg-type]


def test_what_is_missing_is_said_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match=r"no dumpcap and no mergecap .* wireshark-common"):
        check_programs()


def test_a_file_in_no_directory_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with (
        pytest.raises(Misnamed, match="no directory"),
        capturing(Lab(), tmp_path / "none/x"),  # type: ignore[arg-type]
    ):
        pytest.fail("it listens")
