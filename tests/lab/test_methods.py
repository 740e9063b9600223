"""The methods, exact, with real sessions: who serves what is read from the primary's conntrack."""

from collections import Counter
from collections.abc import Callable
from itertools import groupby

import pytest

from tests.lab.world import CLIENT, PORT, SERVER, World
from topologies.observe import Entry

MakeWorld = Callable[..., World]


def decisions(world: World, count: int) -> list[int]:
    """Who serves each of so many sessions, opened one after the other and left open."""
    return [world.connect().unit for _ in range(count)]


def windows(served: list[int], size: int) -> list[Counter[int]]:
    """What each unit got, of every run of this many consecutive decisions."""
    return [Counter(served[start : start + size]) for start in range(len(served) - size + 1)]


def test_round_robin_gives_each_unit_one_of_any_three(world: World) -> None:
    served = decisions(world, 12)
    assert set(map(frozenset, windows(served, 3))) == {frozenset({1: 1, 2: 1, 3: 1})}


class TestWeights:
    """Five, three, two."""

    @pytest.fixture(scope="class")
    @staticmethod
    def weighted(make_world: MakeWorld) -> World:
        return make_world(3, method="weighted-round-robin", weights=(5, 3, 2))

    def test_any_ten_decisions_are_five_three_two(self, weighted: World) -> None:
        served = decisions(weighted, 30)
        for window in windows(served, 10):
            assert window == {1: 5, 2: 3, 3: 2}

    def test_and_interleaved_not_in_runs(self, weighted: World) -> None:
        served = decisions(weighted, 20)
        assert max(len(list(run)) for _, run in groupby(served)) <= 2

    def test_a_thousand_sessions_are_exactly_shared(self, weighted: World) -> None:
        before = weighted.served()
        assert set(weighted.client("sessions", address=SERVER, port=PORT, count=500)) == {"ok"}
        gained = weighted.served()
        gained.subtract(before)
        assert gained == {1: 250, 2: 150, 3: 100}


class TestLeastConnection:
    """The unit that has fewest."""

    @pytest.fixture(scope="class")
    @staticmethod
    def least(make_world: MakeWorld) -> World:
        return make_world(3, method="least-connection")

    def test_new_sessions_go_where_others_ended(self, least: World) -> None:
        sessions = [least.connect() for _ in range(9)]
        assert Counter(session.unit for session in sessions) == {1: 3, 2: 3, 3: 3}
        for session in sessions:
            if session.unit == 3:
                least.client("close", id=session.id)
        # Asking for its entries makes the kernel drop those that have run out.
        least.until(
            lambda: not own_sessions(least, 3) and not least.unit_status(3)["sessions"]["live"],
            "unit 3 has sessions",
            timeout=15,
        )
        assert decisions(least, 3) == [3, 3, 3]


def own_sessions(world: World, unit: int) -> list[Entry]:
    return [entry for entry in world.sessions_of(unit) if entry.unit == unit]


class TestWeightedLeastConnection:
    """The unit that has fewest for its weight."""

    @pytest.fixture(scope="class")
    @staticmethod
    def least(make_world: MakeWorld) -> World:
        return make_world(2, method="weighted-least-connection", weights=(1, 3))

    def test_live_sessions_stand_as_the_weights(self, least: World) -> None:
        assert Counter(decisions(least, 12)) == {1: 3, 2: 9}


class TestSourceHash:
    """One client, one unit."""

    @pytest.fixture(scope="class")
    @staticmethod
    def hashed(make_world: MakeWorld) -> World:
        return make_world(3, method="source-hash")

    def test_a_client_stays_with_its_unit(self, hashed: World) -> None:
        assert len(set(decisions(hashed, 6))) == 1

    def test_many_clients_are_spread(self, hashed: World) -> None:
        prefix = CLIENT.rsplit(".", 1)[0]
        sources = [f"{prefix}.{number}" for number in range(100, 130)]
        device = hashed.lab.run("client", ["ip", "-o", "route", "get", "10.1.0.1"]).stdout.split()[
            2
        ]
        for source in sources:
            hashed.lab.run("client", ["ip", "address", "add", f"{source}/24", "dev", device])
        before = hashed.served()
        for source in sources:
            hashed.client("connect", address=SERVER, port=PORT, source=source)
        gained = hashed.served()
        gained.subtract(before)
        assert sum(gained.values()) == len(sources)
        assert min(gained.values()) >= 3, gained


def test_weights_and_the_method_change_under_sessions_that_go_on(world: World) -> None:
    """By `synod` on the controller, with the token that the lab has made."""

    def order(*argv: object) -> None:
        world.lab.run("controller", ["synod", *map(str, argv)])

    before = [world.connect() for _ in world.units]
    try:
        order("method", "weighted-round-robin")
        order("weight", 1, 2)
        order("weight", 3, 0)
        served = decisions(world, 12)
        assert [*map(dict, windows(served, 3))] == [{1: 2, 2: 1}] * 10
        order("method", "source-hash")
        assert len(set(decisions(world, 4))) == 1  # they are of one client
    finally:
        for unit in world.units:
            order("weight", unit, 1)
        order("method", "round-robin")
    assert set(decisions(world, 3)) == set(world.units)
    for session in before:
        assert world.client("talk", id=session.id, text="alive?") == "alive?"
        entry = world.entry(session.endpoints)
        assert entry is not None
        assert entry.unit == session.unit
