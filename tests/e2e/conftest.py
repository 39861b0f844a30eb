"""One real local fleet for the whole tier, used as an operator would: by its commands, env.json and kubectl's API."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleetlb.testkit.otlp_receiver import OtlpReceiver
from fleetlb_cli.local.layout import Environment, read_environment
from tests.e2e.drilling import Drill, as_table
from tests.e2e.fleet import Fleet, TenantCluster
from tests.stage.starting import running_fleet


@pytest.fixture(scope="session")
def collector() -> Iterator[OtlpReceiver]:
    """What collects the spans of every process of the fleet."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory, collector: OtlpReceiver) -> Iterator[Path]:
    """The state directory of a running fleet with tenants acme and globex."""
    with running_fleet(tmp_path_factory.mktemp("fleet"), environ=collector.environ) as state:
        yield state


@pytest.fixture
def environment(state: Path) -> Environment:
    """env.json as it is now."""
    return read_environment(state)


@pytest.fixture
async def fleet(state: Path) -> AsyncIterator[Fleet]:
    """The fleet's hub side."""
    fleet = await Fleet.open(state)
    yield fleet
    await fleet.close()


_numbers = itertools.count(1)


@pytest.fixture
async def acme(fleet: Fleet) -> AsyncIterator[TenantCluster]:
    """Tenant acme, in a namespace of the test's own, with two nodes."""
    async with fleet.tenant("acme", f"t{next(_numbers)}") as tenant:
        yield tenant


@pytest.fixture
async def globex(fleet: Fleet) -> AsyncIterator[TenantCluster]:
    """Tenant globex, likewise."""
    async with fleet.tenant("globex", f"t{next(_numbers)}") as tenant:
        yield tenant


_drills: list[Drill] = []


@pytest.fixture
def drilled() -> list[Drill]:
    """Outcomes of disaster drills; printed when all tests have run."""
    return _drills


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of what was drilled."""
    if _drills:
        terminalreporter.write_line(f"\n{as_table(_drills)}")
