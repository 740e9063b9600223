"""A scrape of the real app over HTTP, read by Prometheus' own parsers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

pytest.importorskip("ryu", reason="Ryu is not installed")

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as text

from ryu_apps.core.metrics import METRICS
from tests.polling import until
from tests.switch.app import Scene
from tests.switch.ovs import Switch
from tests.switch.units import cluster_of

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
Parse = Callable[[str], Iterable[Any]]


@pytest.fixture(scope="module")
def scene(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three units, and nine sessions that were decided."""
    with Scene(switch, cluster_of(3), tmp_path_factory.mktemp("app")) as running:
        running.offer(*range(9))
        yield running


def samples(families: Iterable[Any]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(name, labels) -> value; none twice."""
    listed = [(each.name, frozenset(each.labels.items()), each.value)
              for family in families for each in family.samples]  # fmt: skip
    found = {(name, labels): value for name, labels, value in listed}
    assert len(found) == len(listed)
    return found


@pytest.mark.parametrize(
    ("accept", "parse", "content_type"),
    [
        ("", text, "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, openmetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_a_scrape_is_read_in_either_format(
    scene: Scene, accept: str, parse: Parse, content_type: str
) -> None:
    told, body = scene.app.metrics(accept)
    assert told.startswith(content_type)
    families = list(parse(body))
    types = {family.name: family.type for family in families}
    if parse is openmetrics:
        cut = {row.name.removesuffix("_total").removesuffix("_info"): row.kind for row in METRICS}
        assert types == cut
    found = samples(families)
    for unit in "123":
        of_unit = frozenset({("unit", unit)})
        assert found["synod_unit_sessions", of_unit] == 3
        assert found["synod_unit_sessions_decided_total", of_unit] == 3
        assert found["synod_unit_state", of_unit | {("state", "up")}] == 1
        assert found["synod_unit_heartbeat_age_seconds", of_unit] < 60
    assert found["synod_primary_present", frozenset()] == 1
    assert found["synod_controller_outcomes_total", frozenset({("outcome", "decided")})] == 9


def test_what_a_bridge_dropped_is_told(scene: Scene) -> None:
    def dropping() -> set[str]:
        """Flows of unit 1 that are counted, by now."""
        found = samples(text(scene.app.metrics()[1]))
        return {
            dict(labels)["flow"]
            for name, labels in found
            if name == "synod_unit_dropped_packets_total" and ("unit", "1") in labels
        }

    assert "drop_ipv6" in until(dropping, "the bridge has told what it dropped", 20)
