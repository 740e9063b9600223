"""Which unit has a session, why, and will it survive: asked of units and of the primary's bridge,
and said from what they answer.
"""

import errno
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agents.wire import control, inquiry, ports
from agents.wire.inquiry import Held, Traced
from agents.wire.labels import INTERFACE_BIT
from agents.wire.packet import inverse, tuple12
from ryu_apps.core import events
from ryu_apps.core.events import Seen
from ryu_apps.core.explaining import Steps, asked_for, explaining
from tests.unit.core_world import World, cluster_of, tuples

NONE = Held(errno.ENOENT)
SYN_SENT, SYN_RECV, ESTABLISHED, TIME_WAIT = 1, 2, 3, 7
BALANCE = 81


def labels(*bits: int) -> bytes:
    return sum(1 << bit for bit in bits).to_bytes(16, "little")


def held(number: int, unit: int, state: int = ESTABLISHED, **changes: Any) -> Held:
    orig, reply = tuples(number)
    found = Held(
        *(0, orig, reply, 14, state, 300, 0x5),
        labels(unit, INTERFACE_BIT + 1, 83),
    )
    return replace(found, **changes)


class Explained:
    """An explanation as it goes on."""

    def __init__(self, world: World, asked: bytes) -> None:
        self.world = world
        self.steps: Steps = explaining(world.controller, asked, lambda time: time)
        self.question, self.effects = next(self.steps)
        self.answer: dict[str, Any] = {}

    def go_on(self) -> None:
        """The waiting is over."""
        try:
            self.question, self.effects = self.steps.send(self.world.now)
        except StopIteration as end:
            self.answer = end.value

    def entries(self, answers: Mapping[int, Held]) -> None:
        """Agents answer, and nobody else does."""
        for unit, answer in answers.items():
            for frame in inquiry.answer_frames(1, unit, self.question.token, answer):
                self.world.frame(unit, frame)
        assert self.question.done == (answers.keys() == self.question.asked)
        self.go_on()

    def flows(self, *seen: Seen | None) -> None:
        """The primary's bridge answers."""
        unit = self.world.controller.members.primary_id
        connection = self.world.bridges[unit].connection
        for each in seen:
            event = events.Looked(unit, connection, self.question.token, each)
            self.world.feed(event)
        self.go_on()

    def trace(self, answer: Traced, unit: int = 1) -> None:
        for frame in inquiry.answer_frames(1, unit, self.question.token, answer):
            self.world.frame(unit, frame)
        self.go_on()


def world_of(*sessions: int, **how: Any) -> World:
    world = World(cluster_of(**how)).form()
    if sessions:
        world.offer(1, *sessions)
    world.now += 75
    world.pass_time(1, *(unit.id for unit in world.cluster.units))
    return world


def explain(world: World, number: int, answers: Mapping[int, Held], *seen: Seen | None) -> Any:
    going = Explained(world, tuples(number)[0])
    going.entries(answers)
    if not going.answer:
        going.flows(*seen)
    return going.answer


# -- a session that is there


def test_every_unit_that_is_connected_is_asked() -> None:
    world = world_of(0)
    world.lose(3)
    going = Explained(world, tuples(0)[0])
    assert [effect.unit for effect in going.effects if isinstance(effect, events.Send)] == [1, 2]
    for effect in going.effects:
        assert isinstance(effect, events.Send)
        message = control.parse(effect.frame)
        assert (effect.port, message.unit) == (ports.SYNOD, effect.unit)
        assert inquiry.question(message) == (inquiry.ENTRY, tuples(0)[0])


def test_a_session_of_an_auxiliary_is_explained() -> None:
    world = world_of(0, 1)
    answer = explain(
        world,
        1,
        {unit: held(1, 2) for unit in (1, 2, 3)},
        *(Seen(6, 472, 1.5), Seen(5, 579, 1.5), Seen(11, 1051, 9), Seen(6, 472, 9), None),
    )
    assert answer["src"] == "10.1.0.10:40001"
    assert answer["session"]["unit"] == 2
    assert answer["session"]["nat_src"] == "203.0.113.1:40001"
    assert answer["choice"] == {
        "rule": "all",
        "method": "round-robin",
        "weights": {"1": 1, "2": 1, "3": 1},
        "since": answer["choice"]["since"],
    }
    assert [unit["serves"] for unit in answer["units"]] == [False, True, False]
    assert answer["units"][1]["entry"] == {
        "src": "10.1.0.10:40001",
        "dst": "203.0.113.10:80",
        "nat_src": "203.0.113.1:40001",
        "nat_dst": "203.0.113.10:80",
        "state": "ESTABLISHED",
        "timeout": 300,
        "replied": True,
        "assured": True,
        "mark": 5,
        "labels": ["unit-2", "in-1", "live"],
        "helper": None,
        "master": None,
    }
    flows = answer["flows"]
    assert [flow["name"] for flow in flows] == ["session"] * 2 + ["served_by"] + ["to_peer"] * 2
    assert [flow["of"] for flow in flows] == [
        "10.1.0.10:40001 > 203.0.113.10:80",
        "203.0.113.10:80 > 203.0.113.1:40001",
        "all sessions of unit 2",
        "all packets to unit 2 that come by int",
        "all packets to unit 2 that come by ext",
    ]
    assert [flow["packets"] for flow in flows] == [6, 5, 11, 6, None]
    assert [flow["there"] for flow in flows] == [True] * 4 + [False]
    assert answer["fates"] == [
        {"dies": 2, "lives": True, "at": 1, "why": "unit 1, which takes over, has its entry"},
        {"dies": 1, "lives": True, "at": 2, "why": "unit 2, which takes over, has its entry"},
    ]
    assert answer["summary"] == [
        "Unit 2 serves it, decided 1 min 16 s ago.",
        "It was chosen by method: round-robin among units 1, 2, 3; all forwarded TCP is balanced.",
        "It leaves as 203.0.113.1:40001 > 203.0.113.10:80, mark 0x5.",
        "If unit 2 dies, it goes on at unit 1: unit 1, which takes over, has its entry.",
        "If unit 1 (the primary) dies, it goes on at unit 2: unit 2, which takes over, has its"
        " entry.",
    ]
    assert answer["syn"] is None


@pytest.mark.parametrize("asked", [tuples(1)[0], tuples(1)[1]])
def test_either_face_of_it_will_do(asked: bytes) -> None:
    going = Explained(world_of(0, 1), asked)
    going.entries({1: held(1, 2)})
    going.flows()
    assert going.answer["session"]["src"] == "10.1.0.10:40001"
    assert [flow["answered"] for flow in going.answer["flows"]] == [False] * 5


def test_the_app_too_knows_it_from_the_other_side() -> None:
    going = Explained(world_of(0, 1), inverse(tuples(1)[0]))
    going.entries({1: NONE, 2: NONE, 3: NONE})
    going.flows()
    assert going.answer["src"] == "10.1.0.10:40001"
    assert going.answer["session"]["unit"] == 2


def test_the_primarys_own_has_no_flow_of_its_own() -> None:
    answer = explain(world_of(0), 0, {1: held(0, 1), 2: NONE, 3: NONE}, Seen(1, 2, 3))
    assert [flow["name"] for flow in answer["flows"]] == ["own_session"] * 2
    assert answer["summary"][0] == "Unit 1, the primary, serves it, decided 1 min 16 s ago."
    assert answer["fates"] == [
        {
            "dies": 1,
            "lives": False,
            "at": 0,
            "why": "unit 2, which takes over, has no entry of it"
            " (it is told once a session is established)",
        }
    ]
    assert "is lost: unit 2" in answer["summary"][-1]


def test_by_marks_a_flow_carries_all_of_a_units() -> None:
    world = world_of(0, 1, session_table="conntrack")
    going = Explained(world, tuples(1)[0])
    going.entries({1: held(1, 2)})
    going.flows()
    assert going.effects == [events.AskMark(1, each) for each in tuples(1)]
    connection = world.bridges[1].connection
    world.feed(events.Marked(1, connection, tuples(7)[0], 3))
    world.feed(events.Marked(1, connection, tuples(1)[1], 2))
    assert not going.question.done
    going.go_on()
    answer = going.answer
    names = [flow["name"] for flow in answer["flows"]]
    assert names == ["marked", "served_by", "to_peer", "to_peer"]
    assert answer["tracked"] == [
        {"of": "10.1.0.10:40001 > 203.0.113.10:80", "answered": False, "mark": None},
        {"of": "203.0.113.10:80 > 203.0.113.1:40001", "answered": True, "mark": 2},
    ]


def test_a_unit_that_does_not_answer_is_named() -> None:
    answer = explain(world_of(0, 1), 1, {2: held(1, 2)})
    assert [unit["answered"] for unit in answer["units"]] == [False, True, False]
    assert answer["fates"][0]["lives"] is None
    assert answer["summary"][-3:] == [
        "If unit 2 dies, nobody knows: unit 1, which takes over, didn't answer.",
        "If unit 1 (the primary) dies, it goes on at unit 2: unit 2, which takes over, has its"
        " entry.",
        "Not answered: units 1, 3.",
    ]


def test_what_its_unit_has_lost_is_said() -> None:
    answer = explain(world_of(0, 1), 1, {1: held(1, 2), 2: NONE, 3: NONE})
    assert "Unit 2's kernel has no entry of it: it has just ended, or is lost." in answer["summary"]


def test_a_handshake_that_is_not_over() -> None:
    answer = explain(world_of(0, 1), 1, {1: held(1, 2, SYN_SENT), 2: NONE, 3: NONE})
    assert answer["fates"][0]["why"] == (
        "unit 1 has its entry; its client has to send its SYN again"
    )


def test_one_that_is_over_has_no_fate() -> None:
    answer = explain(world_of(0, 1), 1, {1: held(1, 2, TIME_WAIT)})
    assert answer["fates"] == []
    assert "It is over: its entry is kept until its ports may be used again." in answer["summary"]


def test_another_sessions_entry_saves_nothing() -> None:
    other = held(1, 2, reply=tuples(7)[1])
    answer = explain(world_of(0, 1), 1, {1: held(1, 2), 2: other})
    assert answer["fates"][1]["why"] == "unit 2, which takes over, has another session's entry"


def test_without_pickup_the_reason_is_told() -> None:
    world = world_of(0, 1)
    world.controller.cluster = replace(world.cluster, pickup="off")
    answer = explain(world, 1, {1: held(1, 2), 2: held(1, 2), 3: NONE})
    assert "(session pickup is off)" not in answer["summary"][-1]
    answer = explain(world, 0, {1: held(0, 1), 2: NONE, 3: NONE})
    assert "(session pickup is off)" in answer["summary"][-1]


def test_alone_nobody_takes_over() -> None:
    answer = explain(world_of(0, units=1), 0, {1: held(0, 1)})
    assert answer["fates"][0]["why"] == "no other unit is up"


def test_a_helper_is_a_reservation() -> None:
    answer = explain(world_of(0, 1), 1, {1: held(1, 2, helper="ftp")})
    assert "(Not if its helper has lengthened" in answer["summary"][-3]
    assert "(Not if" not in answer["summary"][-2]


# -- why


def test_an_announced_one_has_its_masters_unit() -> None:
    master = tuple12("10.1.0.10", "203.0.113.10", 39999, 21)
    answer = explain(world_of(0, 1), 1, {1: held(1, 2, master=master)})
    assert answer["choice"]["rule"] == "master"
    assert answer["units"][0]["entry"]["master"] == "10.1.0.10:39999 > 203.0.113.10:21"
    assert answer["summary"][1] == (
        "It has the unit of the session that announced it: 10.1.0.10:39999 > 203.0.113.10:21."
    )


@pytest.mark.parametrize(
    ("bits", "rule", "said"),
    [
        ((2, INTERFACE_BIT + 1, BALANCE), "labelled", "; a rule labelled it `balance`."),
        ((2, INTERFACE_BIT + 1), "unlabelled", "No rule has labelled it `balance`."),
        ((2,), "local", "It begins or ends at the unit itself, which isn't balanced."),
    ],
)
def test_by_which_rule(bits: tuple[int, ...], rule: str, said: str) -> None:
    world = world_of(0, 1)
    world.controller.cluster = replace(world.cluster, balance="labelled")
    answer = explain(world, 1, {1: held(1, 2, labels=labels(*bits))})
    assert answer["choice"]["rule"] == rule
    assert said in answer["summary"][1]


def test_one_that_the_app_does_not_know() -> None:
    world = world_of()
    answer = explain(world, 5, {1: held(5, 0, labels=labels(INTERFACE_BIT + 1))})
    assert (answer["session"], answer["flows"]) == (None, [])
    assert answer["choice"]["method"] is None
    assert answer["summary"][0] == (
        "Unit 1, the primary, serves it, by itself: the app doesn't know of it."
    )


def overloaded() -> World:
    """More begin than are shared out; the first two sessions were units 1's and 2's before that."""
    cluster = cluster_of(3)
    world = World(replace(cluster, limits=replace(cluster.limits, decisions=30))).form()
    world.pass_time(2, 1, 2, 3)
    for first in (0, *range(100, 200, 10)):
        world.offer(1, *range(first, first + 10))
    world.pass_time(1.5, 1, 2, 3)
    assert world.status()["overloaded"] == ["budget"]
    return world


def test_more_sessions_than_are_shared_out() -> None:
    """Of those that the primary serves it is said, whether the app knows them or not."""
    said = (
        "More sessions begin now than are shared out (budget): this may be one of the rest, which"
        " the primary serves."
    )
    world = overloaded()
    for number, unit in ((0, 1), (50, 0)):
        assert explain(world, number, {1: held(number, unit)})["summary"][2 - (not unit)] == said
    assert said not in explain(world, 1, {1: held(1, 2)})["summary"]
    local = held(50, 0, labels=labels())
    assert said not in explain(world, 50, {1: local})["summary"]
    answer = unborn(world, traced(world, "nic_syn", "divert"), 60)
    assert answer["summary"][-1] == (
        "More sessions begin now than are shared out (budget): if it is one too many, unit 1 would"
        " serve it."
    )


def test_one_that_no_kernel_knows() -> None:
    answer = explain(world_of(0, 1), 1, {1: NONE, 2: NONE, 3: NONE})
    assert answer["choice"]["rule"] is None
    assert answer["summary"][:3] == [
        "Unit 2 serves it, decided 1 min 16 s ago.",
        "It was chosen by method: round-robin among units 1, 2, 3.",
        "It leaves as 203.0.113.1:40001 > 203.0.113.10:80.",
    ]


def test_an_untranslated_one_says_so() -> None:
    orig, _ = tuples(1)
    plain = held(1, 2, reply=inverse(orig))
    answer = explain(world_of(0, 1), 1, {1: plain})
    assert "It isn't translated, mark 0x5." in answer["summary"]


def test_a_choice_of_one_is_called_that() -> None:
    world = world_of(weights=(1, 0, 0))
    world.offer(1, 0)
    answer = explain(world, 0, {1: held(0, 1)})
    assert answer["summary"][1].startswith("It was chosen by method: round-robin with unit 1 alone")


def test_weights_are_told_where_they_count() -> None:
    for method, told in (("weighted-round-robin", True), ("source-hash", True)):
        world = world_of(0, 1, method=method, weights=(5, 3, 2))
        number = 0
        session = world.controller.sessions.get(tuples(number)[0])
        assert session
        answer = explain(world, number, {1: held(number, session.unit)})
        assert (", weights 5:3:2" in answer["summary"][1]) is told


def test_the_method_that_held_then_is_told() -> None:
    world = world_of(0, 1)
    world.controller.formation.share_by("source-hash", world.now)
    world.offer(1, 2)
    told = [
        explain(world, number, {1: held(number, unit)})["choice"]["method"]
        for number in (1, 2)
        if (unit := world.controller.sessions.get(tuples(number)[0]).unit)  # type: ignore[union-attr]
    ]
    assert told == ["round-robin", "source-hash"]


def test_decided_before_the_app_began() -> None:
    world = world_of()
    orig, reply = tuples(4)
    world.controller.sessions.adopt(2, orig, reply)
    answer = explain(world, 4, {1: held(4, 2)})
    assert answer["summary"][:2] == [
        "Unit 2 serves it, decided before the app began; how isn't known.",
        "All forwarded TCP is balanced.",
    ]
    assert (
        explain(world, 4, {})["summary"][1] == "It leaves as 203.0.113.1:40004 > 203.0.113.10:80."
    )


def test_decided_when_the_primary_was_alone() -> None:
    world = World(cluster_of()).form(1)
    world.pass_time(3, 1)
    world.controller.formation.members.up()[0].drained = True
    world.controller.formation.share_out(world.now)
    world.offer(1, 0)
    answer = explain(world, 0, {1: held(0, 1)})
    assert answer["summary"][1] == "No unit could be chosen then: the primary served alone."


def test_one_that_may_have_been_another_units() -> None:
    world = world_of(0, 1, 2)
    world.lose(2)
    world.pass_time(3, 1, 3)
    world.announce(1, adopted=(2,))
    world.now += 100
    world.pass_time(0.4, 1, 3)
    answer = explain(world, 1, {1: held(1, 1)})
    assert "this may be one of them" in answer["summary"][2]
    assert answer["summary"][2].startswith("1 min 4")
    assert "unit 1 took over the sessions of unit 2:" in answer["summary"][2]


def test_while_its_unit_is_gone_its_flows_lead_to_the_primary() -> None:
    world = world_of(0, 1, 2)
    going = Explained(world, tuples(1)[0])
    world.controller.formation.takeover.units.add(2)
    world.controller.formation.bridges.refresh(world.controller.members.primary, world.now)  # type: ignore[arg-type]
    going.entries({1: held(1, 2)})
    going.flows()
    names = [flow["name"] for flow in going.answer["flows"]]
    assert names == ["session", "session", "served_by", "to_self", "to_self"]


# -- one that isn't there

COMMANDS = tuple((command, "") for command in ("route", "in", "route", "out"))


def cookie_of(world: World, name: str) -> int:
    wanted = world.controller.formation.bridges.of(1).wanted
    return next(cookie for cookie, flow in wanted.items() if flow.name == name)


def traced(world: World, *rows: str, **changes: Any) -> Traced:
    """A trace through these rows, in and out."""
    said = [f" 0. priority 50, cookie 0x{cookie_of(world, row):x}\n" if row else "" for row in rows]
    outputs = ["[]", said[0], "[]", *said[1:]]
    commands = tuple(
        (command, output) for (command, _), output in zip(COMMANDS, outputs, strict=False)
    )
    return replace(Traced("int", "ext", False, commands), **changes)


def unborn(world: World, answer: Traced | None, number: int = 9) -> dict[str, Any]:
    going = Explained(world, tuples(number)[0])
    going.entries({1: NONE, 2: NONE, 3: NONE})
    (effect,) = going.effects
    assert isinstance(effect, events.Send)
    assert effect.unit == 1
    assert inquiry.question(control.parse(effect.frame)) == (inquiry.TRACE, tuples(number)[0])
    if answer:
        going.trace(answer)
    else:
        going.go_on()
    return going.answer


def test_what_would_become_of_a_syn() -> None:
    world = world_of(0)
    answer = unborn(world, traced(world, "nic_syn", "divert"))
    assert answer["summary"] == [
        "No unit that answered has such a session, and neither has the app.",
        "Its SYN would come by int, and unit 1's bridge would give it to its kernel (nic_syn).",
        "If the rules of unit 1 let it through, it would leave by ext, and be shown to the agent"
        " (divert).",
        "The app would give it to unit 2 now: round-robin among units 1, 2, 3.",
    ]
    syn = answer["syn"]
    assert (syn["unit"], syn["came"], syn["leaves"], syn["chosen"]) == (1, "int", "ext", 2)
    assert [command["flows"] for command in syn["commands"]] == [[], ["nic_syn"], [], ["divert"]]
    assert (answer["session"], answer["choice"], answer["fates"]) == (None, None, [])


def test_asking_takes_nobodys_turn() -> None:
    world = world_of(0)
    for _ in range(3):
        assert unborn(world, traced(world, "nic_syn", "divert"))["syn"]["chosen"] == 2
    assert list(world.decided(world.offer(1, 9, 10, 11)).values()) == [2, 3, 1]


def test_a_source_behind_no_interface() -> None:
    answer = unborn(world_of(), Traced(commands=(("route", "[]"),)))
    assert answer["summary"][-1] == "By unit 1's routes 10.1.0.10 is behind none of its interfaces."
    assert answer["syn"]["chosen"] is None


def test_a_target_that_is_the_units_own() -> None:
    world = world_of()
    answer = unborn(world, traced(world, "nic_syn", leaves="", local=True))
    assert answer["summary"][-1] == (
        "203.0.113.10 is the unit's own: unless a rule translates it, it stays there."
    )


def test_a_target_without_a_route() -> None:
    world = world_of()
    answer = unborn(world, traced(world, "nic_syn", leaves=""))
    assert answer["summary"][-1] == (
        "Unit 1 has no route to 203.0.113.10 by an interface of the cluster."
    )


def test_a_bridge_that_has_other_flows() -> None:
    world = world_of()
    answer = unborn(world, traced(world, "", "kernel_ip"))
    assert answer["summary"][1:3] == [
        "Its SYN would come by int, and meet there: no flow of ours.",
        "If the rules of unit 1 let it through, it would leave by ext, and go out as the"
        " primary's (kernel_ip).",
    ]
    assert "(no flow of ours)" in unborn(world, traced(world, "nic_syn", ""))["summary"][2]


def test_only_what_is_labelled_would_be_balanced() -> None:
    world = world_of()
    world.controller.cluster = replace(world.cluster, balance="labelled")
    answer = unborn(world, traced(world, "nic_syn", "divert"))
    assert "now, if a rule labels it `balance`: round-robin" in answer["summary"][-1]


def test_without_others_the_primary_would_serve_it() -> None:
    world = World(cluster_of()).form(1)
    world.pass_time(3, 1)
    going = Explained(world, tuples(9)[0])
    going.entries({1: NONE})
    going.trace(traced(world, "nic_syn", "kernel_ip"))
    assert going.answer["syn"]["chosen"] == 1
    assert going.answer["summary"][-1] == (
        "Unit 1 would serve it: there is no other to give it to."
    )
    assert "Not answered: units 2, 3." in going.answer["summary"]


def test_a_primary_that_does_not_say() -> None:
    answer = unborn(world_of(), None)
    assert answer["syn"]["answered"] is False
    assert answer["summary"][-1] == (
        "Unit 1, the primary, didn't say what would become of its SYN."
    )


def test_without_a_primary_there_is_no_answer() -> None:
    world = World(cluster_of())
    going = Explained(world, tuples(9)[0])
    assert going.effects == []
    going.go_on()
    assert going.answer["syn"] is None
    assert going.answer["summary"][-1] == "There is no primary: its SYN would get no answer."


def test_an_entry_without_a_primary() -> None:
    world = World(cluster_of())
    world.connect(2)
    going = Explained(world, tuples(9)[0])
    going.entries({2: held(9, 2)})
    assert going.answer["fates"] == []
    assert going.answer["summary"][0] == "There is no primary, and the app knows nothing of it."


def test_a_session_without_a_primary_is_carried_by_nothing() -> None:
    world = World(cluster_of())
    world.controller.sessions.adopt(2, *tuples(4))
    going = Explained(world, tuples(4)[0])
    going.go_on()
    assert going.answer["flows"] == []
    assert going.answer["session"]["unit"] == 2


def test_a_primary_whose_bridge_is_gone_is_not_asked() -> None:
    world = world_of(0)
    world.lose(1)
    going = Explained(world, tuples(9)[0])
    going.entries({2: NONE, 3: NONE})
    assert going.answer["syn"] is None


# -- what is asked


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"src": "10.1.0.1:1"}, "src and dst are needed"),
        ({"src": "10.1.0.1:1", "dst": "10.1.0.2:2", "x": ""}, "src and dst are needed"),
        ({"src": "10.1.0.1", "dst": "10.1.0.2:2"}, "src: '10.1.0.1' is not like"),
        ({"src": "10.1.0.1:1", "dst": "10.1.0.256:2"}, "dst: '10.1.0.256:2' is not like"),
        ({"src": "10.1.0.1:0", "dst": "10.1.0.2:2"}, "src: '10.1.0.1:0' is not like"),
        ({"src": "10.1.0.1:65536", "dst": "10.1.0.2:2"}, "src: '10.1.0.1:65536' is not like"),
        ({"src": "10.1.0.1:" + "1" * 5000, "dst": "10.1.0.2:2"}, "is not like"),
        ({"src": "10.1.0.1:٣", "dst": "10.1.0.2:2"}, "is not like"),
        ({"src": "[::1]:1", "dst": "10.1.0.2:2"}, "is not like 10.1.0.10:40000"),
    ],
)
def test_what_is_no_question_is_refused(query: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=r"is not like|are needed") as problem:
        asked_for(query)
    assert why in str(problem.value)


def test_a_question_names_a_tuple() -> None:
    query = {"src": "10.1.0.10:40001", "dst": "203.0.113.10:80"}
    assert asked_for(query) == tuples(1)[0]


# -- answers that come otherwise


def test_answers_to_other_questions_are_counted() -> None:
    world = world_of(0)
    going = Explained(world, tuples(0)[0])
    frames = inquiry.answer_frames(1, 2, going.question.token + 1, NONE)
    world.frame(2, frames[0])
    world.controller.questions._open = None
    world.frame(2, inquiry.answer_frames(1, 2, going.question.token, NONE)[0])
    assert world.counters["answer_stale"] == 2
    assert not going.question.answers


def test_an_answer_of_one_that_was_not_asked_is_counted() -> None:
    world = world_of(0)
    world.lose(3)
    going = Explained(world, tuples(0)[0])
    world.connect(3)
    world.frame(3, inquiry.answer_frames(1, 3, going.question.token, NONE)[0])
    assert world.counters["answer_stale"] == 1


def test_an_agent_does_not_answer_for_a_bridge() -> None:
    world = world_of(0, 1)
    going = Explained(world, tuples(1)[0])
    going.entries({1: held(1, 2)})
    world.frame(1, inquiry.answer_frames(1, 1, going.question.token, NONE)[0])
    assert world.counters["answer_stale"] == 1


def test_an_answer_without_end_is_cut_off() -> None:
    world = world_of(0)
    going = Explained(world, tuples(0)[0])
    body = bytes(inquiry.MOST_BYTES + control.MAX_BODY)
    frames = control.part_frames(control.ANSWER, 1, 2, going.question.token, body)
    for frame in frames:
        world.frame(2, frame)
    assert world.counters["answer_long"] >= 1
    assert 2 not in going.question.answers


def test_nonsense_is_no_answer() -> None:
    world = world_of(0)
    going = Explained(world, tuples(0)[0])
    for frame in control.part_frames(control.ANSWER, 1, 2, going.question.token, b"\x80"):
        world.frame(2, frame)
    assert world.counters["control_field"] == 1
    assert 2 not in going.question.answers


def test_a_bridge_that_answers_late_is_not_heard() -> None:
    world = world_of(0, 1)
    going = Explained(world, tuples(1)[0])
    world.feed(events.Looked(1, world.bridges[1].connection, 5, Seen(1, 2, 3)))
    assert not going.question.answers


def test_a_refused_question_does_no_harm() -> None:
    world = world_of(0, 1)
    going = Explained(world, tuples(1)[0])
    going.entries({1: held(1, 2)})
    bridge = world.controller.formation.bridges.of(1)
    world.feed(events.Refused(1, world.bridges[1].connection, going.question.token, "no"))
    assert not bridge.refused
    assert world.counters["message_refused"] == 1
