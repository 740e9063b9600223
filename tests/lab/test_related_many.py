"""A thousand transfers by FTP, many at once: none fails, none is corrupted, and each data session
is its control session's unit's. And what a data session on a cluster costs.

The lab balances what a rule labels, so that by one rule it is three units or the primary alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.lab.related import KEPT, MODES, RULES, assert_together, families
from tests.lab.stopwatch import delay, stopwatches
from tests.lab.transfers import corrupted, plan, run
from tests.lab.world import World

LABEL = """
table ip user {
    chain balanced {
        type filter hook prerouting priority mangle
        meta l4proto tcp ct label set balance
    }
}
"""
TOGETHER, AT_LEAST = 96, 25  # curls that run, control sessions that must be open at once
MANY, ONE_BY_ONE = 1_000, 80
COMPARED = 250  # through the primary alone
SLOWEST = 0.5  # seconds in the median, one at a time: some hundred times what a gateway takes

Times = dict[tuple[str, str], list[float]]  # by mode, and who served


@pytest.fixture(scope="module")
def labelled(make_world: Callable[..., World]) -> World:
    """Keeps what has ended for long enough to look at all of it."""
    world = make_world(3, balance="labelled")
    world.timeouts(**dict.fromkeys(KEPT, 400))
    return world


def transfer(world: World, folder: Path, alone: bool, together: int, count: int) -> Times:
    """Transfers through three units or the primary alone, and how long each data session took to
    come about.
    """
    world.forget_sessions()
    world.rules(RULES if alone else RULES + LABEL)
    name = f"{'alone' if alone else 'units'}-{together}"
    transfers = plan(world, folder / name, name, count)
    with stopwatches(world, folder) as watches:
        failed = run(world, transfers, together)
    assert not failed, f"{len(failed)} of {len(transfers)} failed: {failed[:5]}"
    assert not corrupted(transfers)
    found = families(world)
    odd = [family for family in found if len(family.data) != 1]
    assert (len(found), odd) == (len(transfers), [])
    assert_together(world, found)
    units = Counter(family.unit for family in found)
    assert set(units) == ({1} if alone else set(world.units)), units
    assert alone or min(units.values()) >= count // 4, units
    assert together == 1 or watches["client"].most >= AT_LEAST
    times: Times = defaultdict(list)
    for family in found:
        took, mode = delay(family, watches)
        times[mode, "alone" if alone else "primary" if family.unit == 1 else "auxiliary"] += [took]
    return times


def table(title: str, alone: Times, units: Times) -> str:
    """Medians in milliseconds."""
    lines = [f"{title:32}  alone  primary  auxiliary    added"]
    for mode in MODES:
        by = {who: 1000 * median(times[mode, who]) for times in (alone, units) for _, who in times}
        both = units[mode, "primary"] + units[mode, "auxiliary"]
        added = 1000 * median(both) - by["alone"]
        columns = f"{by['alone']:7.2f}{by['primary']:9.2f}{by['auxiliary']:11.2f}{added:9.2f}"
        lines.append(f"  {mode:30}{columns}")
    return "\n".join(lines)


def test_a_thousand_transfers_on_three_units(
    labelled: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`added`: the median of all on three units, less that of the primary alone, of fewer."""
    tables = []
    for title, together, count in (
        ("one at a time", 1, ONE_BY_ONE),
        (f"{TOGETHER} curls at once", TOGETHER, MANY),
    ):
        alone = transfer(labelled, tmp_path, True, together, min(count, COMPARED))
        units = transfer(labelled, tmp_path, False, together, count)
        tables.append(table(f"{count} transfers, {title}", alone, units))
        if together == 1:
            assert all(median(times) < SLOWEST for times in units.values())
    with capsys.disabled():
        print(
            "\n\nFrom announcement to answered data SYN, medians in ms, served by",
            *tables,
            sep="\n",
        )


def test_only_the_control_session_has_to_be_selected(labelled: World, tmp_path: Path) -> None:
    """Its data sessions follow, though no rule chooses them."""
    labelled.forget_sessions()
    labelled.rules(RULES + LABEL.replace("meta l4proto tcp", "tcp dport 21"))
    transfers = plan(labelled, tmp_path / "selected", "selected", 12)
    assert not run(labelled, transfers, 1)
    assert not corrupted(transfers)
    found = families(labelled)
    assert [len(family.data) for family in found] == [1] * 12
    assert {family.unit for family in found} == set(labelled.units)
    assert_together(labelled, found)
