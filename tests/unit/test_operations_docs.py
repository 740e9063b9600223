"""docs/operations.md names what there is, and all that anybody may have to look up there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from agents.doctor_checks import UNIT
from agents.doctor_cluster import ALIKE, CLUSTER
from agents.doctor_keys import KEYS
from agents.outcomes import TROUBLE, Outcome
from ryu_apps.core.chronicle import EVENTS
from ryu_apps.core.cluster import State

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
STATES = {state.value for state in State}
SOURCES = [path for part in ("agents", "ryu_apps") for path in (ROOT / part).rglob("*.py")]


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, title
    return found[1]


def words(title: str) -> set[str]:
    """What the first column of a section's tables names."""
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\|", section(title), re.M)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def warnings() -> Iterator[str]:
    """The words of the app's warnings, as far as they stand in the call."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                first = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                if node.func.id == "Line" and len(first) == 2 and first[0] is True:
                    yield str(first[1])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                if node.func.attr in ("warn", "_warn"):
                    yield from (text for text in texts if isinstance(text, str))


def literals() -> set[str]:
    """Every string that stands in the program, and the parts of those that are put together."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(re.findall(r"\w+", node.value))
    return found


# By what the app reads of agents and neighbours. (The rest of `agents.wire` agents read.)
DECODERS = [ROOT / "agents" / "wire" / f"{name}.py" for name in (
    "control", "control_maps", "inquiry", "routed_arp",
)]  # fmt: skip


def reasons() -> Iterator[str]:
    """Of frames that the app can't read, or that aren't their sender's to send: warnings, too."""
    for path in (*DECODERS, *(ROOT / "ryu_apps").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "WireError":
                assert isinstance(node.args[0], ast.Constant), path
                yield str(node.args[0].value)


def refusals() -> set[str]:
    """Of announcements: warnings, as the two above."""
    return {word for word in literals() if word.endswith("_mismatch")}


def test_each_state_is_there_and_no_other() -> None:
    assert words("States of a unit") == STATES


def test_each_warning_of_the_app_is_there_and_what_synod_events_tells() -> None:
    found = {*warnings(), *reasons(), *refusals()}
    assert {"flow_refused", "orders_refused", "bug"} <= found
    assert {"census_stale", "control_kind", "arp_format", "digest_mismatch"} <= found
    assert (found | EVENTS) - words("Events in the app's log") == set()


def test_each_event_that_is_named_exists() -> None:
    assert words("Events in the app's log") - EVENTS - literals() == set()


def test_each_word_of_an_agents_log_is_there() -> None:
    found = words("Words in an agent's log")
    assert {each.value for each in TROUBLE} - found == set()
    assert found - {each.value for each in Outcome} == set()


def test_each_other_line_of_a_units_log_is_there() -> None:
    """Those that are told by a word of their own, and no outcome."""
    told = set()
    for path in (ROOT / "agents").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("tell", "log.tell"):
                told |= {each.value for each in node.args[:1] if isinstance(each, ast.Constant)}
    assert {"agent_started", "program_ended", "step"} <= told
    assert words("Other lines of a unit's log") == told


def test_each_finding_is_there_with_its_remedy() -> None:
    rows = [f"| `{each.name}` | {each.remedy} |" for each in (*UNIT, *KEYS, *CLUSTER, *ALIKE)]
    listed = section("Findings of `synod doctor`").splitlines()
    assert [line for line in listed if line.startswith("| `")] == rows


def test_each_alert_has_its_paragraph_and_leads_there() -> None:
    text = (ROOT / "docs" / "prometheus" / "alerts.yml").read_text()
    (group,) = yaml.safe_load(text)["groups"]
    alerts = [rule["alert"] for rule in group["rules"]]
    assert re.findall(r"^### (\w+)$", section("Alerts"), re.M) == alerts
    for rule in group["rules"]:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
