"""The whole app on a real switch, with sessions in the switch's connection tracker."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.wire import control
from agents.wire.ports import CT_ZONE
from tests.polling import until
from tests.switch.app import Scene, session
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("app")
    with Scene(switch, cluster_of(3, "conntrack"), folder) as running:
        yield running


@pytest.fixture(autouse=True)
def _all_up(scene: Scene) -> None:
    until(scene.formed, "all units are up", 20)
    for heard in scene.heard.values():
        heard.clear()


def marks(scene: Scene) -> dict[int, set[int]]:
    """The marks of each session's entries, by the client's port."""
    text = scene.switch.appctl("dpctl/dump-conntrack", f"zone={CT_ZONE}")
    found: dict[int, set[int]] = {}
    for sport, mark in re.findall(r"orig=\([^)]*sport=(\d+),dport=80\).*mark=(\d+)", text):
        found.setdefault(int(sport), set()).add(int(mark))
    return found


def test_decided_sessions_are_entries_and_the_primarys_are_not(scene: Scene) -> None:
    decided = scene.offer(*range(9))
    assert sorted(decided.values()) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    wanted = {40000 + number: {unit} for number, unit in decided.items() if unit != 1}
    assert {port: found for port, found in marks(scene).items() if port < 40009} == wanted


def test_who_has_been_told_finds_the_entry_there(scene: Scene) -> None:
    for number in range(100, 140):
        scene.offer(number, known=2)
        assert 40000 + number in marks(scene)


def test_an_end_takes_the_entries(scene: Scene) -> None:
    assert scene.offer(20, known=2) == {20: 2}
    ended = control.Session(*session(20))

    def gone() -> bool:
        scene.put(2, *control.ended_frames(1, 2, [ended]))  # until it is believed
        return 40020 not in marks(scene)

    until(gone, "both entries are gone")


def test_an_app_that_dies_leaves_them_and_one_that_comes_learns_of_them(scene: Scene) -> None:
    scene.offer(30, known=2)
    scene.offer(31, known=3)
    scene.app.stop()
    scene.heard[1].clear()
    assert marks(scene)[40030] == {2}
    scene.app.start()
    until(scene.formed, "all units are up again", 20)
    assert marks(scene)[40030] == {2}
    records = [control.Counted(*session(30), 3), control.Counted(*session(31), 1)]

    def marked() -> bool:
        scene.answer_census(1, records)
        return marks(scene).get(40030) == {3}

    until(marked, "it is marked as the census says")
    until(lambda: 40031 not in marks(scene), "what is the primary's own has no mark")
    assert "Must flush tuple" not in (scene.switch.dir / "vswitchd.log").read_text()


def test_a_switch_that_has_lost_all_of_it_gets_it_back(scene: Scene) -> None:
    scene.offer(40, known=2)
    unit = scene.units[1]
    scene.switch.vsctl("del-controller", unit.name)
    scene.switch.appctl("dpctl/flush-conntrack")
    assert (unit.bridge.flows(), marks(scene)) == ([], {})
    scene.connect(unit)
    until(lambda: marks(scene).get(40040) == {2}, "the session's entries are back", 20)


def test_the_tracker_is_asked_about_one_session(scene: Scene) -> None:
    scene.offer(400, known=2)
    scene.offer(401, known=1)
    before = scene.switch.appctl("dpctl/dump-conntrack", f"zone={CT_ZONE}")
    for number, mark in ((400, 2), (401, 0)):
        src = f"10.1.0.10:{40000 + number}"
        _, found = scene.app.ask(f"/v1/explain?src={src}&dst=203.0.113.10:80")
        assert [(each["answered"], each["mark"]) for each in found["tracked"]] == [(True, mark)] * 2
    after = scene.switch.appctl("dpctl/dump-conntrack", f"zone={CT_ZONE}")
    for port in (40400, 40401):
        assert entries_of(after, port) == entries_of(before, port)


def entries_of(dump: str, port: int) -> list[str]:
    """The client's entries, but for their states: a packet of a handshake may bring one further."""
    lines = (re.sub(r",protoinfo=.*", "", line) for line in dump.splitlines())
    return sorted(line for line in lines if f"port={port}," in line or f"port={port})" in line)
