"""The way to a fleet's hub, for commands that look at its objects and its streams alike."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from fleetlb.domain.errors import FleetlbError, Transient
from fleetlb.kube.cluster import Cluster
from fleetlb.runtime.bus import Bus
from fleetlb.runtime.jetstream import JetStreamBus
from fleetlb.runtime.nats_tls import CA, CERT, KEY, NO_FILES, TlsFiles
from fleetlb_cli.local.layout import read_environment

CONNECT_SECONDS = 10.0
NO_TENANTS: Mapping[str, Path] = {}


class Target(NamedTuple):
    """Where the fleet is."""

    kubeconfig: Path
    nats_url: str
    nats_creds: Path
    allow_loopback: bool
    tenants: Mapping[str, Path] = NO_TENANTS
    """Kubeconfigs of tenants' own clusters, where they are known."""
    nats_tls: TlsFiles = NO_FILES


def find_target(kubeconfig: Path | None, url: str | None, creds: Path | None, state: Path | None) -> Target:
    """Where the fleet is; what is not given is taken from the environment. Raises ValueError or NoFleetError."""
    if state is not None:
        place = read_environment(state.absolute())
        tenants = {name: Path(tenant.kubeconfig) for name, tenant in place.tenants.items()}
        return Target(Path(place.management.kubeconfig), place.nats.url, Path(place.nats.hub_creds), True, tenants)
    given = kubeconfig or _path("KUBECONFIG")
    url, creds = url or os.environ.get("FLEETLB_NATS_URL"), creds or _path("FLEETLB_NATS_CREDS")
    if given is None or url is None or creds is None:
        raise ValueError("say where the fleet is: --kubeconfig, --nats-url and --nats-creds, or --state of a local one")
    for path in (given, creds):
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
    tls = TlsFiles(ca=_path(CA), cert=_path(CERT), key=_path(KEY))
    if problems := tls.problems(url):
        raise ValueError("; ".join(problems))
    return Target(given, url, creds, False, nats_tls=tls)


def _path(variable: str) -> Path | None:
    text = os.environ.get(variable)
    return Path(text) if text else None


class Hub:
    """The way to NATS, which may be shut for now."""

    def __init__(self, connecting: "asyncio.Future[Bus | None]") -> None:
        """Use `hub`."""
        self._connecting = connecting
        self.problem = ""
        """Why there is no bus."""

    async def bus(self, seconds: float) -> Bus | None:
        """The bus, waited for so long; None, and `problem` says why: it does not answer, or lets nobody in."""
        await asyncio.wait({self._connecting}, timeout=seconds)
        bus = self._connecting.result() if self._connecting.done() else None
        if bus is not None and bus.connected:
            self.problem = ""
            return bus
        self.problem = self.problem or f"no answer for {seconds:g} s"
        return None

    async def close(self) -> None:
        """End the connection, if there is one."""
        if not self._connecting.done():
            self._connecting.cancel()
        elif (bus := self._connecting.result()) is not None:
            await bus.close()


@asynccontextmanager
async def hub(target: Target, name: str) -> AsyncIterator[Hub]:
    """The way to NATS for a block, which begins at once; a connection that is lost is made again."""
    met: FleetlbError | None = None
    async with asyncio.TaskGroup() as tasks:

        async def connect() -> Bus | None:
            try:
                return await _dialled(target, tasks, name)
            except (FleetlbError, OSError) as problem:
                found.problem = str(problem)
                return None

        found = Hub(tasks.create_task(connect()))
        try:
            yield found
        except FleetlbError as problem:  # out of the task group it must come as it is
            met = problem
        finally:
            await found.close()
    if met is not None:
        raise met


@asynccontextmanager
async def connected(target: Target, name: str) -> AsyncIterator[tuple[Cluster, Bus]]:
    """Connections under a name of their own, for a block. Raises FleetlbError, also for a NATS that is not there."""
    cluster = await Cluster.connect(target.kubeconfig, field_manager=name)
    problem: FleetlbError | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            bus = await _bus(target, tasks, name)
            try:
                yield cluster, bus
            finally:
                await bus.close()
        except FleetlbError as met:  # out of the task group it must come as it is
            problem = met
        finally:
            await cluster.close()
    if problem is not None:
        raise problem


async def _bus(target: Target, tasks: asyncio.TaskGroup, name: str) -> JetStreamBus:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await _dialled(target, tasks, name)
    except TimeoutError:
        text = f"NATS at {target.nats_url} does not let {target.nats_creds} in, or does not answer"
        raise Transient(f"{text}, for {CONNECT_SECONDS:g} s") from None


async def _dialled(target: Target, tasks: asyncio.TaskGroup, name: str) -> JetStreamBus:
    return await JetStreamBus.connect(
        target.nats_url, tasks=tasks, creds=target.nats_creds, tls=target.nats_tls, name=name
    )
