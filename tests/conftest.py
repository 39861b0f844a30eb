"""Rules for every test: a time limit and a marker by folder, and no skips in CI."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
SECONDS = {"integration": 60, "e2e": 300}
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Integration and e2e tests are slow by nature; a test's own limit wins."""
    for item in items:
        tier = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
        if tier not in SECONDS:
            continue
        item.add_marker(tier)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS[tier]))


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
