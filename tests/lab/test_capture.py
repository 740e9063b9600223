"""`synod-lab capture` and the dissector on what really goes over the lab's wires."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.world import World
from topologies.capturing import capturing

LUA = Path(__file__).parents[2] / "docs/wireshark/synod.lua"
UNIT = 2


def seen(path: Path, wanted: str, *fields: str) -> list[list[str]]:
    """These fields of the frames that a display filter shows."""
    options = [word for name in fields for word in ("-e", name)]
    command = ["tshark", "-n", "-r", str(path), "-X", f"lua_script:{LUA}", "-Y", wanted]
    done = subprocess.run(
        [*command, "-T", "fields", *options], capture_output=True, text=True, check=True
    )
    assert "Lua" not in done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_one_file_tells_what_the_units_tell_each_other(world: World, tmp_path: Path) -> None:
    path = tmp_path / "lab.pcapng"
    with capturing(world.lab, path) as capture:
        session = world.connect_through(UNIT)
        world.lab.run(f"u{UNIT}", ["ip", "neigh", "flush", "dev", "ext"])
        world.lab.run(f"u{UNIT}", ["ping", "-c", "1", "-W", "3", "203.0.113.10"], check=False)
        world.client("close", id=session.id)
        world.until(lambda: capture.packets() > 0, "nothing captured")
    handed = seen(path, f"synod.syn.unit == {UNIT}", "frame.interface_name", "_ws.col.Info")
    assert {f"u{number}/nic-int" for number in (1, UNIT)} <= {place for place, _ in handed}
    nat = f"SYN data: unit {UNIT}, NAT to 203.0.113.1:"
    assert all(info.startswith(nat) for _, info in handed)
    asked = seen(path, "synod.arp.opcode == 201", "synod.arp.unit")
    assert [str(UNIT)] in asked
    assert seen(path, "synod.arp.opcode == 202", "synod.arp.unit")
    keepalives = seen(path, "synod.kind == 37", "frame.interface_name", "synod.unit")
    assert {(f"u{number}/nic-ha", str(number)) for number in world.units} <= {
        (place, unit) for place, unit in keepalives
    }
    assert not seen(
        path,
        "_ws.malformed || synod.bad_value || synod.bad_length || synod.bad_map",
        "frame.number",
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "exit 3"], 1, "'sh' ended with 3"),
        (["/no/such"], 2, "/no/such: No such file or directory"),
    ],
)
def test_a_command_that_fails_while_it_is_captured_says_so(
    world: World, tmp_path: Path, command: list[str], code: int, said: str
) -> None:
    path = tmp_path / "lab.pcapng"
    name = ["--name", world.lab.options.name]
    argv = [sys.executable, "-m", "topologies.cli", "capture", *name, str(path), "--", *command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (code, said)
    assert path.exists() == (code == 1)
