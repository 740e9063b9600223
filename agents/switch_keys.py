"""The keys that a unit's Open vSwitch has for TLS: how it gets them, and what stands in the way.

Open vSwitch has one set, for its controllers and for whatever else it speaks TLS to: another's is
never written over. It reads the files anew when they change (update_ssl_config() in
lib/stream-ssl.c).
"""

import os

from agents import config_tls, machine
from agents.config_tls import Keys
from agents.switch import DATABASE, OVSDB_SOCKET

_COLUMNS = ("private_key", "certificate", "ca_cert")


def held() -> Keys | None:
    """Those that Open vSwitch has, whether it runs or not. ProvisionError if it doesn't say."""
    if not machine.answers(OVSDB_SOCKET):
        return _in_file() if os.path.exists(DATABASE) else None
    ovs = ("ovs-vsctl", "--timeout=15")
    rows = machine.run((*ovs, "--bare", "--columns=_uuid", "list", "ssl")).split()
    if not rows:
        return None
    said = machine.run((*ovs, "get", "ssl", rows[0], *_COLUMNS)).splitlines()
    return Keys(*(each.strip('"') for each in said))


def _in_file() -> Keys | None:
    rows = machine.in_file(op="select", table="SSL", where=[], columns=list(_COLUMNS))["rows"]
    return Keys(*(rows[0][column] for column in _COLUMNS)) if rows else None


def problems(keys: Keys) -> list[str]:
    """Why these can't be the switch's; for a person to read. ProvisionError as above."""
    found = config_tls.faults(keys)
    if held() not in (None, keys):
        found.append(
            "Open vSwitch has another's keys for TLS ('ovs-vsctl get-ssl'), and has one set only: "
            "'ovs-vsctl del-ssl', if nobody needs them"
        )
    return found
