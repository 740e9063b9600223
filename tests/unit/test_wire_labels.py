"""Conntrack labels as bits, bytes and names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import labels
from tests.unit.wire_frames import interfaces, units

any_labels = st.binary(min_size=16, max_size=16)


def bits(*numbers: int) -> bytes:
    found = bytearray(16)
    for bit in numbers:
        found[bit // 8] |= 1 << bit % 8
    return bytes(found)


def test_labels_as_the_kernel_dumped_them() -> None:
    """Captured: CTA_LABELS of an entry whose labels `nft` set to unit-64, in-16 and balance."""
    dumped = bytes.fromhex("00000000000000000100030000000000")
    assert labels.unit_of(dumped) == 64
    assert labels.interface_of(dumped) == 16
    assert labels.balanced(dumped)


@given(units, interfaces, st.booleans())
def test_each_label_is_read_whatever_the_others(unit: int, index: int, balance: bool) -> None:
    found = bits(0, unit, 64 + index, *([81] if balance else []), 82, 83, 127)
    assert labels.unit_of(found) == unit
    assert labels.interface_of(found) == index
    assert labels.balanced(found) is balance


def test_no_label_is_zero() -> None:
    for found in (bytes(16), b"", bits(0, 82, 83, 127)):
        assert labels.unit_of(found) == 0
        assert labels.interface_of(found) == 0
        assert not labels.balanced(found)


@given(st.binary(max_size=40))
def test_any_bytes_are_read(found: bytes) -> None:
    assert 0 <= labels.unit_of(found) <= 64
    assert 0 <= labels.interface_of(found) <= 16
    assert labels.balanced(found) in (True, False)


@given(any_labels, units, st.booleans())
def test_with_unit_replaces_unit_helper_live_and_closing_and_nothing_else(
    before: bytes, unit: int, helper: bool
) -> None:
    value, mask = labels.with_unit(unit, helper)
    after = bytes((b & ~m & 0xFF) ^ v for b, m, v in zip(before, mask, value, strict=True))
    assert labels.unit_of(after) == unit
    assert (after[10] >> 2 & 1) == helper  # bit 82
    others = ~int.from_bytes(mask, "little")
    assert int.from_bytes(after, "little") & others == int.from_bytes(before, "little") & others
    assert mask == labels.UNIT_MASK == bits(*range(1, 65), 82, 83, 84)


def test_a_session_has_no_helper_unless_it_is_said() -> None:
    assert labels.with_unit(2) == (bits(2), labels.UNIT_MASK)
    assert labels.with_unit(2, helper=True) == (bits(2, labels.HELPER_BIT), labels.UNIT_MASK)


@pytest.mark.parametrize("unit", [0, 65])
def test_with_unit_refuses_what_is_no_unit(unit: int) -> None:
    with pytest.raises(ValueError, match="is not in 1 to 64"):
        labels.with_unit(unit)


def test_connlabel_conf_names_each_bit_once() -> None:
    text = labels.connlabel_conf(["int", "ext"])
    assert text.endswith("\n")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    names = {name: int(bit) for bit, name in lines}
    wanted = {f"unit-{unit}": unit for unit in range(1, 65)}
    wanted |= {f"in-{index}": 64 + index for index in range(1, 17)}
    assert names == wanted | {"balance": 81, "helper": 82, "live": 83, "closing": 84}
    assert len(lines) == len(set(names.values())) == 84
    assert "# in-1: came in by int\n" in text
    assert "# in-2: came in by ext\n" in text


def test_labels_have_the_names_that_conntrack_gives_them() -> None:
    conf = labels.connlabel_conf(("int",))
    names = dict(line.split() for line in conf.splitlines() if not line.startswith("#"))
    for bit in range(128):
        told = labels.names_of((1 << bit).to_bytes(16, "little"))
        assert told == (names.get(str(bit), f"bit-{bit}"),)
    assert labels.names_of(bytes(16)) == ()
    assert labels.names_of(b"\x04" + bytes(7) + b"\x02" + bytes(7)) == ("unit-2", "in-1")
