"""Whole agents: real conntrack, real frames, from a SYN to the end of its session."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents import config_key
from agents.core_primary import DECISION_TIME
from agents.ctnetlink import SYN_RECV, Delete, Entry, Get
from agents.outcomes import Outcome
from agents.wire import control
from agents.wire.labels import unit_of
from agents.wire.packet import as_client_sent, parse_syn, readdress
from tests.lab.agent_box import (
    AUXILIARY,
    CONFIG,
    INSIDE,
    PRIMARY,
    Box,
    boxes,
    decisions,
    prepare,
    sessions,
    syn,
)
from tests.lab.namespaces import namespaces, need_root

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pair() -> Iterator[tuple[Box, Box]]:
    """A primary and an auxiliary that have heard of their roles."""
    need_root("unshare", "nsenter", "nft", "conntrack", "ethtool")
    with boxes() as (primary, auxiliary):
        primary.tell("primary")
        auxiliary.tell("auxiliary")
        for box in (primary, auxiliary):
            list(box.taken())
        yield primary, auxiliary


def hand_over(primary: Box, auxiliary: Box, pairs: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Sessions from their SYN to what the auxiliary's kernel gets."""
    prepare(primary, pairs)
    primary.give([syn(primary.cluster, PRIMARY, reply) for _, reply in pairs])
    answers, released = decisions(primary, AUXILIARY)
    assert released == []
    primary.give(answers)
    _, handed = decisions(primary, AUXILIARY)
    virtual = primary.cluster.interface(INSIDE).virtual_mac
    auxiliary.give([readdress(frame, frame[:6], virtual) for frame in handed])
    return decisions(auxiliary, 0)[1]


def messages(box: Box, kind: int) -> list[control.Message]:
    """Control frames of that kind among what the agent wrote."""
    parsed = [control.parse(frame) for frame in box.taken() if frame[12:14] == b"\x88\xb5"]
    return [message for message in parsed if message.kind == kind]


def turning(box: Box, what: Callable[[], object], seconds: float = 10) -> None:
    """Let the agent run until that is so."""
    deadline = time.monotonic() + seconds
    with box.inside.entered():  # a census opens a socket
        while not what():
            assert time.monotonic() < deadline, "it never came"
            box.agent.wait(0.02)
            box.agent.turn()


def entry(box: Box, orig: bytes) -> Entry | int:
    found = box.conntrack.transact([Get(orig)])[0]
    assert isinstance(found, Entry | int)
    return found


def test_a_session_from_its_syn_to_its_end(pair: tuple[Box, Box]) -> None:
    primary, auxiliary = pair
    pairs = sessions(40)
    written = hand_over(primary, auxiliary, pairs)
    for frame, (orig, reply) in zip(written, pairs, strict=True):
        sent = as_client_sent(syn(primary.cluster, PRIMARY, reply), orig)
        assert frame[12:] == sent[12:]
        assert frame[:6] == auxiliary.cluster.unit(AUXILIARY).macs[INSIDE - 1]
        there, here = entry(auxiliary, orig), entry(primary, orig)
        assert isinstance(there, Entry)
        assert isinstance(here, Entry)
        assert (there.reply, there.mark) == (here.reply, here.mark) == (reply, 5)
        assert there.labels == here.labels
        assert unit_of(there.labels) == AUXILIARY
        assert here.state == SYN_RECV
    # They end: the kernel tells the auxiliary's agent, it the app, and the app the primary's agent.
    auxiliary.inside.run("conntrack", "-D", "-p", "tcp")
    ended: list[control.Session] = []

    def all_ended() -> bool:
        auxiliary.tell("auxiliary")  # the app has to be there to be told
        for message in messages(auxiliary, control.ENDED):
            ended.extend(control.ended(message))
        return len(ended) == len(pairs)

    turning(auxiliary, all_ended)
    assert sorted(ended) == sorted(pairs)
    primary.give(control.forget_frames(primary.cluster.group, PRIMARY, ended))
    assert {entry(primary, orig) for orig, _ in pairs} == {2}  # ENOENT
    counters = primary.agent.core.desk.counters
    assert counters[Outcome.OFFERED] == counters[Outcome.HANDED_OVER] == 40
    assert counters[Outcome.FORGOTTEN] == 40


def test_a_session_of_the_primarys_own(pair: tuple[Box, Box]) -> None:
    primary, _ = pair
    ((orig, reply),) = pairs = sessions(1)
    prepare(primary, pairs)
    frame = syn(primary.cluster, PRIMARY, reply)
    primary.give([frame])
    answers, _ = decisions(primary, PRIMARY)
    primary.give(answers)
    assert decisions(primary, PRIMARY)[1] == [frame]
    found = entry(primary, orig)
    assert isinstance(found, Entry)
    assert unit_of(found.labels) == PRIMARY
    assert found.state != SYN_RECV
    assert primary.agent.core.serving.sessions.keys() == {orig}


def test_a_syn_without_an_entry_goes_out(pair: tuple[Box, Box]) -> None:
    primary, _ = pair
    frame = syn(primary.cluster, PRIMARY, sessions(1)[0][1])
    primary.give([frame])
    assert decisions(primary, 0)[1] == [frame]


def test_a_syn_goes_out_undecided(pair: tuple[Box, Box]) -> None:
    primary, _ = pair
    pairs = sessions(1)
    prepare(primary, pairs)
    frame = syn(primary.cluster, PRIMARY, pairs[0][1])
    began = time.monotonic()
    primary.give([frame])
    released: list[bytes] = []

    def out() -> bool:
        released.extend(decisions(primary, 0)[1])
        return bool(released)

    turning(primary, out)
    assert released == [frame]
    assert time.monotonic() - began < DECISION_TIME + 1


def test_sessions_survive_their_agent(pair: tuple[Box, Box]) -> None:
    """A new agent knows nothing; the census teaches it and the app."""
    primary, auxiliary = pair
    pairs = sessions(300)
    for start in range(0, 300, 50):
        hand_over(primary, auxiliary, pairs[start : start + 50])
    for box, unit in ((primary, PRIMARY), (auxiliary, AUXILIARY)):
        box.stop()
        box.start()
        box.tell("primary" if unit == PRIMARY else "auxiliary")
        assert not box.agent.core.serving.sessions
        list(box.taken())
        request = control.census_request_frame(box.cluster.group, unit, 77)
        with box.inside.entered():
            box.give([request])
        found: list[control.Counted] = []
        frames: list[control.Message] = []

        def whole(
            box: Box = box,
            found: list[control.Counted] = found,
            frames: list[control.Message] = frames,
        ) -> bool:
            for message in messages(box, control.CENSUS):
                frames.append(message)
                found.extend(control.census(message))
            return bool(frames) and bool(frames[-1].flags & control.LAST)

        turning(box, whole)
        assert sorted(found) == sorted((orig, reply, AUXILIARY) for orig, reply in pairs)
        assert {message.token for message in frames} == {77}
    assert auxiliary.agent.core.serving.sessions.keys() == {orig for orig, _ in pairs}
    assert not primary.agent.core.serving.sessions


def test_a_removal_of_the_agents_own_ends_nothing(pair: tuple[Box, Box]) -> None:
    primary, auxiliary = pair
    pairs = sessions(1)
    orig, _ = pairs[0]
    hand_over(primary, auxiliary, pairs)
    # Through the agent's own socket, as when a port is used again.
    assert auxiliary.agent._conntrack.transact([Delete(orig)]) == [0]
    auxiliary.agent.turn()
    assert orig in auxiliary.agent.core.serving.sessions
    assert messages(auxiliary, control.ENDED) == []


def test_a_port_used_again_with_other_nat(pair: tuple[Box, Box]) -> None:
    """The primary's entry is new, the auxiliary's of before is still there."""
    primary, auxiliary = pair
    ((orig, reply),) = before = sessions(1)
    hand_over(primary, auxiliary, before)
    primary.conntrack.transact([Delete(orig)])
    after = [(orig, reply[:-2] + b"\xfa\xce")]
    (frame,) = hand_over(primary, auxiliary, after)
    assert parse_syn(frame).tuple12 == orig
    found = entry(auxiliary, orig)
    assert isinstance(found, Entry)
    assert found.reply == after[0][1]
    assert auxiliary.agent.core.desk.counters[Outcome.REPLACED] == 1
    # And a reply tuple that another session had.
    other = [(sessions(2)[1][0], after[0][1])]
    primary.conntrack.transact([Delete(orig)])
    hand_over(primary, auxiliary, other)
    assert entry(auxiliary, orig) == 2
    assert auxiliary.agent.core.desk.counters[Outcome.REPLACED] == 2


def test_garbage_on_the_port_is_counted(pair: tuple[Box, Box]) -> None:
    primary, auxiliary = pair
    own = auxiliary.cluster.unit(AUXILIARY).macs[INSIDE - 1]
    virtual = auxiliary.cluster.interface(INSIDE).virtual_mac
    bare = readdress(syn(primary.cluster, PRIMARY, sessions(1)[0][1]), own, virtual)
    junk = [
        os.urandom(60),
        own + virtual + b"\x08\x00" + os.urandom(60),
        own + virtual + b"\x88\xb5" + os.urandom(60),
        bare[:50],
        bare,
    ]
    auxiliary.give(junk)
    assert decisions(auxiliary, 0)[1] == []
    counters = auxiliary.agent.core.desk.counters
    assert counters[Outcome.SYN_WITHOUT_DATA] == 1
    assert counters.total() == len(junk) + 1  # and the app's word before


RUN = """
import sys
from agents.agent import run
from agents.config import parse
sys.exit(run(parse(sys.argv[1]), 1))
"""


def test_the_process_releases_what_waits_and_ends_on_sigterm(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(config_key.text([bytes(32)]))
    need_root("unshare", "nsenter", "nft", "ethtool")
    with namespaces(2) as (inside, outside), contextlib.ExitStack() as closing:
        box = Box(PRIMARY, inside, outside)
        closing.callback(box.close)
        process = inside.popen(
            *(sys.executable, "-c", RUN, CONFIG),
            env={**os.environ, "PYTHONPATH": str(ROOT), config_key.VARIABLE: str(key)},
            stderr=subprocess.PIPE,
        )
        closing.callback(process.kill)

        def next_of(kind: int) -> bytes:
            while True:
                if not select.select([box.bridge], [], [], 10)[0]:
                    process.kill()
                    pytest.fail(f"the agent says nothing, but {process.communicate()[1]!r}")
                frame = box.bridge.recv(2000)
                if frame[12:14] != b"\x88\xb5":
                    if not kind:
                        return frame
                elif control.parse(frame).kind == kind:
                    return frame

        next_of(control.ANNOUNCE)
        state = control.State(boot=1, role="primary", primary=PRIMARY, balancing=True)
        box.bridge.send(control.state_frame(box.cluster.group, PRIMARY, state))
        pairs = sessions(1)
        prepare(box, pairs)
        frame = syn(box.cluster, PRIMARY, pairs[0][1])
        box.bridge.send(frame)
        next_of(control.OFFER)
        process.send_signal(signal.SIGTERM)
        assert next_of(0) == frame
        _, said = process.communicate(timeout=10)
        assert process.returncode == 0, said.decode()
        assert b"ended unit=1" in said
