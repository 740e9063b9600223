"""Cookies are digests: two flows have one exactly when they are the same."""

from ryu_apps.core.flows import Goto, Kind, Output, cookie, static_flow


def test_a_cookie_says_kind_and_unit() -> None:
    assert cookie(Kind.SESSION, 3) == 0x5359_02_03_00000000
    assert cookie(Kind.STATIC, 0, 0xABCD) == 0x5359_01_00_0000ABCD


def test_a_static_flow_is_its_digest() -> None:
    flow = static_flow("a", 1, 2, (("in_port", 3),), (Output(4),))
    assert flow == static_flow("another name", 1, 2, (("in_port", 3),), (Output(4),))
    others = [
        static_flow("a", 0, 2, (("in_port", 3),), (Output(4),)),
        static_flow("a", 1, 1, (("in_port", 3),), (Output(4),)),
        static_flow("a", 1, 2, (("in_port", 4),), (Output(4),)),
        static_flow("a", 1, 2, (("in_port", (3, 3)),), (Output(4),)),
        static_flow("a", 1, 2, (("in_port", 3),), (Output(5),)),
        static_flow("a", 1, 2, (("in_port", 3),), (Goto(4),)),
        static_flow("a", 1, 2, (("in_port", 3),), (Output(4),), unit=1),
    ]
    assert len({flow.cookie, *(other.cookie for other in others)}) == 1 + len(others)


def test_no_actions_is_a_drop() -> None:
    assert static_flow("a", 1, 2, (), ()).drops
    assert not static_flow("a", 1, 2, (), (Output(4),)).drops
