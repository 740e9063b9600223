"""The agent's packet socket on a real device."""

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from agents.frames import Frames, mtu_of
from tests.lab.namespaces import Namespace, link, namespaces, need_root

MTU = 1400
# What no stack answers or sends by itself: the local experimental EtherType.
HEAD = bytes.fromhex("02535900000102535900000288b5")


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Frames, socket.socket]]:
    """The namespace of `synod0`, the agent's socket there, and the bridge's end."""
    need_root("unshare", "nsenter", "ethtool")
    with namespaces(2) as (inside, outside), contextlib.ExitStack() as closing:
        link(inside, "synod0", outside, "bridge", mtu=MTU)
        with inside.entered():
            frames = Frames("synod0")
        closing.callback(frames.close)
        with outside.entered():
            bridge = closing.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        bridge.bind(("bridge", 3))
        bridge.settimeout(5)
        yield inside, frames, bridge


def heard(frames: Frames, count: int, most: int = 100) -> list[bytes]:
    """That many frames of those that are ours, waited for."""
    found: list[bytes] = []
    while len(found) < count:
        assert select.select([frames], [], [], 5)[0], f"{len(found)} of {count} frames"
        read = frames.read(most)
        assert len(read) <= most
        found += [frame for frame in read if frame.startswith(HEAD)]
    return found


def test_frames_come_whole_and_in_order(pair: tuple[Namespace, Frames, socket.socket]) -> None:
    _, frames, bridge = pair
    sent = [HEAD + number.to_bytes(2) + bytes(number) for number in range(0, MTU - 2, 7)]
    for frame in sent:
        bridge.send(frame)
    assert heard(frames, len(sent), most=10) == sent
    assert frames.read(10) == []


def test_frames_go_whole_and_in_order(pair: tuple[Namespace, Frames, socket.socket]) -> None:
    _, frames, bridge = pair
    sent = [HEAD + number.to_bytes(2) + bytes(number) for number in range(0, MTU - 2, 70)]
    assert frames.write(sent) == []
    got = [bridge.recv(2000) for _ in sent]
    assert got == sent


def test_what_the_host_sends_is_not_read(pair: tuple[Namespace, Frames, socket.socket]) -> None:
    """Neither by this socket nor by another."""
    inside, frames, bridge = pair
    with inside.entered():
        other = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with other:
        other.bind(("synod0", 0))
        other.send(HEAD + b"other")
        frames.write([HEAD + b"own"])
    assert {bridge.recv(2000) for _ in range(2)} == {HEAD + b"other", HEAD + b"own"}
    bridge.send(HEAD + b"bridge")
    assert heard(frames, 1) == [HEAD + b"bridge"]


def test_frames_that_do_not_fit_come_back(pair: tuple[Namespace, Frames, socket.socket]) -> None:
    _, frames, bridge = pair
    fits = HEAD + bytes(MTU)
    assert frames.write([fits + b"x", b"", HEAD[:8], fits]) == [fits + b"x", b"", HEAD[:8]]
    assert bridge.recv(2000) == fits


def test_a_device_that_goes_away_is_an_error(
    pair: tuple[Namespace, Frames, socket.socket],
) -> None:
    """The supervisor starts the agent again, until the device is back."""
    inside, frames, _ = pair
    inside.run("ip", "link", "delete", "synod0")
    with pytest.raises(OSError, match="Network is down"):
        frames.read(10)
    with inside.entered(), pytest.raises(OSError, match="No such device"):
        Frames("synod0")


def test_the_mtu_is_the_devices(pair: tuple[Namespace, Frames, socket.socket]) -> None:
    inside, _, _ = pair
    with inside.entered():
        assert mtu_of("synod0") == MTU
        assert mtu_of("lo") == 65536
        with pytest.raises(OSError, match="No such device"):
            mtu_of("nonesuch")
