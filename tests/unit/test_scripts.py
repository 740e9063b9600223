"""What script/ teaches without root and without .venv, and which tests its arguments select."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "script"
# In place of a program: notes what it was called with.
NOTES = '#!/bin/sh\necho "$@" >>called\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One that has only its scripts."""
    shutil.copytree(SCRIPTS, tmp_path / "script")
    return tmp_path


def run(checkout: Path, script: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Runs a script, from elsewhere; a program of the checkout's `bin` is found first."""
    return subprocess.run(
        [str(checkout / "script" / script), *argv],
        cwd="/",
        env={"PATH": f"{checkout}/bin:{os.environ['PATH']}", "PYTHON": "bin/python"},
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.iterdir()))
def test_each_says_how_it_is_used(checkout: Path, script: str, flag: str) -> None:
    done = run(checkout, script, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n  sudo script/{script}" in done.stdout or f"\n  script/{script}" in done.stdout
    assert {path.name for path in checkout.iterdir()} == {"script"}


def called(checkout: Path) -> list[str]:
    """How pytest was called."""
    lines = (checkout / "called").read_text().splitlines()
    return [line.partition("-m pytest ")[2] for line in lines if "-m pytest " in line]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("-k arp", ["tests/unit tests/switch -k arp"]),
        ("tests/unit/test_token.py -x", ["tests/unit/test_token.py -x"]),
        (
            "",
            [
                "tests/unit --require-tier unit --numprocesses 2",
                "tests/switch --require-tier switch",
            ],
        ),
    ],
)
def test_checks_of_either_tier_are_selected(checkout: Path, asked: str, wanted: list[str]) -> None:
    program(checkout / "bin" / "python", NOTES)
    assert run(checkout, "check", *asked.split()).returncode == 0
    assert called(checkout) == wanted


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("-k arp", ["--require-tier lab tests/lab -k arp"]),
        ("tests/lab/test_nat.py", ["--require-tier lab tests/lab/test_nat.py"]),
        ("", ["--require-tier lab tests/lab ", "--require-tier lab --session-table conntrack "]),
    ],
)
def test_lab_tests_are_selected(checkout: Path, asked: str, wanted: list[str]) -> None:
    program(checkout / ".venv" / "bin" / "python", NOTES)
    program(checkout / "bin" / "id", "#!/bin/sh\necho 0\n")
    for script in ("setup", "check"):
        program(checkout / "script" / script, "#!/bin/sh\n")
    program(checkout / "bin" / "runuser", "#!/bin/sh\n")
    assert run(checkout, "test", *asked.split()).returncode == 0
    for found, begins in zip(called(checkout), wanted, strict=True):
        assert found.startswith(begins)
