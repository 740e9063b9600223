"""The whole app on a real switch: units join, sessions come and go, and trouble passes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.wire import control, ports, routed_arp
from ryu_apps.core.cluster import Role
from ryu_apps.core.pipeline import desired
from tests.polling import until
from tests.switch import frames
from tests.switch.app import App, Scene, ended, session
from tests.switch.ovs import Switch
from tests.switch.units import CLUSTER, EXT, SERVER, SERVER_MAC, cluster_of

LAB = cluster_of(3)
SESSION_FLOWS = "cookie=0x5359020000000000/0xffffff0000000000"


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, LAB, tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture(autouse=True)
def all_up(scene: Scene) -> Iterator[None]:
    """Each test finds all units up and no session, and leaves it so."""
    until(scene.formed, "all units are up", 20)
    for heard in scene.heard.values():
        heard.clear()
    yield
    until(lambda: not end_all(scene), "no session is left", 20)


def sessions_of(scene: Scene) -> set[int]:
    """Client ports of the sessions that have flows."""
    lines = scene.units[1].bridge.flows(SESSION_FLOWS)
    ports_of = [re.search(r"nw_src=10\.1\.0\.10,.*tp_src=(\d+)", line) for line in lines]
    return {int(found.group(1)) for found in ports_of if found}


def end_all(scene: Scene) -> set[int]:
    """Both auxiliaries tell the end of all sessions that have flows. The app doesn't believe it of
    young ones, so that it has to be told again.
    """
    ports_left = sessions_of(scene)
    live = [control.Session(*session(sport - 40000)) for sport in ports_left]
    for unit in (2, 3):
        scene.put(unit, *control.ended_frames(1, unit, live))
    return ports_left


def durations(scene: Scene, unit: int, *match: str) -> dict[str, float]:
    """Age of each flow by cookie and match."""
    bridge = scene.units[unit].bridge
    found = {}
    for line in bridge.flows(*match):
        age = re.search(r"duration=([\d.]+)s", line)
        name = re.sub(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, ?", "", line)
        found[name] = float(age.group(1)) if age else 0.0
    return found


def test_offers_are_decided_in_turn_and_have_flows(scene: Scene) -> None:
    found = scene.offer(*range(9))
    assert sorted(found.values()) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    with_flows = {40000 + number for number, unit in found.items() if unit != 1}
    assert sessions_of(scene) == with_flows
    assert len(scene.units[1].bridge.flows(SESSION_FLOWS)) == 12


def test_offers_that_come_at_once_are_decided_in_their_order(scene: Scene) -> None:
    offers = [control.Offer(number, 0, 1, 2, 0, *session(number)) for number in range(200, 260)]
    scene.put(1, *(frame for offer in offers for frame in control.offer_frames(1, 1, [offer])))

    def decided() -> list[control.Decided]:
        messages = [each for each in tuple(scene.heard[1]) if each.kind == control.DECIDED]
        return [each for message in messages for each in control.decided(message)]

    until(lambda: len(decided()) == 60, "all are decided")
    found = decided()
    assert [each.offer_id for each in found] == list(range(200, 260))
    assert {tuple(each.unit for each in found[at : at + 3]) for at in range(0, 60, 3)} in (
        {(1, 2, 3)},
        {(2, 3, 1)},
        {(3, 1, 2)},
    )
    until(lambda: len(scene.units[1].bridge.flows(SESSION_FLOWS)) == 80, "all have their flows")


def test_an_end_takes_flows_and_entry(scene: Scene) -> None:
    found = scene.offer(20, known=2)
    assert found == {20: 2}
    ended = control.Session(*session(20))

    def forgotten() -> bool:
        scene.put(2, *control.ended_frames(1, 2, [ended]))  # until it is believed
        messages = [each for each in tuple(scene.heard[1]) if each.kind == control.FORGET]
        return any(ended in control.forgotten(message) for message in messages)

    until(forgotten, "the primary is told to forget it")
    assert sessions_of(scene) == set()


def test_an_app_that_dies_and_comes_back_disturbs_nothing(scene: Scene) -> None:
    scene.offer(30, known=2)
    before = {unit: durations(scene, unit) for unit in (1, 2, 3)}
    scene.app.stop()
    scene.app.start()
    until(scene.formed, "all units are up again", 20)
    assert scene.app.status()["primary"] == 1
    for unit in (1, 2, 3):
        after = durations(scene, unit)
        renewed = [flow for flow in before[unit] if after.get(flow, 0) < before[unit][flow]]
        assert all("actions=output:200" in flow and "in_port=10" in flow for flow in renewed)
    assert sessions_of(scene) == {40030}


def test_a_restarted_app_learns_of_sessions_by_census(scene: Scene) -> None:
    scene.offer(31, known=3)
    scene.app.stop()
    scene.heard[1].clear()
    scene.app.start()
    until(scene.formed, "all units are up again", 20)
    records = [control.Counted(*session(31), 3)]

    def known() -> bool:
        scene.answer_census(1, records)
        return bool(scene.app.unit(3)["sessions"]["live"] == 1)

    until(known, "the session is known")


def test_a_primary_that_loses_all_flows_gets_them_all_back(scene: Scene) -> None:
    scene.offer(40, known=2)
    unit = scene.units[1]
    static = {name for name in durations(scene, 1) if "cookie=0x535901" in name}
    scene.switch.vsctl("del-controller", unit.name)
    assert unit.bridge.flows() == []
    scene.connect(unit)
    until(lambda: sessions_of(scene) == {40040}, "the session's flows are back", 20)
    until(scene.formed, "all units are up again", 20)
    assert {name for name in durations(scene, 1) if "cookie=0x535901" in name} == static


def test_an_auxiliary_whose_agent_is_silent_gets_no_sessions(scene: Scene) -> None:
    scene.silent.add(3)
    try:
        until(lambda: scene.app.unit(3)["state"] == "silent", "unit 3 is silent")
        assert set(scene.offer(*range(50, 56)).values()) == {1, 2}
    finally:
        scene.silent.clear()


def test_syns_are_not_diverted_while_the_primarys_agent_is_silent(scene: Scene) -> None:
    divert = ("table=0,tcp,in_port=101,tcp_flags=+syn-ack",)
    assert durations(scene, 1, *divert)
    scene.silent.add(1)
    try:
        until(lambda: not durations(scene, 1, *divert), "SYNs go straight out")
    finally:
        scene.silent.clear()
    until(lambda: durations(scene, 1, *divert), "SYNs are diverted again")


def test_routed_arp_takes_the_whole_way(scene: Scene) -> None:
    primary, asker = scene.units[1], LAB.unit(2)
    virtual = LAB.interfaces[1].virtual_mac
    primary.bridge.sent(primary.port("nic2"))
    # The agents' seals are theirs: here is what they tell the app, and what it tells them.
    ends = control.ETH_DST, control.ETH_SRC
    request = frames.arp(
        routed_arp.ROUTED_REQUEST, (asker.macs[1], CLUSTER), (bytes(6), SERVER), *ends
    )
    scene.put(1, request)
    asked = frames.arp(1, (virtual, CLUSTER), (bytes(6), SERVER), b"\xff" * 6)
    assert primary.bridge.take(primary.port("nic2")) == [asked]
    reply = frames.arp(2, (SERVER_MAC, SERVER), (virtual, CLUSTER), virtual)
    primary.bridge.put(primary.port("nic2"), reply)
    answer = frames.arp(
        routed_arp.ROUTED_REPLY, (SERVER_MAC, SERVER), (asker.macs[1], CLUSTER), *ends
    )
    until(lambda: answer in scene.arps, "the agent is told")


def test_garbage_is_counted_by_name_and_stops_nothing(scene: Scene) -> None:
    good = control.offer_frames(1, 1, [control.Offer(0, 0, 1, 2, 0, *session(0))])[0]
    before = scene.app.status()["counters"]
    scene.put(1, good[:30], good[:14] + b"\x09" + good[15:], good[:15] + b"\x63" + good[16:])
    scene.put(2, good, control.offer_frames(1, 2, [control.Offer(0, 0, 1, 2, 0, *session(0))])[0])
    scene.units[1].bridge.put(scene.units[1].port("ha-nic"), bytes(12) + b"\x08\x06" + bytes(60))
    reasons = ("control_truncated", "control_version", "control_kind", "unit_mismatch")

    def counted() -> bool:
        now = scene.app.status()["counters"]
        wanted = (*reasons, "offer_not_primary")
        return all(now.get(reason, 0) == before.get(reason, 0) + 1 for reason in wanted)

    until(counted, "each is counted")
    assert scene.offer(60, known=2) == {60: 2}


def test_drops_of_the_switches_are_told(scene: Scene) -> None:
    auxiliary = scene.units[2]
    flows = desired(LAB, 2, Role.AUXILIARY, 1)
    (cookie,) = [flow.cookie for flow in flows if flow.name == "drop_routed_arp_stray"]
    known = (SERVER_MAC, SERVER), (LAB.unit(2).macs[EXT - 1], CLUSTER)
    unasked = frames.arp(202, *known, LAB.unit(2).ha_mac, LAB.unit(3).ha_mac)
    before = auxiliary.bridge.packets(cookie)
    auxiliary.bridge.put(auxiliary.port("ha-nic"), unasked)
    until(lambda: auxiliary.bridge.packets(cookie) == before + 1, "the switch counts it")

    def told() -> bool:  # an app that was just started hasn't read them yet
        return scene.app.unit(2)["drops"].get("drop_routed_arp_stray") == before + 1

    until(told, "the app tells it")


def test_a_bridge_of_another_cluster_is_left_alone(scene: Scene) -> None:
    other = scene.switch.bridge("other", ports.datapath_id(9, 1), {"other-nic": 1})
    scene.switch.vsctl("set-controller", "other", scene.app.openflow)
    until(lambda: "event=datapath_stranger" in scene.app.log.read_text(), "it is told", 20)
    assert other.flows() == []
    scene.switch.vsctl("del-br", "other")


def test_the_log_has_one_line_an_event(scene: Scene) -> None:
    lines = [line for line in scene.app.log.read_text().splitlines() if line.startswith("time=")]
    assert any("event=unit_up unit=2 role=auxiliary was=joining" in line for line in lines)
    for line in lines:
        assert re.fullmatch(r"time=\S+ event=[a-z_]+( \w+=('[^']*'|[^\s']+))*", line), line


def test_http_listens_on_the_loopback_address_only(scene: Scene) -> None:
    assert f"wsgi starting up on http://127.0.0.1:{scene.app.http}" in scene.app.log.read_text()


def test_a_file_that_is_wrong_ends_the_app_with_all_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("name: lab\ngroup: 300\nunits: [{id: 1}, {id: 1}]\n")
    done = ended(path, "ryu_apps.load_balancer")
    assert done.returncode == 2
    for expected in ("group:", "interfaces:", "ha:", "units[1].id:"):
        assert expected in done.stderr


def test_an_error_of_our_own_ends_the_app(scene: Scene, tmp_path: Path) -> None:
    app = App(tmp_path, LAB)
    broken = (
        "from ryu.cmd.manager import main; import ryu_apps.core.controller as c;"
        "c.Controller.handle = lambda *_: 1 / 0; main()"
    )
    app.start("-c", broken)
    assert app.process
    try:
        assert app.process.wait(60) == os.EX_SOFTWARE
    finally:
        app.stop()
    assert "event=bug in=Tick" in app.log.read_text()
    assert "ZeroDivisionError" in app.log.read_text()
