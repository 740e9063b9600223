"""Meters as the app gives them to bridges, and what it tells of them."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.config import parse
from ryu_apps.core.limits import MOST, Limit, meters
from tests.polling import until
from tests.switch import frames
from tests.switch.app import Scene
from tests.switch.ovs import Switch
from tests.switch.units import CLIENT, CLIENT_MAC, cluster_of, cluster_text

LAB = cluster_of(2)
QUESTION = frames.arp(1, (CLIENT_MAC, CLIENT), (bytes(6), bytes((10, 1, 0, 1))), b"\xff" * 6)


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(switch, LAB, tmp_path_factory.mktemp("app"))
    limit(made, 5)
    with made as running:
        yield running


def limit(scene: Scene, arp: int) -> None:
    """Another limit in the app's file; units have none in theirs."""
    text = cluster_text(2) + f"limits: {{arp: {arp}}}\n"
    scene.app.config.write_text(text)


def add_meter(scene: Scene, unit: int, number: int) -> None:
    meter = f"meter={number},pktps,stats,bands=type=drop,rate=7"
    bridge = scene.units[unit].name
    scene.switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-meter", bridge, meter)


def rates(scene: Scene, unit: int) -> dict[int, int]:
    bridge = scene.units[unit].name
    text = scene.switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-meters", bridge)
    return {int(a): int(b) for a, b in re.findall(r"meter=(\d+) .*bands=\n.* rate=(\d+)", text)}


def test_what_is_over_a_limit_is_told_by_its_name(scene: Scene) -> None:
    primary = scene.units[1]
    for port in ("nic1", "nic2"):
        primary.bridge.put(primary.port(port), *[QUESTION] * 40)

    def told() -> int:
        return int(scene.app.unit(1)["drops"].get("limit_arp", 0))

    until(told, "the status tells it", 10)
    dropped = sum(primary.bridge.meters()[Limit.ARP.number(index)][0] for index in (1, 2))
    until(lambda: told() == dropped, "all of it", 10)
    _, text = scene.app.metrics()
    lines = [line for line in text.splitlines() if "limit_arp" in line and 'unit="1"' in line]
    assert [float(line.split()[-1]) for line in lines if '"limit_arp"' in line] == [dropped]


def test_meters_outlive_an_app_and_what_is_left_of_another_goes(scene: Scene) -> None:
    wanted = dict(meters(parse(scene.app.config.read_bytes())))
    assert rates(scene, 1) == rates(scene, 2) == wanted
    ages = {unit: bridge.bridge.meters() for unit, bridge in scene.units.items()}
    for number in (MOST - 1, MOST):
        add_meter(scene, 2, number)
    scene.app.stop()
    limit(scene, 6)
    scene.app.start()
    until(scene.formed, "all units are up again", 20)
    wanted |= dict.fromkeys((number for number, rate in wanted.items() if rate == 5), 6)
    until(lambda: rates(scene, 1) == wanted, "the limit is another")
    until(lambda: rates(scene, 2) == wanted | {MOST: 7}, "ours are as they should")
    for unit, bridge in scene.units.items():
        now = bridge.bridge.meters()
        assert all(now[number][1] > ages[unit][number][1] for number in wanted)
