"""A primary that hears another: when it falls silent, and when it speaks again."""

from agents.core_facts import INTERVAL, SILENT
from agents.core_fencing import FRESH, LIFT
from agents.outcomes import Outcome
from agents.wire import control, routed_arp
from agents.wire.control_maps import State
from agents.wire.routed_arp import Arp
from tests.unit.agent_scene import GROUP, INT, KEYS, Scene, run

OWN = bytes((10, 1, 0, 1))


def announcement(mac: bytes) -> bytes:
    """Gratuitous ARP of whoever has that MAC."""
    return routed_arp.encode(
        Arp(routed_arp.REQUEST, mac, OWN, bytes(6), OWN, routed_arp.BROADCAST, mac)
    )


def rival(scene: Scene) -> None:
    """It is heard once."""
    assert not scene.given(announcement(scene.core.facts.virtual_macs[INT]))


def after(scene: Scene, seconds: float) -> bool:
    """Whether the unit is fenced so many seconds later."""
    scene.now += seconds
    run(scene.core.tick(scene.now))
    scene.core.take(scene.now)
    return scene.core.fencing.fenced


def app_says(scene: Scene, role: str = "auxiliary") -> None:
    state = State(boot=1, role=role, primary=2, balancing=False)
    assert not scene.given(control.state_frame(GROUP, scene.unit, state))


def test_a_primary_that_hears_a_rival_and_not_the_app_falls_silent() -> None:
    scene = Scene().told()
    assert not after(scene, SILENT + 0.01)
    rival(scene)
    assert after(scene, 0.01)
    assert after(scene, 0.01)
    assert (scene.count(Outcome.RIVAL_HEARD), scene.count(Outcome.FENCED)) == (1, 1)


def test_a_rival_that_was_heard_shortly_before_the_app_fell_silent_counts() -> None:
    scene = Scene().told()
    rival(scene)
    assert not after(scene, SILENT - 0.01)
    assert after(scene, 0.02)


def test_a_rival_of_long_ago_does_not() -> None:
    scene = Scene().told()
    rival(scene)
    scene.now += FRESH
    scene.told()
    assert not after(scene, SILENT + 0.01)


def test_as_long_as_the_app_is_heard_it_is_told_and_nothing_else() -> None:
    scene = Scene().told()
    rival(scene)
    scene.now += INTERVAL
    run(scene.core.tick(scene.now))
    messages = [control.parse(frame) for frame in scene.core.take(scene.now)[0]]
    told = [control.announce(m) for m in messages if m.kind == control.ANNOUNCE]
    assert [each.counters["rival_heard"] for each in told] == [1]
    assert not scene.core.fencing.fenced


def test_an_auxiliary_has_no_rivals() -> None:
    scene = Scene().told("auxiliary")
    rival(scene)
    assert not after(scene, SILENT + 0.01)


def test_whose_agent_was_started_anew_without_the_app_is_a_primary_by_what_it_hears() -> None:
    scene = Scene()
    rival(scene)
    assert after(scene, 0.01)


def test_arp_of_others_is_no_rivals() -> None:
    scene = Scene().told()
    scene.now += SILENT
    assert not scene.given(announcement(b"\x02" * 6))
    syn = bytearray(scene.leaving())
    syn[6:12] = scene.core.facts.virtual_macs[INT]
    assert not scene.given(bytes(syn))
    assert not after(scene, 0.01)
    assert scene.count(Outcome.RIVAL_HEARD) == 0


def test_it_speaks_again_shortly_after_the_app_is_heard() -> None:
    scene = Scene().told()
    rival(scene)
    assert after(scene, SILENT + 0.01)
    after(scene, 60.0)
    app_says(scene)
    assert after(scene, LIFT - 0.1)
    app_says(scene)
    assert after(scene, 0.1)
    app_says(scene)
    assert not after(scene, 0.01)
    assert scene.count(Outcome.FENCE_LIFTED) == 1


def test_single_words_of_the_app_far_between_lift_nothing() -> None:
    scene = Scene().told()
    rival(scene)
    assert after(scene, SILENT + 0.01)
    for _ in range(3):
        app_says(scene)
        assert after(scene, SILENT + 0.1)


def test_a_fence_outlives_its_agent() -> None:
    scene = Scene()
    core = type(scene.core)(scene.core.facts, KEYS, scene.now, fenced=True)
    scene.core = core
    assert after(scene, 5.0)
    app_says(scene)
    after(scene, LIFT)
    app_says(scene)
    assert not after(scene, 0.0)
