"""Never do two units speak as the primary at once, whichever links are cut.

Every combination of four cables: a primary's to the controller and to the HA link, an auxiliary's
to both. The links that carry data stay, so that whoever takes itself for the primary is heard.
"""

import time
from itertools import product

import pytest

from agents.config import load
from agents.wire.ports import mac_text
from tests.lab.failing import Cluster
from tests.lab.speakers import Speech, speakers
from tests.lab.traffic import PACE
from tests.lab.world import PORT, SERVER

CABLES = (("primary", "mgmt"), ("primary", "ha"), ("auxiliary", "mgmt"), ("auxiliary", "ha"))
# Seconds that the old primary may speak beside the new one: nobody can tell it but the new one.
TOGETHER = 2.0

Cut = tuple[str, str]


def combinations() -> list[tuple[Cut, ...]]:
    masks = product((False, True), repeat=len(CABLES))
    return [tuple(c for c, cut in zip(CABLES, mask, strict=True) if cut) for mask in masks]


def named(cuts: tuple[Cut, ...]) -> str:
    return "+".join(f"{role}-{cable}" for role, cable in cuts) or "none"


@pytest.mark.parametrize("cuts", combinations(), ids=named)
def test_two_primaries_never_speak_at_once(cluster: Cluster, cuts: tuple[Cut, ...]) -> None:
    world, before = cluster.world, cluster.primary
    places = [(cluster.unit(role), cable) for role, cable in cuts]
    cut_off = {(before, "mgmt"), (before, "ha")} <= set(places)
    macs = [mac_text(each.virtual_mac) for each in load(world.lab.config).interfaces]
    world.peer("server")
    caller = world.another_peer("client", "tests.lab.traffic_peer")
    with speakers(world, macs) as listening:
        caller("call", address=SERVER, port=PORT, every=PACE)
        answered(cluster, caller, 20)
        for unit, cable in places:
            cluster.faults.cut(f"u{unit}", cable)
        for unit, cable in places:
            until_noticed(cluster, unit, cable)
        if cut_off:
            cluster.until(lambda: cluster.primary not in (None, before))
        for _ in range(6):
            ask_by_arp(cluster)
            answered(cluster, caller, 6)
        during = listening.speech()
        cluster.faults.heal()
        cluster.until_whole()
        cluster.until(lambda: agreed(cluster))
        healed = time.monotonic()
        answered(cluster, caller, 25)
        after = listening.speech()
    judge(during, before, cut_off)
    assert after.since(healed).units == {cluster.primary}
    assert (cluster.primary == before) is not cut_off


def test_a_second_one_would_be_heard(cluster: Cluster) -> None:
    world = cluster.world
    (interface, *_) = load(world.lab.config).interfaces
    mac = mac_text(interface.virtual_mac)
    frame = f"ff:ff:ff:ff:ff:ff:{mac}:88:b6".replace(":", "") + "00" * 46
    with speakers(world, [mac]) as listening:
        first, second = (unit for unit in world.units if unit != cluster.primary)
        peers = {unit: world.another_peer(f"u{unit}") for unit in world.units}
        # The primary last: switches believe who spoke last.
        for unit in (first, second, first, second, cluster.primary):
            peers[unit]("raw", interface="nic-int", frames=[frame])
        world.until(lambda: listening.speech().units == {1, 2, 3}, "not heard")
        speech = listening.speech()
    assert speech.together > 0


def judge(speech: Speech, before: int, cut_off: bool) -> None:
    print(f"two primaries spoke at once for {speech.together:.3f} s: {speech.units}")
    assert before in speech.units
    if cut_off:
        assert len(speech.units) == 2
        assert speech.together <= TOGETHER
    else:
        assert speech.units == {before}


def until_noticed(cluster: Cluster, unit: int, cable: str) -> None:
    """The app, as far as it is connected, knows of the cut."""
    if cable == "mgmt":
        cluster.until_state(unit, "down", "dead", "silent", timeout=15)
    else:
        rows = cluster.world.status
        cluster.until(
            lambda: all(unit not in row["hears"] or row["state"] != "up" for row in rows()["units"])
        )


def ask_by_arp(cluster: Cluster) -> None:
    """Hosts forget the virtual MACs, and ask: whoever takes itself for the primary answers."""
    for host in ("client", "server"):
        cluster.world.lab.run(host, ["ip", "neighbour", "flush", "all"])


def answered(cluster: Cluster, caller: object, more: int) -> None:
    """So many more new sessions are answered."""
    assert callable(caller)
    before = caller("answered")
    cluster.until(lambda: caller("answered") >= before + more, timeout=30)


def agreed(cluster: Cluster) -> bool:
    """Does every unit's agent say of itself what the app says of it?"""
    logs = {unit: cluster.world.lab.log_dir / f"u{unit}/synod/agent.log" for unit in (1, 2, 3)}
    told = {unit: log.read_text().rpartition(" role=")[2].split()[0] for unit, log in logs.items()}
    return told == cluster.roles()
