"""Bring-up that fails, or is broken off by whatever: a host is a unit, or what it was."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import journal, provision
from agents import machine as machine_
from agents.config import Cluster, parse
from agents.provision import ProvisionError
from tests.unit.bringup_machine import DAEMONS, Argv, Machine, played, quiet, up
from tests.unit.test_bringup_plan import TEXT


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Whoever runs the tests may have some of them ignored: nohup(1) does."""
    usual = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, how) for number, how in usual.items()}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, how in before.items():
        signal.signal(number, how)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return played(tmp_path, monkeypatch)


@pytest.fixture
def cluster() -> Cluster:
    return parse(TEXT)


End = tuple[BaseException | None, signal.Signals | None, type[BaseException], str | None]
ENDS: list[End] = [
    (ProvisionError("no"), None, ProvisionError, "no"),
    (KeyboardInterrupt(), None, KeyboardInterrupt, None),
    (ZeroDivisionError("a bug"), None, ZeroDivisionError, "a bug"),
    (None, signal.SIGTERM, ProvisionError, "broken off by SIGTERM"),
    (None, signal.SIGHUP, ProvisionError, "broken off by SIGHUP"),
    (None, signal.SIGINT, KeyboardInterrupt, None),
    (ProvisionError("the command had it, too"), signal.SIGINT, KeyboardInterrupt, None),
]


@pytest.mark.parametrize("end", ENDS)
def test_whichever_step_fails_or_is_broken_off_all_before_it_are_undone(
    machine: Machine, cluster: Cluster, end: End
) -> None:
    up(cluster)
    total = len(machine.ran)
    provision.down(quiet)
    assert total > 20
    machine.error, machine.told, raised, words = end
    handlers = [signal.getsignal(each) for each in signal.valid_signals()]
    for number in range(total):
        machine.ran.clear()
        machine.fails = number
        with pytest.raises(raised, match=words):
            up(cluster)
        machine.fails = None
        assert journal.read() is None
        done, undone = machine.ran[: number + 1], machine.ran[number + 1 :]
        if ("ovs-vsctl", "--no-wait", "init") in done:
            assert ("ovs-appctl", "-t", "ovsdb-server", "exit") in undone
        if any("add-br" in argv for argv in done):
            assert any("del-br" in argv for argv in undone)
        else:
            assert not any("add-br" in argv for argv in undone)
    assert [signal.getsignal(each) for each in signal.valid_signals()] == handlers


def test_a_signal_that_is_ignored_breaks_nothing_off(machine: Machine, cluster: Cluster) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup(1)
    try:
        machine.fails, machine.error, machine.told = 5, None, signal.SIGHUP
        assert up(cluster)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not up(cluster)


def test_what_undoes_is_not_broken_off(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fails = 10

    def run(argv: Argv, stdin: str = "") -> str:
        if len(machine.ran) > 10:
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), each)
        return machine.run(argv, stdin)

    monkeypatch.setattr(machine_, "run", run)
    with pytest.raises(ProvisionError, match="no"):
        up(cluster)
    assert ("ovs-appctl", "-t", "ovsdb-server", "exit") in machine.ran
    assert journal.read() is None


def killed(machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """`up` as far as that command: what is left of it when nothing can be undone any more."""
    machine.fails = at
    with monkeypatch.context() as dying:
        dying.setattr(provision, "_undo", lambda *_: [])
        with pytest.raises(ProvisionError):
            up(cluster)
    machine.fails = None


def test_half_a_unit_is_undone_and_made_anew(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(machine, cluster, monkeypatch, at=12)
    half, did = journal.read(), len(machine.ran)
    assert half
    assert half.undo
    assert not half.complete
    assert up(cluster)
    undone = [tuple(argv) for _why, argv in reversed(half.undo)]
    assert machine.ran[did : did + len(undone)] == undone
    assert any("add-port" in argv for argv in machine.ran[did:])
    assert machine.running == {*DAEMONS, "agents.supervise"}
    assert not up(cluster)


def test_half_a_unit_may_become_another(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(machine, cluster, monkeypatch, at=12)
    assert up(cluster, 2)


def test_a_unit_that_is_undone_by_half_is_none(machine: Machine, cluster: Cluster) -> None:
    up(cluster)
    machine.fails, machine.error = len(machine.ran) + 4, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        provision.down(quiet)
    machine.fails = None
    did = len(machine.ran)
    assert up(cluster)
    assert any("add-port" in argv for argv in machine.ran[did:])


def test_a_journal_that_cannot_be_written_leaves_no_unit(
    machine: Machine, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "run" / "unit.new").mkdir(parents=True)
    with pytest.raises(ProvisionError, match=r"unit.json: Is a directory"):
        up(cluster)
    assert not machine.ran
