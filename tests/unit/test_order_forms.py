"""Orders as they arrive: what they become, and what is said of those that can't be understood."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import cli_cluster
from agents.config_form import LONGEST_DEADLINE, METHODS, MOST_WEIGHT
from ryu_apps.core import order_forms
from ryu_apps.core.methods import METHODS as KNOWN
from ryu_apps.core.order_forms import FORMS, method, order
from ryu_apps.core.orders import DRAIN, PROMOTE, UNDRAIN, WEIGHT, Method, NoSuch, Order


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        (DRAIN, b"", Order(DRAIN, 2)),
        (DRAIN, b"{}", Order(DRAIN, 2)),
        (DRAIN, b'{"deadline": null}', Order(DRAIN, 2)),
        (DRAIN, b'{"deadline": 600}', Order(DRAIN, 2, 600.0)),
        (DRAIN, b'{"deadline": 0.5}', Order(DRAIN, 2, 0.5)),
        (DRAIN, b'{"deadline": 604800}', Order(DRAIN, 2, LONGEST_DEADLINE)),
        (UNDRAIN, b"", Order(UNDRAIN, 2)),
        (PROMOTE, b"", Order(PROMOTE, 2)),
        (PROMOTE, b'{"force": true}', Order(PROMOTE, 2, force=True)),
        (WEIGHT, b'{"weight": 0}', Order(WEIGHT, 2, weight=0)),
        (WEIGHT, b' {"weight": 1000} ', Order(WEIGHT, 2, weight=MOST_WEIGHT)),
        (WEIGHT, b'{"weight": 5.0}', Order(WEIGHT, 2, weight=5)),
    ],
)
def test_what_is_understood(verb: str, body: bytes, expected: Order) -> None:
    assert order(verb, "2", body) == expected


def test_what_asks_knows_the_longest_deadline() -> None:
    assert cli_cluster.LONGEST_DEADLINE == order_forms.LONGEST_DEADLINE == LONGEST_DEADLINE


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_named(name: str) -> None:
    assert method(json.dumps({"method": name}).encode()) == Method(name)
    assert set(METHODS) == set(KNOWN)


@pytest.mark.parametrize(
    ("verb", "body", "words"),
    [
        (DRAIN, b"[]", "the body: Input should be an object"),
        (DRAIN, b"{", "the body: Invalid JSON"),
        (DRAIN, b"\xff", "the body: Invalid JSON"),
        (DRAIN, b"[" * 100_000, "the body: Invalid JSON"),
        (DRAIN, b'{"in": 3}', "in: Extra inputs are not permitted"),
        (DRAIN, b'{"deadline": true}', "deadline: Input should be a valid number"),
        (DRAIN, b'{"deadline": "9"}', "deadline: Input should be a valid number"),
        (DRAIN, b'{"deadline": NaN}', "deadline: Input should be"),
        (DRAIN, b'{"deadline": 1e999}', "deadline: Input should be"),
        (DRAIN, b'{"deadline": -1}', "deadline: Input should be greater than or equal to 0"),
        (DRAIN, b'{"deadline": 604801}', "deadline: Input should be less than"),
        (DRAIN, b'{"force": true}', "force: Extra inputs"),
        (UNDRAIN, b'{"force": true}', "force: Extra inputs"),
        (PROMOTE, b'{"force": 1}', "force: Input should be a valid boolean"),
        (PROMOTE, b'{"a": 1, "force": 1}', "force: .*; a: Extra inputs"),
        (WEIGHT, b"", "weight: Field required"),
        (WEIGHT, b'{"weight": 1001}', "weight: Input should be less than or equal to 1000"),
        (WEIGHT, b'{"weight": -1}', "weight: Input should be greater than or equal to 0"),
        (WEIGHT, b'{"weight": 1.5}', "weight: Input should be a valid integer"),
        (WEIGHT, b'{"weight": Infinity}', "weight: "),
        (WEIGHT, b'{"weight": 1e300}', "weight: "),
        (WEIGHT, b'{"weight": true}', "weight: Input should be a valid integer"),
    ],
)
def test_what_is_wrong_is_said(verb: str, body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        order(verb, "2", body)


@pytest.mark.parametrize("body", [b"", b'{"method": "guess"}', b'{"method": 1}'])
def test_a_method_that_nobody_knows(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"method: (not one of: round-robin, |Field required)"):
        method(body)


@pytest.mark.parametrize(
    ("verb", "unit", "words"),
    [
        ("explode", "2", "'explode' is not one of drain, undrain, promote, weight"),
        (DRAIN, "two", "'two' is not a unit's id"),
        (DRAIN, "02", "'02' is not a unit's id"),
        (DRAIN, "0", "'0' is not a unit's id"),
        (DRAIN, "1000", "'1000' is not a unit's id"),
        (DRAIN, "٢", "is not a unit's id"),
        (DRAIN, "2\n", "is not a unit's id"),
    ],
)
def test_what_there_is_not(verb: str, unit: str, words: str) -> None:
    with pytest.raises(NoSuch, match=words):
        order(verb, unit, b"")


@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=60))
def test_any_bytes_are_an_order_or_are_refused(verb: str, body: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert order(verb, "2", body).unit == 2
