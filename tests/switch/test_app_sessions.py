"""Sessions as the app tells of them over HTTP, on a real switch."""

import errno
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.core_answering import Tracing, trace
from agents.core_facts import facts_of
from agents.wire import control, inquiry, ports
from tests.polling import until
from tests.switch import frames
from tests.switch.app import Scene, session
from tests.switch.described import faults
from tests.switch.ovs import Switch
from tests.switch.units import CLIENT_MAC, cluster_of

MANY = 3_000


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        yield running


def test_a_decided_session_is_listed(scene: Scene) -> None:
    before = time.time()
    unit = scene.offer(1)[1]
    code, found = scene.app.ask("/v1/sessions?src=10.1.0.10&port=40001")
    assert code == 200
    (session,) = found["sessions"]
    decided = session.pop("decided")
    assert before - 1 < decided < time.time() + 1
    assert session == {
        "src": "10.1.0.10:40001",
        "dst": "203.0.113.10:80",
        "nat_src": "203.0.113.1:40001",
        "nat_dst": "203.0.113.10:80",
        "unit": unit,
    }


@pytest.mark.parametrize("query", ["unit=x", "src=nowhere", "limit=0", "colour=red", "src=%ff"])
def test_nonsense_is_answered(scene: Scene, query: str) -> None:
    code, found = scene.app.ask(f"/v1/sessions?{query}")
    assert code == 400
    assert found["error"]


def test_of_very_many_a_page_is_told(scene: Scene) -> None:
    server, cluster = bytes((203, 0, 113, 10)), bytes((203, 0, 113, 1))
    known = []
    for number in range(MANY):
        client = bytes((172, 16)) + (number & 0xFFFF).to_bytes(2)
        sport = (1024 + (number >> 16)).to_bytes(2)
        reply = server + cluster + b"\0\x50" + sport
        known.append(control.Counted(client + server + sport + b"\0\x50", reply, 1))

    def told() -> bool:
        """The app asks anew if it has waited for too long, and what it asked before is stale."""
        scene.answer_census(1, known)
        return scene.app.unit(1)["sessions"]["live"] >= MANY

    until(told, "they are known", 60)
    answers: list[dict[str, Any]] = []
    path = "/v1/sessions?src=172.16.0.0/12&limit=1000"
    asking = [
        threading.Thread(target=lambda: answers.append(scene.app.ask(path)[1])) for _ in range(2)
    ]
    for thread in asking:
        thread.start()
    assert scene.offer(2).keys() == {2}
    for thread in asking:
        thread.join()
    for found in answers:
        assert (found["matching"], len(found["sessions"])) == (MANY, 1000)
        assert scene.app.ask(f"{path}&after={found['next']}")[1]["sessions"][0]["src"] == (
            "172.16.3.232:1024"
        )


# -- /v1/explain


class Asking:
    """One question, and the agents that answer it."""

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene = scene
        for heard in scene.heard.values():
            for message in tuple(heard):
                if message.kind == control.QUESTION:
                    heard.remove(message)
        path = f"/v1/explain?src=10.1.0.10:{40000 + number}&dst=203.0.113.10:80"
        self._found: list[tuple[int, dict[str, Any]]] = []
        self._thread = threading.Thread(target=lambda: self._found.append(scene.app.ask(path)))
        self._thread.start()

    def answer(self, unit: int, what: int, value: inquiry.Held | inquiry.Traced) -> None:
        """The agent of that unit is asked, and answers."""
        message = self.scene.await_messages(unit, control.QUESTION)[-1]
        assert inquiry.question(message)[0] == what
        self.scene.heard[unit].remove(message)
        self.scene.put(unit, *inquiry.answer_frames(1, unit, message.token, value))

    def found(self) -> dict[str, Any]:
        """What the app says at last."""
        self._thread.join()
        ((code, found),) = self._found
        assert code == 200, found
        assert faults("Explanation", found) == []
        return found


NONE = inquiry.Held(errno.ENOENT)


def test_a_session_is_explained_by_agents_and_flows(scene: Scene) -> None:
    scene.offer(300, known=2)
    orig, reply = session(300)
    primary = scene.units[1]
    packet = frames.tcp(CLIENT_MAC, ports.virtual_mac(1, 1), orig, frames.ACK)
    primary.bridge.put(primary.port("nic1"), packet)
    entry = inquiry.Held(0, orig, reply, 14, 3, 300, 7, bytes((4,)) + bytes(15))
    asking = Asking(scene, 300)
    for unit in (1, 2, 3):
        asking.answer(unit, inquiry.ENTRY, entry)
    found = asking.found()
    assert found["session"]["unit"] == 2
    assert [unit["entry"]["mark"] for unit in found["units"]] == [7, 7, 7]
    assert [(flow["name"], flow["there"]) for flow in found["flows"]] == [
        *[("session", True)] * 2,
        ("served_by", True),
        *[("to_peer", True)] * 2,
    ]
    assert [flow["packets"] for flow in found["flows"][:2]] == [1, 0]
    assert [fate["lives"] for fate in found["fates"]] == [True, True]


def test_units_that_do_not_answer_are_not_waited_for(scene: Scene) -> None:
    scene.offer(301, known=3)
    before = time.monotonic()
    found = Asking(scene, 301).found()
    assert time.monotonic() - before < 5
    assert [unit["answered"] for unit in found["units"]] == [False] * 3
    assert found["session"]["unit"] == 3
    assert found["summary"][-1] == "Not answered: units 1, 2, 3."


def test_what_would_become_of_a_syn_is_asked_of_the_real_bridge(scene: Scene) -> None:
    asking = Asking(scene, 302)
    for unit in (1, 2, 3):
        asking.answer(unit, inquiry.ENTRY, NONE)
    facts = facts_of(
        replace(scene.cluster, bridge=scene.units[1].name), 1, boot=1, host="", version="1", mtus={}
    )
    asking.answer(1, inquiry.TRACE, run(scene, trace(facts, session(302)[0])))
    found = asking.found()
    syn = found["syn"]
    assert [command["flows"] for command in syn["commands"]] == [[], ["nic_syn"], [], ["divert"]]
    assert (syn["came"], syn["leaves"]) == ("int", "ext")
    assert scene.offer(302) == {302: syn["chosen"]}


def run(scene: Scene, tracing: Tracing) -> inquiry.Traced:
    """As an agent would, but that the routes are those of a unit that has its addresses."""
    routes = iter(("int", "ext"))
    said: str | None = None
    try:
        while True:
            program, *words = next(tracing) if said is None else tracing.send(said)
            if program == "ip":
                said = json.dumps([{"dev": next(routes)}])
            else:
                said = scene.switch.appctl(*words[2:])
    except StopIteration as end:
        found: inquiry.Traced = end.value
        return found


@pytest.mark.parametrize("query", ["", "src=10.1.0.1:1", "src=10.1.0.1&dst=10.1.0.2:2"])
def test_what_is_no_question_is_answered(scene: Scene, query: str) -> None:
    assert scene.app.ask(f"/v1/explain?{query}")[0] == 400


def test_they_are_asked_by_get_only(scene: Scene) -> None:
    assert scene.app.order("/v1/explain")[0] == 405
