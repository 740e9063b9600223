"""A few faults at random, other ones each day: `script/faults` goes on for longer."""

import datetime
import time
from itertools import islice, takewhile
from pathlib import Path

from tests.lab.failing import Cluster
from tests.lab.faults_at_random import Round
from tests.lab.random_faults import plan

FAULTS, SECONDS = 4, 20  # at most; no fault begins later than that


def test_faults_of_today(cluster: Cluster, tmp_path: Path) -> None:
    """The seed is the day's: `script/faults --seed N` begins with the same."""
    seed = datetime.datetime.now(datetime.UTC).date().toordinal()
    print(f"script/faults --seed {seed}")
    record, began = tmp_path / "faults.jsonl", time.monotonic()
    faults = takewhile(
        lambda _: not record.exists() or time.monotonic() < began + SECONDS,
        islice(plan(seed), FAULTS),
    )
    Round(cluster.world, record, began).play(faults)
    assert record.exists()
