"""What faults at random are made of: plans, their words, and what is wrong with a cluster."""

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from agents.wire.ports import mac_text
from tests.lab import invariants, random_faults
from tests.lab.faults_at_random import again, errors_in, options
from tests.lab.invariants import Seen
from tests.unit.core_world import cluster_of
from topologies.faults import VERBS, WAYS, cables_of, hosts, programs
from topologies.observe import Endpoints, Entry
from topologies.recipe import Options

OPTIONS = Options(units=3)
SESSION = Endpoints("10.1.0.10", 40000, "203.0.113.10", 80)
ANSWERS = Endpoints("203.0.113.10", 80, "203.0.113.1", 40000)
CLUSTER = cluster_of(3)


class Spy:
    """In place of `topologies.faulting.Faults`: what is called, with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, verb: str) -> Any:
        return lambda *words, **more: self.calls.append((verb, *words, more))


def test_the_same_seed_is_the_same_plan_and_another_another() -> None:
    one, same, other = (list(islice(random_faults.plan(seed), 40)) for seed in (1, 1, 2))
    assert one == same != other


def test_a_plan_that_was_written_is_read_again() -> None:
    faults = list(islice(random_faults.plan(3), 60))
    assert random_faults.read([*map(random_faults.written, faults), ""]) == faults


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "No such file"),
        ("no JSON\n", "not a file of faults: JSONDecodeError"),
        ('{"does": []}\n', "not a file of faults: KeyError('mends')"),
        ("[]\n", "not a file of faults: TypeError"),
    ],
)
def test_a_file_that_cant_be_replayed_is_a_mistake_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str | None, said: str
) -> None:
    path = tmp_path / "faults.jsonl"
    if written:
        path.write_text(written)
    with pytest.raises(SystemExit):
        options(["--replay", str(path)])
    assert said in capsys.readouterr().err


def test_the_command_for_once_more_does_the_same(tmp_path: Path) -> None:
    record, faults = tmp_path / "faults.jsonl", list(islice(random_faults.plan(3), 5))
    record.write_text("".join(random_faults.written(each) + "\n" for each in faults))
    asked = options(["--session-table", "conntrack"])
    replayed = options(again(asked, record).split()[1:])
    assert (replayed.replay, replayed.session_table) == (faults, "conntrack")


def test_each_fault_is_of_what_the_lab_has_and_lasts_as_long_as_it_may() -> None:
    seen = set()
    for fault in islice(random_faults.plan(4), 2000):
        assert random_faults.SHORTEST <= fault.lasts <= random_faults.LONGEST
        for words in (*fault.does, *fault.mends):
            verb, host, *rest = words.split()
            assert verb in VERBS
            assert host in hosts(OPTIONS)
            parts = {each.name for each in (*programs(host), *cables_of(OPTIONS, host))}
            assert set(rest) <= parts | {"--nic", "--way", "--anew", *WAYS}
            spy: Any = Spy()
            random_faults.carry_out(spy, words)
            ((called, where, *_),) = spy.calls
            assert (called.rstrip("_").replace("_", "-"), where) == (verb, host)
        seen.add(tuple(re.sub(r"u\d", "{unit}", words) for words in fault.does))
    assert seen == {kind.does for kind in random_faults.KINDS}  # each is picked


def test_the_way_of_a_cut_is_kept() -> None:
    spy: Any = Spy()
    for words in ("cut u1 ha --way in", "cut u1 ha --nic", "restart-switch u1 --anew"):
        random_faults.carry_out(spy, words)
    assert spy.calls == [
        ("cut", "u1", "ha", "in", {}),
        ("cut", "u1", "ha", {"nic": True}),
        ("restart_switch", "u1", {"anew": True}),
    ]


@pytest.mark.parametrize("words", ["melt u1", "stop u1", "cut u1 ha --sideways", "kill u1 agent"])
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="no such words"):
        random_faults.carry_out(Spy(), words)  # type: ignore[arg-type]


def test_errors_of_programs_are_found_in_their_logs_but_for_a_device_that_went() -> None:
    trace = 'Traceback (most recent call last):\n  File "x", line 1, in <module>\n    main()\n\n'
    assert errors_in(f"started\n{trace}KeyError: 3\nended\n") == ["KeyError: 3"]
    assert errors_in(f"{trace}OSError: [Errno 100] Network is down\n") == []
    assert errors_in("time=1 event=bug in=Tick\n") == ["time=1 event=bug in=Tick"]
    assert errors_in("time=1 event=decided\n") == []


# -- what is wrong


def entry(unit: int, state: str = "ESTABLISHED") -> Entry:
    return Entry(state, 300, SESSION, ANSWERS, 0, frozenset({f"unit-{unit}"}), True)


def right(unit: int = 2) -> Seen:
    """Unit 1 is primary, and that unit serves the session."""
    rows = [{"id": n, "role": "auxiliary", "state": "up"} for n in (1, 2, 3)]
    rows[0]["role"] = "primary"
    macs = {
        f"s{place + 1}-u{each.id}": frozenset({mac_text(each.macs[place])})
        for each in CLUSTER.units
        for place in (0, 1)
    }
    macs["s1-u1"] = frozenset({mac_text(CLUSTER.interfaces[0].virtual_mac)})
    return Seen(
        {"primary": 1, "units": rows},
        {1: {} if unit == 1 else {SESSION: unit, ANSWERS: unit}, 2: {}, 3: {}},
        {each: {SESSION: entry(unit)} for each in (1, 2, 3)},
        macs,
    )


def found(seen: Seen) -> str:
    return "\n".join(sorted(invariants.wrong(seen, {SESSION}, CLUSTER)))


@pytest.mark.parametrize("unit", [1, 2])
def test_nothing_is_wrong_with_what_is_right(unit: int) -> None:
    assert found(right(unit)) == ""


def with_entries(**held: Entry | None) -> Seen:
    entries = {int(unit[1:]): {SESSION: each} if each else {} for unit, each in held.items()}
    return replace(right(), entries={**right().entries, **entries})


WRONG = {
    "primaries are": replace(right(), status={**right().status, "primary": 2}),
    "unit 3 is dead": replace(
        right(),
        status={
            "primary": 1,
            "units": [
                *right().status["units"][:2],
                {"id": 3, "role": "auxiliary", "state": "dead"},
            ],
        },
    ),
    "the primary doesn't know": with_entries(u1=None),
    "unit 2 is to serve it, and has None": with_entries(u2=None),
    "and has Entry": with_entries(u2=entry(2, "SYN_RECV")),
    "unit 3 has it as 1's": with_entries(u3=entry(1)),
    "unit 3 doesn't hold it": with_entries(u3=None),
    "the primary has no entry": with_entries(u1=None),
    "its flows name": replace(right(), flows={1: {SESSION: 2, ANSWERS: 3}, 2: {}, 3: {}}),
    "an auxiliary": replace(right(), flows={**right().flows, 3: {SESSION: 2}}),
    "a flow, and no entry": replace(
        right(), flows={**right().flows, 1: {**right().flows[1], ANSWERS.reverse: 2}}
    ),
    "the switch has learned": replace(
        right(),
        macs={**right().macs, "s2-u3": frozenset({mac_text(CLUSTER.interfaces[1].virtual_mac)})},
    ),
}


def test_entries_of_the_switchs_tracker_may_outlive_their_sessions() -> None:
    seen = WRONG["a flow, and no entry"]
    assert found(replace(seen, by_marks=True)) == ""


@pytest.mark.parametrize("what", WRONG)
def test_each_wrong_is_seen(what: str) -> None:
    assert what in found(WRONG[what])


def test_flows_are_read_as_the_switch_prints_them_but_for_those_that_go_by_themselves() -> None:
    line = (
        "cookie=0x5359020200000000, table=2, priority=100,tcp,nw_src=10.1.0.10,"
        "nw_dst=203.0.113.10,tp_src=40000,tp_dst=80 actions=load:0x2->NXM_NX_REG1[],"
        "fin_timeout(idle_timeout=10),resubmit(,3)"
    )
    assert invariants.parsed([line]) == {SESSION: 2}
    assert invariants.parsed([line.replace("table=2,", "table=2, idle_timeout=10,")]) == {}
    entry_line = (
        "tcp,orig=(src=10.1.0.10,dst=203.0.113.10,sport=40000,dport=80),"
        "reply=(src=203.0.113.10,dst=10.1.0.10,sport=80,dport=40000),zone=21337,mark=2,"
        "protoinfo=(state=ESTABLISHED)"
    )
    assert invariants.parsed([entry_line]) == {SESSION: 2, SESSION.reverse: 2}
    with pytest.raises(AssertionError):
        invariants.parsed(["cookie=0x1, something else"])
