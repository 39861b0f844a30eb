"""Rules for every test: a time limit against hanging, a marker by folder, no skips in CI, and one more try there.

A machine that several tests share has moments when everything waits. In CI a test that failed is run once more; what
it said at first is printed, and when more than a few needed that the run has failed all the same.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from fleetlb_cli.local import kernel
from fleetlb_cli.local.kernel import KernelError

ROOT = Path(__file__).parent
TIERS = {
    "integration": "integration",
    "e2e": "e2e",
    "conformance": "e2e",
    "ipvs": "ipvs",
    "e2e_ipvs": "ipvs",
    "containers": "containers",
}
SECONDS = {"integration": 60, "e2e": 300, "conformance": 120, "ipvs": 60, "e2e_ipvs": 300, "containers": 120}
OF_A_FLEET = {"e2e", "conformance", "e2e_ipvs", "containers"}
MAX_REPEATED = 2
"""Of one run of pytest."""
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

settings.register_profile("fleetlb", deadline=None)  # a slow moment of the machine is no failure
settings.load_profile("fleetlb")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some tiers are slow by nature; a test's own limit wins. The first of a fleet's tests waits for the fleet."""
    for item in items:
        if IN_CI:
            item.add_marker(pytest.mark.flaky(reruns=1))
        folder = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
        if folder not in TIERS:
            continue
        item.add_marker(TIERS[folder])
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS[folder], func_only=folder in OF_A_FLEET))


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test ran in this process may have led the log to a file that is closed by now."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Ends the whole session, as failed, where tests of IPVS could prove nothing."""
    if item.get_closest_marker("ipvs") is not None:
        try:
            kernel.check()
        except KernelError as problem:
            pytest.exit(f"{problem}; or run `make ipvs`", returncode=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole modules."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


def repeated(config: pytest.Config) -> list[pytest.TestReport]:
    """What the tests said that were then run once more."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else reporter.stats.get("rerun", [])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """That machine was not slow for a moment: something is wrong."""
    if exitstatus == pytest.ExitCode.OK and len(repeated(session.config)) > MAX_REPEATED:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nothing that failed is passed over in silence."""
    for report in repeated(terminalreporter.config):
        terminalreporter.section(f"FAILED AT FIRST: {report.nodeid}", red=True)
        terminalreporter.write_line(report.longreprtext)
