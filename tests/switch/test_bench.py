"""The benchmark of decisions runs, of both apps, over TLS too: else one learns of it too late."""

from tests.bench import decisions


def test_decisions_are_measured() -> None:
    """What it counts is checked by itself: each session decided once, with both its flows."""
    figures = decisions.measure(rounds=1, sessions=64)
    names = ("textbook", "single", "batched", "single_tls", "batched_tls")
    assert all(figures[name]["per_second"] > 0 for name in names)
