"""The last release beside this one, in every pairing of two services, while tenants work and traffic flows."""

import asyncio
import contextlib
import re
import sys
import urllib.request
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import fleetlb
from fleetlb_cli.demo.dialling import dial
from tests.e2e.fleet import Fleet, TenantCluster, eventually, key, next_node_port, tcp
from tests.stage.starting import standing_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
(RELEASE,) = (ROOT / "tests" / "releases").glob("fleetlb-*.whl")
BEFORE = RELEASE.name.split("-")[1]
PAGE = ROOT / "docs" / "upgrade.md"
SERVICES = {
    "manager": "fleetlb_manager",
    "status": "fleetlb_status",
    "dataplane-programmer/node-1": "fleetlb_dataplane_programmer",
    "tenant-watcher/acme": "fleetlb_tenant_watcher",
}
"""In the order of an upgrade, and the modules that are run."""
DIAL_SECONDS = 0.05


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the modules of the last release lie."""
    folder = tmp_path_factory.mktemp("release")
    with zipfile.ZipFile(RELEASE) as wheel:
        wheel.extractall(folder)
    return folder


class Pairing:
    """A fleet some of whose services are of the last release."""

    def __init__(self, fleet: Fleet, release: Path) -> None:
        self._fleet = fleet
        self._release = release
        self._old: dict[str, contextlib.ExitStack] = {}

    async def set_back(self, process: str) -> None:
        """Run the last release in the place of a process."""
        # A programmer of before knows nothing of credentials of its own.
        own = {"NATS_CREDS": self._fleet.environment.nats.hub_creds} if "programmer" in process else {}
        command = [sys.executable, "-m", SERVICES[process]]
        stack = self._old[process] = contextlib.ExitStack()
        context = standing_in(self._fleet.state, process, command, own, path=self._release)
        await asyncio.to_thread(stack.enter_context, context)
        assert await self.version(process) == BEFORE

    async def renew(self, process: str) -> None:
        """Run this release again."""
        await asyncio.to_thread(self._old.pop(process).close)
        assert await self.version(process) == fleetlb.__version__

    async def version(self, process: str) -> str:
        """What a process says it is."""
        url = f"{self._fleet.environment.processes[process].http}/metrics"

        def read() -> str:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())

        (found,) = re.findall(r'fleetlb_build_info\{.*version="([^"]+)"', await asyncio.to_thread(read))
        return str(found)

    async def end(self) -> None:
        for process in list(self._old):
            await self.renew(process)


@pytest.fixture
async def pairing(fleet: Fleet, release: Path) -> AsyncIterator[Pairing]:
    made = Pairing(fleet, release)
    yield made
    await made.end()


@contextlib.asynccontextmanager
async def clients(address: str) -> AsyncIterator[None]:
    """Clients that dial again and again, and one whose connection stands: none may ever meet a failure."""
    reader, writer = await asyncio.open_connection(address, 8080)

    async def dial_on() -> None:
        while True:
            answer = await dial(key(address, 8080), timeout=20)
            assert answer.text, answer
            await asyncio.sleep(DIAL_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        dialling = tasks.create_task(dial_on())
        yield
        writer.write(b"still there?\n")
        assert await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        dialling.cancel()


class Tenant:
    """What a tenant does meanwhile: a Service comes, changes and goes, each time through all four services."""

    def __init__(self, acme: TenantCluster) -> None:
        self._acme = acme
        self._done = 0

    async def works(self) -> None:
        self._done += 1
        name, port = f"step-{self._done}", next_node_port()
        await self._acme.serve(tcp=(port,))
        await self._acme.create(name, [tcp(9090, port)])
        address = await self._acme.serving(name)
        await self._acme.patch(name, {"spec": {"ports": [tcp(9191, port)]}})
        await eventually(lambda: self._answers(address), f"an answer on the new port of {name}")
        await self._acme.delete(name)
        await self._acme.until(name, lambda service: service is None, "gone")

    async def _answers(self, address: str) -> bool:
        return bool((await dial(key(address, 9191))).text)


async def test_an_upgrade_and_the_way_back_in_the_order_of_the_page(
    fleet: Fleet, acme: TenantCluster, pairing: Pairing
) -> None:
    """Begins and ends with everything new. On the way there each two services meet in both pairings of versions."""
    port = next_node_port()
    await acme.serve(tcp=(port,))
    await acme.create("standing", [tcp(8080, port)])
    address = await acme.serving("standing")
    tenant = Tenant(acme)
    async with clients(address):
        for process in SERVICES:
            await pairing.set_back(process)
            await tenant.works()
        for process in SERVICES:
            await pairing.renew(process)
            await tenant.works()
    assert await acme.address("standing") == address


def test_the_page_has_this_order() -> None:
    steps = re.findall(r"^\d\. \*\*(.+?)\*\*", PAGE.read_text(), re.MULTILINE)
    assert [name for name in steps if name != "CRDs"] == [
        "managers", "status", "dataplane-programmers", "tenant-watchers",
    ]  # fmt: skip
