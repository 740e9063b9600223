"""What all tiers share: the demand that a tier really ran, and no deadlines for examples.

A test that cannot run skips and says what is missing. A tier of which every test skipped has proved
nothing, so a run that asked for it with `--require-tier` fails.
"""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is. Speed is asserted in tests/bench.
settings.register_profile("synod", deadline=None)
settings.load_profile("synod")

TIERS = ("unit", "switch", "lab")
_HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--require-tier` and `--session-table`."""
    parser.addoption(
        "--require-tier",
        action="append",
        choices=TIERS,
        default=[],
        help="fail if no test of this tier was run (may be given more than once)",
    )
    parser.addoption(
        "--session-table",
        choices=("flows", "conntrack"),
        default="flows",
        help="where the lab's clusters keep sessions, unless a test says otherwise",
    )


def tier_of(path: Path) -> str | None:
    """The tier that a test file belongs to: its first directory below tests/."""
    if not path.is_relative_to(_HERE):
        return None
    first = path.relative_to(_HERE).parts[0]
    return first if first in TIERS else None


def missing_tiers(required: list[str], ran: set[str]) -> list[str]:
    """The tiers asked for of which no test ran, in the order asked."""
    return [tier for tier in required if tier not in ran]


class _TierWatch:
    """Notes the tier of every test whose body ran, passed or failed."""

    def __init__(self, required: list[str]) -> None:
        self.required = required
        self.ran: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A skip in a test's body is reported as a call, too: only passed and failed count."""
        if report.when == "call" and not report.skipped:
            tier = tier_of(Path(report.fspath).resolve())
            if tier:
                self.ran.add(tier)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turns a green run of nothing red."""
        if missing_tiers(self.required, self.ran) and not session.config.option.collectonly:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says which."""
        for tier in missing_tiers(self.required, self.ran):
            terminalreporter.write_line(f"no test of the {tier} tier ran", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Watches the tiers."""
    config.pluginmanager.register(_TierWatch(config.getoption("require_tier")), "synod-tiers")
