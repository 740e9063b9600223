"""One switch for all tests of a file; bridges are each file's own."""

from collections.abc import Iterator

import pytest

from tests.switch import ovs
from tests.switch.ovs import Switch


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A running Open vSwitch, or a skip that says what is missing."""
    if lacking := ovs.missing():
        pytest.skip(f"missing: {', '.join(lacking)}")
    with Switch() as running:
        yield running
