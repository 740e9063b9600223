"""Seals: who has no key makes none, no byte can be another, and each is good once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agents.wire import seal
from agents.wire.errors import WireError
from agents.wire.seal import PEER, SIZE, SYN, WINDOW, Keys, Opener, Seal, Sealer, Window
from tests.unit.wire_frames import junk, u8, u64, units

GROUP = 7
OLD, NEW = bytes(32), bytes(range(32))
purposes = st.sampled_from([SYN, PEER])
keys = st.binary(min_size=32, max_size=32)


def reason(function: object, *arguments: object) -> str:
    """Why it is refused."""
    with pytest.raises(WireError) as caught:
        function(*arguments)  # type: ignore[operator]
    return caught.value.reason


def opener(*of: bytes, unit: int = 2, epoch: int = 5) -> Opener:
    made = Opener(Keys(of or (OLD,), GROUP))
    made.name({unit: epoch})
    return made


def sealer(*of: bytes, unit: int = 2, epoch: int = 5) -> Sealer:
    return Sealer(Keys(of or (OLD,), GROUP), unit, epoch)


# -- the tag


def test_the_layout_as_documented() -> None:
    made = Keys([OLD], GROUP).seal(SYN, Seal(2, 0x0102030405060708, 9), b"covered")
    assert len(made) == SIZE == 36
    assert made[1:20] == bytes.fromhex("02 0000 0102030405060708 0000000000000009")
    assert made[0] == seal.fingerprint(OLD) >> 24


def test_the_tag_is_keyed_blake2s_of_what_is_covered_and_of_the_head() -> None:
    from hashlib import blake2s  # noqa: PLC0415 - what it is compared with

    made = Keys([OLD], GROUP).seal(PEER, Seal(2, 3, 4), b"covered")
    plain = blake2s(
        b"covered" + made[:20], digest_size=16, key=OLD, salt=bytes(7) + b"\7", person=PEER
    )
    assert made[20:] == plain.digest()


@given(keys, purposes, units, u64, u64, junk)
def test_what_was_sealed_is_verified(  # noqa: PLR0917 - what a seal is of
    key: bytes, purpose: bytes, unit: int, epoch: int, counter: int, covered: bytes
) -> None:
    ring, said = Keys([key], GROUP), Seal(unit, epoch, counter)
    assert ring.verified(purpose, ring.seal(purpose, said, covered), covered) == said


@given(junk, st.integers(0), st.integers(1, 255))
def test_no_byte_can_be_another(covered: bytes, offset: int, change: int) -> None:
    ring = Keys([OLD, NEW], GROUP)
    whole = bytearray(covered + ring.seal(SYN, Seal(2, 3, 4), covered))
    whole[offset % len(whole)] ^= change
    made, rest = bytes(whole[-SIZE:]), bytes(whole[:-SIZE])
    assert reason(ring.verified, SYN, made, rest) in ("seal_tag", "seal_key")


@given(st.binary(max_size=60), junk)
def test_any_bytes_are_refused_by_a_name(made: bytes, covered: bytes) -> None:
    wanted = ("seal_tag", "seal_key") if len(made) == SIZE else ("seal_truncated",)
    assert reason(Keys([OLD], GROUP).verified, SYN, made, covered) in wanted


def test_a_seal_is_good_for_one_purpose_and_one_group() -> None:
    ring, said = Keys([OLD], GROUP), Seal(2, 3, 4)
    assert reason(ring.verified, PEER, ring.seal(SYN, said, b"x"), b"x") == "seal_tag"
    assert reason(Keys([OLD], 8).verified, SYN, ring.seal(SYN, said, b"x"), b"x") == "seal_tag"


def test_what_it_ends_with_cannot_move_into_the_seal() -> None:
    ring = Keys([OLD], GROUP)
    made = ring.seal(SYN, Seal(2, 3, 4), b"covered")
    assert reason(ring.verified, SYN, made, b"covere") == "seal_tag"
    assert reason(ring.verified, SYN, made, b"coveredd") == "seal_tag"


# -- the keys


@pytest.mark.parametrize("wrong", [[], [OLD, NEW, OLD], [OLD[1:]], [NEW, b""]])
def test_one_or_two_keys_of_32_bytes(wrong: list[bytes]) -> None:
    with pytest.raises(ValueError, match="one or two keys"):
        Keys(wrong, GROUP)


def test_the_first_seals_and_both_are_accepted() -> None:
    """As in a rotation: at no step is there a unit that another doesn't believe."""
    steps = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    near = [(a, b) for n, a in enumerate(steps) for b in steps[max(0, n - 1) : n + 2]]
    for theirs, ours in near:
        opener(*ours).open(SYN, 2, sealer(*theirs).seal(SYN, b"x"), b"x")
    dropped = sealer(OLD).seal(SYN, b"x")
    assert reason(opener(NEW).open, SYN, 2, dropped, b"x") == "seal_key"


def test_two_keys_of_one_hint_are_both_tried() -> None:
    alike = next(
        key
        for key in (number.to_bytes(32) for number in range(1, 4096))
        if seal.fingerprint(key) >> 24 == seal.fingerprint(OLD) >> 24
    )
    for key in (OLD, alike):
        opener(OLD, alike).open(SYN, 2, sealer(key).seal(SYN, b"x"), b"x")
    assert reason(opener(alike).open, SYN, 2, sealer(OLD).seal(SYN, b"x"), b"x") == "seal_tag"


def test_keys_are_others_while_counters_go_on() -> None:
    ours, theirs = opener(), sealer()
    ours.open(SYN, 2, theirs.seal(SYN, b"x"), b"x")
    theirs.keys = ours.keys = Keys([NEW], GROUP)
    made = theirs.seal(SYN, b"x")
    assert made[12:20] == (2).to_bytes(8)
    ours.open(SYN, 2, made, b"x")


# -- the window


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=80))
def test_a_window_takes_each_counter_once_if_it_is_not_too_old(counters: list[int]) -> None:
    window, seen = Window(), set[int]()
    for counter in counters:
        highest = max(seen, default=0)
        if counter in seen and counter > highest - WINDOW:
            assert reason(window.with_, counter) == "seal_replayed"
        elif counter <= highest - WINDOW:
            assert reason(window.with_, counter) == "seal_old"
        else:
            window = window.with_(counter)
            seen.add(counter)
            assert window.highest == max(seen)
            assert window.seen.bit_length() <= WINDOW


@pytest.mark.parametrize(
    ("then", "wanted"),
    [
        (5000, "seal_replayed"),
        (5000 - WINDOW + 1, None),
        (5000 - WINDOW, "seal_old"),
        (5001, None),
        (5000 + WINDOW, None),
        (2**64 - 1, None),
        (1, "seal_old"),
        (0, "seal_old"),
    ],
)
def test_the_edges_of_a_window(then: int, wanted: str | None) -> None:
    window = Window().with_(5000)
    if wanted:
        assert reason(window.with_, then) == wanted
    else:
        assert reason(window.with_(then).with_, then) == "seal_replayed"


def test_there_is_no_counter_of_nothing() -> None:
    assert reason(Window().with_, 0) == "seal_old"


# -- whom to believe


def test_a_seal_of_another_unit_or_epoch_is_not_believed() -> None:
    ours = opener()
    assert reason(ours.open, SYN, 3, sealer().seal(SYN, b"x"), b"x") == "seal_unit"
    assert reason(ours.open, SYN, 2, sealer(epoch=6).seal(SYN, b"x"), b"x") == "seal_epoch"
    assert ours.foreign == {2: 6}
    assert reason(ours.open, SYN, 3, sealer(unit=3).seal(SYN, b"x"), b"x") == "seal_epoch"


def test_what_was_named_last_holds_for_those_that_are_not_named() -> None:
    ours = opener()
    ours.name({3: 1})
    ours.open(SYN, 2, sealer().seal(SYN, b"x"), b"x")
    ours.name({2: 6})
    assert reason(ours.open, SYN, 2, sealer().seal(SYN, b"x"), b"x") == "seal_epoch"
    ours.open(SYN, 2, sealer(epoch=6).seal(SYN, b"x"), b"x")


def test_naming_the_same_again_lets_nothing_come_twice() -> None:
    ours, made = opener(), sealer().seal(SYN, b"x")
    ours.open(SYN, 2, made, b"x")
    ours.name({2: 5})
    ours.learn(2, 5)
    assert reason(ours.open, SYN, 2, made, b"x") == "seal_replayed"


def test_what_a_unit_has_shown_holds_until_another_is_named() -> None:
    ours = opener()
    assert reason(ours.open, SYN, 2, sealer(epoch=6).seal(SYN, b"x"), b"x") == "seal_epoch"
    ours.learn(2, 6)
    assert ours.foreign == {}
    ours.name({2: 5})  # by an app that hasn't heard of it yet
    ours.open(SYN, 2, sealer(epoch=6).seal(SYN, b"x"), b"x")
    ours.name({2: 7})
    assert reason(ours.open, SYN, 2, sealer(epoch=6).seal(SYN, b"x"), b"x") == "seal_epoch"


class Exchange(RuleBasedStateMachine):
    """Frames that arrive in any order, late, twice, changed, of agents that are started anew."""

    def __init__(self) -> None:
        super().__init__()
        self.opener = Opener(Keys([OLD], GROUP))
        self.epoch = 0
        self.sent: list[tuple[int, bytes, bytes, bytes]] = []
        self.taken: set[bytes] = set()
        self.start()

    @rule()
    def start(self) -> None:
        self.epoch += 1
        self.sealer = sealer(epoch=self.epoch)
        self.opener.name({2: self.epoch})

    @rule(purpose=purposes, covered=junk)
    def send(self, purpose: bytes, covered: bytes) -> None:
        self.sent.append((self.epoch, purpose, self.sealer.seal(purpose, covered), covered))

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        if not self.sent:
            return
        epoch, purpose, made, covered = data.draw(st.sampled_from(self.sent))
        if epoch != self.epoch:
            assert reason(self.opener.open, purpose, 2, made, covered) == "seal_epoch"
        elif made in self.taken:
            assert reason(self.opener.open, purpose, 2, made, covered) == "seal_replayed"
        else:
            self.opener.open(purpose, 2, made, covered)
            self.taken.add(made)

    @rule(data=st.data(), at=st.integers(0, SIZE - 1), change=u8.filter(bool))
    def forge(self, data: st.DataObject, at: int, change: int) -> None:
        if not self.sent:
            return
        _, purpose, made, covered = data.draw(st.sampled_from(self.sent))
        forged = made[:at] + bytes((made[at] ^ change,)) + made[at + 1 :]
        assert reason(self.opener.open, purpose, 2, forged, covered) in ("seal_tag", "seal_key")

    @invariant()
    def nothing_is_kept_of_others(self) -> None:
        assert set(self.opener.foreign) <= {2}


TestExchange = Exchange.TestCase
