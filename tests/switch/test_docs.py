"""The flows that docs/pipeline.md shows are those that a switch has."""

from pathlib import Path

import pytest

from agents.wire.packet import tuple12
from agents.wire.ports import CT_ZONE
from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.pipeline import ROWS, Passing
from ryu_apps.core.rows import When
from tests.switch import frames
from tests.switch.ovs import Switch
from tests.switch.units import CLUSTER, SERVER, UnitBridge, cluster_of

SESSION = (
    tuple12("10.1.0.10", "203.0.113.10", 40001, 80),
    tuple12("203.0.113.10", "203.0.113.1", 80, 40001),
)
PAGE = Path(__file__).parents[2] / "docs" / "pipeline.md"


def dumped(unit: UnitBridge) -> set[str]:
    text = unit.bridge.switch.run(
        *("ovs-ofctl", "-O", "OpenFlow13", "--no-names", "--no-stats"),
        *("dump-flows", unit.name),
    )
    return {line.strip() for line in text.splitlines() if "cookie=" in line}


@pytest.fixture(scope="module")
def tracking(switch: Switch) -> UnitBridge:
    return UnitBridge(switch, cluster_of(2, "conntrack"), 1)


def test_the_page_shows_real_flows_of_every_row(switch: Switch, tracking: UnitBridge) -> None:
    cluster = cluster_of(2)
    primary, auxiliary = UnitBridge(switch, cluster, 1), UnitBridge(switch, cluster, 2)
    passing = (
        *primary.become(Role.AUXILIARY, 2, passing=Passing(When.YIELDING, 2)),
        *auxiliary.become(Role.PRIMARY, 2, passing=Passing(When.SUCCEEDING, 1)),
    )
    meanwhile = dumped(primary) | dumped(auxiliary)
    names = {
        flow.cookie: flow.name
        for flow in (
            *primary.become(Role.PRIMARY, 1, diverting=True),
            *auxiliary.become(Role.AUXILIARY, 1),
            *passing,
        )
    }
    primary.tell(events.Settle(1, [], [(2, *SESSION)], []))
    names |= {flow.cookie: flow.name for flow in tracking.become(Role.PRIMARY, 1)}
    question = frames.arp(1, (cluster.unit(2).macs[1], CLUSTER), (bytes(6), SERVER), b"\xff" * 6)
    auxiliary.pass_through("kernel2", question)
    shown = {line for line in PAGE.read_text().splitlines() if line.startswith("cookie=")}
    assert shown - meanwhile - dumped(primary) - dumped(auxiliary) - dumped(tracking) == set()
    cookies = {int(line[9:25], 16) for line in shown}
    assert {row.name for row in ROWS} - {names.get(cookie) for cookie in cookies} == set()


def test_the_page_shows_real_entries(tracking: UnitBridge) -> None:
    tracking.become(Role.PRIMARY, 1)
    tracking.tell(events.Settle(1, [], [(2, *SESSION)], []))
    dump = ("dpctl/dump-conntrack", f"zone={CT_ZONE}")
    entries = {line for line in tracking.bridge.switch.appctl(*dump).splitlines() if line}
    shown = {line for line in PAGE.read_text().splitlines() if line.startswith("tcp,orig=")}
    assert shown == entries
