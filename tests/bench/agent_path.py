"""What one SYN costs the agent: a real kernel and real frames; bridge and app are played here.

    python -m tests.bench.agent_path [--json]        needs root; ends by itself after a few seconds

SYNs go through the primary's part (found in conntrack, offered, decided, told to the other units,
handed over), and what it writes goes through an auxiliary's (heard of, entry made, SYN data cut
off). As many SYNs as are named wait when the agent wakes up. Beside it stands an agent that does
one thing at a time (`tests.bench.one_at_a_time`), of which 32 wait. All take turns.

The other one doesn't ask what time it is, whether a session ended or a cable was cut, and serves
nobody when anything is amiss: so with one SYN a wake-up the agent is slower than that.

Counted is the time on the CPU (CLOCK_THREAD_CPUTIME_ID), from poll() to what is written, and with
it all that the kernel does in these calls: a frame that is written is put into the other end's
queue in the same call.
"""

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agents.wire import control
from agents.wire.packet import as_client_sent, readdress
from tests.bench.benchmark import Benchmark, Figures, Rows
from tests.bench.one_at_a_time import OneAtATime
from tests.lab.agent_box import (
    AUXILIARY,
    BOOTS,
    CONFIG,
    INSIDE,
    PRIMARY,
    Box,
    boxes,
    prepare,
    sessions,
    syn,
)

AT_ONCE = (1, 4, 32)
MOST = max(AT_ONCE)
SESSIONS = 1024  # of each, a round
PARTS = ("offered", "handed_over", "taken_over")
_PATIENCE = 10.0  # seconds


@dataclass(slots=True)
class Contender:
    """Two units' agents, and what they spent on a SYN: seconds of CPU, by part, a round each."""

    primary: Box
    auxiliary: Box
    turns: dict[int, Callable[[], int]]  # by unit: one wake-up, and how many frames it read
    begun: int = 0  # sessions, of which each has ports of its own
    spent: dict[int, dict[str, list[float]]] = field(default_factory=dict)

    def round(self, at_once: int, *, counts: bool) -> None:
        """Hand over so many sessions, so many at once; all must get there, byte for byte."""
        spent = dict.fromkeys(PARTS, 0.0)
        for box, role in ((self.primary, "primary"), (self.auxiliary, "auxiliary")):
            self._give(box, [told(box, role)])  # the app is there
            list(box.taken())
        for _ in range(SESSIONS // at_once):
            for part, seconds in self._hand_over(at_once).items():
                spent[part] += seconds
        if counts:
            kept = self.spent.setdefault(at_once, {part: [] for part in PARTS})
            for part, seconds in spent.items():
                kept[part].append(seconds / SESSIONS)

    def _hand_over(self, at_once: int) -> dict[str, float]:
        pairs = sessions(at_once, self.begun)
        self.begun += at_once
        prepare(self.primary, pairs)
        frames = [syn(self.primary.cluster, PRIMARY, reply) for _, reply in pairs]
        offered = self._give(self.primary, frames)
        handed_over = self._give(self.primary, decided(self.primary))
        begun, moved = [], []
        virtual = self.primary.cluster.interface(INSIDE).virtual_mac
        for frame in self.primary.taken():
            if frame[12:14] != b"\x88\xb5":
                moved.append(readdress(frame, frame[:6], virtual))  # the primary's bridge does that
            elif control.parse(frame).kind == control.BEGUN:
                begun.append(frame)
        taken_over = self._give(self.auxiliary, begun + moved)
        out = [frame[12:] for frame in self.auxiliary.taken() if frame[12:14] != b"\x88\xb5"]
        wanted = [as_client_sent(f, o)[12:] for f, (o, _) in zip(frames, pairs, strict=True)]
        assert out == wanted, f"{len(out)} of {len(wanted)} SYNs came out, or other ones"
        return dict(zip(PARTS, (offered, handed_over, taken_over), strict=True))

    def _give(self, box: Box, frames: Sequence[bytes]) -> float:
        """Seconds of CPU that a unit's agent spends on these frames."""
        for frame in frames:
            box.bridge.send(frame)
        turn, left = self.turns[box.unit], len(frames)
        deadline = time.monotonic() + _PATIENCE
        before = time.thread_time()
        while left > 0:
            left -= turn()
            assert time.monotonic() < deadline, f"{left} of {len(frames)} frames weren't read"
        return time.thread_time() - before


def told(box: Box, role: str) -> bytes:
    """The app's word."""
    state = control.State(boot=1, role=role, primary=PRIMARY, balancing=True, boots=BOOTS)
    return control.state_frame(box.cluster.group, box.unit, state)


def decided(box: Box) -> list[bytes]:
    """The app's answer to all that was offered."""
    messages = [control.parse(frame) for frame in box.taken()]
    offers = [m for m in messages if m.kind == control.OFFER]
    records = [control.Decided(o.offer_id, AUXILIARY) for m in offers for o in control.offers(m)]
    return control.decided_frames(box.cluster.group, box.unit, records)


@contextlib.contextmanager
def agents() -> Iterator[Contender]:
    """The agents of two units."""
    with boxes(CONFIG.replace("pickup: off", "pickup: established")) as pair:

        def turn_of(box: Box) -> Callable[[], int]:
            def turn() -> int:
                box.agent.wait(1)
                return box.agent.turn()

            return turn

        yield Contender(*pair, {box.unit: turn_of(box) for box in pair})


@contextlib.contextmanager
def plain_agents() -> Iterator[Contender]:
    """Two that do one thing at a time."""
    with boxes() as pair, contextlib.ExitStack() as closing:
        turns = {}
        for box in pair:
            box.stop()
            with box.inside.entered():
                plain = OneAtATime(box.cluster, box.unit, PRIMARY)
            closing.callback(plain.close)
            turns[box.unit] = plain.turn
        yield Contender(*pair, turns)


def measure(rounds: int = 5) -> Figures:
    """Medians of so many rounds (18 at most: then ports run out), all taking turns."""
    with agents() as synod, plain_agents() as plain:
        for turn in range(rounds + 1):  # the first warms up
            plain.round(MOST, counts=turn > 0)
            for at_once in AT_ONCE:
                synod.round(at_once, counts=turn > 0)
    return figures_of(rounds, plain.spent[MOST], synod.spent)


def figures_of(
    rounds: int, plain: dict[str, list[float]], agent: dict[int, dict[str, list[float]]]
) -> Figures:
    """What there is to say of the seconds that were spent on a SYN, by part, a round each."""
    contenders = {"one_at_a_time": plain}
    contenders |= {f"agent_{at_once}": agent[at_once] for at_once in AT_ONCE}
    found = {name: _figures(spent) for name, spent in contenders.items()}
    whole = {name: each["us_a_syn"] for name, each in found.items()}
    return {
        "rounds": rounds,
        "sessions": SESSIONS,
        **found,
        "ratio": round(whole["one_at_a_time"] / whole[f"agent_{MOST}"], 2),
        "ratio_alone": round(whole["one_at_a_time"] / whole["agent_1"], 2),
        "ratio_together": round(whole["agent_1"] / whole[f"agent_{MOST}"], 2),
    }


def _figures(spent: dict[str, list[float]]) -> Figures:
    primary = [sum(each) for each in zip(spent["offered"], spent["handed_over"], strict=True)]
    whole = [sum(each) for each in zip(*spent.values(), strict=True)]
    return {
        "us_a_syn": round(statistics.median(whole) * 1e6, 2),
        "primary": _rate(primary),
        "auxiliary": _rate(spent["taken_over"]),
        **{
            f"{part}_us": [round(seconds * 1e6, 2) for seconds in each]
            for part, each in spent.items()
        },
    }


def _rate(spent: list[float]) -> dict[str, int]:
    return {
        "per_cpu_second": round(1 / statistics.median(spent)),
        "lowest": round(1 / max(spent)),
        "highest": round(1 / min(spent)),
    }


def rows(figures: Figures) -> Rows:
    """Heading first."""
    names = {"one_at_a_time": "one thing at a time"}
    names |= {f"agent_{n}": f"the agent, {n} SYN{'s'[: n > 1]} a wake-up" for n in AT_ONCE}
    found: Rows = [("", "the primary's: SYNs a second", "", "an auxiliary's", "", "us in both")]
    for name, text in names.items():
        row = [text]
        for part in ("primary", "auxiliary"):
            rate = figures[name][part]
            row += [f"{rate['per_cpu_second']:,}", f"{rate['lowest']:,} to {rate['highest']:,}"]
        found.append((*row, f"{figures[name]['us_a_syn']:.1f}"))
    return found


def promises(figures: Figures) -> dict[str, bool]:
    """What must be so."""
    return {
        f"{MOST} a wake-up: at least 1.8 times one thing at a time: {figures['ratio']}": (
            figures["ratio"] >= 1.8
        ),
        f"1 a wake-up: at least 0.5 times one thing at a time: {figures['ratio_alone']}": (
            figures["ratio_alone"] >= 0.5
        ),
    }


BENCHMARK = Benchmark(
    "What a SYN costs the agents, on one core",
    measure,
    rows,
    promises,
    about="SYNs a second of the primary's agent and of an auxiliary's on one core, with 1, 4 and"
    " 32 a wake-up, against an agent that does one thing at a time.",
    minutes=0.1,
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    figures = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for row in rows(figures):
        print("  ".join(f"{cell:<28}" for cell in row))
    print(*promises(figures), sep="\n")


if __name__ == "__main__":
    main()
