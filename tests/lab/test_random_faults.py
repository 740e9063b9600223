"""A few faults at random, other ones each day: `script/faults` goes on for longer."""

import datetime
import time
from pathlib import Path

import pytest

from tests.lab.failing import Cluster
from tests.lab.faults_at_random import Round
from tests.lab.random_faults import plan

FAULTS = 4


def test_faults_of_today(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The seed is the day's: `script/faults --seed N` begins with the same."""
    seed = datetime.datetime.now(datetime.UTC).date().toordinal()
    print(f"script/faults --seed {seed}")
    coming = plan(seed)
    faults = [next(coming) for _ in range(FAULTS)]
    Round(cluster.world, tmp_path / "faults.jsonl", time.monotonic()).play(faults)
