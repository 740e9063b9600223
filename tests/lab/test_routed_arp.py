"""ARP, as the talk has it: auxiliaries ask the primary over the HA link, opcodes 201 and 202.

On data interfaces they neither ask nor answer, so hosts and switches see the cluster's addresses at
the virtual MACs only, whichever unit serves.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from agents.wire import ports
from tests.lab.world import CLIENT, INSIDE, OUTSIDE, PORT, SERVER, World
from topologies.observe import sources

UNITS = 4
INT, EXT = 1, 2
AUXILIARIES = (2, 3, 4)


def virtual(interface: int) -> str:
    return ports.mac_text(ports.virtual_mac(1, interface))


def physical(unit: int, interface: int) -> str:
    return ports.mac_text(ports.physical_mac(1, unit, interface))


def ha_mac(unit: int) -> str:
    return ports.mac_text(ports.ha_mac(1, unit))


@pytest.fixture(scope="module")
def four(make_world: Callable[..., World]) -> World:
    return make_world(UNITS)


@pytest.fixture
def forgetful(four: World) -> Iterator[World]:
    """No unit knows any neighbour."""
    for unit in four.units:
        four.lab.run(f"u{unit}", ["ip", "neigh", "flush", "all"])
    yield four
    four.forget_sessions()


def data_nics(*units: int) -> list[str]:
    return [f"u{unit}/nic-{name}" for unit in units for name in ("int", "ext")]


def asking(opcode: int, wanted: str) -> Callable[[Packet], bool]:
    return lambda frame: ARP in frame and frame[ARP].op == opcode and frame[ARP].pdst == wanted


def sent_to(mac: str) -> Callable[[Packet], bool]:
    return lambda frame: frame[Ether].dst == mac


def test_an_auxiliary_asks_over_the_ha_link_and_gets_the_answer(forgetful: World) -> None:
    world = forgetful
    places = ["u2/nic-ha", "u2/ext", "u3/nic-ha", *data_nics(*AUXILIARIES)]
    unknown_for_30_s = fresh_neighbour(world, "server", 31)
    with world.captures(*places, expression="arp") as at:
        world.lab.run(
            "u2", ["ping", "-c", "1", "-W", "3", "-I", "ext", unknown_for_30_s], check=False
        )
        (asked, *_) = at["u2/nic-ha"].wait(1, asking(201, unknown_for_30_s))
        (told, *_) = at["u2/nic-ha"].wait(1, lambda frame: ARP in frame and frame[ARP].op == 202)
        assert asked[Ether].src == ha_mac(2)
        assert (asked[ARP].hwsrc, asked[ARP].psrc) == (physical(2, EXT), OUTSIDE)
        assert (told[Ether].src, told[Ether].dst) == (ha_mac(1), ha_mac(2))
        assert (told[ARP].hwsrc, told[ARP].psrc) == (world.mac("server"), unknown_for_30_s)
        assert (told[ARP].hwdst, told[ARP].pdst) == (physical(2, EXT), OUTSIDE)
        given = at["u2/ext"].wait(1, lambda frame: ARP in frame and frame[ARP].op == 2)[0]
        assert (given[ARP].hwsrc, given[ARP].psrc) == (world.mac("server"), unknown_for_30_s)
        assert neighbour(world, 2, unknown_for_30_s) == world.mac("server")
        assert not [frame for frame in at["u3/nic-ha"].arp() if frame[ARP].op == 202]
        for place in data_nics(*AUXILIARIES):
            assert not {frame[Ether].src for frame in at[place].arp()} & all_physical()


def fresh_neighbour(world: World, host: str, last: int) -> str:
    """An address more on a host, that nobody has asked for yet."""
    address = f"{'10.1.0' if host == 'client' else '203.0.113'}.{last}"
    world.lab.run(host, ["ip", "address", "replace", f"{address}/24", "dev", world.device(host)])
    return address


def neighbour(world: World, unit: int, address: str) -> str | None:
    """The MAC that a unit's kernel has for a neighbour."""
    rows = json.loads(world.lab.run(f"u{unit}", ["ip", "-j", "neigh", "show", address]).stdout)
    return next((row["lladdr"] for row in rows if "lladdr" in row), None)


def all_physical() -> set[str]:
    return {physical(unit, index) for unit in range(1, UNITS + 1) for index in (INT, EXT)}


def test_several_ask_at_once_and_each_gets_its_own_answer(forgetful: World) -> None:
    world = forgetful
    address = fresh_neighbour(world, "server", 32)
    places = [f"u{unit}/nic-ha" for unit in AUXILIARIES]
    with world.captures("u1/nic-ext", *places, expression="arp") as at:
        pings = [
            world.lab.popen(f"u{unit}", ["ping", "-c", "1", "-W", "3", "-I", "ext", address])
            for unit in AUXILIARIES
        ]
        for unit in AUXILIARIES:
            replies = at[f"u{unit}/nic-ha"].wait(
                1, lambda frame: ARP in frame and frame[ARP].op == 202
            )
            assert {(frame[Ether].dst, frame[ARP].hwdst) for frame in replies} == {
                (ha_mac(unit), physical(unit, EXT))
            }
            world.until(partial(neighbour, world, unit, address), "no neighbour")
            assert neighbour(world, unit, address) == world.mac("server")
        outside = [frame for frame in at["u1/nic-ext"].arp() if asking(1, address)(frame)]
        assert len(outside) <= len(AUXILIARIES) - 1, "each question was asked outside on its own"
        assert {(frame[Ether].src, frame[ARP].hwsrc, frame[ARP].psrc) for frame in outside} == {
            (virtual(EXT), virtual(EXT), OUTSIDE)
        }
    for ping in pings:
        ping.communicate(timeout=10)


def test_what_the_primary_knows_is_answered_without_asking_outside(forgetful: World) -> None:
    world = forgetful
    address = fresh_neighbour(world, "server", 33)
    world.lab.run("u2", ["ping", "-c", "1", "-W", "3", "-I", "ext", address], check=False)
    assert neighbour(world, 2, address)
    with world.captures("u1/nic-ext", "u3/nic-ha", expression="arp") as at:
        world.lab.run("u3", ["ping", "-c", "1", "-W", "3", "-I", "ext", address], check=False)
        at["u3/nic-ha"].wait(1, lambda frame: ARP in frame and frame[ARP].op == 202)
        assert neighbour(world, 3, address) == world.mac("server")
        assert not [frame for frame in at["u1/nic-ext"].arp() if frame[ARP].pdst == address]


def test_a_reply_that_the_primarys_agent_has_not_sealed_is_dropped_and_counted(
    forgetful: World,
) -> None:
    world = forgetful
    lie = Ether(src=ha_mac(1), dst=ha_mac(2)) / ARP(
        op=202,
        hwsrc="06:66:66:66:66:66",
        psrc="203.0.113.66",
        hwdst=physical(2, EXT),
        pdst=OUTSIDE,
    )
    before = unasked(world, 2)
    with world.captures("u2/ext", "u2/int", expression="arp") as at:
        # From the primary's HA kernel port, as the real ones come from its bridge.
        world.peer("u1")("raw", interface="ha", frames=[bytes(lie).hex()] * 5)
        world.until(lambda: unasked(world, 2) >= before + 5, "not counted")
        assert not at["u2/ext"].arp()
        assert not at["u2/int"].arp()
    assert neighbour(world, 2, "203.0.113.66") is None


def unasked(world: World, unit: int) -> int:
    """What the agent has dropped as no answer of the primary's."""
    return world.agent_counters(unit)["seal_truncated"]


def test_auxiliaries_are_silent_though_neighbours_ask(forgetful: World) -> None:
    world = forgetful
    with world.captures(
        *data_nics(*AUXILIARIES), "client/" + world.device("client"), expression="arp"
    ) as at:
        world.lab.run("client", ["ip", "neigh", "flush", "all"])
        world.lab.run("client", ["ping", "-c", "2", "-i", "0.2", INSIDE])
        questions = [
            Ether(src=world.mac("client"), dst=physical(unit, INT))
            / ARP(op=1, hwsrc=world.mac("client"), psrc=CLIENT, pdst=INSIDE)
            for unit in AUXILIARIES
        ]
        world.client(
            "raw", interface=world.device("client"), frames=[bytes(q).hex() for q in questions]
        )
        for unit in AUXILIARIES:
            at[f"u{unit}/nic-int"].wait(1, sent_to(physical(unit, INT)))
        answers = [
            frame for frame in at["client/" + world.device("client")].arp() if frame[ARP].op == 2
        ]
        assert {(frame[Ether].src, frame[ARP].hwsrc) for frame in answers} == {
            (virtual(INT), virtual(INT))
        }
        for place in data_nics(*AUXILIARIES):
            assert not sources(at[place].arp()) & all_physical()
            assert not {frame[ARP].hwsrc for frame in at[place].arp()} & all_physical()


def test_hosts_know_the_cluster_at_the_virtual_macs_only(four: World) -> None:
    world = four
    assert {world.connect().unit for _ in range(UNITS)} == set(world.units)
    for host, address, index in (("client", INSIDE, INT), ("server", OUTSIDE, EXT)):
        rows = json.loads(world.lab.run(host, ["ip", "-j", "neigh", "show", address]).stdout)
        assert {row.get("lladdr") for row in rows} == {virtual(index)}
    world.forget_sessions()


def test_no_switch_port_sees_a_source_mac_of_another(four: World) -> None:
    """Sessions through every unit, both ways: each unit sends from its own MAC and no other."""
    world = four
    with world.captures(*data_nics(*world.units), direction="out") as at:
        assert set(world.client("sessions", address=SERVER, port=PORT, count=40)) == {"ok"}
        for unit in world.units:
            for name, index in (("int", INT), ("ext", EXT)):
                sent = sources(at[f"u{unit}/nic-{name}"].frames())
                assert sent == {virtual(index) if unit == 1 else physical(unit, index)}


def test_the_switches_learn_each_mac_at_one_port(four: World) -> None:
    world = four
    assert set(world.client("sessions", address=SERVER, port=PORT, count=40)) == {"ok"}
    for switch, index, host in (("s1", INT, "client"), ("s2", EXT, "server")):
        learned = world.learned(switch)
        assert learned[virtual(index)] == {f"{switch}-u1"}
        assert learned[world.mac(host)] == {f"{switch}-{host}"}
        for unit in AUXILIARIES:
            assert learned[physical(unit, index)] == {f"{switch}-u{unit}"}
        assert physical(1, index) not in learned
