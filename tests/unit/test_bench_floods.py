"""What `floods` of the bench sends, and says of what it measured."""

from typing import Any

import pytest
from scapy.layers.l2 import ARP, Ether

from agents.wire import control
from tests.bench import floods, strangers
from tests.bench.strangers import KINDS, Target

TO = Target("06:00:00:00:00:01", "02:53:59:01:00:01", "203.0.113.10", "10.1.0.1", 1)
MIB = 1 << 20
CALLS = {"calls": 600, "failed": 0, "median_ms": 4, "slowest_ms": 12, "percentile_99_ms": 9}
FLAT = {"whole": 90 * MIB, "second_half": 8 * MIB, "had": 100 * MIB}


def figures(seconds: float, **of_udp: Any) -> dict[str, Any]:
    found = {
        "sent_per_second": 5000,
        "calls": CALLS,
        "transfers_lost": 0,
        "stall_ms": 20.0,
        "grown": {"controller.app": FLAT, "u1.vswitchd": {**FLAT, "whole": 0}},
        "drops": {"limit_arp": 1200, "drop_ipv6": 0},
    }
    return {"seconds": seconds, **dict.fromkeys(KINDS, found), "udp": {**found, **of_udp}}


def broken(**of_udp: Any) -> list[str]:
    promises = floods.BENCHMARK.promises(figures(600, **of_udp))
    return [text for text, kept in promises.items() if not kept]


@pytest.mark.parametrize("kind", KINDS)
def test_each_frame_is_a_strangers(kind: str) -> None:
    frame = strangers.frames(kind, TO)
    sent = [frame(number) for number in range(56)]
    assert len(set(sent)) > 20
    assert all(14 <= len(each) <= 1514 for each in sent)


def test_no_two_syns_are_of_one_session() -> None:
    frame = strangers.frames("syn", TO)
    tuples = {frame(number)[26:38] for number in (0, 1, 131071, 131072, 262144)}
    assert len(tuples) == 5


def test_arp_asks_and_answers_and_claims() -> None:
    frame = strangers.frames("arp", TO)
    found = [Ether(frame(number))[ARP] for number in range(4)]
    assert [each.op for each in found] == [1, 2, 1, 1]
    assert found[3].psrc == TO.cluster


def test_garbage_has_agents_frames_in_it() -> None:
    frame = strangers.frames("garbage", TO)
    kinds = [frame(number)[12:14] for number in range(7)]
    assert kinds.count(control.ETHERTYPE.to_bytes(2, "big")) == 2


def test_what_a_flood_must_not_do() -> None:
    assert broken() == []
    (text,) = broken(calls={**CALLS, "failed": 1})
    assert text == "udp: none of 600 real sessions failed, no transfer lost: 1, 0"
    (text,) = broken(transfers_lost=2)
    assert text.endswith(": 0, 2")
    much = {**FLAT, "second_half": 19 * MIB}
    (text,) = broken(grown={"u1.agent": much, "u2.agent": FLAT})
    assert text == "udp: the second half adds nothing to memory: u1.agent"


def test_a_short_flood_promises_nothing_of_memory() -> None:
    found = figures(10)
    assert not any("memory" in text for text in floods.BENCHMARK.promises(found))
    assert floods.BENCHMARK.notes(found)[-1].endswith("script/bench floods --minutes 5, or more")
    assert not any("too few" in text for text in floods.BENCHMARK.notes(figures(600)))


def test_a_row_for_each_kind() -> None:
    heading, *rows = floods.BENCHMARK.rows(figures(10))
    assert [row[0] for row in rows] == list(KINDS)
    assert {len(row) for row in (heading, *rows)} == {10}
    assert rows[0][-2:] == ("90.0", "8.0")
    assert "dropped limit_arp 1,200" in floods.BENCHMARK.notes(figures(10))[0]


def test_how_memory_has_grown() -> None:
    filling = [10, 20, 30, 40, 40, 40, 40, 41]
    assert floods.grown(filling) == {"whole": 31, "second_half": 1, "had": 40}
    assert floods.grown([7]) == {"whole": 0, "second_half": 0, "had": 7}
