"""What has happened to the cluster is kept and numbered; what became of sessions isn't."""

from typing import Any

from agents.wire.control import announce_frames
from ryu_apps.core.chronicle import EVENTS, KEPT, Chronicle
from ryu_apps.core.cluster import State
from ryu_apps.core.orders import DRAIN, UNDRAIN, Order
from ryu_apps.core.status import happenings
from tests.unit.core_world import World
from tests.unit.test_core_failover import die, settled
from tests.unit.test_core_succession import tell


def told(world: World, after: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = happenings(world.controller, world.moment, after)["events"]
    return found


def names(world: World, after: int = 0) -> list[str]:
    return [each["event"] for each in told(world, after)]


def test_the_last_are_kept_and_numbers_go_on() -> None:
    chronicle = Chronicle()
    assert (chronicle.last, [*chronicle.after(0)]) == (0, [])
    for number in range(KEPT + 20):
        chronicle.add(float(number), False, "unit_up", {"unit": number})
    kept = [*chronicle.after(0)]
    assert [each.number for each in kept] == list(range(21, KEPT + 21))
    assert chronicle.last == KEPT + 20
    assert [each.fields["unit"] for each in chronicle.after(KEPT + 18)] == [KEPT + 18, KEPT + 19]
    assert [*chronicle.after(KEPT + 20)] == []


def test_whoever_asks_for_what_an_app_before_this_one_told_gets_all() -> None:
    chronicle = Chronicle()
    chronicle.add(1.0, False, "unit_up", {})
    assert [each.number for each in chronicle.after(400)] == [1]


def test_what_is_no_event_of_the_cluster_is_not_kept() -> None:
    chronicle = Chronicle()
    chronicle.add(1.0, True, "decided", {})
    assert chronicle.last == 0
    assert {f"unit_{state.value}" for state in State} < EVENTS


def test_a_cluster_that_forms_and_works() -> None:
    world = World().form()
    assert names(world)[:8] == [
        "app_started",
        *["unit_joining"] * 3,
        "primary_elected",
        *["unit_up"] * 3,
    ]
    first, *_ = told(world)
    assert first == {
        "number": 1,
        "time": 1_700_000_000.0,
        "event": "app_started",
        "warning": False,
        "fields": {"boot": 7, "version": "0.1.0", "units": 3, "method": "round-robin"},
    }
    before = told(world)[-1]["number"]
    world.offer(1, *range(20))
    world.ended(2, 1, 4)
    assert names(world, before) == []


def test_a_death_and_what_follows_with_its_times() -> None:
    world = settled(World())
    before = told(world)[-1]["number"]
    die(world, 1)
    found = told(world, before)
    assert [each["event"] for each in found[:2]] == ["unit_down", "unit_dead"]
    assert "primary_promoted" in names(world, before)
    assert [each["number"] for each in found] == list(range(before + 1, before + 1 + len(found)))
    (dead,) = [each for each in found if each["event"] == "unit_dead"]
    assert dead["fields"] == {"unit": 1, "role": "primary", "was": "down"}
    assert dead["time"] == world.status()["units"][0]["since"] <= world.status()["time"]


def warned(world: World, after: int) -> set[str]:
    """Of what is told of units, and no link."""
    found = {each["event"] for each in told(world, after) if each["warning"]}
    return {event for event in found if event.startswith("unit_")}


def test_what_a_unit_has_lost_is_a_warning_and_what_it_has_again_is_none() -> None:
    world = settled(World())
    world.offer(1, *range(9))
    before = told(world)[-1]["number"]
    tell(world, 2, down=(1,))
    world.pass_time(2.0, 1, 2)
    die(world, 2)
    assert warned(world, before) == {
        *("unit_degraded", "unit_silent", "unit_down", "unit_dead", "unit_rehomed"),
    }
    before = told(world)[-1]["number"]
    world.bridges[2].answers = True
    world.connect(2)
    world.pass_time(1.0, 1, 2, 3)
    assert {"unit_joining", "unit_up"} <= set(names(world, before))
    assert warned(world, before) == set()


def test_what_an_operator_has_ordered_is_no_warning() -> None:
    world = settled(World())
    world.offer(1, *range(9))
    before = told(world)[-1]["number"]
    world.controller.give(Order(DRAIN, 2, 0.0), world.now)
    assert "unit_rehomed" in names(world, before)
    assert warned(world, before) == set()


def test_orders_are_events() -> None:
    world = World().form()
    before = told(world)[-1]["number"]
    world.controller.give(Order(DRAIN, 2, 5.0), world.now)
    world.controller.give(Order(UNDRAIN, 2), world.now)
    assert [(each["event"], each["fields"]) for each in told(world, before)] == [
        ("unit_drained", {"unit": 2, "deadline": 5.0}),
        ("unit_undrained", {"unit": 2}),
    ]


def test_nothing_is_suppressed() -> None:
    world = World().form()
    before = told(world)[-1]["number"]
    for _ in range(50):
        world.controller.give(Order(DRAIN, 2), world.now)
    assert len(told(world, before)) == 50


def test_a_unit_that_is_refused_is_told_once_for_each_reason() -> None:
    world = World().form()
    before = told(world)[-1]["number"]
    for _ in range(5):
        world.announce(2, digest="0" * 16)
    stranger = world.announcement(2, group=9)
    for _ in range(5):
        world.frames(2, announce_frames(stranger))
    found = [(each["event"], each["warning"], each["fields"]) for each in told(world, before)]
    assert found == [
        ("unit_refused", True, {"unit": 2, "why": "digest_mismatch"}),
        ("unit_refused", True, {"unit": 2, "why": "group_mismatch"}),
    ]
    assert world.counters["digest_mismatch"] == world.counters["group_mismatch"] == 5


def test_numbers_say_where_to_go_on_and_the_boot_that_they_are_the_same() -> None:
    world = World().form()
    asked = happenings(world.controller, world.moment, 0)
    assert (asked["next"], asked["boot"]) == (len(asked["events"]), 7)
    world.restart()
    asked = happenings(world.controller, world.moment, asked["next"])
    assert (asked["next"], asked["boot"]) == (1, 8)
    assert [each["event"] for each in asked["events"]] == ["app_started"]


def test_since_when_and_when_heard() -> None:
    world = World()
    unit = world.status()["units"][0]
    assert (unit["since"], unit["heard"], unit["share"]) == (None, None, None)
    world.connect(1)
    world.now += 1.5
    world.announce(1)
    world.now += 0.25
    unit = world.status()["units"][0]
    assert (unit["since"], unit["heard"]) == (1_700_000_000.0, 0.25)
    assert world.status()["time"] == 1_700_000_001.75
