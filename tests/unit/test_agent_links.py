"""What the kernel tells of links, as packed."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.links import (
    IFF_LOWER_UP,
    IFF_RUNNING,
    IFF_UP,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    Link,
    Links,
    pack_dump,
    pack_set,
    parse,
)
from agents.nfnetlink import attribute

LINKED = IFF_UP | IFF_RUNNING | IFF_LOWER_UP


def told(
    name: str = "nic-ext", flags: int = LINKED, kind: int = RTM_NEWLINK, family: int = 0
) -> bytes:
    """A message about a link, as include/uapi/linux/rtnetlink.h has it."""
    body = struct.pack("=BxHiII", family, 1, 5, flags, 0) + attribute(1, bytes(6))
    body += attribute(3, name.encode() + b"\0") if name else b""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


@pytest.mark.parametrize(
    ("flags", "linked"),
    [
        (LINKED, True),
        (LINKED | 0x1002, True),  # BROADCAST, MULTICAST
        (IFF_UP, False),  # no carrier
        (IFF_UP | IFF_LOWER_UP, False),  # a carrier, but dormant
        (IFF_UP | IFF_RUNNING, False),  # the carrier has just gone
        (IFF_RUNNING | IFF_LOWER_UP, False),  # set down
    ],
)
def test_a_link_is_what_frames_can_pass(flags: int, linked: bool) -> None:
    assert list(parse(told(flags=flags))) == [Link("nic-ext", linked)]


def test_an_interface_that_is_gone_has_no_link() -> None:
    assert list(parse(told(kind=RTM_DELLINK))) == [Link("nic-ext", False)]


def test_what_is_of_no_interest_is_left_out() -> None:
    bridge = told(kind=RTM_DELLINK, family=socket.AF_BRIDGE)
    unnamed = told(name="") + told(name="\0\0")
    both = told("nic-int", IFF_UP) + bridge + unnamed + told(kind=20) + told()
    assert list(parse(both)) == [Link("nic-int", False), Link("nic-ext", True)]


@given(st.binary(max_size=80) | st.builds(lambda cut: told()[:cut], st.integers(0, 60)))
def test_any_bytes_are_links_or_nothing(data: bytes) -> None:
    assert all(isinstance(link, Link) for link in parse(data))


def test_what_is_asked() -> None:
    link = struct.Struct("=BxHiII")
    assert pack_dump(7) == struct.pack("=IHHII", 32, RTM_GETLINK, 0x301, 7, 0) + link.pack(
        0, 0, 0, 0, 0
    )
    down = struct.pack("=IHHII", 32, RTM_NEWLINK, 0x005, 7, 0) + link.pack(0, 0, 3, 0, IFF_UP)
    assert pack_set(7, 3, up=False) == down
    assert pack_set(7, 3, up=True)[24:28] == struct.pack("=I", IFF_UP)


def test_a_nic_that_is_not_there_has_no_link() -> None:
    links = Links(["no-such-nic"])
    try:
        assert links.down() == (1,)
        assert not links.any()
        assert links.set(links.nics, up=False) == {
            "no-such-nic": "no interface with this name"  # as if_nametoindex() in Python says
        }
    finally:
        links.close()
