"""`script/faults [--minutes 30] [--seed N] [--replay FILE]`: faults at random, traffic checked.

A round is traffic through all units (`tests.lab.traffic`: downloads whose bytes are known, new
sessions all the while), a few faults one after the other, and after each of them the cluster whole
again and everything that must be so (`tests.lab.invariants`). At its end every byte must have come,
and at no time two units may have spoken as the primary for longer than docs/failover.md says. What
was done is written to a file as it is done, to be replayed.
"""

import argparse
import errno
import random
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from agents.config import load
from agents.wire.ports import mac_text
from tests.lab import invariants, random_faults
from tests.lab.conftest import ARTIFACTS, TIMEOUTS, keep
from tests.lab.failing import mend
from tests.lab.random_faults import Fault
from tests.lab.speakers import Speakers, speakers
from tests.lab.traffic import Traffic, traffic
from tests.lab.world import CLIENT, SERVER, SNAT, World
from topologies.faulting import Faults
from topologies.lab import Lab
from topologies.observe import Endpoints

A_ROUND = 5  # faults: the downloads outlast them
TOGETHER = 2.0  # seconds that two units may speak as the primary (docs/failover.md)
WHOLE = 40.0  # seconds that a cluster may take until it is whole, and could bear the next fault
SEEN = 1.5  # seconds: what lasts longer is asked to let traffic go on meanwhile


# The last line of a traceback: what comes next that isn't indented.
_ERROR = re.compile(r"^Traceback.*?\n(?:(?: .*)?\n)+(\S.*)$", re.MULTILINE)
_NO_DEVICE = tuple(
    f"OSError: [Errno {each}]" for each in (errno.ENETDOWN, errno.ENODEV, errno.ENXIO)
)


class Round:
    """One round, from its first fault on."""

    def __init__(self, world: World, record: Path, began: float) -> None:
        self.world = world
        self._faults = Faults(world.lab)
        self._record = record
        self._began = began

    def play(self, faults: Iterable[Fault]) -> float:
        """Carries them out; the longest outage that one of them may bring. AssertionError if
        something is wrong after one.
        """
        configuration = load(self.world.lab.config)
        macs = [mac_text(each.virtual_mac) for each in configuration.interfaces]
        outage = 0.0
        with speakers(self.world, macs) as listening, traffic(self.world) as running:
            for fault in faults:
                outage = max(outage, fault.outage)
                self._one(fault, running, listening)
        running.unharmed(outage)
        return outage

    def _one(self, fault: Fault, running: Traffic, listening: Speakers) -> None:
        time.sleep(fault.rest)
        began = time.monotonic()
        with self._record.open("a") as file:
            file.write(random_faults.written(fault) + "\n")
        print(f"{began - self._began:7.1f} s  {fault}", flush=True)
        for words in fault.does:
            random_faults.carry_out(self._faults, words)
        if fault.lasts > SEEN:
            running.flows()
        time.sleep(max(0.0, began + fault.lasts - time.monotonic()))
        for words in fault.mends:
            random_faults.carry_out(self._faults, words)
        self._whole()
        whole = time.monotonic() - began
        self.right(running)
        right = time.monotonic() - began
        running.flows()
        together = listening.speech().since(began).together
        assert together <= TOGETHER, f"two units spoke as the primary for {together:.1f} s"
        primary = self.world.primary
        print(
            f"{whole:17.1f} s  whole; {right:.1f} s  all right; unit {primary} is primary",
            flush=True,
        )

    def _whole(self) -> None:
        """All units up, nothing broken, and each holds the sessions of the others."""
        world = self.world

        def ready() -> bool:
            try:
                return world.healthy() and world.lab.held(world.status())
            except OSError:
                return False

        world.until(lambda: not self._faults.broken(), self._what_is_broken, WHOLE)
        world.until(ready, world.situation, WHOLE)
        world.primary = int(world.status()["primary"])

    def _what_is_broken(self) -> str:
        return f"still broken: {[str(each) for each in self._faults.broken()]}"

    def right(self, running: Traffic) -> None:
        """Nothing is wrong, and no program has met a bug."""
        live = {Endpoints(CLIENT, port, SERVER, 80) for port in running.ports.values()}
        invariants.until_right(self.world, live)
        found = list(_bugs(self.world.lab.log_dir))
        assert not found, found


def _bugs(logs: Path) -> Iterator[str]:
    """What our programs have written about errors of their own."""
    for log in (logs / "app.log", *logs.glob("u*/synod/*.log")):
        for error in errors_in(log.read_text(errors="replace") if log.exists() else ""):
            yield f"{log.relative_to(logs)}: {error}"


def errors_in(log: str) -> list[str]:
    """Errors that a program has met, by a log's text. An agent ends by the error that its device
    has gone (`agents.agent`), and is started anew: that is none.
    """
    raised = [error for error in _ERROR.findall(log) if not error.startswith(_NO_DEVICE)]
    return raised + [line for line in log.splitlines() if "event=bug" in line]


def play(world: World, faults: Iterable[Fault], record: Path, deadline: float) -> int:
    """Rounds until there are no faults any more, or it is time; how many faults there were."""
    began, coming, count = time.monotonic(), iter(faults), 0
    while time.monotonic() < deadline and (some := list(islice(coming, A_ROUND))):
        outage = Round(world, record, began).play(some)
        count += len(some)
        print(f"{time.monotonic() - began:7.1f} s  nothing lost; outages of {outage:g} s allowed")
        world.stop()
    return count


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for; the faults of a file are read here, before anything is written."""
    parser = argparse.ArgumentParser(prog="script/faults", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--replay", type=_replayed, metavar="FILE", help="the faults of that file")
    parser.add_argument("--session-table", choices=("flows", "conntrack"), default="flows")
    return parser.parse_args(words)


def _replayed(path: str) -> list[Fault]:
    try:
        return random_faults.read(Path(path).read_text().splitlines())
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{path}: not a file of faults: {error!r}") from None


def again(asked: argparse.Namespace, record: Path) -> str:
    """The command that does the same once more."""
    return f"script/faults --replay {record} --session-table {asked.session_table}"


def main() -> int:
    """The exit code: 0 if nothing was wrong, 1 if something was."""
    asked = options()
    folder = ARTIFACTS / f"faults-{asked.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "faults.jsonl"
    record.unlink(missing_ok=True)
    faults = random_faults.plan(asked.seed) if asked.replay is None else asked.replay
    print(f"seed {asked.seed}; what is done is written to {record}", flush=True)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(units=3, rules=SNAT, session_table=asked.session_table))
        world = World(lab, 3, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(world.stop)
        try:
            mend(world)
            world.timeouts(**TIMEOUTS)
            count = play(world, faults, record, time.monotonic() + asked.minutes * 60)
        except Exception as problem:  # whatever it is: the lab is still there to be asked
            keep(world, folder)
            traceback.print_exc()
            print(f"wrong: {problem}\nkept in {folder}; again: {again(asked, record)}")
            return 1
    print(f"{count} faults, nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
