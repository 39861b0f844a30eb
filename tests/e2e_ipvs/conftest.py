"""One whole fleet on the kernel's IPVS, in network namespaces of its own, for all tests of this folder.

Start and tests share few cores and, in the lab, slow processes: nothing here may measure time.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet
from tests.e2e_ipvs.tables import Tables
from tests.stage.site import Site
from tests.stage.starting import IPVS_START_SECONDS, running_fleet
from tests.stage.tenants import Tenant, tenant_of


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The network; the tests' own thread is on the balancer node, as the fleet is."""
    with Site() as site:
        yield site


@pytest.fixture(scope="session")
def tables(site: Site) -> Tables:
    """What the kernel of the balancer node holds."""
    return Tables(site.balancer)


@pytest.fixture(scope="session")
def state(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of the running fleet."""
    with running_fleet(tmp_path_factory.mktemp("fleet"), *site.options(), seconds=IPVS_START_SECONDS) as state:
        yield state


@pytest.fixture(scope="session")
def foreign(tables: Tables, state: Path) -> Iterator[tuple[str, ...]]:
    """What somebody else has in the kernel beside the running fleet."""
    assert state
    with tables.foreign() as lines:
        yield lines


@pytest.fixture(autouse=True)
def nothing_foreign_is_touched(tables: Tables, foreign: tuple[str, ...]) -> Iterator[None]:
    """P1, second half: whatever a test does."""
    yield
    assert tables.foreign_lines() == foreign


@pytest.fixture
async def fleet(state: Path) -> AsyncIterator[Fleet]:
    """The fleet's hub side."""
    fleet = await Fleet.open(state)
    yield fleet
    await fleet.close()


_numbers = itertools.count(1)


@pytest.fixture
async def acme(fleet: Fleet, site: Site) -> AsyncIterator[Tenant]:
    """Tenant acme, in a namespace of the test's own, with two nodes."""
    async with tenant_of(fleet, "acme", f"t{next(_numbers)}", site) as tenant:
        yield tenant


@pytest.fixture
async def globex(fleet: Fleet, site: Site) -> AsyncIterator[Tenant]:
    """Tenant globex, likewise."""
    async with tenant_of(fleet, "globex", f"t{next(_numbers)}", site) as tenant:
        yield tenant
