"""The alerts of docs/prometheus/alerts.yml, by Prometheus' own `promtool`: when each fires, what
it names, and that none does while all is well.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ryu_apps.core.metrics import METRICS

ALERTS = Path(__file__).parents[2] / "docs" / "prometheus" / "alerts.yml"
STEP = 5  # seconds from one scrape to the next
FOR_LONG = 150  # scrapes: longer than any alert waits
WELL = f"1x{FOR_LONG}"
NONE = f"0x{FOR_LONG}"

# A cluster of two as it is while all is well, and sessions come.
HEALTHY = {
    'up{job="synod"}': WELL,
    "synod_controller_boot_id": WELL,
    "synod_primary_present": WELL,
    "synod_balancing": WELL,
    "synod_offers_waiting": f"30x{FOR_LONG}",
    'synod_overloaded{why="budget"}': NONE,
    "synod_sessions_limit": f"1000000x{FOR_LONG}",
    'synod_primary_appointments_total{how="promoted"}': NONE,
    'synod_primary_appointments_total{how="elected"}': WELL,
    'synod_unit_state{unit="2",state="up"}': WELL,
    'synod_unit_state{unit="2",state="dead"}': NONE,
    'synod_unit_refused{unit="2"}': NONE,
    'synod_unit_heartbeat_age_seconds{unit="2"}': f"0.3x{FOR_LONG}",
    'synod_unit_sessions{unit="1"}': f"400000x{FOR_LONG}",
    'synod_unit_sessions{unit="2"}': f"400000x{FOR_LONG}",
    'synod_unit_data_link_up{unit="2",interface="int"}': WELL,
    'synod_ha_link_up{unit="2",of="1"}': WELL,
    'synod_pickup_synced{unit="2",of="1"}': WELL,
    'synod_unit_outcomes_total{unit="1",outcome="released_undecided"}': NONE,
    'synod_unit_dropped_packets_total{unit="2",flow="drop_unexpected"}': NONE,
    # Any network is full of these.
    'synod_unit_dropped_packets_total{unit="2",flow="drop_ipv6"}': f"0+500x{FOR_LONG}",
}


class Case(NamedTuple):
    """What differs from a healthy cluster: it fires after so many seconds, and names these."""

    alert: str
    changes: dict[str, str]
    fires: int
    labels: dict[str, str]
    value: str = ""


CASES = [
    Case("SynodAppAway", {'up{job="synod"}': NONE}, 30, {"job": "synod"}),
    Case("SynodAppAway", {'up{job="synod"}': ""}, 30, {"job": "synod"}),
    Case("SynodAppRestarts", {"synod_controller_boot_id": "7x9 8x9 9x9"}, 100, {}),
    Case("SynodNoPrimary", {"synod_primary_present": NONE}, 10, {}),
    Case(
        "SynodPrimaryChangesFast",
        {'synod_primary_appointments_total{how="promoted"}': "0x59 1x20 2x99"},
        405,
        {"how": "promoted"},
    ),
    Case(
        "SynodUnitDead",
        {'synod_unit_state{unit="2",state="dead"}': "0x9 1x99"},
        50,
        {"unit": "2", "state": "dead"},
    ),
    Case(
        "SynodUnitNotUp",
        {'synod_unit_state{unit="2",state="up"}': NONE},
        300,
        {"unit": "2", "state": "up"},
    ),
    Case(
        "SynodAgentNotHeard",
        {'synod_unit_heartbeat_age_seconds{unit="2"}': "0+5x99"},
        20,  # more than 5 s at the second scrape after
        {"unit": "2"},
    ),
    Case("SynodUnitRefused", {'synod_unit_refused{unit="2"}': WELL}, 30, {"unit": "2"}),
    Case(
        "SynodDataLinkDown",
        {'synod_unit_data_link_up{unit="2",interface="int"}': NONE},
        10,
        {"unit": "2", "interface": "int"},
    ),
    Case(
        "SynodHaLinkLost", {'synod_ha_link_up{unit="2",of="1"}': NONE}, 10, {"unit": "2", "of": "1"}
    ),
    Case(
        "SynodPickupLost",
        {'synod_pickup_synced{unit="2",of="1"}': NONE},
        30,
        {"unit": "2", "of": "1"},
    ),
    Case("SynodNotBalancing", {"synod_balancing": NONE}, 60, {}),
    Case("SynodOverloaded", {'synod_overloaded{why="budget"}': WELL}, 30, {"why": "budget"}),
    Case("SynodBacklog", {"synod_offers_waiting": "30x9 5000x99"}, 65, {}, "5000"),
    Case(
        "SynodSessionsUndecided",
        {'synod_unit_outcomes_total{unit="1",outcome="released_undecided"}': "0+10x99"},
        95,
        {"unit": "1", "outcome": "released_undecided"},
    ),
    Case("SynodSessionsFull", {'synod_unit_sessions{unit="1"}': f"600000x{FOR_LONG}"}, 60, {}),
    Case(
        "SynodDropsGrow",
        {'synod_unit_dropped_packets_total{unit="2",flow="drop_unexpected"}': "0+60x999"},
        555,
        {"unit": "2", "flow": "drop_unexpected"},
    ),
]


def rules() -> dict[str, Any]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def shown(case: Case) -> dict[str, str]:
    """The alert's annotations as they are told of a case."""
    told: dict[str, str] = rules()[case.alert]["annotations"]
    return {
        name: re.sub(
            r"{{ (?:\$labels\.(\w+)|\$value) }}",
            lambda found: case.labels[found[1]] if found[1] else case.value,
            text,
        )
        for name, text in told.items()
    }


def expected(case: Case) -> dict[str, Any]:
    """What `promtool test rules` is to look at: not a scrape before it fires, and then."""
    series = {**HEALTHY, **case.changes}
    firing = {"exp_labels": {**rules()[case.alert]["labels"], **case.labels}}
    return {
        "interval": f"{STEP}s",
        "input_series": [
            {"series": name, "values": values} for name, values in series.items() if values
        ],
        "alert_rule_test": [
            {"eval_time": f"{case.fires - STEP}s", "alertname": case.alert, "exp_alerts": []},
            {
                "eval_time": f"{case.fires}s",
                "alertname": case.alert,
                "exp_alerts": [{**firing, "exp_annotations": shown(case)}],
            },
        ],
    }


@pytest.fixture
def promtool(tmp_path: Path) -> Any:
    """Runs it on such tests; what it says if it isn't so, else nothing."""
    program = shutil.which("promtool")
    if not program:
        pytest.skip("needs promtool (Debian's package prometheus)")

    def run(*tests: dict[str, Any]) -> str:
        file = tmp_path / "tests.yml"
        whole = {"rule_files": [str(ALERTS)], "evaluation_interval": f"{STEP}s", "tests": tests}
        file.write_text(yaml.safe_dump(whole))
        argv = [program, "test", "rules", str(file)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return run


def test_each_alert_fires_when_it_should_and_names_what_it_is_about(promtool: Any) -> None:
    assert {case.alert for case in CASES} == set(rules())
    assert promtool(*map(expected, CASES)) == ""


def test_none_fires_while_all_is_well(promtool: Any) -> None:
    """Nor for some offers that wait: there are always some."""
    names = {name.partition("{")[0] for name in HEALTHY}
    assert names >= {each for rule in rules().values() for each in named(rule["expr"])}
    series = {**HEALTHY, "synod_offers_waiting": f"900x{FOR_LONG}"}
    quiet = {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": []}
            for alert in rules()
            for minutes in (1, 11)
        ],
    }
    assert promtool(quiet) == ""


def named(expression: str) -> set[str]:
    """The metrics that it asks for."""
    found = set(re.findall(r"\bsynod_\w+", expression))
    assert found <= {row.name for row in METRICS}
    return found
