"""The HTTP API of the real app: what is told of the cluster, and what has happened to it."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from ryu_apps.api import MOST_BODY
from tests.polling import until
from tests.switch.app import Scene
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        yield running


def events_of(scene: Scene, after: int = 0) -> list[dict[str, Any]]:
    code, told = scene.app.ask(f"/v1/events?after={after}")
    assert code == 200
    found: list[dict[str, Any]] = told["events"]
    return found


def test_events_are_numbered_and_dated_by_the_clock_on_the_wall(scene: Scene) -> None:
    found = events_of(scene)
    assert found[0]["event"] == "app_started"
    assert [each["number"] for each in found] == list(range(1, len(found) + 1))
    times = [each["time"] for each in found]
    assert times == sorted(times)
    assert abs(time.time() - times[-1]) < 300
    assert ("unit_up", 2) in [(each["event"], each["fields"].get("unit")) for each in found]


def test_only_what_is_new_is_told_to_who_knows_the_rest(scene: Scene) -> None:
    _, told = scene.app.ask("/v1/events")
    assert told["next"] == told["events"][-1]["number"]
    assert events_of(scene, told["next"]) == []
    scene.silent.add(3)
    try:
        (found,) = until(lambda: events_of(scene, told["next"]), "an event", 20)
    finally:
        scene.silent.clear()
    assert (found["number"], found["event"]) == (told["next"] + 1, "unit_silent")
    assert found["fields"] == {"unit": 3, "role": "auxiliary", "was": "up"}
    until(scene.formed, "all units are up", 20)
    unit = scene.app.unit(3)
    assert found["time"] < unit["since"] <= scene.app.status()["time"]


@pytest.mark.parametrize("after", ["-1", "two", "1.5", "%D9%A1", "9" * 16, "%ff"])
def test_a_number_that_is_none_is_refused(scene: Scene, after: str) -> None:
    code, told = scene.app.ask(f"/v1/events?after={after}")
    assert code == 400, told
    assert told["error"].startswith("after: ")


def test_new_sessions_are_told_second_by_second(scene: Scene) -> None:
    until(scene.formed, "all units are up", 20)

    def told() -> dict[str, list[int]]:
        code, found = scene.app.ask("/v1/history")
        assert (code, found["step"], abs(found["end"] - time.time()) < 5) == (200, 1, True)
        units: dict[str, list[int]] = found["units"]
        return units

    began = time.time()
    until(lambda: scene.app.ask("/v1/history")[1]["end"] > began, "what others offered is told", 20)
    before = {unit: sum(new) for unit, new in told().items()}
    scene.offer(*range(100, 109))

    def grown() -> dict[str, int]:
        found = {unit: sum(new) - before[unit] for unit, new in told().items()}
        return found if sum(found.values()) == 9 else {}

    assert until(grown, "the second is over", 20) == {"1": 3, "2": 3, "3": 3}

    def agree() -> bool:
        """Status and history, unless a second ends between the two answers."""
        units, lately = scene.app.status()["units"], [new[-60:] for new in told().values()]
        minute, rates = [*map(sum, lately)], [sum(new[-10:]) / 10 for new in lately]
        shares = [round(new / sum(minute), 4) for new in minute]
        return (shares, rates) == (
            [unit["share"] for unit in units],
            [unit["sessions"]["per_second"] for unit in units],
        )

    assert until(agree, "share and rate are those of the history", 20)
    assert all(0 <= unit["heard"] < 5 for unit in scene.app.status()["units"])


class TestOrders:
    def test_a_unit_is_drained_and_undrained(self, scene: Scene) -> None:
        code, unit = scene.app.order("/v1/units/2/drain", b'{"deadline": 600}')
        assert (code, unit["id"], unit["drained"]) == (200, 2, True)
        assert scene.app.order("/v1/units/2/drain")[0] == 200
        code, unit = scene.app.order("/v1/units/2/undrain")
        assert (code, unit["drained"]) == (200, False)
        assert not scene.app.unit(2)["drained"]

    def test_weights_and_the_method_are_in_force_at_once(self, scene: Scene) -> None:
        until(scene.formed, "all units are up", 20)
        code, unit = scene.app.order("/v1/units/3/weight", b'{"weight": 4}')
        assert (code, unit["weight"]) == (200, 4)
        order = b'{"method": "weighted-round-robin"}'
        assert scene.app.order("/v1/method", order) == (200, {"method": "weighted-round-robin"})
        found = scene.offer(*range(200, 212))
        assert sorted(found.values()) == [1] * 2 + [2] * 2 + [3] * 8
        assert scene.app.status()["method"] == "weighted-round-robin"
        labels = 'cluster="lab",method="weighted-round-robin"'
        assert labels in scene.app.metrics()[1]
        last = [(each["event"], each["fields"]) for each in events_of(scene)][-2:]
        assert last == [
            ("unit_weighted", {"unit": 3, "weight": 4, "was": 1}),
            ("method_changed", {"method": "weighted-round-robin", "was": "round-robin"}),
        ]
        assert scene.app.order("/v1/units/3/weight", b'{"weight": 1}')[0] == 200
        assert scene.app.order("/v1/method", b'{"method": "round-robin"}')[0] == 200

    @pytest.mark.parametrize(
        ("path", "body", "code", "words"),
        [
            ("units/2/undrain", b"", 409, "unit 2 is not drained"),
            ("units/1/promote", b'{"force": true}', 409, "unit 1 is primary already"),
            ("units/9/drain", b"", 404, "there is no unit 9"),
            ("units/2/explode", b"", 404, "'explode' is not one of drain, undrain, promote"),
            ("units/two/drain", b"", 404, "'two' is not a unit's id"),
            ("units/2/drain", b"[]", 400, "the body: "),
            ("units/2/drain", b'{"deadline": NaN}', 400, "deadline: "),
            ("units/2/weight", b'{"weight": 1001}', 400, "weight: "),
            ("method", b'{"method": "guess"}', 400, "method: not one of: round-robin, "),
        ],
    )
    def test_what_is_not_done_is_answered_with_the_reason(
        self, scene: Scene, path: str, body: bytes, code: int, words: str
    ) -> None:
        before = scene.app.unit(2)["drained"], scene.app.status()["method"]
        answered, said = scene.app.order(f"/v1/{path}", body)
        assert (answered, words in said["error"]) == (code, True), said
        assert before == (scene.app.unit(2)["drained"], scene.app.status()["method"])

    @pytest.mark.parametrize(
        ("authorization", "words"),
        [("", "Authorization: Bearer TOKEN"), ("Bearer another-token-1234", "not the token")],
    )
    @pytest.mark.parametrize("path", ["/v1/units/2/drain", "/v1/method", "/v1/units/9/nothing"])
    def test_who_does_not_show_the_token_is_turned_away(
        self, scene: Scene, path: str, authorization: str, words: str
    ) -> None:
        before = scene.app.status()["counters"].get("order_turned_away", 0)
        code, said = scene.app.order(path, b"{", authorization)
        assert (code, words in said["error"]) == (401, True), said
        assert not scene.app.unit(2)["drained"]
        assert scene.app.status()["counters"]["order_turned_away"] == before + 1
        assert "event=order_turned_away code=401 address=127.0.0.1" in scene.app.log.read_text()

    def test_a_body_that_is_too_long_is_not_read(self, scene: Scene) -> None:
        order = b'{"method": "round-robin"}'
        assert scene.app.order("/v1/method", order.ljust(MOST_BODY))[0] == 200
        head = (
            "POST /v1/method HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {scene.app.token.read_text().strip()}\r\n"
        )
        with socket.create_connection(("127.0.0.1", scene.app.http), timeout=5) as raw:
            raw.sendall(f"{head}Content-Length: {MOST_BODY + 1}\r\n\r\n".encode())
            answer = raw.makefile("rb").read()  # nothing of the body was sent
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"a body has 65536 bytes at most" in answer
        chunk = b"8000\r\n" + order.ljust(0x8000) + b"\r\n"
        with socket.create_connection(("127.0.0.1", scene.app.http), timeout=5) as raw:
            raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 4)
            assert raw.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")

    def test_without_a_token_of_its_own_the_app_takes_no_orders(self, scene: Scene) -> None:
        token = scene.app.token.read_text()
        scene.app.token.chmod(0o644)
        try:
            code, said = scene.app.order("/v1/units/2/drain")
            assert (code, "'chmod 600 " in said["error"]) == (403, True), said
            scene.app.token.unlink()
            code, said = scene.app.order("/v1/units/2/drain")
            assert (code, "make one by (umask 077 && " in said["error"]) == (403, True), said
            assert scene.app.ask("/v1/status")[0] == 200
        finally:
            scene.app.token.touch()
            scene.app.token.chmod(0o600)
            scene.app.token.write_text(token)
        assert scene.app.order("/v1/units/2/drain")[0] == 200
        assert scene.app.order("/v1/units/2/undrain")[0] == 200

    def test_what_only_reads_is_not_posted_to_and_the_other_way_round(self, scene: Scene) -> None:
        for path in ("/v1/status", "/v1/events", "/v1/history", "/metrics"):
            assert scene.app.order(path)[0] == 405
        for path in ("/v1/method", "/v1/units/2/drain"):
            code, said = scene.app.ask(path)
            assert (code, said["error"].endswith(" takes POST only")) == (405, True), said

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
    @pytest.mark.parametrize("path", ["/", "/page/main.js", "/v1/status"])
    def test_whoever_reads_by_another_method_is_told_by_which(
        self, scene: Scene, path: str, method: str
    ) -> None:
        request = urllib.request.Request(scene.app.url + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert (refused.value.code, refused.value.headers["Allow"]) == (405, "GET, HEAD")
        assert "GET, HEAD" in json.load(refused.value)["error"]
