"""docs/openapi.yaml against the app: schemathesis asks what it describes, and what it forbids.

The orders that it makes up are carried out, on three units on the real switch.
"""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

import jsonschema_rs
import schemathesis
from hypothesis import HealthCheck, settings

from ryu_apps.api import Api
from ryu_apps.api_sessions import SessionsApi
from ryu_apps.core.order_forms import FORMS
from ryu_apps.description import description
from tests.switch.app import Scene
from tests.switch.ovs import Switch, wait
from tests.switch.units import cluster_of

EXAMPLES = 25  # of each operation,
SLOW_EXAMPLES = 4  # but of one on which units' agents are waited for, which aren't there
SLOW = "/v1/explain"


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        running.offer(*range(9))
        yield running


asked = schemathesis.openapi.from_dict(description())
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[*HealthCheck],
)


def _asks(case: Any, scene: Scene) -> None:
    headers = {"Authorization": "Bearer only-for-this-test"}
    case.call_and_validate(base_url=scene.app.url, headers=headers)


@asked.exclude(path=SLOW).parametrize()
@often
def test_the_app_answers_as_described(case: Any, scene: Scene) -> None:
    _asks(case, scene)


@asked.include(path=SLOW).parametrize()
@settings(often, max_examples=SLOW_EXAMPLES)
def test_what_units_are_asked_for_is_answered_as_described(case: Any, scene: Scene) -> None:
    _asks(case, scene)


def test_the_app_serves_its_description(scene: Scene) -> None:
    assert scene.app.ask("/v1/openapi.json") == (200, description())


def test_all_that_the_app_answers_to_is_described() -> None:
    paths = set()
    for controller, name in [(each, name) for each in (Api, SessionsApi) for name in dir(each)]:
        if found := getattr(getattr(controller, name), "routing_info", None):
            paths |= {found["path"].replace("{verb}", verb) for verb in FORMS}
    assert paths <= set(description()["paths"])


def closed(schema: Any) -> Any:
    """The same, but with no keys beside those described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


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
    wait(scene.formed, "all units are up", 20)
    schema = closed(description()) | {"$ref": f"#/components/schemas/{name}"}
    validator = jsonschema_rs.validator_for(schema)
    _, told = scene.app.ask(path)
    faults = [f"{[*each.instance_path]}: {each.message}" for each in validator.iter_errors(told)]
    assert faults == []


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/units/2", "/v1/units/a%2Fb/drain", "/v2/status", "/%ff"]
)
def test_what_is_not_there_is_answered_in_json(scene: Scene, path: str) -> None:
    code, said = scene.app.ask(path)
    assert (code, list(said)) == (404, ["error"])
