"""What `throughput`, `scaling` and `flood` of the bench send, and say of what they measured."""

from typing import Any

from agents.wire.packet import parse_syn, tuple12
from tests.bench import flood, scaling, throughput
from tests.bench.syn_flood import checksum, syn

SPREAD = {"median": 100, "lowest": 90, "highest": 110, "each": [90, 100, 110]}
WHEN = {"calls": 600, "failed": 0, "median_ms": 4, "percentile_99_ms": 9, "slowest_ms": 12}
APP = {
    "sent_per_second": 3300,
    "decided_per_second": 300,
    "offers_waiting": 2000,
    "unread_bytes": 1000,
    "app_grew_mib": 1.5,
    "caught_up_after_seconds": 3.0,
    "longest_quiet_stall_ms": 5.0,
    "longest_stall_ms": 20.0,
    "transfers_lost": 0,
    "quiet": WHEN,
    "flooded": WHEN,
}


def test_a_floods_syn_is_a_clients() -> None:
    packet = syn(0xC6120001, 2000, bytes((203, 0, 113, 10)), 80)
    found = parse_syn(bytes(12) + b"\x08\x00" + packet)
    assert found.tuple12 == tuple12("198.18.0.1", "203.0.113.10", 2000, 80)
    assert found.payload == b""
    size = (len(packet) - 20).to_bytes(2, "big")
    assert checksum(packet[:20]) == 0
    assert checksum(packet[12:20] + b"\x00\x06" + size + packet[20:]) == 0


def floods(**changes: Any) -> dict[str, Any]:
    whole = {"most_offers": 8192, "most_unread_bytes": 1 << 20}
    return {**whole, "slow": {**APP, **changes}, "usual": APP}


def broken(promises: dict[str, bool]) -> list[str]:
    return [text for text, kept in promises.items() if not kept]


def test_what_a_flood_must_not_do() -> None:
    promises = flood.BENCHMARK.promises
    assert broken(promises(floods())) == []
    for changes, text in (
        ({"sent_per_second": 2900}, "ten times and more of what the app decided: 9.7"),
        ({"flooded": {**WHEN, "failed": 1}}, "none of 600 real sessions failed: 1"),
        ({"transfers_lost": 1}, "no transfer lost: 1"),
        ({"longest_stall_ms": 201}, "no stall longer than 200 ms: 201"),
        ({"offers_waiting": 8193}, "at most 8192 offers waited: 8193"),
        ({"unread_bytes": 1048577}, "at most 1048576 bytes unread: 1048577"),
    ):
        assert broken(promises(floods(**changes))) == [text]


def test_a_floods_rows() -> None:
    heading, *rows = flood.BENCHMARK.rows(floods())
    assert len(rows) == 4
    assert {len(row) for row in rows} == {len(heading)}
    assert len(flood.BENCHMARK.notes(floods())) == 2


def scaled(four: float) -> dict[str, Any]:
    of = {number: {**SPREAD, "median": 100 * int(number)} for number in "123"}
    figures: dict[str, Any] = {"failed": 0, "cores_used": {}}
    for many, used in (("10000", 0.25), ("5000", 0.26), ("0", 0.27)):
        figures["cores_used"] |= {f"{many}, 1": [used], f"{many}, 4": [0.3] * 4}
    for kind in ("sessions_per_second", "megabits_per_second"):
        figures[kind] = {
            name: {**{key: {**each} for key, each in of.items()}, "4": {**SPREAD, "median": four}}
            for name in ("10000", "5000", "0")
        }
        for each in figures[kind].values():
            scaling.compare(each)
    return figures


def test_each_added_unit_adds_most_of_one() -> None:
    assert broken(scaling.BENCHMARK.promises(scaled(340))) == []
    assert len(broken(scaling.BENCHMARK.promises(scaled(330)))) == 2
    assert scaled(340)["megabits_per_second"]["10000"]["4"]["per_added_unit"] == 0.8
    heading, *rows = scaling.BENCHMARK.rows(scaled(340))
    assert len(rows) == 24
    assert {len(row) for row in rows} == {len(heading)}
    assert [note.split()[-4] for note in scaling.BENCHMARK.notes(scaled(340))] == [
        "2.5",
        "2.6",
        "2.7",
    ]


def test_an_auxiliary_carries_nearly_half() -> None:
    def figures(ratio: float) -> dict[str, Any]:
        one = {"primary": {**SPREAD, "ratio": 1.0}, "flows": {**SPREAD, "ratio": 0.9}}
        both = {**one, "conntrack": {**SPREAD, "ratio": ratio}}
        return {"megabits_per_second": both, "packets_per_second": both}

    assert broken(throughput.BENCHMARK.promises(figures(0.45))) == []
    assert len(broken(throughput.BENCHMARK.promises(figures(0.44)))) == 2
    heading, *rows = throughput.BENCHMARK.rows(figures(0.45))
    assert len(rows) == 6
    assert {len(row) for row in rows} == {len(heading)}
