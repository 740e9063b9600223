"""`script/fuzz [NAME…] [--minutes 10]`: looks for bytes that something chokes on.

Each target is hunted in a process of its own (`tests.fuzz.hunt`), one after the other. What that
found on its way, inputs that take other branches, is in artifacts/fuzz/NAME, where the next hunt of
that target begins; what raises is in artifacts/fuzz/NAME-crash-…, and the exit code 1.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import CORPUS, TARGETS, inputs

FOUND = Path("artifacts/fuzz")
LONGEST = 1600  # bytes of an input: a frame, and some more
SLOW = 10  # seconds for one input, which are a finding, too
MEMORY = 1024  # MB
KEPT = 48  # inputs of a target, at most, that are committed
WIDTH = 132  # where no terminal says how wide it is

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


class Hunt(NamedTuple):
    """What became of one: inputs tried, branches and what was seen of them, what was found."""

    runs: int
    coverage: int
    features: int
    crashes: list[Path]


def hunt(name: str, seconds: float) -> Hunt:
    """Hunts for so long, or until something is found."""
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(FOUND.glob(f"{name}-*-*"))
    said = _libfuzzer(name, f"-max_total_time={seconds:.0f}", str(folder), str(CORPUS / name))
    (FOUND / f"{name}.log").write_text(said)
    lines = re.findall(r"^#(\d+)\s.*cov: (\d+) ft: (\d+)", said, re.MULTILINE)
    runs, coverage, features = map(int, lines[-1] if lines else (0, 0, 0))
    done = re.search(r"^Done (\d+) runs", said, re.MULTILINE)
    crashes = sorted(set(FOUND.glob(f"{name}-*-*")) - before)
    if not (done or crashes):
        raise RuntimeError(f"no hunt of {name}:\n{said[-2000:]}")
    return Hunt(int(done[1]) if done else runs, coverage, features, crashes)


def keep(name: str) -> tuple[int, int]:
    """The committed corpus becomes the fewest inputs that see all that was ever seen, and of these
    the smallest, no more than are to be kept; how many there were, and are.
    """
    chosen, corpus = FOUND / f"{name}.chosen", CORPUS / name
    corpus.mkdir(exist_ok=True)
    chosen.mkdir(parents=True, exist_ok=True)
    for each in chosen.iterdir():
        each.unlink()
    before = len(inputs(name))
    said = _libfuzzer(name, "-merge=1", str(chosen), str(corpus), str(FOUND / name))
    if not any(chosen.iterdir()):
        raise RuntimeError(f"no inputs of {name} could be chosen:\n{said[-2000:]}")
    for each in corpus.iterdir():
        each.unlink()
    for each in sorted(chosen.iterdir(), key=lambda path: (path.stat().st_size, path.name))[:KEPT]:
        (corpus / each.name[:12]).write_bytes(each.read_bytes())
    return before, len(inputs(name))


def _libfuzzer(name: str, *arguments: str) -> str:
    limits = (f"-max_len={LONGEST}", f"-timeout={SLOW}", f"-rss_limit_mb={MEMORY}")
    limits += (f"-artifact_prefix={FOUND}/{name}-",)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fuzz.hunt", name, *limits, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout


def main() -> int:
    """The exit code: 0 if nothing was found, 1 if something was, 2 if it was asked wrongly."""
    parser = argparse.ArgumentParser(prog="script/fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10, help="for each target")
    parser.add_argument("--keep", action="store_true", help="choose the corpus to commit anew")
    parser.add_argument("--list", action="store_true", help="what there is to fuzz")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(TARGETS)):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    names = asked.names or list(TARGETS)
    if asked.list:
        for name in names:
            out.print(f"{name:10} {len(inputs(name))} inputs kept")
        return 0
    table = Table("target", *("inputs tried", "branches", "kinds of runs", "found"))
    failed = False
    for name in names:
        found = hunt(name, asked.minutes * 60)
        failed |= bool(found.crashes)
        says = ", ".join(each.name for each in found.crashes) or "nothing"
        row = (f"{found.runs:,}", f"{found.coverage:,}", f"{found.features:,}", says)
        table.add_row(name, *row)
        out.print(f"{name}: {row[0]} inputs tried, found: {says}")
        if asked.keep and not found.crashes:
            out.print("{}: {} inputs kept before, {} now".format(name, *keep(name)))
    out.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
