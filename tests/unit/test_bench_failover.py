"""What `script/bench failover` says of what it has measured."""

from typing import Any

from tests.bench.failover import Series
from tests.bench.failover_report import AT_MOST, NAMES, notes, promises, rows


def round_(**changes: Any) -> dict[str, Any]:
    usual = {"undisturbed_ms": 45.0, "gaps_ms": [60.0, 140.0, 70.0], "lost": 0, "corrupt": 0}
    return {**usual, "calls_ms": [3.0, 1020.0], "refused": [], **changes}


def figures(**of: Series) -> dict[str, Any]:
    series = {name: of.get(name, Series(name, [round_()] * 3)) for name in NAMES}
    noted = {"unit_dead": 0, "primary_promoted": 0, "unit_down": 1}
    alarms = {"minutes": 1, "cores_used": 2.0, "cores": 2, "synod": noted}
    return {
        "series": {name: each.figures() for name, each in series.items()},
        "alarms": {**alarms, "keepalived_role_changes": 4},
        "machine": {"cores": 2, "processor": "a processor", "load_average": [0.1]},
        "raw": "a file",
    }


def broken(found: dict[str, Any]) -> list[str]:
    return [text for text, kept in promises(found).items() if not kept]


def test_a_stall_is_what_is_late_of_the_transfer_that_had_it_worst() -> None:
    found = Series("one", [round_(), round_(gaps_ms=[40.0, 540.0]), round_()]).figures()
    spread = {"median": 100.0, "least": 100.0, "worst": 500.0, "each": [100.0, 500.0, 100.0]}
    assert found["stall_ms"] == spread
    assert found["undisturbed_ms"]["worst"] == 5.0
    assert (found["strikes"], found["transfers"], found["calls"]) == (3, 8, 6)


def test_a_row_for_each_kind_of_failure() -> None:
    heading, *found = rows(figures())
    assert len(found) == len(NAMES)
    assert {len(row) for row in found} == {len(heading)}
    assert all("a file" not in cell for row in found for cell in row)
    assert any("a file" in note for note in notes(figures()))


def test_what_is_lost_refused_or_late_breaks_a_promise() -> None:
    late = [text for text in broken(figures()) if "50 ms" in text]
    assert len(late) == sum(most == 50 for most in AT_MOST.values())
    assert len(broken(figures())) == len(late)
    name = "synod_primary_killed"
    for what in ({"lost": 1}, {"corrupt": 1}, {"refused": ["ConnectionRefusedError"]}):
        assert len(broken(figures(**{name: Series(name, [round_(**what)])}))) == len(late) + 1


def test_an_alarm_breaks_a_promise() -> None:
    found = figures()
    before = len(broken(found))
    found["alarms"]["synod"]["unit_dead"] = 1
    assert len(broken(found)) == before + 1


def test_what_is_planned_alone_has_its_rows_and_promises() -> None:
    found, planned = figures(), ("synod_drained", "synod_promoted")
    found["series"] = {name: found["series"][name] for name in planned}
    found["alarms"] = {}
    assert [row[0] for row in rows(found)[1:]] == [NAMES[name] for name in planned]
    assert len(promises(found)) == len(planned) + 2
    assert len(notes(found)) == 1
