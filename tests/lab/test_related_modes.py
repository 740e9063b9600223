"""FTP in all its modes, through NAT both ways, its control session on each unit in turn.

The talk: "Expected connections (like FTP Data) will use master connection's cnodeid". That the
rules let nothing new in but control sessions proves what a data session is: related.
"""

from pathlib import Path

import pytest

from tests.lab.related import (
    MODES,
    PASSIVE,
    Family,
    assert_together,
    curl_options,
    digest,
    families,
    family_of,
    own_ports,
    pages,
    write_random,
)
from tests.lab.world import ADDRESSES, OUTSIDE, SERVER, World

# Who asks, which address, and whose server answers.
WAYS = {"snat": ("client", SERVER, "server"), "dnat": ("server", OUTSIDE, "client")}
SIZE = 300_000


def transfer(world: World, way: str, mode: str, folder: Path, seed: int) -> Family:
    """A download and an upload in one control session of curl's."""
    host, address, server = WAYS[way]
    name, up, down = f"{way}-{mode}-{seed}", folder / f"up{seed}", folder / f"down{seed}"
    offered = write_random(pages(world, server) / name, SIZE + seed, seed)
    given = write_random(up, SIZE - seed, -seed)
    known = families(world)
    url, local = f"ftp://{address}", own_ports(3)
    first, then = (curl_options(mode, ADDRESSES[host], local) for _ in range(2))
    download = [*first, "--output", str(down), f"{url}/{name}"]
    upload = [*then, "--upload-file", str(up), f"{url}/incoming/{name}"]
    world.lab.run(host, ["curl", *download, "--next", *upload])
    assert digest(down) == offered
    assert digest(pages(world, server) / "incoming" / name) == given
    return family_of(world, known)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=[pytest.mark.both_tables] if mode == "PORT" else [])
        for mode in MODES
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_data_sessions_are_served_where_their_control_session_is(
    related_world: World, way: str, mode: str, tmp_path: Path
) -> None:
    found = [transfer(related_world, way, mode, tmp_path, seed) for seed in (1, 2, 3)]
    for family in found:
        client = family.control.original.source
        by_client = [data.original.source == client for data in family.data]
        assert by_client == [mode in PASSIVE] * 2, family
    assert_together(related_world, found)
    assert {family.unit for family in found} == set(related_world.units)


LFTP = """
set cmd:fail-exit true; set net:max-retries 1; set net:timeout 20; set net:connection-limit 1
set ftp:passive-mode {passive}; set ftp:port-range {ports}
open ftp://203.0.113.10
mirror {name} {there}
mirror --reverse --no-perms {there} incoming/{name}
"""


@pytest.mark.parametrize("passive", ["true", "false"])
def test_a_mirror_of_many_files_in_one_control_session(
    related_world: World, passive: str, tmp_path: Path
) -> None:
    """lftp lists and fetches a directory, then puts it back, on each unit in turn."""
    world, found = related_world, []
    incoming = pages(world, "server") / "incoming"
    for turn in range(3):
        name = f"mirror-{passive}-{turn}"
        source, there = pages(world, "server") / name, tmp_path / name
        source.mkdir()
        wanted = {
            f"file{number}": write_random(source / f"file{number}", 7001 * number, 100 + number)
            for number in range(1, 13)
        }
        known = families(world)
        local = own_ports(500)  # two families can't have the same data session
        ports = f"{local[0]}-{local[-1]}"
        script = LFTP.format(passive=passive, ports=ports, name=name, there=there)
        world.lab.run("client", ["lftp", "-c", script], env={"HOME": str(tmp_path)})
        for folder in (there, incoming / name):
            assert {path.name: digest(path) for path in folder.iterdir()} == wanted
        family = family_of(world, known)
        assert len(family.data) >= 2 * len(wanted)
        found.append(family)
    assert_together(world, found)
    assert {family.unit for family in found} == set(world.units)
