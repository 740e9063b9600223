"""The labs that tests share, and what is kept of one that failed.

Most tests run in one lab of three units with round-robin; each finds it whole: default rules, every
unit up and the first of them primary, no open session. A test that fails leaves the lab's logs, its
captures, every unit's flows and entries in artifacts/, under the test's name.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.entry_wall import Wall, entry_wall

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
PROGRAMS = (
    *("ovs-vswitchd", "ovsdb-server", "conntrack", "nft", "tcpdump", "ip", "mnexec"),
    *("curl", "vsftpd", "lftp", "in.tftpd", "ngircd"),
    *("dumpcap", "mergecap", "tshark"),
)

# Seconds. The kernel's own would keep ended sessions for minutes; and half-closed ones for one
# minute only, by any gateway, where a test wants to see what happens after a minute.
TIMEOUTS = {
    "established": 600,
    "fin_wait": 120,
    "close_wait": 120,
    "last_ack": 3,
    "time_wait": 3,
    "close": 3,
    "syn_sent": 10,
    "syn_recv": 10,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what cannot run here, and says why."""
    reasons = ["not root"] if os.geteuid() else []
    reasons += [f"no {name}" for name in PROGRAMS if not shutil.which(name)]
    if reasons:
        mark = pytest.mark.skip(reason=f"the lab needs root and Debian packages: {reasons}")
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps what a failed test's lab has to say, while it still runs."""
    report = yield
    if report.failed and report.when != "teardown":
        for world in _worlds_of(item):
            folder = ARTIFACTS / re.sub(r"[^\w.-]+", "-", item.nodeid.removeprefix("tests/lab/"))
            keep(world, folder)
            report.sections.append(("kept", str(folder)))
    return report


def _worlds_of(item: pytest.Item) -> list[Any]:
    from tests.lab.world import World  # noqa: PLC0415 - not importable where the lab cannot run

    values = getattr(item, "funcargs", {}).values()
    found = [getattr(value, "world", value) for value in values]
    return [value for value in found if isinstance(value, World)]


def keep(world: Any, folder: Path) -> None:
    """Copies logs and captures of a lab, and dumps what its units know."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in (Path(world.lab.log_dir), world.folder):
        shutil.copytree(source, folder / source.name, dirs_exist_ok=True)
    (folder / "status.txt").write_text(world.situation())
    dumps = {
        "flows": ["ovs-ofctl", "dump-flows", "br-synod"],
        "conntrack": ["conntrack", "-L", "-o", "labels"],
        "switch-conntrack": ["ovs-appctl", "dpctl/dump-conntrack"],
        "nft": ["nft", "list", "ruleset"],
        "neighbours": ["ip", "neigh"],
    }
    for unit in world.units:
        for name, argv in dumps.items():
            try:
                output = world.lab.run(f"u{unit}", argv, check=False).stdout
            except (OSError, subprocess.SubprocessError) as problem:
                output = repr(problem)
            (folder / f"u{unit}-{name}.txt").write_text(output)


@pytest.fixture(scope="session")
def session_table(request: pytest.FixtureRequest) -> str:
    """Where clusters keep sessions: --session-table."""
    return str(request.config.getoption("session_table"))


@pytest.fixture(scope="module")
def make_world(
    tmp_path_factory: pytest.TempPathFactory, session_table: str
) -> Iterator[Callable[..., Any]]:
    """Builds labs that live as long as the module: `make_world(units=2, method=...)`."""
    with ExitStack() as stack:

        def make(units: int = 3, **how: Any) -> Any:
            return _enter(stack, tmp_path_factory, units, {"session_table": session_table, **how})

        yield make


@pytest.fixture(scope="session")
def _three(tmp_path_factory: pytest.TempPathFactory, session_table: str) -> Iterator[Any]:
    with ExitStack() as stack:
        yield _enter(stack, tmp_path_factory, 3, {"session_table": session_table})


def _enter(stack: ExitStack, tmp: pytest.TempPathFactory, units: int, how: dict[str, Any]) -> Any:
    from tests.lab.world import SNAT, World  # noqa: PLC0415
    from topologies.lab import Lab  # noqa: PLC0415

    lab = stack.enter_context(Lab(units=units, rules=SNAT, **how))
    world = World(lab, units, tmp.mktemp("captures"))
    stack.callback(world.stop)
    until_whole(world, timeout=30)
    world.timeouts(**TIMEOUTS)
    return world


def until_whole(world: Any, timeout: float = 20) -> None:
    """All units are up, and the first is primary, as tests take it: another is if that had no link
    yet on a busy machine, or if a test before has changed it.
    """
    world.primary = 1
    world.until(world.healthy, lambda: f"the lab is not whole: {world.situation()}", timeout)
    if world.status()["primary"] != world.primary:
        _make_primary(world)


def _make_primary(world: Any) -> None:
    order = ["synod", "promote", str(world.primary), "--force"]

    def is_given() -> bool:
        return bool(world.lab.run("controller", order, check=False).returncode == 0)

    world.until(is_given, lambda: f"refused: {world.situation()}", timeout=20)
    world.until(
        lambda: world.status()["primary"] == world.primary and world.healthy(),
        lambda: f"not primary: {world.situation()}",
        timeout=30,
    )


@pytest.fixture(scope="module")
def _related(make_world: Callable[..., Any]) -> Any:
    return make_world(3)


@pytest.fixture
def related_world(_related: Any) -> Any:
    """A lab of three units of the module's own, with helpers and strict rules.

    It keeps ended sessions as long as the kernel does, so that there is time to look at them. Those
    of tests before are there, too: each client has a port of its own (`tests.lab.related.PORTS`).
    """
    from tests.lab.related import KEPT, RULES  # noqa: PLC0415

    _related.until(_related.healthy, lambda: f"not whole: {_related.situation()}", timeout=20)
    _related.stop()
    _related.rules(RULES)
    _related.timeouts(**KEPT)
    return _related


@pytest.fixture(scope="module")
def _failing(make_world: Callable[..., Any]) -> Any:
    return make_world(3)


@pytest.fixture
def cluster(_failing: Any) -> Iterator[Any]:
    """A lab of three units of the module's own, any of them primary; to be broken, and whole again
    afterwards.
    """
    from tests.lab.failing import mended  # noqa: PLC0415

    yield from mended(_failing)


@pytest.fixture
def world(_three: Any) -> Any:
    """The shared lab: three units, the first primary, two interfaces, round-robin; SNAT outwards.

    What is left of sessions of tests before, long closed by both ends, is still there.
    """
    from tests.lab.world import SNAT  # noqa: PLC0415

    _three.stop()
    _three.rules(SNAT)
    until_whole(_three)
    return _three


@pytest.fixture
def _nothing_left(world: Any) -> None:
    """Not even what is left of the sessions of tests before."""
    world.forget_sessions()


@pytest.fixture(scope="module")
def _entry_wall() -> Iterator[Wall]:
    with entry_wall() as made:
        yield made


@pytest.fixture
def wall(_entry_wall: Wall) -> Wall:
    """A kernel for the entries that the agent makes, with none of them."""
    return _entry_wall.emptied()
