"""An auxiliary's agent: SYNs handed over become entries, and the client's own SYNs."""

import errno
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.agent import advance
from agents.core_auxiliary import SYN_SENT_TIMEOUT
from agents.core_facts import PASSING
from agents.core_forfeiting import demotion
from agents.ctexpect import PERMANENT, Expected, GetExpectation, Unexpect
from agents.ctnetlink import (
    CLOSE,
    CONFIRMED,
    ESTABLISHED,
    SEEN_REPLY,
    SYN_SENT,
    TIME_WAIT,
    Create,
    Delete,
    Entry,
    Get,
)
from agents.outcomes import Outcome
from agents.wire import control, syndata
from agents.wire.control_maps import State
from agents.wire.packet import inverse, readdress, tuple12
from tests.unit.agent_scene import (
    CLUSTER,
    EXT,
    GROUP,
    INT,
    MASTER,
    ORIG,
    REPLY,
    Scene,
    drive,
    entry,
    expectation,
    from_interface,
    labels,
    run,
    with_data,
)
from tests.unit.wire_frames import syn

LABELS = labels(from_interface(INT), 2)
DATA = syndata.SynData(2, 1, INT, 0xCAFE, LABELS, REPLY)


def arriving(data: bytes, interface: int = INT, payload: bytes = b"") -> bytes:
    """A SYN as the bridge of unit 2 lets it through to the agent."""
    frame = syn(ORIG, payload=payload)
    frame = with_data(frame, data) if data else frame
    virtual = CLUSTER.interface(interface).virtual_mac
    return readdress(frame, CLUSTER.unit(2).macs[interface - 1], virtual)


def made(data: syndata.SynData = DATA) -> Entry:
    return Entry(
        ORIG,
        data.reply,
        CONFIRMED | SEEN_REPLY,
        SYN_SENT,
        SYN_SENT_TIMEOUT,
        data.mark,
        data.labels,
        data.helper,
        data.master,
    )


def auxiliary() -> Scene:
    return Scene(unit=2).told("auxiliary")


def handed(scene: Scene, *script: tuple[object, object], data: object = DATA) -> Outcome:
    """A SYN with SYN data comes."""
    (steps,) = scene.given(arriving(syndata.encode(data)))  # type: ignore[arg-type]
    return drive(steps, *script)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", [b"", b"fast open"])
def test_a_syn_becomes_an_entry_and_the_clients_own_syn(payload: bytes) -> None:
    scene = auxiliary()
    (steps,) = scene.given(arriving(syndata.encode(DATA), payload=payload))
    assert drive(steps, (Create(made(), liberal=True), 0)) == Outcome.INJECTED
    assert scene.frames() == [arriving(b"", payload=payload)]
    assert ORIG in scene.core.serving.sessions


def test_a_unit_without_a_role_yet_serves_what_its_bridge_lets_through() -> None:
    assert handed(Scene(unit=2), (Create(made(), liberal=True), 0)) == Outcome.INJECTED


@pytest.mark.parametrize("state", [0, SYN_SENT, 2, ESTABLISHED, 4, 5, 6, 9])
def test_a_syn_sent_again_finds_its_entry(state: int) -> None:
    scene = auxiliary()
    script = [
        (Create(made(), liberal=True), errno.EEXIST),
        (Get(ORIG), made()._replace(state=state)),
    ]
    assert handed(scene, *script) == Outcome.RETRANSMITTED
    assert scene.frames() == [arriving(b"")]
    assert ORIG in scene.core.serving.sessions


@pytest.mark.parametrize(
    "present",
    [
        made()._replace(state=TIME_WAIT),
        made()._replace(state=CLOSE),
        made()._replace(reply=inverse(ORIG)),
        made()._replace(labels=labels(3, from_interface(INT))),
    ],
)
def test_a_port_used_again_replaces_the_entry(present: Entry) -> None:
    scene = auxiliary()
    script = [
        (Create(made(), liberal=True), errno.EEXIST),
        (Get(ORIG), present),
        (Get(ORIG), present),
        (demotion(present), 0),  # or session pickup would tell all units that the tuple is over
        (Delete(ORIG), 0),
        (Get(REPLY), errno.ENOENT),
        (Create(made(), liberal=True), 0),
    ]
    assert handed(scene, *script) == Outcome.REPLACED
    assert scene.frames() == [arriving(b"")]


def test_a_reply_tuple_used_again_ends_the_session_that_had_it() -> None:
    scene = auxiliary()
    other = tuple12("10.1.0.99", "203.0.113.10", 40000, 80)
    scene.core.serving.add(other, scene.now)
    scene.now += 10
    scene.spoken_to()
    script = [
        (Create(made(), liberal=True), errno.EEXIST),
        (Get(ORIG), errno.ENOENT),
        (Get(ORIG), errno.ENOENT),
        (Get(REPLY), entry(other, REPLY, 2)),
        (demotion(entry(other, REPLY, 2)), 0),
        (Delete(other), 0),
        (Create(made(), liberal=True), 0),
    ]
    assert handed(scene, *script) == Outcome.REPLACED
    ended, frame = scene.frames()[::-1]
    assert control.ended(control.parse(ended)) == [control.Session(other, REPLY)]
    assert frame == arriving(b"")
    assert set(scene.core.serving.sessions) == {ORIG}


def test_an_entry_that_stays_in_the_way_drops_the_syn() -> None:
    scene = auxiliary()
    script = [
        (Create(made(), liberal=True), errno.EEXIST),
        (Get(ORIG), errno.ENOENT),
        (Get(ORIG), errno.ENOENT),
        (Get(REPLY), errno.ENOENT),
        (Create(made(), liberal=True), errno.EEXIST),
    ]
    assert handed(scene, *script) == Outcome.CREATE_REFUSED
    assert scene.frames() == []
    assert not scene.core.serving.sessions


def test_a_full_table_drops_the_syn() -> None:
    assert (
        handed(auxiliary(), (Create(made(), liberal=True), errno.ENOMEM)) == Outcome.CREATE_REFUSED
    )


EXPECTED_FTP = DATA._replace(helper="ftp", master=MASTER)
UNEXPECTED = (GetExpectation(ORIG), errno.ENOENT)


def test_helper_and_master_go_into_the_entry() -> None:
    script = (Create(made(EXPECTED_FTP), liberal=True), 0)
    assert handed(auxiliary(), script, UNEXPECTED, data=EXPECTED_FTP) == Outcome.INJECTED


@pytest.mark.parametrize("flags", [0, PERMANENT, PERMANENT | 2, 2])
def test_what_this_kernel_expected_has_come_and_comes_but_once(flags: int) -> None:
    """Unless it is permanent, as a packet that met it would have ended it."""
    present = (GetExpectation(ORIG), expectation(flags=flags))
    script: list[tuple[object, object]] = [(Create(made(EXPECTED_FTP), liberal=True), 0), present]
    if not flags & PERMANENT:
        script.append((Unexpect(ORIG), 0))
    scene = auxiliary()
    scene.core.expected([Expected(True, present[1])], False, scene.now)
    scene.frames()
    assert handed(scene, *script, data=EXPECTED_FTP) == Outcome.INJECTED
    assert scene.frames() == [arriving(b"")]
    assert ORIG in scene.core.serving.sessions
    assert bool(scene.core.announcing._open) == bool(flags & PERMANENT)


def test_a_session_that_nothing_announced_ends_no_expectation() -> None:
    data = DATA._replace(helper="ftp")
    assert handed(auxiliary(), (Create(made(data), liberal=True), 0), data=data) == Outcome.INJECTED


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        ((errno.EOPNOTSUPP, 0), Outcome.HELPER_MISSING),
        ((errno.EOPNOTSUPP, errno.ENOENT, 0), Outcome.MASTER_MISSING),
        ((errno.ENOENT, 0), Outcome.MASTER_MISSING),
        ((errno.EOPNOTSUPP, errno.EOPNOTSUPP), Outcome.CREATE_REFUSED),
        ((errno.ENOENT, errno.ENOENT), Outcome.CREATE_REFUSED),
    ],
)
def test_a_session_is_served_without_a_helper_or_master_that_is_not_there(
    results: tuple[int, ...], outcome: Outcome
) -> None:
    without = made(EXPECTED_FTP)
    script: list[tuple[object, object]] = []
    for result in results:
        script.append((Create(without, liberal=True), result))
        if result == errno.EOPNOTSUPP:
            without = without._replace(helper="")
        elif result == errno.ENOENT:
            without = without._replace(master=b"")
    if outcome != Outcome.CREATE_REFUSED:
        script.append(UNEXPECTED)
    assert handed(auxiliary(), *script, data=EXPECTED_FTP) == outcome


# -- what isn't a SYN for this unit


def test_a_syn_without_data_needs_an_entry() -> None:
    scene = auxiliary()
    (steps,) = scene.given(arriving(b""))
    assert drive(steps, (Get(ORIG), entry(ORIG, REPLY, 2))) == Outcome.PASSED
    assert scene.frames() == [arriving(b"")]


@pytest.mark.parametrize(
    "told",
    [
        State(boot=1, role="auxiliary", primary=1, balancing=True, heir=2),
        State(boot=1, role="primary", primary=2, balancing=False),
    ],
)
def test_a_syn_that_the_old_primary_passes_on_is_a_new_session_of_this_units(told: State) -> None:
    scene = auxiliary()
    assert not list(scene.given(control.state_frame(GROUP, 2, told)))
    (steps,) = scene.given(arriving(b""))
    assert drive(steps) == Outcome.PASSED
    own = scene.core.facts.own_macs[INT]
    assert scene.frames() == [readdress(arriving(b""), own, control.ETH_SRC)]


def test_nobody_passes_syns_on_for_ever() -> None:
    scene = auxiliary()
    primary = State(boot=1, role="primary", primary=2, balancing=False)
    assert not list(scene.given(control.state_frame(GROUP, 2, primary)))
    scene.now += PASSING
    (steps,) = scene.given(arriving(b""))
    assert drive(steps) == Outcome.NOT_AUXILIARY


@pytest.mark.parametrize("found", [errno.ENOENT, entry(inverse(ORIG), ORIG, 2)])
def test_a_syn_without_data_and_entry_is_dropped(found: Entry | int) -> None:
    scene = auxiliary()
    (steps,) = scene.given(arriving(b"", payload=b"anything"))
    assert drive(steps, (Get(ORIG), found)) == Outcome.SYN_WITHOUT_DATA
    assert scene.frames() == []


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (DATA._replace(unit=3), Outcome.OTHER_UNIT),
        (DATA._replace(interface=EXT), Outcome.OTHER_INTERFACE),
    ],
)
def test_another_units_or_interfaces_syn_is_dropped(
    data: syndata.SynData, outcome: Outcome
) -> None:
    scene = auxiliary()
    assert handed(scene, data=data) == outcome
    assert scene.frames() == []


def test_a_primary_takes_no_syn_from_another() -> None:
    scene = Scene(unit=2).told("primary")
    assert handed(scene) == Outcome.NOT_AUXILIARY
    assert scene.frames() == []


@given(st.data())
def test_garbled_syn_data_make_no_entry_and_no_exception(data: st.DataObject) -> None:
    good = bytearray(syndata.encode(EXPECTED_FTP))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    cut = data.draw(st.integers(0, 3))
    scene = auxiliary()
    (steps,) = scene.given(arriving(bytes(good[cut:])))
    counters: Counter[Outcome] = Counter()
    # A changed mark is as good as another. Where an entry is made, it is refused here.
    advance([steps], lambda requests: [errno.ENOMEM] * len(requests), counters)
    assert counters.total() == 1
    assert scene.frames() == []


def test_garbled_syn_data_have_the_name_of_what_is_wrong() -> None:
    good = syndata.encode(DATA)
    for garbled, outcome in (
        (good[5:], Outcome.SYNDATA_TRUNCATED),
        (good[:-8] + b"\0\0\2\0SYND", Outcome.SYNDATA_LENGTH),
        (good[:-6] + b"\1\0SYND", Outcome.SYNDATA_VERSION),
        (b"\0" + good[1:], Outcome.SYNDATA_VALUE),
    ):
        scene = auxiliary()
        (steps,) = scene.given(arriving(garbled))
        assert drive(steps) == outcome
        assert scene.frames() == []


def test_frames_without_steps_are_run() -> None:
    assert run([]) == []
