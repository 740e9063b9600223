"""What is fuzzed stays fuzzed: the committed inputs of each target, and Hypothesis as the one that
chooses.

`script/fuzz` looks for more (docs/security.md). That a target can fail is a test, too.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.wire import control, packet, routed_arp, syndata
from tests.fuzz import agent_scene, app_scene
from tests.fuzz.feed import Bytes, damaged
from tests.fuzz.targets import CORPUS, OF_AGENT, OF_APP, TARGETS, inputs
from tests.unit.core_world import World

SIZES = st.integers(0, 60)


class Drawn:
    """A feed whose choices Hypothesis makes, and shrinks."""

    def __init__(self, data: st.DataObject, steps: int) -> None:
        self._data = data
        self._steps = steps

    def more(self) -> bool:
        self._steps -= 1
        return self._steps >= 0

    def below(self, end: int) -> int:
        return self._data.draw(st.integers(0, end - 1))

    def take(self, most: int) -> bytes:
        return self._data.draw(st.binary(max_size=most))


def test_each_target_has_inputs_and_only_targets_have() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert all(inputs(name) for name in TARGETS)


def test_the_corpus_is_small() -> None:
    found = [path for name in TARGETS for path in inputs(name)]
    assert len(found) <= 50 * len(TARGETS)
    assert sum(path.stat().st_size for path in found) < 200_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_is_still_taken(name: str) -> None:
    replay(name)


def replay(name: str) -> None:
    for path in inputs(name):
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"agent", "app"}))
@settings(max_examples=30)
@given(st.data())
def test_damaged_inputs_are_taken_too(name: str, data: st.DataObject) -> None:
    path: Path = data.draw(st.sampled_from(inputs(name)))
    TARGETS[name](damaged(Drawn(data, 0), path.read_bytes()))


def test_any_bytes_choose() -> None:
    feed = Bytes(b"\x05\x01\x02\x03")
    assert (feed.below(4), feed.take(2), feed.more()) == (1, b"\x02", True)
    assert (feed.below(1000), feed.more(), feed.take(9)) == (3, False, b"")


# -- that they would fail


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("syndata", (syndata, "encode", lambda _data: b"")),
        ("arp", (routed_arp, "encode", lambda _arp: b"")),
        ("syn", (packet, "_adjusted", lambda *_: 7)),
        ("control", (control, "offer_frames", lambda *_: [])),
    ],
)
def test_a_target_sees_what_is_broken(
    name: str,
    broken: tuple[object, str, Callable[..., object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(*broken)
    with pytest.raises(AssertionError):
        replay(name)


def test_a_frame_that_changes_something_unseen_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's scene, with an app that forgets a session for each frame that it can't read."""
    from ryu_apps.core.controller import Controller  # noqa: PLC0415

    honest = Controller._unreadable

    def forgetful(self: Controller, *about: object) -> object:
        self.sessions._sessions.clear()
        return honest(self, *about)  # type: ignore[arg-type]

    monkeypatch.setattr(Controller, "_unreadable", forgetful)
    # Formed, offered sessions 0 to 4 as unit 1, then an empty frame on its agent's port.
    offer, frame = app_scene._ACTS.index(app_scene._offer), app_scene._ACTS.index(app_scene._frame)
    choices = bytes((0, 1, offer, 0, 0, 0, 0, frame, 0, 0, 0, 0))
    with pytest.raises(AssertionError):
        app_scene.play(Bytes(choices))


# -- whole programs


def test_captured_frames_are_those_of_a_whole_cluster() -> None:
    """Each kind is among them but those that only failures bring, or an operator who asks about a
    session; and each is taken as it is.
    """
    kinds = {control.parse(f).kind for f in OF_APP if f[12:14] == b"\x88\xb5"}
    rare = {control.FORGET, control.WITHDRAW, control.CLEAR, control.CLEARED}
    rare |= {control.QUESTION, control.ANSWER}
    assert kinds == set(control.KINDS) - rare
    world = World().form()
    for frame in OF_APP:
        if frame[12:14] == b"\x88\xb5":
            message = control.parse(frame)
            if message.kind == control.ANNOUNCE:
                world.frame(message.unit, frame)
                assert world.controller.members.get(message.unit).refusal == ""  # type: ignore[union-attr]


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.data(), SIZES)
def test_whatever_comes_the_app_goes_on(data: st.DataObject, steps: int) -> None:
    app_scene.play(Drawn(data, steps), OF_APP)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data(), SIZES)
def test_whatever_comes_the_agent_goes_on(data: st.DataObject, steps: int) -> None:
    agent_scene.play(Drawn(data, steps), OF_AGENT)
