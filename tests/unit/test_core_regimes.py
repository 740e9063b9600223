"""What held when: methods and shares, and whose sessions became whose."""

from ryu_apps.core.regimes import MOST, Move, Regime, Regimes

SHARES = ((1, 1), (2, 1), (3, 1))


def regimes(*noted: Regime) -> Regimes:
    made = Regimes()
    for regime in noted:
        made.note(regime)
    return made


FORMED = Regime(10, "round-robin", SHARES, 1)
WEIGHTED = Regime(20, "weighted-round-robin", SHARES, 1)
LOST_2 = Regime(30, "weighted-round-robin", SHARES[::2], 1, frozenset({2}))
BACK = Regime(40, "weighted-round-robin", SHARES, 1)
PROMOTED = Regime(50, "weighted-round-robin", ((3, 1),), 3, frozenset({1, 2}))


def test_what_held_at_a_time() -> None:
    made = regimes(FORMED, WEIGHTED)
    assert [made.at(time) for time in (9, 10, 19.9, 20, 99)] == [
        *(None, FORMED, FORMED, WEIGHTED, WEIGHTED)
    ]
    assert made.now() == WEIGHTED


def test_nothing_is_known_before_anything_was_said() -> None:
    assert (Regimes().now(), Regimes().at(5), list(Regimes().moves(0))) == (None, None, [])


def test_what_is_as_it_was_is_nothing_new() -> None:
    assert regimes(FORMED, FORMED._replace(since=15)).at(16) == FORMED


def test_what_is_long_ago_is_forgotten() -> None:
    made = regimes(*(Regime(time, str(time), (), 1) for time in range(MOST + 2)))
    assert made.at(1) is None
    assert made.at(2) == Regime(2, "2", (), 1)


def test_a_units_sessions_move_to_the_primary_once() -> None:
    made = regimes(FORMED, LOST_2, LOST_2._replace(since=35, method="round-robin"), BACK)
    assert list(made.moves(0)) == [Move(30, 2, 1)]
    assert list(made.moves(30)) == []


def test_all_sessions_move_to_a_new_primary() -> None:
    assert list(regimes(FORMED, PROMOTED).moves(10)) == [Move(50, 1, 3), Move(50, 2, 3)]


def test_also_those_of_a_primary_that_was_given_none() -> None:
    alone = FORMED._replace(shares=((2, 1), (3, 1)))
    after = Regime(50, "round-robin", (), 2)
    assert list(regimes(alone, after).moves(0)) == [Move(50, 1, 2), Move(50, 3, 2)]
