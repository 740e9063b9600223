"""A test that takes too long fails like any other."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SLOW = """
import time
import pytest

@pytest.fixture
def made():
    yield
    print("taken down")

def test_slow(made):
    time.sleep(60)
"""


def test_it_tells_where_it_stood_and_takes_down_what_it_has_made(tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(SLOW)
    options = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path))
    options += ("-p", "no:cacheprovider", "-p", "pytest_timeout", "--timeout", "1")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_slow.py")],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ">       time.sleep(60)" in done.stdout, done.stdout
    assert "taken down" in done.stdout
    assert "1 failed" in done.stdout
