"""docs/tutorial.md: its commands, one after the other, and the frames that stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
EXACT = ("tshark ", "sudo synod-lab exec controller -- synod weight ")


def commands() -> list[tuple[str, set[str]]]:
    """Each command of the page, and the lines that stand below it."""
    found: list[tuple[str, set[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], set()))
            else:
                found[-1][1].add(line)
    return found


def test_what_the_page_shows_happens(tmp_path: Path) -> None:
    listed = commands()
    # One shell for all, as the reader has it; root already, and a lab that meets no other.
    lines = ['sudo() { "$@"; }', "set -e"]
    for number, (command, _) in enumerate(listed):
        lines += [f"echo @@{number}", command.replace("/tmp/", f"{tmp_path}/")]
    environment = {
        **os.environ,
        "SYNOD_LAB": f"tutorial-{os.getpid()}",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    try:
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        subprocess.run(
            [sys.executable, "-m", "topologies.cli", "down"],
            env=environment,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = dict(re.findall(r"^@@(\d+)\n(.*?)(?=^@@|\Z)", done.stdout, re.M | re.S))
    for number, (command, expected) in enumerate(listed):
        if command.startswith(EXACT):
            assert set(outputs[str(number)].splitlines()) == expected, command
