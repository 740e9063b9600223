"""The flows that docs/pipeline.md shows are those that a switch has."""

from pathlib import Path

from ryu_apps.core import events
from ryu_apps.core.cluster import Role
from ryu_apps.core.pipeline import ROWS, Passing
from ryu_apps.core.rows import When
from tests.switch import frames
from tests.switch.ovs import Switch
from tests.switch.units import CLUSTER, SERVER, UnitBridge, cluster_of

PAGE = Path(__file__).parents[2] / "docs" / "pipeline.md"


def dumped(unit: UnitBridge) -> set[str]:
    text = unit.bridge.switch.run(
        *("ovs-ofctl", "-O", "OpenFlow13", "--no-names", "--no-stats"),
        *("dump-flows", unit.name),
    )
    return {line.strip() for line in text.splitlines() if "cookie=" in line}


def test_the_page_shows_real_flows_of_every_row(switch: Switch) -> None:
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
    client = bytes((10, 1, 0, 10))
    orig = client + SERVER + (40001).to_bytes(2, "big") + b"\0\x50"
    reply = SERVER + CLUSTER + b"\0\x50" + (40001).to_bytes(2, "big")
    primary.tell(events.Settle(1, [], [(2, orig, reply)], []))
    question = frames.arp(1, (cluster.unit(2).macs[1], CLUSTER), (bytes(6), SERVER), b"\xff" * 6)
    auxiliary.pass_through("kernel2", question)
    shown = {line for line in PAGE.read_text().splitlines() if line.startswith("cookie=")}
    assert shown - meanwhile - dumped(primary) - dumped(auxiliary) == set()
    cookies = {int(line[9:25], 16) for line in shown}
    assert {row.name for row in ROWS} - {names.get(cookie) for cookie in cookies} == set()
