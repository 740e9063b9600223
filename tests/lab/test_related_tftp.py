"""TFTP is UDP: the primary's, related sessions included. TCP beside it is balanced as ever."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.related import digest, pages, write_random
from tests.lab.world import CLIENT, SERVER, World

SIZE = 3_000_000


@pytest.fixture
def tftp(related_world: World) -> Iterator[World]:
    """in.tftpd on `server`, for the same files as the other servers'."""
    root = pages(related_world, "server")
    argv = ["in.tftpd", "--foreground", "--address", "0.0.0.0:69", "--secure", str(root)]
    # With neither input nor a terminal: it would take either for inetd's socket.
    server = related_world.lab.popen("server", argv, stdin=subprocess.DEVNULL)
    related_world.until(
        lambda: ":69 " in related_world.lab.run("server", ["ss", "-lnu"]).stdout, "no TFTP server"
    )
    yield related_world
    server.terminate()
    server.wait(timeout=10)


def entries(world: World, unit: int) -> list[str]:
    """A unit's entries of UDP between client and server."""
    argv = ["conntrack", "-L", "-p", "udp", "-o", "labels", "--orig-src", CLIENT]
    other = [*argv[:-2], "--orig-src", SERVER]
    return [
        line
        for each in (argv, other)
        for line in world.lab.run(f"u{unit}", each).stdout.splitlines()
    ]


def test_tftp_goes_through_the_primary_and_tcp_is_balanced_beside_it(
    tftp: World, tmp_path: Path
) -> None:
    wanted = write_random(pages(tftp, "server") / "boot", SIZE, 5)
    fetch = ["curl", "--silent", "--show-error", "--max-time", "20", f"tftp://{SERVER}/boot"]
    transfer = tftp.lab.popen("client", [*fetch, "--output", str(tmp_path / "boot")])
    beside = 0
    while transfer.poll() is None:
        sessions = [tftp.connect() for _ in tftp.units]
        assert {session.unit for session in sessions} == set(tftp.units)
        for session in sessions:
            assert tftp.client("talk", id=session.id, text="beside") == "beside"
            tftp.client("close", id=session.id)
        beside += 1
    assert transfer.returncode == 0
    assert beside
    assert digest(tmp_path / "boot") == wanted
    asked, answered = entries(tftp, 1)
    assert "dport=69" in asked
    assert "helper=tftp" in asked
    assert "[UNREPLIED]" not in answered
    assert not any(entries(tftp, unit) for unit in (2, 3))
