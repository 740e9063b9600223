"""The flows that a unit has in each situation. (What they do to packets: tests/switch.)"""

import pytest

from ryu_apps.core.cluster import Role
from ryu_apps.core.flows import Flow, Goto, Kind, SetField, cookie, part_of
from ryu_apps.core.pipeline import Table, desired, session_flow
from tests.unit.core_world import cluster_of, tuples

CLUSTER = cluster_of(3)
SITUATIONS = {
    "none": desired(CLUSTER, 2, Role.NONE, 0),
    "primary": desired(CLUSTER, 2, Role.PRIMARY, 2),
    "diverting": desired(CLUSTER, 2, Role.PRIMARY, 2, diverting=True),
    "auxiliary": desired(CLUSTER, 2, Role.AUXILIARY, 1),
}


def cookies(flows: tuple[Flow, ...]) -> set[int]:
    return {flow.cookie for flow in flows}


@pytest.mark.parametrize("situation", ["primary", "diverting", "auxiliary"])
def test_what_a_unit_has_without_a_role_it_has_with_any(situation: str) -> None:
    assert cookies(SITUATIONS["none"]) < cookies(SITUATIONS[situation])


def test_diverting_is_one_flow_for_each_interface() -> None:
    more = cookies(SITUATIONS["diverting"]) - cookies(SITUATIONS["primary"])
    names = [flow.name for flow in SITUATIONS["diverting"] if flow.cookie in more]
    assert names == ["divert", "divert"]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_table_counts_what_it_drops(situation: str) -> None:
    misses = {flow.table for flow in SITUATIONS[situation] if flow.drops and not flow.priority}
    assert misses == set(Table)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_tables_only_lead_onwards(situation: str) -> None:
    for flow in SITUATIONS[situation]:
        for action in flow.actions:
            if isinstance(action, Goto):
                assert action.table > flow.table


@pytest.mark.parametrize("situation", SITUATIONS)
def test_names_say_what_is_dropped(situation: str) -> None:
    assert all(flow.drops == flow.name.startswith("drop_") for flow in SITUATIONS[situation])


def test_a_units_sessions_move_by_a_single_flow() -> None:
    before = desired(CLUSTER, 1, Role.PRIMARY, 1)
    after = desired(CLUSTER, 1, Role.PRIMARY, 1, homes={3: 2})
    (new,) = set(after) - set(before)
    (old,) = set(before) - set(after)
    assert (new.table, new.match) == (old.table, old.match)
    assert new.table == Table.UNIT
    assert SetField("reg2", 2) in new.actions
    assert new.cookie >> 32 == cookie(Kind.STATIC, 3) >> 32


def test_an_auxiliary_never_names_the_virtual_mac_as_a_source() -> None:
    virtual = {interface.virtual_mac for interface in CLUSTER.interfaces}
    for flow in SITUATIONS["auxiliary"]:
        for action in flow.actions:
            if isinstance(action, SetField):
                assert action.value not in virtual


def test_a_collision_of_cookies_stops_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = SITUATIONS["none"][0]
    monkeypatch.setattr("ryu_apps.core.pipeline.bind", lambda row, symbols, limits: flow)
    with pytest.raises(AssertionError, match="cookie"):
        desired(CLUSTER, 1, Role.NONE, 0)


def test_a_session_flow_is_of_its_unit() -> None:
    orig, _ = tuples(1)
    flow = session_flow(3, orig)
    assert flow.cookie == cookie(Kind.SESSION, 3, part_of(orig))
    assert part_of(orig) == (40001 & 0xFF) ^ 80
    assert ("tcp_src", 40001) in flow.match
    assert ("ipv4_dst", bytes((203, 0, 113, 10))) in flow.match
