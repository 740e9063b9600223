"""Fixtures that several files of this tier need."""

import os
from pathlib import Path

import pytest

from agents import switch


@pytest.fixture
def this_is_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process is the switch, by the file that is returned."""
    note = tmp_path / "ovs-vswitchd.pid"
    note.write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(switch, "PID_FILE", note)
    monkeypatch.setattr(switch, "SWITCH", Path("/proc/self/comm").read_text().strip())
    return note
