"""docs/openapi.yaml against the app: schemathesis asks what it describes, and what it forbids.

The orders that it makes up are carried out, on three units on the real switch.
"""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

import schemathesis
from hypothesis import HealthCheck, settings

from ryu_apps.api import Api
from ryu_apps.api_sessions import SessionsApi
from ryu_apps.core.order_forms import FORMS
from ryu_apps.description import description
from tests.polling import until
from tests.switch.app import Scene
from tests.switch.described import faults
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of

EXAMPLES = 25  # of each operation


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        running.offer(*range(9))
        yield running


asked = schemathesis.openapi.from_dict(description())


@asked.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    suppress_health_check=[*HealthCheck],
)
def test_the_app_answers_as_described(case: Any, scene: Scene) -> None:
    headers = {"Authorization": "Bearer only-for-this-test"}
    case.call_and_validate(base_url=scene.app.url, headers=headers)


def test_the_app_serves_its_description(scene: Scene) -> None:
    assert scene.app.ask("/v1/openapi.json") == (200, description())


def test_all_that_the_app_answers_to_is_described() -> None:
    paths = set()
    ours = [getattr(each, name) for each in (Api, SessionsApi) for name in dir(each)]
    for one in ours:
        if found := getattr(one, "routing_info", None):
            paths |= {found["path"].replace("{verb}", verb) for verb in FORMS}
    assert paths <= set(description()["paths"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/status", "Status"),
        ("/v1/events", "Events"),
        ("/v1/history", "History"),
        ("/v1/sessions", "Sessions"),
    ],
)
def test_every_key_is_described(scene: Scene, path: str, name: str) -> None:
    until(scene.formed, "all units are up", 20)
    _, told = scene.app.ask(path)
    assert faults(name, told) == []


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/units/2", "/v1/units/a%2Fb/drain", "/v2/status", "/%ff"]
)
def test_what_is_not_there_is_answered_in_json(scene: Scene, path: str) -> None:
    code, said = scene.app.ask(path)
    assert (code, list(said)) == (404, ["error"])
