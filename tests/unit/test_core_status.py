"""What the status has that no other test looks at."""

import agents
from tests.unit.core_world import World


def test_the_app_itself() -> None:
    world = World()
    status = world.status()
    assert status["app"]["version"] == agents.__version__
    assert status["app"]["boot"] == world.controller.boot
    assert status["app"]["since"] <= status["time"]


def test_interfaces_with_their_addresses_and_virtual_macs() -> None:
    assert World().status()["interfaces"] == [
        {"name": "int", "virtual_mac": "02:53:59:01:00:01", "addresses": ["10.1.0.1/24"]},
        {
            "name": "ext",
            "virtual_mac": "02:53:59:01:00:02",
            "addresses": ["203.0.113.1/24", "198.51.100.1/24"],
        },
    ]
