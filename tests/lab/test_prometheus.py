"""The dashboard and the alerts, with a real Prometheus that scrapes a real cluster's app."""

import json
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.lab.prometheus import SCRAPED, Prometheus, running
from tests.lab.world import ROOT, Session, World
from topologies.faulting import Faults

DOCS = ROOT / "docs" / "prometheus"

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="needs prometheus (Debian's package)"
)


class Query(NamedTuple):
    """A panel's question, as Grafana asks it."""

    panel: str
    expression: str
    legend: str


def queries() -> Iterator[Query]:
    """All of the dashboard, with Grafana's variables filled in."""
    # Four scrapes are Grafana's least, and docs/metrics.md scrapes every five seconds.
    known = {"$instance": SCRAPED, "$__rate_interval": "20s"}
    for panel in json.loads((DOCS / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in known.items():
                expression = expression.replace(name, value)
            assert "$" not in expression
            yield Query(panel["title"], expression, target["legendFormat"])


@pytest.fixture(scope="module")
def prometheus(_three: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that scrapes the shared lab's app."""
    with running(_three, DOCS / "alerts.yml", tmp_path_factory.mktemp("prometheus")) as found:
        yield found


def shown(prometheus: Prometheus) -> dict[str, dict[str, float]]:
    """What each panel shows: values by legend."""
    found: dict[str, dict[str, float]] = {}
    for query in queries():
        of_panel = found.setdefault(query.panel, {})
        for labels, value in prometheus.samples(query.expression):
            legend = query.legend
            for name, text in labels.items():
                legend = legend.replace("{{" + name + "}}", text)
            assert legend not in of_panel, (query, legend)
            of_panel[legend] = value
    return found


def alive(world: World) -> dict[str, float]:
    """Sessions by unit, as the app tells them elsewhere; some may be of tests before."""
    return {f"unit {row['id']}": row["sessions"]["live"] for row in world.status()["units"]}


def test_every_panel_shows_the_cluster_and_no_alert_does(
    world: World, prometheus: Prometheus
) -> None:
    variables = json.loads((DOCS / "dashboard.json").read_text())["templating"]["list"]
    (instance,) = (each for each in variables if each["type"] == "query")
    assert instance["query"]["query"] == "label_values(synod_controller_info, instance)"
    match = {"match[]": "synod_controller_info"}
    assert prometheus.get("api/v1/label/instance/values", **match) == [SCRAPED]

    primary, units = world.status()["primary"], {f"unit {unit}" for unit in world.units}
    live: list[Session] = []

    def with_rates() -> dict[str, dict[str, float]] | None:
        """A rate needs a counter that grows after it was seen once: it has to come again."""
        live.extend(world.connect() for _ in units)
        found = shown(prometheus)
        whole = set(found[RATE]) == units and all(found[RATE].values())
        known = {"offered", "handed_over", "injected"} <= set(found[OF_AGENTS])
        return found if whole and known and "decided" in found[OF_APP] else None

    panels: dict[str, Any] = world.until(with_rates, lambda: f"{shown(prometheus)}", 20)
    assert panels["Primary"] == {f"unit {primary}": 1}
    assert panels["Primary is there"] == panels["Balancing"] == {"": 1}
    assert panels["Term"][""] >= 1
    assert panels["State of each unit"] == dict.fromkeys((f"{each}: up" for each in units), 1)
    assert set(panels["Heartbeat age"]) == units
    world.until(
        lambda: shown(prometheus)["Live sessions by unit"] == alive(world),
        lambda: f"{alive(world)}, and {shown(prometheus)}",
    )
    assert sum(alive(world).values()) >= len(live)
    assert set(panels[LACKING].values()) == {0}
    empty = {name for name, values in panels.items() if not values}
    # Nothing is dropped, and that is known.
    assert empty <= {"Packets dropped a second by flow"}
    assert prometheus.samples("synod_unit_dropped_packets_total")
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
    assert prometheus.firing() == set()


def test_a_fault_is_on_the_panels_and_alerts_until_it_is_mended(
    world: World, prometheus: Prometheus
) -> None:
    unit = next(each for each in world.units if each != world.status()["primary"])
    host, others = f"u{unit}", len(world.units) - 1
    faults = Faults(world.lab)
    faults.cut(host, "ha")
    try:
        world.until(
            lambda: "SynodHaLinkLost" in prometheus.firing(), lambda: f"{prometheus.firing()}", 20
        )
        # It hears none of them, and none of them hears it.
        world.until(
            lambda: shown(prometheus)[LACKING]["HA links not heard"] == 2 * others,
            lambda: f"{shown(prometheus)[LACKING]}",
        )
    finally:
        faults.heal(host)
    world.until(
        lambda: not prometheus.firing() and set(shown(prometheus)[LACKING].values()) == {0},
        lambda: f"{prometheus.firing()} {shown(prometheus)[LACKING]}",
        30,
    )


OF_AGENTS, OF_APP = "Agents' outcomes a second", "App's outcomes a second"
RATE = "New sessions a second by unit"
LACKING = "Lacking: HA links, others' sessions, data links"
