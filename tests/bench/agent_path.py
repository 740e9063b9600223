"""What one SYN costs the agent: a real kernel and real frames; bridge and app are played here.

    python -m tests.bench.agent_path [--json]        needs root; ends by itself after a few seconds

SYNs go through the primary's part (found in conntrack, offered, decided, handed over) and what it
writes through an auxiliary's (entry made, SYN data cut off). Only the agent's own time is counted.
"""

import argparse
import json
import statistics
from dataclasses import dataclass

from agents.outcomes import Outcome
from agents.wire.packet import as_client_sent, readdress
from tests.lab.agent_box import (
    AUXILIARY,
    INSIDE,
    PRIMARY,
    boxes,
    decisions,
    prepare,
    sessions,
    syn,
)

BATCH = 32


@dataclass(frozen=True)
class Costs:
    """Microseconds of the agent's time for one SYN, and how many a second that makes."""

    offered: float
    decided: float
    injected: float

    @property
    def syns_per_second(self) -> float:
        """Through the primary: offered and decided."""
        return 1e6 / (self.offered + self.decided)

    @property
    def injections_per_second(self) -> float:
        """Through an auxiliary."""
        return 1e6 / self.injected


def measure(count: int = 8192, batch: int = BATCH) -> Costs:
    """Hand over so many sessions; all must get there."""
    with boxes() as (primary, auxiliary):
        primary.tell("primary")
        auxiliary.tell("auxiliary")
        offered, decided, injected = [], [], []
        for start in range(0, count, batch):
            pairs = sessions(batch, start)
            prepare(primary, pairs)
            primary.tell("primary")
            list(primary.taken())
            frames = [syn(primary.cluster, PRIMARY, reply) for _, reply in pairs]
            offered.append(primary.give(frames) / batch)
            answers, _ = decisions(primary, AUXILIARY)
            decided.append(primary.give(answers) / batch)
            _, handed_over = decisions(primary, AUXILIARY)
            assert len(handed_over) == batch, (len(handed_over), primary.agent.core.desk.counters)
            # The bridge of the primary would do that.
            virtual = primary.cluster.interface(INSIDE).virtual_mac
            arrived = [readdress(frame, frame[:6], virtual) for frame in handed_over]
            injected.append(auxiliary.give(arrived) / batch)
            _, written = decisions(auxiliary, 0)
            wanted = [as_client_sent(f, o) for f, (o, _) in zip(frames, pairs, strict=True)]
            assert [f[12:] for f in written] == [f[12:] for f in wanted]
        counters = auxiliary.agent.core.desk.counters
        assert counters[Outcome.INJECTED] == count // batch * batch, counters
        return Costs(*(statistics.median(each) * 1e6 for each in (offered, decided, injected)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {batch: measure(2048 if batch == 1 else 8192, batch) for batch in (1, 4, BATCH)}
    if arguments.json:
        print(json.dumps({str(batch): vars(costs) for batch, costs in results.items()}))
        return
    for batch, costs in results.items():
        print(
            f"{batch:3} at once: offered {costs.offered:4.1f} us, decided {costs.decided:4.1f} us,"
            f" injected {costs.injected:4.1f} us: {costs.syns_per_second:6,.0f} SYNs/s,"
            f" {costs.injections_per_second:6,.0f} injections/s"
        )


if __name__ == "__main__":
    main()
