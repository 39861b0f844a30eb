"""Where a local fleet keeps its things, and `env.json`, the contract by which others find them.

The documented shape of env.json is `Environment`; its version changes when a reader could break. Nothing here starts or
decides anything.
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

VERSION = 1
T = TypeVar("T")


class Layout(msgspec.Struct, frozen=True):
    """Every path below the state folder."""

    root: Path

    @property
    def environment(self) -> Path:
        """The contract; it exists while the fleet is up."""
        return self.root / "env.json"

    @property
    def choices(self) -> Path:
        """What was chosen once and is kept: ports, ranges, tokens, seeds."""
        return self.root / "choices.json"

    @property
    def record(self) -> Path:
        """Every process now running, for cleaning up after a crash."""
        return self.root / "running.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for its whole life."""
        return self.root / "lock"

    @property
    def supervisor_log(self) -> Path:
        """What a detached supervisor says."""
        return self.root / "fleet.log"

    def log(self, process: str) -> Path:
        """The log of one process."""
        return self.root / "logs" / f"{process.replace('/', '-')}.log"

    def cluster(self, name: str) -> Path:
        """Certificates, token and kubeconfig of one API server."""
        return self.root / "clusters" / name

    @property
    def etcd(self) -> Path:
        """The data of every API server."""
        return self.root / "etcd"

    @property
    def management_etcd(self) -> Path:
        """The data of the management cluster's API server, if it is kept apart."""
        return self.root / "etcd-management"

    @property
    def nats(self) -> Path:
        """Configuration, credentials and streams of the NATS server."""
        return self.root / "nats"

    def tenant_creds(self, tenant: str) -> Path:
        """NATS credentials of a tenant's watcher."""
        return self.root / "tenants" / tenant / "nats.creds"

    def node(self, name: str) -> Path:
        """State of one balancer node."""
        return self.root / "nodes" / name


class Sockets(msgspec.Struct, frozen=True):
    """Unix sockets in a private folder with a short name: their paths may have 108 bytes only."""

    folder: Path

    @property
    def control(self) -> Path:
        """Where the supervisor takes orders."""
        return self.folder / "control"

    @property
    def ads(self) -> Path:
        """Where Envoy fetches its configuration."""
        return self.folder / "ads"

    @property
    def envoy_admin(self) -> Path:
        """Where Envoy is asked for its state."""
        return self.folder / "envoy"


class Management(msgspec.Struct, frozen=True, kw_only=True):
    """The management cluster."""

    kubeconfig: str
    cluster_uid: str


class TenantPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's cluster, and what the hub knows of the tenant."""

    kubeconfig: str
    cluster_uid: str
    namespace: str
    node_cidr: str
    node_cidr6: str | None = None
    creds: str
    load_balancer_class: str | None = None


class NatsPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The bus. `hub_creds` may use the JetStream API, `system_creds` account look-ups, `integration_creds` events."""

    url: str
    hub_creds: str
    system_creds: str
    monitor: str
    integration_creds: str = ""


class PoolPlace(msgspec.Struct, frozen=True, kw_only=True):
    """An address pool."""

    cidr: str
    cidr6: str | None = None


class GroupPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A balancer group."""

    engine: str
    nodes: tuple[str, ...]


class ProcessPlace(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `pid` is null while it is down; `http` is for the four services, `ui` for those with a page."""

    pid: int | None
    log: str
    http: str | None = None
    ui: str | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of env.json."""

    version: int = VERSION
    management: Management
    tenants: dict[str, TenantPlace]
    nats: NatsPlace
    pools: dict[str, PoolPlace]
    groups: dict[str, GroupPlace]
    processes: dict[str, ProcessPlace]


class NoFleetError(Exception):
    """No fleet is up in the state folder."""


def read_environment(state: Path) -> Environment:
    """env.json of a fleet that is up."""
    path = Layout(state.absolute()).environment
    try:
        return msgspec.json.decode(path.read_bytes(), type=Environment)
    except FileNotFoundError:
        raise NoFleetError(f"no fleet is up in {state}: start one with `fleetlb local up --state {state}`") from None


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Readers see the old content or the new, never half of one."""
    unfinished = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)


def write_json(path: Path, value: object) -> None:
    """A value as indented JSON, replaced atomically."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def read_json(path: Path, kind: type[T]) -> T | None:
    """What `write_json` wrote, or None if there is nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
