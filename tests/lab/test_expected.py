"""Expected connections: FTP's data go where its control connection is, and NAT follows both.

The kernel's FTP helper reads PORT, rewrites it and expects the data connection, which comes to the
primary first. So a connection that has a helper is the primary's, and (the talk) "expected
connections (like FTP Data) will use master connection's cnodeid".
"""

from functools import partial

from tests.lab.world import CLIENT, OUTSIDE, PORT, SERVER, World

RULES = """
table ip user {
    ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
    chain prerouting {
        type filter hook prerouting priority filter
        tcp dport 21 ct helper set "ftp"
    }
    chain forward {
        type filter hook forward priority filter
        policy drop
        ct state established,related accept
        ct state new iifname "int" tcp dport { 21, 7000 } accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "ext" snat to 203.0.113.1
    }
}
"""


def numbers(address: str, port: int) -> str:
    """As PORT has them (RFC 959, section 4.1.2)."""
    return ",".join([*address.split("."), str(port >> 8), str(port & 255)])


def test_active_ftp_data_come_back_through_the_cluster(world: World) -> None:
    world.rules(RULES)
    world.server("serve", port=21)
    for data_port in (30001, 30002, 30003):
        world.client("serve", port=data_port)
        control = world.connect(port=21)
        assert control.unit == 1
        world.client("talk", id=control.id, text="USER anonymous\r")
        seen = world.client("talk", id=control.id, text=f"PORT {numbers(CLIENT, data_port)}\r")
        told = seen.strip().removeprefix("PORT ").split(",")
        assert ".".join(told[:4]) == OUTSIDE, seen
        port = int(told[4]) * 256 + int(told[5])
        data = world.server("connect", address=OUTSIDE, port=port)
        assert data["seen"] == f"{SERVER}:{data['port']}"
        assert world.server("talk", id=data["id"], text="a file") == "a file"
        entry = world.until(partial(world.entry_of_port, data["port"], 1), "no entry")
        assert entry.unit == control.unit
        assert entry.original.dport == port
    assert {world.connect(port=PORT).unit for _ in range(3)} == {1, 2, 3}
