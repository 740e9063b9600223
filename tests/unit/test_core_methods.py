"""Methods choose as they say."""

from collections import Counter
from itertools import groupby
from sys import setprofile
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.core.methods import METHODS, Choice, Shares, smooth_turn

CLIENT = bytes((10, 1, 0, 10))


def choices(method: str, shares: Shares, live: dict[int, int] | None = None) -> Choice:
    return METHODS[method](shares, live or {})


def turn_of(shares: Shares) -> tuple[int, ...]:
    return tuple(smooth_turn(shares))


shares_of_units = st.dictionaries(
    st.integers(1, 64), st.integers(1, 12), min_size=1, max_size=8
).map(lambda weights: tuple(sorted(weights.items())))


@given(shares_of_units, st.integers(0, 200))
def test_weighted_round_robin_is_exact_in_any_window(shares: Shares, start: int) -> None:
    choose = choices("weighted-round-robin", shares)
    total = sum(weight for _, weight in shares)
    chosen = [choose(CLIENT) for _ in range(start + total)]
    assert Counter(chosen[start:]) == dict(shares)


@given(shares_of_units, st.integers(0, 50))
def test_round_robin_is_exact_in_any_window(shares: Shares, start: int) -> None:
    choose = choices("round-robin", shares)
    chosen = [choose(CLIENT) for _ in range(start + len(shares))]
    assert sorted(chosen[start:]) == [unit for unit, _ in shares]


def test_weights_are_interleaved_not_in_runs() -> None:
    assert turn_of(((1, 5), (2, 3), (3, 2))) == (1, 2, 3, 1, 1, 2, 1, 3, 2, 1)
    assert turn_of(((1, 5), (2, 1), (3, 1))) == (1, 1, 2, 1, 3, 1, 1)


@given(shares_of_units)
def test_a_unit_that_others_outweigh_has_never_more_than_two_in_a_row(shares: Shares) -> None:
    turn = turn_of(shares)
    light = {unit for unit, weight in shares if 2 * weight <= sum(each for _, each in shares)}
    runs = [(unit, len(list(run))) for unit, run in groupby(turn + turn)]
    assert all(length <= 2 for unit, length in runs if unit in light)


def test_who_may_be_chosen_changes_without_delay_however_long_a_turn_is() -> None:
    """It does several times when a unit dies, before anything else is done about that."""
    shares = tuple((unit, 1000 - unit) for unit in range(1, 65))
    assert sum(weight for _, weight in shares) > 60_000, "steps"
    counted = Counter[str]()

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        counted[event] += 1

    setprofile(count)
    try:
        choose = choices("weighted-round-robin", shares)
        first = choose(CLIENT)
    finally:
        setprofile(None)
    assert first == 1
    assert sum(counted.values()) < 10 * len(shares)


def test_a_common_divisor_shortens_the_turn() -> None:
    assert turn_of(((1, 400), (2, 200))) == (1, 2, 1)


def test_least_connection_takes_the_idlest_and_the_lowest_id_of_equals() -> None:
    live = {1: 2, 2: 1, 3: 1}
    choose = choices("least-connection", ((1, 1), (2, 1), (3, 9)), live)
    assert choose(CLIENT) == 2
    live[2] = 2
    assert choose(CLIENT) == 3
    live[3] = 2
    assert choose(CLIENT) == 1


def test_weighted_least_connection_fills_up_by_weight() -> None:
    live = {1: 0, 2: 0, 3: 0}
    choose = choices("weighted-least-connection", ((1, 2), (2, 3), (3, 5)), live)
    assert choose(CLIENT) == 3
    for _ in range(100):
        live[choose(CLIENT)] += 1
    assert live == {1: 20, 2: 30, 3: 50}


clients = [bytes((10, 1, number >> 8, number & 255)) for number in range(4000)]


def test_source_hash_keeps_a_client_with_its_unit() -> None:
    shares = ((1, 1), (2, 1), (3, 1))
    first, second = choices("source-hash", shares), choices("source-hash", shares)
    assert [first(client) for client in clients] == [second(client) for client in clients]


def test_source_hash_spreads_clients_by_weight() -> None:
    choose = choices("source-hash", ((1, 1), (2, 3)))
    share = Counter(choose(client) for client in clients)[2] / len(clients)
    assert 0.70 < share < 0.80


def test_a_unit_that_leaves_moves_only_its_own_clients() -> None:
    before = choices("source-hash", ((1, 1), (2, 2), (3, 1)))
    after = choices("source-hash", ((1, 1), (3, 1)))
    moved = [client for client in clients if before(client) != after(client)]
    assert moved
    assert {before(client) for client in moved} == {2}


@pytest.mark.parametrize("method", METHODS)
def test_one_unit_alone_gets_everything(method: str) -> None:
    choose = choices(method, ((7, 3),), {7: 0})
    assert {choose(client) for client in clients[:20]} == {7}


def test_methods_are_those_that_the_configuration_knows() -> None:
    from agents.config_form import METHODS as configured  # noqa: PLC0415 - what is compared with

    assert tuple(METHODS) == configured
