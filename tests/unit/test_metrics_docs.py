"""docs/metrics.md has a row for every metric and no other; alerts and dashboard name only what
there is.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from agents.outcomes import Outcome
from ryu_apps.core.cluster import Role, State
from ryu_apps.core.metrics import APPOINTMENTS, METRICS
from ryu_apps.core.pipeline import ROWS

DOCS = Path(__file__).parents[2] / "docs"
LABELS = {row.name: set(row.labels) for row in METRICS}
VALUES = {"state": set(State), "role": set(Role), "how": set(APPOINTMENTS)}
OF_PROMETHEUS = {"instance", "job"}  # labels that a scrape adds


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DOCS / "prometheus" / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DOCS / "prometheus" / "dashboard.json").read_text())[
        "panels"
    ]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])


def test_the_page_has_a_row_for_each_metric() -> None:
    rows = [
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{each}`' for each in row.labels)} |"
        f" {row.meaning} |".replace("|  |", "| |")
        for row in METRICS
    ]
    page = (DOCS / "metrics.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `synod_")] == rows


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_names_what_there_is(expression: str) -> None:
    names = re.findall(r"\bsynod_\w+", expression)
    assert names or "up{" in expression
    assert set(names) <= LABELS.keys()
    known = set().union(*(LABELS[name] for name in names)) | OF_PROMETHEUS
    selected = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', expression)
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    assert {label for label, _, _ in selected} <= known
    assert {label for each in grouped for label in each.split(", ")} <= known
    for label, _, value in selected:
        assert value in VALUES.get(label, {value})
    assert expression.count("(") == expression.count(")")


def test_each_alert_says_what_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[sm]", rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "action", "runbook"}
        used = re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
        names = re.findall(r"\bsynod_\w+", rule["expr"])
        assert set(used) <= set().union(*(LABELS[name] for name in names))


def test_legends_of_the_dashboard_name_labels() -> None:
    for panel in panels():
        for target in panel["targets"]:
            (name, *_) = re.findall(r"\bsynod_\w+", target["expr"])
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= LABELS[name]


def test_a_dashboard_is_what_grafana_knows_as_one() -> None:
    """Read into Grafana's own model and written again it is the same: a key that Grafana doesn't
    know would be lost, and one of another kind than it expects refused.
    """
    register_default_plugins()
    dashboard = json.loads((DOCS / "prometheus" / "dashboard.json").read_text())
    written = json.dumps(Dashboard.from_json(dashboard).to_json(), cls=JSONEncoder)
    assert lost(dashboard, json.loads(written)) == []


def lost(had: Any, has: Any, path: str = "") -> list[str]:
    """Where something that was there isn't, or is another. (Defaults may have come.)"""
    if isinstance(had, dict) and isinstance(has, dict):
        pairs = [(had[key], has.get(key), f"{path}.{key}") for key in had]
    elif isinstance(had, list) and isinstance(has, list) and len(had) == len(has):
        pairs = [(a, b, f"{path}[{at}]") for at, (a, b) in enumerate(zip(had, has, strict=True))]
    else:
        return [] if had == has else [f"{path}: {had!r} is {has!r}"]
    return [each for pair in pairs for each in lost(*pair)]


def test_panels_do_not_lie_on_each_other() -> None:
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels())
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


def test_outcomes_and_flows_that_are_named_exist() -> None:
    """Of those that are selected by a label whose values are many."""
    text = " ".join(expressions())
    for label, known in (("outcome", set(Outcome)), ("flow", {row.name for row in ROWS})):
        selected = "|".join(re.findall(label + r'(?:=~|!~|!=|=)"([^"]*)"', text)).split("|")
        assert set(selected) <= known
