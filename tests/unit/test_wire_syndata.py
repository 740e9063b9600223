"""SYN data: one encoding of each value, found at the end of any payload, refused when garbled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import seal, syndata
from agents.wire.errors import WireError
from agents.wire.syndata import SynData
from tests.unit.wire_frames import ORIG, interfaces, junk, tuples, u8, u32, units

helpers = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15)
values = st.builds(
    SynData,
    units,
    units,
    interfaces,
    u32,
    st.binary(min_size=16, max_size=16),
    tuples,
    helpers,
    st.just(b"") | tuples,
)
ONE = SynData(2, 1, 1, 0x2A, bytes(16), ORIG)
FULL = ONE._replace(helper="ftp", master=ORIG)
SEAL = b"." * seal.SIZE
REASONS = ("absent", "version", "length", "truncated", "value")


def reason(payload: bytes) -> str:
    with pytest.raises(WireError) as caught:
        syndata.decode(payload)
    return caught.value.reason


def encoded(data: SynData) -> bytes:
    """With something that is as long as a seal."""
    return syndata.encode(data) + SEAL


def with_options(run: bytes) -> bytes:
    """An encoding of ONE with these bytes where the options are."""
    plain = encoded(ONE)
    length = (len(plain) + len(run)).to_bytes(2)
    return plain[:36] + run + length + plain[38:]


def patched(payload: bytes, offset: int, value: int) -> bytes:
    at = offset % len(payload)
    return payload[:at] + bytes((value,)) + payload[at + 1 :]


def test_the_layout_as_documented() -> None:
    assert syndata.encode(FULL) == bytes.fromhex(
        "02 01 01 00  0000002a  00000000000000000000000000000000  0a01000a cb00710a 9c40 0050"
        "01 03 667470  02 0c 0a01000acb00710a9c400050  0063 02 00  53594e44"
    )


@given(values, st.binary(max_size=60))
def test_decode_finds_what_encode_appended(data: SynData, front: bytes) -> None:
    assert syndata.decode(front + encoded(data)) == (data, len(encoded(data)))


@given(values)
def test_sizes_are_within_what_is_promised(data: SynData) -> None:
    assert syndata.MIN_SIZE <= len(encoded(data)) <= syndata.MAX_SIZE


def test_the_smallest_and_the_largest() -> None:
    assert len(encoded(ONE)) == syndata.MIN_SIZE == 80
    largest = FULL._replace(helper="x" * 15)
    assert len(encoded(largest)) == syndata.MAX_SIZE == 111


@given(
    junk
    | junk.map(lambda body: body + b"\x00\x50\x02\x00SYND" + SEAL)
    | junk.map(with_options)
    | st.builds(patched, values.map(encoded), st.integers(0, 120), u8)
)
def test_any_bytes_are_syn_data_or_a_wire_error(payload: bytes) -> None:
    try:
        data, length = syndata.decode(payload)
    except WireError as error:
        seen = error.reason
    else:
        assert syndata.encode(data) == payload[len(payload) - length : -seal.SIZE]
        seen = "syndata_value"
    assert seen in [f"syndata_{name}" for name in REASONS]


@pytest.mark.parametrize("cut", range(1, 44))
def test_a_payload_that_lost_its_front_is_truncated(cut: int) -> None:
    payload = encoded(ONE)[cut:]
    assert reason(payload) == ("syndata_absent" if cut > 36 else "syndata_truncated")


@pytest.mark.parametrize(
    "payload", [b"", b"SYND" + SEAL, b"GET / HTTP/1.1", encoded(ONE)[:-1], encoded(ONE) + b"x"]
)
def test_no_magic_is_no_syn_data(payload: bytes) -> None:
    assert reason(payload) == "syndata_absent"


@pytest.mark.parametrize(
    ("offset", "value", "wanted"),
    [
        (-6, 1, "syndata_version"),
        (-6, 0, "syndata_version"),
        (-7, 79, "syndata_length"),
        (-7, 81, "syndata_truncated"),
        (-8, 1, "syndata_truncated"),
        (-5, 1, "syndata_value"),
        (0, 0, "syndata_value"),
        (0, 65, "syndata_value"),
        (1, 0, "syndata_value"),
        (1, 65, "syndata_value"),
        (2, 0, "syndata_value"),
        (2, 17, "syndata_value"),
        (3, 1, "syndata_value"),
    ],
)
def test_each_wrong_byte_has_its_name(offset: int, value: int, wanted: str) -> None:
    assert reason(patched(syndata.encode(ONE), offset % 44, value) + SEAL) == wanted


@pytest.mark.parametrize(
    ("run", "wanted"),
    [
        (b"\x01", "syndata_truncated"),
        (b"\x01\x04ftp", "syndata_truncated"),
        (b"\x01\x03ftp\x02", "syndata_truncated"),
        (b"\x02\x0c" + ORIG + b"\x01\x03ftp", "syndata_value"),
        (b"\x01\x03ftp\x01\x03ftp", "syndata_value"),
        (b"\x01\x00", "syndata_value"),
        (b"\x03\x01x", "syndata_value"),
        (b"\x00\x01x", "syndata_value"),
        (b"\x01\x10" + b"x" * 16, "syndata_value"),
        (b"\x01\x02f\x00", "syndata_value"),
        (b"\x01\x02f\xff", "syndata_value"),
        (b"\x02\x0b" + ORIG[:11], "syndata_value"),
    ],
)
def test_each_wrong_option_has_its_name(run: bytes, wanted: str) -> None:
    assert reason(with_options(run)) == wanted


def test_options_that_are_right() -> None:
    run = b"\x01\x03ftp\x02\x0c" + ORIG
    assert syndata.decode(with_options(run)) == (FULL, 80 + len(run))


@pytest.mark.parametrize(
    "change",
    [
        {"unit": 0},
        {"unit": 65},
        {"primary": 0},
        {"interface": 17},
        {"mark": -1},
        {"mark": 2**32},
        {"labels": bytes(15)},
        {"reply": bytes(13)},
        {"helper": "x" * 16},
        {"helper": "ü"},
        {"helper": "f\0"},
        {"master": bytes(4)},
    ],
)
def test_what_cannot_be_decoded_is_not_encoded(change: dict[str, object]) -> None:
    with pytest.raises(WireError, match="syndata_value"):
        syndata.encode(ONE._replace(**change))
