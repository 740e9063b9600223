"""Which part may import which: an arrow never runs up.

The agents know nothing of Ryu, the app takes from the agents only the wire formats and the
configuration, and only the app's shell touches Ryu, so that everything that decides can be run
without a socket.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("agents", "ryu_apps", "topologies")

# The modules of the app that may import Ryu, or what Ryu brings with it.
RYU_SHELL = {
    "ryu_apps.messages",
    "ryu_apps.tracker",
    "ryu_apps.load_balancer",
    "ryu_apps.openflow",
    "ryu_apps.receiving",
    "ryu_apps.sending",
    "ryu_apps.api",
    "ryu_apps.api_sessions",
    "ryu_apps.page",
    "ryu_apps.https",
    "ryu_apps.accepting",
    "ryu_apps.tls",
}
RYU_AND_ITS_OWN = ("ryu", "eventlet", "webob")
EXPOSITION = "ryu_apps.exposition"  # the one that knows Prometheus' client

# What the core and the wire formats may not touch: sockets, processes, clocks, logs.
IMPURE = ("socket", "select", "selectors", "subprocess", "time", "logging", "threading", "asyncio")


def under(name: str, *packages: str) -> bool:
    """Is this module one of the packages, or inside one?"""
    return any(name == package or name.startswith(package + ".") for package in packages)


def imports_of(source: str) -> set[str]:
    """Every module that a source names in an import; of `from a import b`, both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def forbidden(module: str, imported: str) -> str | None:  # noqa: PLR0911 - one line a rule
    """Why this module may not import that one; None if it may."""
    if under(imported, "tests") or under(imported, "pytest", "hypothesis"):
        return "tests are not part of the program"
    if under(module, "agents") and under(imported, "ryu_apps", "topologies"):
        return "agents stand below the app and the lab"
    if under(module, "ryu_apps") and under(imported, "topologies"):
        return "the app knows nothing of the lab"
    if under(module, "topologies") and under(imported, "ryu_apps"):
        return "the lab runs the app as a user does, by its name"
    if under(module, "ryu_apps") and under(imported, "agents") and not shared(imported):
        return "the app takes only the wire formats and the configuration from the agents"
    if under(imported, *RYU_AND_ITS_OWN) and module not in RYU_SHELL:
        return "only the app's shell touches Ryu"
    if under(imported, "prometheus_client") and module != EXPOSITION:
        return "the core tells its metrics as plain data"
    if pure(module) and under(imported, *IMPURE):
        return "a pure module has no sockets, no clock and no log"
    if under(module, "agents.wire") and under(imported, "agents") and not wire(imported):
        return "wire formats stand on nothing but themselves"
    return None


def shared(imported: str) -> bool:
    """Is this one of the agents' modules that the app may use?"""
    return (
        imported == "agents"
        or under(imported, "agents.wire")
        or imported.startswith("agents.config")
    )


def wire(imported: str) -> bool:
    """Is this one of the wire formats, or the package they are in?"""
    return imported == "agents" or under(imported, "agents.wire")


def pure(module: str) -> bool:
    """Is this a module that must run without a socket, a clock or a log?"""
    return under(module, "ryu_apps.core", "agents.wire") or module.startswith("agents.core")


def modules() -> list[str]:
    """Every module of the program by its dotted name."""
    paths = [path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


def source_of(module: str) -> str:
    """A module's text."""
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return file.read_text(encoding="utf-8")


def test_there_are_modules_of_every_part() -> None:
    assert {name.split(".")[0] for name in modules()} == set(PARTS)


@pytest.mark.parametrize("module", modules())
def test_imports_run_downwards(module: str) -> None:
    wrong = {
        imported: reason
        for imported in sorted(imports_of(source_of(module)))
        if (reason := forbidden(module, imported))
    }
    assert wrong == {}


def test_no_imports_run_in_a_circle() -> None:
    known = set(modules())
    graph = {name: (imports_of(source_of(name)) & known) - {name} for name in known}
    packages = {name for name in known if any(each.startswith(name + ".") for each in known)}
    try:
        TopologicalSorter({name: graph[name] - packages for name in known}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("agents.agent", "ryu_apps.core"),
        ("agents.cli", "topologies.lab"),
        ("agents.core", "ryu.lib.packet"),
        ("agents.core", "time"),
        ("agents.wire.packet", "agents.core"),
        ("agents.wire.packet", "agents.config"),
        ("agents.wire.packet", "logging"),
        ("ryu_apps.core.sessions", "agents.conntrack"),
        ("ryu_apps.core.metrics", "prometheus_client"),
        ("ryu_apps.core.sessions", "ryu"),
        ("ryu_apps.core.sessions", "ryu.base.app_manager"),
        ("ryu_apps.core.cluster", "socket"),
        ("ryu_apps.load_balancer", "topologies.lab"),
        ("ryu_apps.load_balancer", "tests.unit"),
        ("topologies.lab", "eventlet"),
        ("topologies.lab", "ryu_apps.core.pipeline"),
    ],
)
def test_an_arrow_that_runs_up_is_seen(module: str, imported: str) -> None:
    assert forbidden(module, imported)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("agents.agent", "socket"),
        ("agents.wire.packet", "agents.wire.errors"),
        ("ryu_apps.core.sessions", "agents.wire.control"),
        ("ryu_apps.core.cluster", "agents.config"),
        ("ryu_apps.load_balancer", "ryu.base.app_manager"),
        ("topologies.lab", "agents.bringup"),
    ],
)
def test_an_arrow_that_runs_down_is_fine(module: str, imported: str) -> None:
    assert forbidden(module, imported) is None


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b\ndef f():\n    from c import d\n    import e as g\n"
    assert imports_of(source) == {"a.b", "c", "c.d", "e"}
