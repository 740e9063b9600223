"""docs/wireshark/synod.lua against `agents.wire`: tshark, with it, reads what Python wrote.

Frames of every kind are drawn by Hypothesis and written to one file, as tshark starts slowly.
"""

import subprocess
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.utils import wrpcap

from agents.wire import (
    control,
    control_maps,
    inquiry,
    packet,
    peer,
    ports,
    routed_arp,
    seal,
    syndata,
)
from agents.wire.labels import INTERFACE_BIT, UNIT_BIT
from tests.unit.pickup_frames import said
from tests.unit.wire_frames import (
    ORIG,
    addresses,
    append_data,
    interfaces,
    macs,
    syn,
    tuples,
    u8,
    u32,
    u64,
    units,
)

LUA = Path(__file__).parents[2] / "docs/wireshark/synod.lua"
LINK = peer.Link(1, 2, ports.ha_mac(1, 2), ports.ha_mac(1, 1))
SEPARATOR, AGGREGATOR = "\t", "\x1f"

labels = st.builds(
    lambda unit, interface: (1 << UNIT_BIT + unit | 1 << INTERFACE_BIT + interface).to_bytes(
        16, "little"
    ),
    units,
    interfaces,
)
names = st.text("abcdefgh-", min_size=1, max_size=15)
protocols = st.sampled_from([6, 17])
sessions = st.builds(control.Session, tuples, tuples)
expectations = st.builds(
    peer.Expectation,
    *(tuples, tuples, st.binary(min_size=6, max_size=6), protocols, u8, names),
    *(st.integers(0, 1), st.binary(min_size=6, max_size=6)),
)
offers = st.builds(control.Offer, u32, units, interfaces, interfaces, u8, tuples, tuples)
beginnings = st.builds(peer.Beginning, tuples, tuples, tuples, names, labels, u32)

# By kind: records, and how a list of them becomes frames.
RECORDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[list[Any]], list[bytes]]]] = {
    "offer": (offers, lambda found: control.offer_frames(1, 2, found)),
    "ended": (sessions, lambda found: control.ended_frames(1, 2, found)),
    "census": (
        st.builds(control.Counted, tuples, tuples, units),
        lambda found: control.census_frames(1, 2, 7, found),
    ),
    "decided": (
        st.builds(control.Decided, u32, units),
        lambda found: control.decided_frames(1, 2, found),
    ),
    "forget": (sessions, lambda found: control.forget_frames(1, 2, found)),
    "expect": (
        st.builds(peer.Ask, u32, expectations),
        lambda found: peer.expect_frames(LINK, found),
    ),
    "expected": (
        st.builds(peer.Answered, u32, st.sampled_from(peer.Answer)),
        lambda found: peer.expected_frames(LINK, found),
    ),
    "withdraw": (
        st.builds(peer.Withdrawn, tuples, tuples, protocols),
        lambda found: peer.withdraw_frames(LINK, found),
    ),
    "clear": (
        st.builds(peer.Clear, u32, tuples, tuples),
        lambda found: peer.clear_frames(LINK, found),
    ),
    "cleared": (
        st.builds(lambda clear_id: {"clear_id": clear_id}, u32),
        lambda found: peer.cleared_frames(LINK, [each["clear_id"] for each in found]),
    ),
    "begun": (beginnings, lambda found: peer.begun_frames(LINK, found)),
    "keepalive": (
        st.builds(peer.Question, units, st.sampled_from(peer.Asked), u64),
        lambda found: [peer.keepalive_frame(LINK, hears_app=True, records=found)],
    ),
}
SEALER = seal.Sealer(seal.Keys([bytes(32)], 1), 2, 0xFFFFFFFF_FFFFFFFE)


def sealed(kind: str, frame: bytes) -> bytes:
    """With its seal, if it is one of what agents tell each other."""
    return peer.sealed(frame, SEALER) if _KINDS[kind] in peer.KINDS else frame


_KINDS = {name: kind for kind, name in control.KINDS.items()}
ANNOUNCE = control.Announce(
    unit=2, group=1, boot=0xFFFFFFFF_FFFFFFFF, keys=(1, 0xFFFFFFFF), name="wall", version="0.1.0",
    role="auxiliary", primary=1, macs={"int": "02:53:59:01:02:01"}, digest="abc",
    serving=1 << 40, resync=3, term=70000, hears=(1, 3), missing=(3,), adopted=(4,), forfeited=9,
    down=(2,), synced=(1,),
    counters={"state": 5, "syndata_value": 300},
)  # fmt: skip
STATE = control.State(5, "auxiliary", 1, True, 300, (3, 64), 2, 3, {1: 7, 64: 2**64 - 1})


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many values, the same in every run."""
    found: list[Any] = []

    @settings(
        max_examples=count, database=None, derandomize=True, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return list(islice(found, count))


def tshark(path: Path, frames: Iterable[bytes], *argv: str) -> str:
    """What tshark says of these frames, with the dissector; it may not complain of it."""
    wrpcap(str(path), list(frames), linktype=1)
    command = ["tshark", "-n", "-r", str(path), "-X", f"lua_script:{LUA}", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Running as user")]
    assert done.returncode == 0, done.stderr
    assert not said
    assert "Lua Error" not in done.stdout
    return done.stdout


def fields(path: Path, frames: list[bytes], *wanted: str) -> list[dict[str, list[str]]]:
    """Of each frame, the values of the wanted fields."""
    options = ["-T", "fields", "-E", f"separator={SEPARATOR}", "-E", f"aggregator={AGGREGATOR}"]
    output = tshark(path, frames, *options, *(word for name in wanted for word in ("-e", name)))
    rows = [line.split(SEPARATOR) for line in output.splitlines()]
    assert len(rows) == len(frames)
    return [
        {
            name: value.split(AGGREGATOR) if value else []
            for name, value in zip(wanted, row, strict=True)
        }
        for row in rows
    ]


def endpoint(value: bytes) -> str:
    return packet.tuple_text(value[:4] + bytes(4) + value[4:] + bytes(2)).split(" > ")[0]


def shown(name: str, value: Any) -> str:
    """A field's value as tshark is to write it."""
    if isinstance(value, bytes):
        if name == "labels":
            bits = int.from_bytes(value, "little")
            number = next(each for each in range(1, 65) if bits >> each & 1)
            interface = next(each for each in range(1, 17) if bits >> INTERFACE_BIT + each & 1)
            return f"unit-{number},in-{interface}"
        return packet.tuple_text(value) if len(value) == 12 else endpoint(value)
    return f"0x{value:08x}" if name == "mark" else str(int(value) if value in (0, 1) else value)


def flat(record: Any) -> dict[str, Any]:
    """A record's fields by name; those of an expectation beside the ask's own."""
    found = dict(record) if isinstance(record, dict) else record._asdict()
    expectation = found.pop("expectation", None)
    return found | (expectation._asdict() if expectation else {})


def test_the_kinds_are_pythons(tmp_path: Path) -> None:
    frames = [control.empty_frame(kind, 1, 2) for kind in range(256) if kind in control.KINDS]
    others = [control.empty_frame(kind, 1, 2) for kind in range(256) if kind not in control.KINDS]
    rows = fields(
        tmp_path / "kinds", frames + others, "synod.kind", "synod.bad_kind", "_ws.col.Info"
    )
    for kind, row in zip(control.KINDS, rows, strict=False):
        assert row["synod.kind"] == [str(kind)]
        assert row["_ws.col.Info"][0].startswith(f"{control.KINDS[kind].upper()}: unit 2")
    assert [bool(row["synod.bad_kind"]) for row in rows] == [False] * 18 + [True] * 238


def test_a_question_and_the_parts_of_its_answer(tmp_path: Path) -> None:
    asked = packet.tuple12("10.1.0.10", "203.0.113.10", 40000, 80)
    trace = inquiry.Traced("int", "ext", commands=(("ovs-appctl", "x" * 2000),))
    frames = [inquiry.question_frame(1, 2, 9, inquiry.TRACE, asked)]
    frames += inquiry.answer_frames(1, 2, 9, trace)
    rows = fields(
        *(tmp_path / "questions", frames, "synod.question.what", "synod.question.tuple12"),
        *("_ws.col.Info", "_ws.expert.message"),
    )
    question, first, last = rows
    assert question["synod.question.what"] == [str(inquiry.TRACE)]
    assert question["synod.question.tuple12"] == [packet.tuple_text(asked)]
    assert first["_ws.col.Info"] == ["ANSWER: unit 2, 1488 bytes"]
    assert last["_ws.col.Info"][0].endswith("bytes, the last")
    assert not any(row["_ws.expert.message"] for row in rows)


def test_a_packet_of_conntrackds_is_shown_by_its_length(tmp_path: Path) -> None:
    frame = sealed("pickup", peer.pickup_frame(LINK, said()[14:]))
    cut = frame[: -seal.SIZE - 1]
    whole, short = fields(
        *(tmp_path / "pickup", [frame, cut], "_ws.col.Info", "synod.seal.unit"),
        "synod.bad_length",
    )
    assert whole["_ws.col.Info"] == short["_ws.col.Info"] == ["PICKUP: unit 2, 36 bytes"]
    assert (whole["synod.seal.unit"], whole["synod.bad_length"]) == (["2"], [])
    assert short["synod.bad_length"]


def test_records_are_shown_as_python_knows_them(tmp_path: Path) -> None:
    others = {"announce", "state", "census_request", "question", "answer", "pickup"}
    assert set(RECORDS) | others == set(control.KINDS.values())
    cases = [
        (kind, records, frame)
        for kind, (strategy, encode) in RECORDS.items()
        for records in drawn(st.lists(strategy, min_size=1, max_size=3), 20)
        for frame in (sealed(kind, frame) for frame in encode(records))
    ]
    wanted = sorted(
        {f"synod.{kind}.{name}" for kind, records, _ in cases for name in flat(records[0])}
    )
    rows = fields(
        tmp_path / "records", [frame for _, _, frame in cases], *wanted, "_ws.expert.message"
    )
    for (kind, records, _), row in zip(cases, rows, strict=True):
        assert row.pop("_ws.expert.message") == []
        expected = {
            f"synod.{kind}.{name}": [shown(name, flat(record)[name]) for record in records]
            for name in flat(records[0])
        }
        assert {name: values for name, values in row.items() if values} == expected


@pytest.mark.parametrize(
    ("kind", "told", "frame"),
    [
        ("announce", ANNOUNCE, control.announce_frames(ANNOUNCE)[0]),
        ("state", STATE, control.state_frame(1, 2, STATE)),
    ],
)
def test_maps_are_shown_as_python_knows_them(
    tmp_path: Path, kind: str, told: Any, frame: bytes
) -> None:
    names_ = msgpack.unpackb(control_maps.pack(told), strict_map_key=False)
    (row,) = fields(
        tmp_path / kind, [frame], *(f"synod.{kind}.{name}" for name in names_), "_ws.expert.message"
    )
    assert row.pop("_ws.expert.message") == []
    for name, value in names_.items():
        many = value if isinstance(value, list) else [value]
        if isinstance(value, dict):
            many = [f"{key}={item}" for key, item in value.items()]
        expected = [str(int(item)) if isinstance(item, bool) else str(item) for item in many]
        assert row[f"synod.{kind}.{name}"] == expected


def test_headers_and_routed_arp_are_shown_as_python_knows_them(tmp_path: Path) -> None:
    frames = control.census_frames(200, 64, 0x01020304, [control.Counted(ORIG, ORIG, 5)])
    asks = drawn(st.tuples(st.sampled_from([201, 202]), macs, addresses, macs, addresses), 20)
    arps = [routed_arp.Arp(*each, routed_arp.BROADCAST, ports.ha_mac(1, 2)) for each in asks]
    wanted = ["group", "unit", "count", "flags", "token"]
    wanted += [f"arp.{name}" for name in ("opcode", "sha", "spa", "tha", "tpa")]
    names_ = [f"synod.{name}" for name in wanted]
    header, *rows = fields(tmp_path / "arp", [*frames, *map(routed_arp.encode, arps)], *names_)
    message = control.parse(frames[0])
    told = [message.group, message.unit, 1, f"0x{message.flags:02x}", message.token]
    assert [header[name] for name in names_] == [*([str(value)] for value in told), *[[]] * 5]
    for arp, row in zip(arps, rows, strict=True):
        shown_ = [str(arp.op)]
        for mac, address in ((arp.sha, arp.spa), (arp.tha, arp.tpa)):
            shown_ += [ports.mac_text(mac), ".".join(map(str, address))]
        assert [row[name] for name in names_[5:]] == [[value] for value in shown_]


def test_seals_are_shown_as_python_knows_them(tmp_path: Path) -> None:
    data = with_seal(syndata.encode(syndata.SynData(2, 1, 1, 0, bytes(16), ORIG)))
    frames = [
        append_data(syn(), data),
        sealed("keepalive", peer.keepalive_frame(LINK, hears_app=True)) + bytes(9),
        peer.keepalive_frame(LINK, hears_app=True),
    ]
    names_ = [f"synod.seal.{name}" for name in ("unit", "epoch", "counter", "tag")]
    *rows, bare = fields(tmp_path / "seals", frames, *names_, "synod.bad_length")
    for frame, row in zip((data, frames[1][:-9]), rows, strict=True):
        head, tag = frame[-seal.SIZE : -16], frame[-16:]
        told = [str(int.from_bytes(head[at:end])) for at, end in ((1, 2), (4, 12), (12, 20))]
        assert [row[name] for name in names_] == [[each] for each in (*told, tag.hex())]
        assert row["synod.bad_length"] == []
    assert bare["synod.seal.tag"] == []
    assert bare["synod.bad_length"]


def with_seal(told: bytes) -> bytes:
    """These bytes and a seal of them."""
    return told + SEALER.seal(seal.SYN, told)


syn_data = st.builds(
    syndata.SynData,
    *(units, units, interfaces, u32, labels, tuples),
    st.just("") | names,
    st.just(b"") | tuples,
)


def test_syn_data_are_shown_as_python_knows_them(tmp_path: Path) -> None:
    cases = drawn(syn_data, 60)
    frames = [
        append_data(syn(payload=b"GET"[: index % 4]), with_seal(syndata.encode(data)))
        for index, data in enumerate(cases)
    ]
    wanted = [f"synod.syn.{name}" for name in syndata.SynData._fields]
    rows = fields(tmp_path / "syn", frames, *wanted, "_ws.col.Info", "synod.bad_option")
    for data, row in zip(cases, rows, strict=True):
        for name, value in data._asdict().items():
            assert row[f"synod.syn.{name}"] == (
                [shown(name, value)] if value != b"" != value and value != "" else []
            )
        assert row["_ws.col.Info"][0].startswith(f"SYN data: unit {data.unit}, ")
        assert row["synod.bad_option"] == []


def test_the_info_column_says_what_happens(tmp_path: Path) -> None:
    reply = packet.tuple12("203.0.113.10", "203.0.113.1", 80, 40000)
    data = syndata.SynData(2, 1, 1, 0x10, bytes(16), reply)
    plain = data._replace(reply=packet.inverse(ORIG), mark=0, helper="ftp")
    asked = routed_arp.Arp(
        *(201, ports.physical_mac(1, 2, 2), bytes((203, 0, 113, 1))),
        *(bytes(6), bytes((203, 0, 113, 10)), routed_arp.BROADCAST, ports.ha_mac(1, 2)),
    )
    told = asked._replace(
        op=202, sha=b"\x02\0\0\0\0\x0a", spa=asked.tpa, tha=asked.sha, tpa=asked.spa
    )
    frames = [
        append_data(syn(), with_seal(syndata.encode(data))),
        append_data(syn(), with_seal(syndata.encode(plain))),
        routed_arp.encode(asked),
        routed_arp.encode(told),
        sealed("keepalive", peer.keepalive_frame(LINK, hears_app=True)),
        control.decided_frames(1, 2, [control.Decided(7, 3)])[0],
    ]
    output = tshark(tmp_path / "info", frames, "-T", "fields", "-e", "_ws.col.Info")
    assert output.splitlines() == [
        "SYN data: unit 2, NAT to 203.0.113.1:40000, mark 0x10",
        "SYN data: unit 2, mark 0x0, helper ftp",
        "Routed ARP: unit 2, interface 2 asks for 203.0.113.10",
        "Routed ARP: unit 2, interface 2 is told that 203.0.113.10 is at 02:00:00:00:00:0a",
        "KEEPALIVE: unit 2, hears the app",
        "DECIDED: unit 2, 1 record: unit 3",
    ]


def test_what_cannot_be_right_is_marked(tmp_path: Path) -> None:
    data = syndata.encode(syndata.SynData(2, 1, 1, 0, bytes(16), ORIG, "ftp"))
    own = ports.physical_mac(1, 2, 1)
    frame = control.decided_frames(1, 2, [control.Decided(7, 3)])[0]
    unknown = bytearray(data)
    unknown[36] = 9
    damaged = {
        "synod.bad_version": data[:-6] + b"\x01" + data[-5:],
        "synod.bad_length": data[:-8] + b"\xff\xff" + data[-6:],
        "synod.bad_option": bytes(unknown),
    }
    broken = {name: append_data(syn(), with_seal(told)) for name, told in damaged.items()}
    broken |= {
        "synod.bad_value": control.decided_frames(1, 2, [control.Decided(7, 65)])[0],
        "synod.bad_magic": packet.readdress(
            append_data(syn(), with_seal(data[:-1] + b"?")), own, ports.virtual_mac(1, 1)
        ),
        "synod.bad_kind": frame[:15] + b"\x09" + frame[16:],
        "synod.bad_map": frame[:15] + b"\x10" + frame[16:],
    }
    rows = fields(tmp_path / "broken", list(broken.values()), *broken)
    assert [[name for name in broken if row[name]] for row in rows] == [[name] for name in broken]


def test_no_bytes_make_lua_fail(tmp_path: Path) -> None:
    whole = [
        sealed(kind, encode(drawn(strategy, 2))[0]) for kind, (strategy, encode) in RECORDS.items()
    ]
    whole += [*control.announce_frames(ANNOUNCE), control.state_frame(1, 2, STATE)]
    told = [with_seal(syndata.encode(data)) for data in drawn(syn_data, 6)]
    whole += [append_data(syn(), each) for each in told]
    whole.append(routed_arp.encode(routed_arp.Arp(201, *[bytes(6), bytes(4)] * 2, *[bytes(6)] * 2)))
    cut = [frame[:size] for frame in whole for size in range(14, len(frame))]
    changes = st.tuples(
        st.sampled_from(whole), st.lists(st.tuples(st.integers(14, 200), u8), max_size=6)
    )
    mutated = [_changed(*change) for change in drawn(changes, 1500)]
    trailers = drawn(st.binary(max_size=90), 300)
    junk = [append_data(syn(), with_seal(tail + syndata.MAGIC)) for tail in trailers]
    right = b"\0\x50\x02\0SYND"
    junk += [append_data(syn(), with_seal(tail + right)) for tail in trailers]
    own = ports.physical_mac(1, 2, 1)
    junk += [packet.readdress(append_data(syn(), tail), own, own) for tail in trailers]
    maps = [_with_body(tail) for tail in trailers]
    tshark(tmp_path / "junk", [*cut, *mutated, *junk, *maps], "-V")


def _changed(frame: bytes, changes: list[tuple[int, int]]) -> bytes:
    out = bytearray(frame)
    for at, value in changes:
        out[at % (len(out) - 14) + 14] = value
    return bytes(out)


def _with_body(body: bytes) -> bytes:
    head = control.empty_frame(control.STATE, 1, 2)
    return head[:18] + len(body).to_bytes(2) + head[20:] + body
