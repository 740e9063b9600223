"""Every kind of translation, through every unit; marks set by the user's rules, and matched later.

The server tells each client whom it takes it for, so that both ends are checked, and an auxiliary's
entry must be the primary's, or the second packet already would go astray.
"""

from dataclasses import dataclass

import pytest

from tests.lab.world import CLIENT, NO_RULES, OUTSIDE, PORT, SERVER, World
from topologies.observe import entries

# A port that a session of another test had is translated as that was, as long as the entry lives.
pytestmark = pytest.mark.usefixtures("_nothing_left")


@dataclass(frozen=True, slots=True)
class Kind:
    """Rules, who connects to what, and the addresses that the server may see."""

    rules: str
    host: str = "client"
    address: str = SERVER
    port: int = PORT
    source: str = OUTSIDE
    ports: range = range(1, 65536)


def table(*, prerouting: str = "", postrouting: str = "") -> str:
    return f"""
table ip user {{
    chain prerouting {{
        type nat hook prerouting priority dstnat
        {prerouting}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat
        {postrouting}
    }}
}}
"""


FORWARD = f'iifname "ext" tcp dport 2222 dnat to {CLIENT}:{PORT}'
KINDS = {
    "none": Kind(NO_RULES, source=CLIENT),
    "snat": Kind(table(postrouting='oifname "ext" snat to 203.0.113.1')),
    "masquerade": Kind(table(postrouting='oifname "ext" masquerade')),
    "masquerade at random": Kind(table(postrouting='oifname "ext" masquerade fully-random')),
    "port range": Kind(
        table(postrouting='oifname "ext" meta l4proto tcp snat to 203.0.113.1:20000-20999'),
        ports=range(20000, 21000),
    ),
    "dnat": Kind(table(prerouting=FORWARD), "server", OUTSIDE, 2222, source=SERVER),
    "dnat and snat": Kind(
        table(prerouting=FORWARD, postrouting='oifname "int" snat to 10.1.0.1'),
        "server",
        OUTSIDE,
        2222,
        source="10.1.0.1",
    ),
}


BOTH_TABLES = ("snat", "dnat and snat")  # with either session table


@pytest.mark.parametrize(
    "name",
    [pytest.param(kind, marks=pytest.mark.both_tables) for kind in BOTH_TABLES]
    + [kind for kind in KINDS if kind not in BOTH_TABLES],
)
def test_translation_is_the_primarys_on_every_unit(world: World, name: str) -> None:
    kind = KINDS[name]
    world.rules(kind.rules)
    world.peer("client")
    world.peer("server")
    units = set()
    for _ in range(2 * len(world.units)):
        session = world.connect(kind.host, kind.address, kind.port)
        address, port = session.seen.split(":")
        assert address == kind.source
        assert int(port) in kind.ports
        assert world.peer(kind.host)("talk", id=session.id, text="still there?") == "still there?"
        served = world.entry(session.endpoints, session.unit)
        assert served is not None
        assert served.reply == session.entry.reply
        assert (served.reply.destination, served.reply.dport) == (kind.source, int(port))
        units.add(session.unit)
    assert units == set(world.units)


MARKING = """
table ip user {
    counter marked { }
    counter unmarked { }
    chain prerouting {
        type filter hook prerouting priority mangle
        ct state new tcp dport 7000 ct mark set numgen inc mod 1000 offset 5000
    }
    chain forward {
        type filter hook forward priority filter
        ct mark 5000-5999 counter name "marked"
        ct mark 0 counter name "unmarked"
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" snat to 203.0.113.1
    }
}
"""


def packets(world: World, unit: int, counter: str) -> int:
    text = world.lab.run(f"u{unit}", ["nft", "list", "counter", "ip", "user", counter]).stdout
    return int(text.split("packets", 1)[1].split()[0])


def test_a_mark_is_the_primarys_and_the_auxiliarys_rules_match_on_it(world: World) -> None:
    world.rules(MARKING)
    marks = set()
    for _ in range(6):
        session = world.connect()
        served = world.entry(session.endpoints, session.unit)
        assert served is not None
        assert served.mark == session.entry.mark
        assert 5000 <= served.mark < 6000
        marks.add(served.mark)
        assert world.client("talk", id=session.id, text="x" * 100) == "x" * 100
    assert len(marks) == 6
    for unit in world.units:
        assert packets(world, unit, "unmarked") == 0
    for unit in (2, 3):
        # SYN, SYN-ACK, ACK, greeting and echo at the least: whole sessions match on it
        assert packets(world, unit, "marked") >= 2 * 5


FILTERING = """
table ip user {
    chain forward {
        type filter hook forward priority filter
        policy drop
        ct state established,related accept
        ct state new tcp dport 7000 accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" snat to 203.0.113.1
    }
}
"""


def test_a_stateful_filter_lets_through_what_it_should_on_every_unit(world: World) -> None:
    world.rules(FILTERING)
    assert {world.connect().unit for _ in range(3)} == set(world.units)


def test_what_the_rules_drop_costs_the_cluster_nothing(world: World) -> None:
    world.rules(FILTERING)
    before = world.served()
    assert world.client("sessions", address=SERVER, port=9, count=3, timeout=1) == ["ETIMEDOUT"] * 3
    assert world.served() == before
    assert not [entry for entry in entries(world.lab, 1) if entry.original.dport == 9]
