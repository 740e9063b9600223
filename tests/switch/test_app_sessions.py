"""Sessions as the app tells of them over HTTP, on a real switch."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from agents.wire import control
from tests.switch.app import Scene
from tests.switch.ovs import Switch, wait
from tests.switch.units import cluster_of

MANY = 20_000


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        yield running


def ask(scene: Scene, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{scene.app.http}{path}") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_decided_session_is_listed(scene: Scene) -> None:
    before = time.time()
    unit = scene.offer(1)[1]
    code, found = ask(scene, "/v1/sessions?src=10.1.0.10&port=40001")
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
    code, found = ask(scene, f"/v1/sessions?{query}")
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
    scene.answer_census(1, known)
    wait(lambda: scene.app.unit(1)["sessions"]["live"] >= MANY, "they are known", 60)
    answers: list[dict[str, Any]] = []
    path = "/v1/sessions?src=172.16.0.0/12&limit=1000"
    asking = [
        threading.Thread(target=lambda: answers.append(ask(scene, path)[1])) for _ in range(2)
    ]
    for thread in asking:
        thread.start()
    assert scene.offer(2).keys() == {2}
    for thread in asking:
        thread.join()
    for found in answers:
        assert (found["matching"], len(found["sessions"])) == (MANY, 1000)
        assert ask(scene, f"{path}&after={found['next']}")[1]["sessions"][0]["src"] == (
            "172.16.3.232:1024"
        )
