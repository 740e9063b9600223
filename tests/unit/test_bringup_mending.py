"""What is missing of a unit: each thing that can go, and the step that brings it back."""

from dataclasses import replace
from typing import Any

import pytest

from agents.bringup import Host, plan
from agents.bringup_steps import Command, Step, Sysctls
from agents.config import parse
from agents.mending import Seen, is_missing
from tests.unit.test_bringup_plan import TEXT

STEPS = plan(parse(TEXT), 1, "cluster.yaml", Host())


def whole() -> Seen:
    links: dict[str, dict[str, list[Any]]] = {}
    settings: dict[str, str] = {}
    routes: set[tuple[str, str, str]] = set()
    for step in STEPS:
        match step:
            case Command(argv=("ip", "address", "replace", address, "dev", name)):
                local, length = address.split("/")
                link = links.setdefault(name, {"flags": [], "addr_info": []})
                link["addr_info"].append({"local": local, "prefixlen": int(length)})
            case Command(argv=("ip", "route", "replace", to, "via", via, "dev", name)):
                routes.add((to, via, name))
            case Command(argv=("ip", "link", "set", name, "up")):
                links.setdefault(name, {"flags": [], "addr_info": []})["flags"].append("UP")
            case Sysctls(values=values):
                settings |= {key: str(value) for key, value in values}
    tables = frozenset((("inet", "synod"), ("netdev", "synod"), ("netdev", "synod0")))
    running = frozenset(("ovsdb-server", "ovs-vswitchd", "supervisor.pid"))
    return Seen(links, tables, running, settings.get, routes=frozenset(routes))


def missing(seen: Seen) -> list[Step]:
    return [step for step in STEPS if is_missing(step, seen)]


def words(seen: Seen) -> list[str]:
    return [step.why for step in missing(seen)]


def test_nothing_is_missing_of_what_is_whole() -> None:
    assert missing(whole()) == []


@pytest.mark.parametrize("program", ["ovsdb-server", "ovs-vswitchd", "supervisor.pid"])
def test_a_program_that_does_not_run(program: str) -> None:
    seen = whole()
    assert len(missing(replace(seen, running=seen.running - {program}))) == 1


def test_a_switch_that_was_started_anew_has_short_queues() -> None:
    (step,) = missing(replace(whole(), short_queues=True))
    assert isinstance(step, Command)
    assert step.argv[1:] == ("-m", "agents.queues")


def test_a_switch_that_was_started_anew_waits_as_others_do() -> None:
    (step,) = missing(replace(whole(), switch_waits=True))
    assert isinstance(step, Command)
    assert step.argv[1:] == ("-m", "agents.priority", "-10")


def test_a_link_without_its_address_or_down() -> None:
    seen = whole()
    seen.links["int"]["addr_info"].clear()
    seen.links["ext"]["flags"].clear()
    assert set(words(seen)) == {"the cluster's address on int", "ext up"}


def test_a_route_that_is_gone_or_another() -> None:
    seen = whole()
    assert len(seen.routes) == 2
    routes = frozenset(
        (to, "10.1.0.99" if name == "int" else via, name) for to, via, name in seen.routes
    )
    assert words(replace(seen, routes=routes)) == ["the route to 10.2.0.0/16 by way of 10.1.1.254"]
    assert len(missing(replace(seen, routes=frozenset()))) == 2


def test_a_link_that_is_not_there_is_waited_for() -> None:
    seen = whole()
    links = {name: link for name, link in seen.links.items() if name != "int"}
    assert missing(replace(seen, links=links)) == []


def test_a_setting_that_is_another() -> None:
    seen = whole()
    key = "net/ipv4/conf/int/send_redirects"
    other = replace(seen, setting=lambda name: "1" if name == key else seen.setting(name))
    assert words(other) == ["hosts are never sent around the cluster"]
    gone = replace(seen, setting=lambda name: None if name == key else seen.setting(name))
    assert missing(gone) == []


@pytest.mark.parametrize("table", [("inet", "synod"), ("netdev", "synod"), ("netdev", "synod0")])
def test_a_table_that_is_gone(table: tuple[str, str]) -> None:
    seen = whole()
    (step,) = missing(replace(seen, tables=seen.tables - {table}))
    assert isinstance(step, Command)
    assert step.undo[3:] == table


@pytest.mark.parametrize(("link", "table"), [("synod0", "synod0"), ("nic-int", "synod")])
def test_the_hooks_of_a_link_that_was_made_anew(link: str, table: str) -> None:
    (step,) = missing(replace(whole(), anew=frozenset({link})))
    assert isinstance(step, Command)
    assert step.undo[4] == table
