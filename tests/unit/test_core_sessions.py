"""Offers become decisions: the same ones when asked again."""

import pytest

from ryu_apps.core import sessions as module
from ryu_apps.core.budget import Budget
from ryu_apps.core.methods import METHODS
from ryu_apps.core.sessions import Decision, Sessions
from tests.unit.core_world import tuples

PRIMARY = 1


def sessions(*up: int, method: str = "round-robin", budget: int = 0) -> Sessions:
    made = Sessions(METHODS[method], (1, 2, 3), Budget(budget))
    made.serve_with(PRIMARY, frozenset(up), tuple((unit, 1) for unit in up))
    return made


def decide(
    made: Sessions, number: int, *, known: int = 0, reply: bytes = b"", now: float = 0.0
) -> Decision:
    orig, plain = tuples(number)
    return made.decide(orig, reply or plain, known, now)


def test_new_sessions_go_round() -> None:
    made = sessions(1, 2, 3)
    assert [decide(made, number).unit for number in range(6)] == [1, 2, 3, 1, 2, 3]
    assert made.live == made.served == {1: 2, 2: 2, 3: 2}


def test_asked_again_the_answer_is_the_same() -> None:
    made = sessions(1, 2, 3)
    decide(made, 0)
    first = decide(made, 1)
    again = decide(made, 1, now=5.0)
    assert (first.unit, first.outcome) == (2, "decided")
    assert again == Decision(2, "decided_kept", ())
    assert made.live == made.served == {1: 1, 2: 1, 3: 0}


def test_the_unit_in_the_entry_is_kept() -> None:
    made = sessions(1, 2, 3)
    assert decide(made, 0, known=3) == Decision(3, "decided_kept", ())
    assert decide(made, 1).unit == 1


def test_the_entry_is_right_where_the_copy_here_is_not() -> None:
    made = sessions(1, 2, 3)
    decide(made, 0, known=2)
    assert decide(made, 0, known=3) == Decision(3, "decided_kept", ())
    assert made.live == {1: 0, 2: 0, 3: 1}
    assert made.served == {1: 0, 2: 1, 3: 1}


def test_a_unit_that_is_gone_is_not_kept() -> None:
    made = sessions(1, 2, 3)
    decide(made, 0, known=2)
    made.serve_with(PRIMARY, frozenset((1, 3)), ((3, 1),))
    assert decide(made, 0, known=2) == Decision(3, "decided_anew", ())
    assert decide(made, 1, known=2) == Decision(3, "decided_anew", ())


def test_a_unit_without_weight_keeps_what_it_has_and_gets_nothing_new() -> None:
    made = sessions(1, 2, 3)
    made.serve_with(PRIMARY, frozenset((1, 2, 3)), ((1, 1), (3, 1)))
    assert [decide(made, number).unit for number in range(4)] == [1, 3, 1, 3]
    assert decide(made, 9, known=2).unit == 2


def test_with_nobody_to_choose_from_the_primary_serves() -> None:
    made = sessions()
    assert decide(made, 0) == Decision(PRIMARY, "decided_alone", ())


def test_a_tuple_used_again_with_other_nat_is_another_session() -> None:
    made = sessions(2, 3)
    assert decide(made, 0).unit == 2
    _, old = tuples(0)
    other = old[:10] + b"\x99\x99"
    assert decide(made, 0, reply=other) == Decision(3, "decided", (old,))
    assert made.live == {1: 0, 2: 0, 3: 1}
    assert made.served == {1: 0, 2: 1, 3: 1}
    assert made.end(2, tuples(0)[0], old, 9.0) == "ended_stale"
    assert made.end(3, tuples(0)[0], other, 9.0) == "ended"


def test_a_session_that_comes_home_leaves_no_flows_behind() -> None:
    made = sessions(1, 2)
    decide(made, 0, known=2)
    assert decide(made, 0, known=1).stale == tuples(0)


def test_the_primarys_own_sessions_have_no_flows() -> None:
    made = sessions(1, 2)
    decide(made, 0, known=1)
    assert decide(made, 0, known=2).stale == ()
    assert decide(made, 1, known=1).stale == ()


def test_an_end_is_believed_only_from_the_unit_that_serves() -> None:
    made = sessions(1, 2, 3)
    orig, reply = tuples(0)
    made.decide(orig, reply, 2, 0.0)
    assert made.end(3, orig, reply, 9.0) == "ended_stale"
    assert made.end(2, orig, reply, 9.0) == "ended"
    assert made.end(2, orig, reply, 9.0) == "ended_unknown"
    assert made.live == {1: 0, 2: 0, 3: 0}
    assert made.served == {1: 0, 2: 1, 3: 0}
    assert len(made) == 0


def test_an_end_that_comes_too_early_is_a_predecessors() -> None:
    made = sessions(1, 2)
    orig, reply = tuples(0)
    made.decide(orig, reply, 2, 10.0)
    assert made.end(2, orig, reply, 11.9) == "ended_early"
    assert made.live[2] == 1
    made.decide(orig, reply, 2, 12.0)  # the same session's SYN again, or another session's
    assert made.end(2, orig, reply, 13.9) == "ended_early"
    assert made.end(2, orig, reply, 14.0) == "ended"


def test_adopting_counts_as_live_not_as_served() -> None:
    made = sessions(1, 2)
    assert made.adopt(2, *tuples(0))
    assert not made.adopt(1, *tuples(0))
    assert made.live == {1: 0, 2: 1, 3: 0}
    assert made.served == {1: 0, 2: 0, 3: 0}
    assert [orig for orig, _ in made.of(2)] == [tuples(0)[0]]


def test_least_connection_sees_ends() -> None:
    made = sessions(1, 2, method="least-connection")
    assert [decide(made, number).unit for number in range(4)] == [1, 2, 1, 2]
    made.end(2, *tuples(1), 9.0)
    assert [decide(made, number).unit for number in range(4, 6)] == [2, 1]


def test_beyond_the_budget_the_primary_serves_alone() -> None:
    made = sessions(2, 3, budget=2)
    assert [decide(made, number, now=5.0).unit for number in range(2)] == [2, 3]
    assert decide(made, 2, now=5.2) == Decision(PRIMARY, "decided_over_budget", ())
    assert decide(made, 0, now=5.3).outcome == "decided_kept"  # it is none that is shared out
    assert decide(made, 3, known=3, now=5.3).outcome == "decided_kept"
    assert decide(made, 4, now=5.6) == Decision(2, "decided", ())
    assert decide(made, 5, now=5.6).outcome == "decided_over_budget"
    later = [decide(made, number, now=99.0).outcome for number in range(6, 9)]
    assert later == ["decided", "decided", "decided_over_budget"]


def test_there_is_an_end_to_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SESSIONS", 2)
    made = sessions(2, 3)
    decide(made, 0)
    decide(made, 1)
    assert decide(made, 2) == Decision(PRIMARY, "sessions_full", ())
    assert not made.adopt(2, *tuples(3))
    assert decide(made, 0).unit == 2
    assert len(made) == 2


@pytest.mark.parametrize("method", METHODS)
def test_what_is_foretold_comes_true(method: str) -> None:
    made = sessions(1, 2, 3, method=method)
    for number in range(7):
        client = tuples(number)[0][:4]
        foretold = {made.foretell(client) for _ in range(3)}
        assert foretold == {decide(made, number).unit}


@pytest.mark.parametrize("method", METHODS)
def test_foretelling_takes_nobodys_turn(method: str) -> None:
    asked, unasked = (sessions(1, 2, 3, method=method) for _ in range(2))
    given = []
    for number in range(9):
        asked.foretell(bytes((10, 9, 9, number)))
        given.append(decide(asked, number).unit)
    assert given == [decide(unasked, number).unit for number in range(9)]


def test_alone_it_is_the_primary_that_is_foretold() -> None:
    made = sessions()
    assert made.foretell(bytes(4)) == PRIMARY
