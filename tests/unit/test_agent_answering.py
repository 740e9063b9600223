"""What an agent is asked about one session, what it answers, and when it doesn't."""

import errno
import json
import select

import pytest

from agents.core_answering import MOST, Tracing
from agents.ctnetlink import ASSURED, CONFIRMED, ESTABLISHED, SEEN_REPLY, Get
from agents.outcomes import Outcome
from agents.tracing import Tracer
from agents.wire import control, inquiry
from agents.wire.inquiry import ENTRY, LONGEST, TRACE, Held, Traced
from agents.wire.packet import inverse
from tests.unit.agent_scene import EXT, GROUP, INT, MASTER, ORIG, REPLY, Scene, drive, entry

SERVED = entry(
    ORIG,
    REPLY,
    2,
    status=CONFIRMED | SEEN_REPLY | ASSURED,
    state=ESTABLISHED,
    timeout=600,
    helper="ftp",
    master=MASTER,
)


def question(scene: Scene, what: int, about: bytes = ORIG, token: int = 9) -> bytes:
    return inquiry.question_frame(GROUP, scene.unit, token, what, about)


def answer(scene: Scene, token: int = 9) -> bytes:
    """The body of the one answer that is written."""
    messages = [m for m in map(control.parse, scene.frames()) if m.kind == control.ANSWER]
    assert {(m.token, m.unit) for m in messages} == {(token, scene.unit)}
    assert messages[-1].flags == control.LAST
    return b"".join(message.body for message in messages)


@pytest.mark.parametrize("about", [ORIG, REPLY])
def test_an_entry_is_told_whole(about: bytes) -> None:
    scene = Scene(2)
    (steps,) = scene.given(question(scene, ENTRY, about))
    assert drive(steps, (Get(about), SERVED)) == Outcome.ANSWERED
    assert inquiry.held(answer(scene)) == Held(
        0, ORIG, REPLY, 14, ESTABLISHED, 600, 5, SERVED.labels, "ftp", MASTER
    )


@pytest.mark.parametrize("about", [ORIG, REPLY])
def test_so_it_is_by_either_ends_view(about: bytes) -> None:
    scene = Scene(2)
    (steps,) = scene.given(question(scene, ENTRY, inverse(about)))
    drive(steps, (Get(inverse(about)), errno.ENOENT), (Get(about), SERVED))
    assert inquiry.held(answer(scene)).orig == ORIG


def test_that_there_is_none_is_told() -> None:
    scene = Scene(3)
    (steps,) = scene.given(question(scene, ENTRY))
    drive(steps, (Get(ORIG), errno.ENOENT), (Get(inverse(ORIG)), errno.ENOENT))
    assert inquiry.held(answer(scene)) == Held(errno.ENOENT)


def test_so_is_one_that_is_not_to_be_read() -> None:
    scene = Scene(3)
    (steps,) = scene.given(question(scene, ENTRY))
    drive(steps, (Get(ORIG), errno.EPROTO))
    assert inquiry.held(answer(scene)) == Held(errno.EPROTO)


def test_what_is_no_answer_to_that_is_an_error() -> None:
    scene = Scene(3)
    (steps,) = scene.given(question(scene, ENTRY))
    next(steps)
    with pytest.raises(StopIteration):
        steps.send(None)  # type: ignore[arg-type]
    assert inquiry.held(answer(scene)).error


def test_who_asks_too_much_is_not_answered() -> None:
    scene = Scene()
    asked = [question(scene, ENTRY)] * (int(MOST) + 3)
    assert len(scene.given(*asked)) == MOST
    assert scene.count(Outcome.QUESTION_REFUSED) == 3
    scene.now += 0.06
    assert len(scene.given(*asked)) == 1
    scene.now += 3600
    assert len(scene.given(*asked)) == MOST


def test_an_unknown_question_is_counted() -> None:
    scene = Scene()
    assert not scene.given(question(scene, 3))
    assert scene.count(Outcome.CONTROL_VALUE) == 1


# -- what would become of a SYN


def route(dev: str, **more: str) -> str:
    return json.dumps([{"dst": "10.1.0.10", "dev": dev, "flags": [], **more}])


def begun(scene: Scene, about: bytes = ORIG) -> Tracing:
    assert not scene.given(question(scene, TRACE, about))
    tracing = scene.core.answering.begun()
    assert tracing
    assert scene.count(Outcome.TRACING)
    assert scene.core.answering.begun() is None
    return tracing


def play(tracing: Tracing, *outputs: str) -> tuple[list[str], Traced]:
    """What is run, with these outputs, and what was found."""
    commands = [next(tracing)]
    try:
        for output in outputs:
            commands.append(tracing.send(output))
    except StopIteration as end:
        found: Traced = end.value
        return [" ".join(command) for command in commands], found
    raise AssertionError(f"more is run: {commands}")


def test_a_syn_is_traced_to_the_kernel_and_out_of_it() -> None:
    scene = Scene()
    said = route("int"), "to the kernel", route("ext", gateway="203.0.113.254"), "to the agent"
    commands, found = play(begun(scene), *said)
    assert commands == [
        "ip -j route get 10.1.0.10",
        "ovs-appctl -T 1 ofproto/trace br-synod in_port=1,dl_src=02:53:59:00:00:03,"
        "dl_dst=02:53:59:07:00:01,tcp,nw_src=10.1.0.10,nw_dst=203.0.113.10,tcp_flags=syn,"
        "tp_src=40000,tp_dst=80",
        "ip -j route get 203.0.113.10 from 10.1.0.10 iif int",
        "ovs-appctl -T 1 ofproto/trace br-synod in_port=102,dl_src=02:53:59:07:01:02,"
        "dl_dst=02:53:59:00:00:03,tcp,nw_src=10.1.0.10,nw_dst=203.0.113.10,tcp_flags=syn,"
        "tp_src=40000,tp_dst=80",
    ]
    assert (INT, EXT) == (1, 2)
    assert found == Traced("int", "ext", False, tuple(zip(commands, said, strict=True)))
    scene.core.answering.traced(found)
    assert inquiry.traced(answer(scene)) == found


@pytest.mark.parametrize("said", ["", "RTNETLINK answers", "[]", "[1]", "{}", route("eth9")])
def test_a_source_that_is_not_behind_the_cluster(said: str) -> None:
    _, found = play(begun(Scene()), said)
    assert (found.came, found.leaves, found.local) == ("", "", False)


@pytest.mark.parametrize(
    ("said", "local"), [(route("lo", type="local"), True), (route("eth9"), False), ("", False)]
)
def test_a_target_that_is_not_behind_the_cluster(said: str, local: bool) -> None:
    commands, found = play(begun(Scene()), route("int"), "to the kernel", said)
    assert len(commands) == 3
    assert (found.came, found.leaves, found.local) == ("int", "", local)


def test_one_is_traced_at_a_time() -> None:
    scene = Scene()
    tracing = begun(scene)
    assert not scene.given(question(scene, TRACE))
    assert scene.count(Outcome.QUESTION_REFUSED) == 1
    scene.core.answering.traced(play(tracing, "")[1])
    scene.frames()
    begun(scene)


def test_a_command_that_talks_on_is_cut_short() -> None:
    _, found = play(begun(Scene()), "x" * (LONGEST + 1))
    assert len(found.commands[0][1]) == LONGEST


# -- the commands as processes


def run(tracing: Tracing) -> Traced:
    poll = select.poll()
    tracer = Tracer(poll)
    found = tracer.begin(tracing)
    for _ in range(100):
        if found:
            break
        poll.poll(100)
        found = tracer.turn()
    assert found
    assert poll.poll(0) == []
    tracer.close()
    return found


def script(*commands: tuple[str, ...]) -> Tracing:
    said = []
    for command in commands:
        output = yield command
        said.append((" ".join(command), output))
    return Traced(commands=tuple(said))


def test_commands_run_one_after_the_other_with_all_they_say() -> None:
    found = run(script(("echo", "first"), ("sh", "-c", "echo to stderr >&2; exit 3"), ("true",)))
    assert [output for _, output in found.commands] == ["first\n", "to stderr\n", ""]


def test_no_command_is_no_process() -> None:
    assert run(script()) == Traced()


def test_a_program_that_is_not_there_is_told() -> None:
    found = run(script(("no-such-program",), ("echo", "next")))
    assert found.commands[0][1] == "no-such-program: No such file or directory"
    assert found.commands[1][1] == "next\n"


def test_who_says_very_much_is_cut_short() -> None:
    found = run(script(("head", "-c", "200000", "/dev/zero")))
    assert len(found.commands[0][1]) == LONGEST


def test_who_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.tracing.PATIENCE", 0.05)
    found = run(script(("sleep", "60"), ("echo", "next")))
    assert [output for _, output in found.commands] == ["", "next\n"]


def test_what_runs_ends_with_the_agent() -> None:
    tracer = Tracer(select.poll())
    assert tracer.begin(script(("sleep", "60"))) is None
    tracer.close()
    assert tracer.turn() is None
