"""What `script/bench agent` says of what it has measured."""

from typing import Any

import pytest

from tests.bench.agent_path import AT_ONCE, PARTS, figures_of, promises, rows

US = 1e-6
PLAIN = {"offered": [40 * US, 44 * US], "handed_over": [40 * US] * 2, "taken_over": [20 * US] * 2}


def agent(whole: float) -> dict[str, list[float]]:
    """Two rounds: a SYN takes so many microseconds, a half of it at the auxiliary."""
    primary = [whole / 4 * US] * 2
    return dict(zip(PARTS, (primary, primary, [whole / 2 * US] * 2), strict=True))


def figures(*whole: float) -> dict[str, Any]:
    """With so many microseconds a SYN at 1, 4 and 32 a wake-up."""
    each = {at_once: agent(us) for at_once, us in zip(AT_ONCE, whole, strict=True)}
    return figures_of(2, PLAIN, each)


def test_each_round_is_kept_and_the_median_is_told() -> None:
    found = figures(80, 50, 25)
    plain = found["one_at_a_time"]
    assert plain["offered_us"] == [40, 44]
    assert plain["us_a_syn"] == 102
    assert plain["primary"] == {"per_cpu_second": 12195, "lowest": 11905, "highest": 12500}
    assert plain["auxiliary"]["per_cpu_second"] == 50000
    assert found["agent_32"]["us_a_syn"] == 25
    ratios = (found["ratio"], found["ratio_alone"], found["ratio_together"])
    assert ratios == (4.08, 1.27, 3.2)


def test_a_row_for_each() -> None:
    heading, *found = rows(figures(80, 50, 25))
    assert {len(row) for row in found} == {len(heading)}
    assert [row[0] for row in found] == [
        "one thing at a time",
        "the agent, 1 SYN a wake-up",
        "the agent, 4 SYNs a wake-up",
        "the agent, 32 SYNs a wake-up",
    ]
    assert found[0][1:] == ("12,195", "11,905 to 12,500", "50,000", "50,000 to 50,000", "102.0")


@pytest.mark.parametrize(
    ("whole", "kept"),
    [((80, 50, 25), [True, True]), ((80, 70, 60), [False, True]), ((210, 50, 25), [True, False])],
)
def test_what_is_promised(whole: tuple[float, ...], kept: list[bool]) -> None:
    assert list(promises(figures(*whole)).values()) == kept
