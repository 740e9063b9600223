"""The bytes shown in docs/wire are those that the encoders make."""

import re
from pathlib import Path

from agents.wire import control, labels, peer, ports, routed_arp, syndata
from agents.wire.packet import tuple12

DOCS = Path(__file__).parents[2] / "docs" / "wire"
ORIG = tuple12("10.1.0.10", "203.0.113.10", 40000, 80)
REPLY = tuple12("203.0.113.10", "203.0.113.1", 80, 1024)


def shown(page: str) -> bytes:
    (block,) = re.findall(r"```hex\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return bytes.fromhex(block)


def test_syn_data() -> None:
    data = syndata.SynData(2, 1, 1, 42, bytes(16), REPLY, helper="ftp")
    assert shown("syndata.md") == syndata.encode(data)


def test_control() -> None:
    frames = control.ended_frames(1, 2, [control.Session(ORIG, REPLY)])
    assert [shown("control.md")] == frames


def test_peer() -> None:
    expectation = peer.Expectation(
        tuple12("10.1.0.10", "203.0.113.10", 40000, 21),
        tuple12("203.0.113.10", "203.0.113.1", 0, 50000),
        b"\xff\xff\xff\xff\0\0",
        function="nat-follow-master",
        direction=1,
        nat=bytes(4) + (50000).to_bytes(2),
    )
    link = peer.Link(1, 2, ports.ha_mac(1, 2), ports.ha_mac(1, 1))
    assert [shown("peer.md")] == peer.expect_frames(link, [peer.Ask(7, expectation)])


def test_routed_arp() -> None:
    asked = routed_arp.Arp(
        op=routed_arp.ROUTED_REQUEST,
        sha=ports.physical_mac(1, 2, 2),
        spa=bytes((203, 0, 113, 1)),
        tha=routed_arp.UNKNOWN,
        tpa=bytes((203, 0, 113, 10)),
        eth_dst=ports.ha_mac(1, 1),
        eth_src=ports.ha_mac(1, 2),
    )
    assert shown("routed_arp.md") == routed_arp.encode(asked)


def test_labels() -> None:
    dumped = shown("labels.md")
    assert labels.unit_of(dumped) == 64
    assert labels.interface_of(dumped) == 16
    assert labels.balanced(dumped)


def test_ports() -> None:
    page = (DOCS / "ports.md").read_text()
    assert f"`{ports.datapath_id(1, 2):016x}`" in page
