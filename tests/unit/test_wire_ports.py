"""Port numbers, datapath ids and generated MAC addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import control, ports
from tests.unit.wire_frames import interfaces, macs, units

groups = st.integers(1, 255)


def test_no_two_ports_of_a_bridge_share_a_number() -> None:
    numbers = [ports.nic_port(i) for i in range(1, 17)]
    numbers += [ports.kernel_port(i) for i in range(1, 17)]
    numbers += [ports.HA_NIC, ports.HA_KERNEL, ports.SYNOD]
    assert len(set(numbers)) == 35
    assert numbers[:2] == [1, 2]
    assert numbers[16:18] == [101, 102]
    assert numbers[-3:] == [99, 199, 200]


@given(interfaces)
def test_ports_give_the_interface_back(index: int) -> None:
    assert ports.interface_of_nic(ports.nic_port(index)) == index
    assert ports.interface_of_nic(ports.kernel_port(index)) is None


@pytest.mark.parametrize("port", [0, 17, ports.HA_NIC, 100, 117, ports.HA_KERNEL, ports.SYNOD])
def test_other_ports_belong_to_no_interface(port: int) -> None:
    assert ports.interface_of_nic(port) is None


def test_a_datapath_id_as_ovs_prints_it() -> None:
    assert f"{ports.datapath_id(1, 2):016x}" == "5359000000010002"


@given(groups, units)
def test_a_datapath_id_gives_the_unit_back_to_its_group_alone(group: int, unit: int) -> None:
    dpid = ports.datapath_id(group, unit)
    assert ports.unit_of(dpid, group) == unit
    assert ports.unit_of(dpid, group % 255 + 1) is None


@given(groups, st.integers(0, 2**64 - 1))
def test_any_number_is_a_unit_or_none(group: int, dpid: int) -> None:
    unit = ports.unit_of(dpid, group)
    assert unit is None or ports.datapath_id(group, unit) == dpid


def test_macs_as_documented() -> None:
    assert ports.mac_text(ports.virtual_mac(1, 2)) == "02:53:59:01:00:02"
    assert ports.mac_text(ports.physical_mac(255, 64, 16)) == "02:53:59:ff:40:10"
    assert ports.mac_text(ports.ha_mac(16, 3)) == "02:53:59:10:03:00"
    assert ports.mac_text(ports.helper_mac(16)) == "02:53:59:00:01:10"


def test_no_two_generated_macs_are_the_same() -> None:
    every = [control.ETH_DST, control.ETH_SRC, *map(ports.helper_mac, range(1, 17))]
    for group in (1, 2, 255):
        every += [ports.virtual_mac(group, i) for i in range(1, 17)]
        every += [ports.ha_mac(group, unit) for unit in range(1, 65)]
        every += [ports.physical_mac(group, u, i) for u in range(1, 65) for i in range(1, 17)]
    assert len(set(every)) == len(every)


@given(macs)
def test_mac_text_and_back(mac: bytes) -> None:
    assert ports.mac_bytes(ports.mac_text(mac)) == mac
    assert ports.mac_bytes(ports.mac_text(mac).upper()) == mac


@pytest.mark.parametrize(
    "text",
    [
        "",
        "02:53:59:01:00",
        "02:53:59:01:00:01:",
        "02:53:59:01:00:01\n",
        "02:53:59:01:00:\u0661\u0661",
        "02-53-59-01-00-01",
        "025359010001",
        "2:53:59:1:0:1",
        "0g:53:59:01:00:01",
    ],
)
def test_what_is_no_mac(text: str) -> None:
    with pytest.raises(ValueError, match="not a MAC address"):
        ports.mac_bytes(text)


@pytest.mark.parametrize("number", [0, -1, 256])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="is not in 1 to 255"):
        ports.ha_mac(number, 1)
    for make in (
        lambda: ports.nic_port(number),
        lambda: ports.kernel_port(number),
        lambda: ports.datapath_id(number, 1),
        lambda: ports.datapath_id(1, number),
        lambda: ports.virtual_mac(1, number),
        lambda: ports.physical_mac(1, number, 1),
        lambda: ports.physical_mac(1, 1, number),
        lambda: ports.ha_mac(1, number),
        lambda: ports.helper_mac(number),
    ):
        with pytest.raises(ValueError, match=f"{number} is not in 1 to"):
            make()
