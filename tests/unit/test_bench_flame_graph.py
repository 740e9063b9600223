"""Stacks that were sampled: read, counted, drawn."""

import re
from pathlib import Path
from xml.etree import ElementTree

import eventlet
import pytest
import ryu

from tests.bench.flame_graph import (
    Stacks,
    folded,
    of_perf,
    of_py_spy,
    share,
    svg,
    without_common_root,
)
from tests.bench.flames import PARTS

ROOT = Path(__file__).parents[2]
PERF = """\
handler12
\tffffffff81e65d87 process_backlog ([kernel.kallsyms])
\tffffffff821ec951 do_syscall_64 ([kernel.kallsyms])
\tffffffff81000130 entry_SYSCALL_64_after_hwframe ([kernel.kallsyms])
\t          10b106 __sendmmsg (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t          18fc8d netdev_linux_send (/usr/sbin/ovs-vswitchd)
\t           27304 __libc_start_main@@GLIBC_2.34 (/usr/lib/x86_64-linux-gnu/libc.so.6)

handler3
\t          18fc8d netdev_linux_send (/usr/sbin/ovs-vswitchd)

ovs-vswitchd
\t          1a0000 [unknown] (/usr/lib/openvswitch-switch/ovs-vswitchd)
\t           270c4 main (/usr/sbin/ovs-vswitchd)
\t               7 [unknown] ([unknown])

"""
STACKS = Stacks(
    {
        ("main (a.py)", "read (a.py)", "recv (b.py)"): 60,
        ("main (a.py)", "read (a.py)"): 20,
        ("main (a.py)", "write<T> (a.py)", "sendto [k]"): 20,
    }
)


def test_perfs_stacks_begin_with_the_thread_and_leave_out_the_ways_in() -> None:
    assert of_perf(PERF) == {
        ("handler", "netdev_linux_send", "__sendmmsg", "process_backlog [k]"): 1,
        ("handler", "netdev_linux_send"): 1,
        ("ovs-vswitchd", "main", "in ovs-vswitchd"): 1,
    }


def test_what_is_no_stack_is_an_error() -> None:
    with pytest.raises(ValueError, match="something else"):
        of_perf("handler1\nsomething else\n")
    with pytest.raises(ValueError, match="invalid literal"):
        of_py_spy("Error: no such process\n")


def test_py_spys_stacks() -> None:
    assert of_py_spy("main (a.py);read (a.py) 3\nmain (a.py) 1\n") == {
        ("main (a.py)", "read (a.py)"): 3,
        ("main (a.py)",): 1,
    }


def test_folded_stacks_are_read_again_as_they_were() -> None:
    assert of_py_spy(folded(STACKS)) == STACKS


def test_what_all_have_in_common_goes_but_for_the_last() -> None:
    deeper = Stacks({("run", "again", *stack): count for stack, count in STACKS.items()})
    assert without_common_root(deeper) == STACKS
    assert without_common_root(STACKS) == STACKS
    assert without_common_root(Stacks({("a", "b"): 1, ("c",): 1})) == {("a", "b"): 1, ("c",): 1}


def test_a_share_is_of_all_samples_and_counts_each_once() -> None:
    assert share(STACKS, ["read (a.py)"]) == 0.8
    assert share(STACKS, ["read (a.py)", "recv*"]) == 0.8
    assert share(STACKS, ["rec"]) == 0
    assert share(STACKS, ["sendto*"]) == 0.2
    assert share(Stacks(), ["read"]) == 0


def test_the_graph_is_sound_and_as_wide_as_the_samples() -> None:
    root = ElementTree.fromstring(svg(STACKS, "An <agent>"))
    space = "{http://www.w3.org/2000/svg}"
    told = {group[0].text: float(group[1].get("width", "0")) for group in root.iter(f"{space}g")}
    assert told["all: 100.0% of 100 samples"] == 1180
    assert told["read (a.py): 80.0% of 100 samples"] == 944
    assert told["recv (b.py): 60.0% of 100 samples"] == 708
    assert told["write<T> (a.py): 20.0% of 100 samples"] == 236
    left = {group[0].text: float(group[1].get("x", "0")) for group in root.iter(f"{space}g")}
    assert left["read (a.py): 80.0% of 100 samples"] == 10
    assert left["write<T> (a.py): 20.0% of 100 samples"] == 10 + 944
    assert "An <agent>" in [each.text for each in root.iter(f"{space}text")]
    hues = {group[1].get("fill", "").split(",")[0] for group in root.iter(f"{space}g")}
    assert hues == {"hsl(0", "hsl(38", "hsl(8"}  # all, Python, the kernel


def test_the_same_stacks_give_the_same_bytes() -> None:
    turned = Stacks(dict(reversed(STACKS.items())))
    assert svg(turned, "one") == svg(STACKS, "one")


def test_what_is_too_narrow_to_see_is_not_drawn() -> None:
    assert "rare" not in svg(STACKS + Stacks({("rare",): 1}) + Stacks({("common",): 1000}), "one")


@pytest.mark.parametrize("program", ["app", "agent"])
def test_what_samples_are_told_apart_by_is_there(program: str) -> None:
    libraries = [Path(each.__file__).parent for each in (ryu, eventlet)]
    folders = [
        ROOT / "agents",
        ROOT / "ryu_apps",
        libraries[0] / "controller",
        libraries[1] / "hubs",
    ]
    sources = [file.read_text() for folder in folders for file in folder.rglob("*.py")]
    for name in (each for frames in PARTS[program].values() for each in frames):
        place, _, function = name.removesuffix(" (*").partition(".")
        of_it = re.compile(rf"^class {place}\b(?:(?!^class ).)*?^    def {function}\(", re.M | re.S)
        assert any(of_it.search(source) for source in sources), f"nothing is called {name}"
