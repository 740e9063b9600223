"""The app's log is read from a moment on, whole lines only."""

from pathlib import Path

from topologies.app_log import AppLog

OLD = "time=2026-01-02T03:04:05.000+00:00 event=unit_dead unit=1 role=auxiliary was=down\n"
NEW = "time=2026-01-02T03:04:06.250+00:00 event=unit_rehomed unit=3 why=unit_died sessions=2\n"


def test_events_since_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(OLD)
    log, whole = AppLog(path), AppLog(path, whole=True)
    with path.open("a") as file:
        file.write('127.0.0.1 - - "GET /v1/status HTTP/1.1" 200\n' + NEW + NEW[:60])
    (event,) = log.events()
    assert (event.name, event.unit, event.fields["sessions"]) == ("unit_rehomed", 3, "2")
    assert event.text == "event=unit_rehomed unit=3 why=unit_died sessions=2"
    first, second = whole.events("unit_dead", "unit_rehomed")
    assert round(second.at - first.at, 3) == 1.25


def test_what_does_not_come_is_none(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(OLD)
    assert AppLog(path).wait(lambda _event: True, 0) is None
    found = AppLog(path, whole=True).wait(lambda event: event.unit == 1, 0)
    assert found is not None
    assert found.name == "unit_dead"
