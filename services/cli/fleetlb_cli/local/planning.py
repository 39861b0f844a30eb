"""Everything that is decided before the first process starts: ports, folders, who there is. Starts nothing."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fleetlb_cli.local import admitting, choices, layout, nats_server, programs
from fleetlb_cli.local.choices import Choices, Claiming, Wish
from fleetlb_cli.local.controlplane import ControlPlane
from fleetlb_cli.local.kubernetes import ApiServer, Etcd
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.programs import Blueprint

MANAGEMENT = "management"
PAGE = "/ui"
"""What the port of a process's page is named, after the process."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything decided before the first process starts."""

    wish: Wish
    chosen: Choices
    blueprint: Blueprint
    servers: dict[str, ApiServer]
    ports: dict[str, int]
    """Of the services and controller managers, by process name."""

    @property
    def management(self) -> ApiServer:
        """The hub's own API server."""
        return self.servers[MANAGEMENT]

    @property
    def hosted(self) -> tuple[str, ...]:
        """Tenants whose clusters are started here."""
        return tuple(name for name in self.wish.tenants if name not in self.wish.attached)

    def kubeconfig(self, tenant: str) -> Path:
        """A tenant's administrator's; of a cluster elsewhere, its watcher's."""
        attached = self.wish.attached.get(tenant)
        return self.servers[tenant].kubeconfig if attached is None else attached

    def watchers_kubeconfig(self, tenant: str) -> Path:
        """What a tenant's watcher is given."""
        attached = self.wish.attached.get(tenant)
        return self.servers[tenant].kubeconfig_of(admitting.WATCHER.name) if attached is None else attached

    @property
    def tenants(self) -> dict[str, choices.Ranges]:
        """Ranges of the tenants that are served now."""
        return {name: self.chosen.tenants[name] for name in self.wish.tenants}


def replica_names(service: str, count: int) -> tuple[str, ...]:
    """`manager`, `manager-2`, …"""
    return (service, *(f"{service}-{number}" for number in range(2, count + 1)))


def plan(
    wish: Wish,
    place: Layout,
    control_plane: ControlPlane,
    environ: Mapping[str, str],
    sockets: Sockets,
    claims: Claiming,
) -> Plan:
    """Choose what is new, keep what was chosen before, and write it down."""
    chosen = choices.choose(wish, layout.read_json(place.choices, Choices), claims)

    def port(name: str) -> int:
        return choices.port(chosen, name, claims)

    names = (MANAGEMENT, *(name for name in wish.tenants if name not in wish.attached))
    servers = {
        name: ApiServer(
            name=name,
            folder=place.cluster(name),
            port=port(f"kube-apiserver/{name}"),
            token=choices.token(chosen, name),
        )
        for name in names
    }

    def etcd(name: str, data: Path) -> Etcd:
        return Etcd(data=data, client_port=port(name), peer_port=port(f"{name}/peers"))

    own = {MANAGEMENT: etcd(f"etcd/{MANAGEMENT}", place.management_etcd)} if wish.own_etcd else {}
    shared = etcd("etcd", place.etcd)
    ports = {name: port(name) for name in _listening(wish, names)}
    nats_ports = port("nats"), port("nats/monitor")
    layout.write_json(place.choices, chosen)
    blueprint = Blueprint(
        layout=place,
        control_plane=control_plane,
        environ=environ,
        etcd=shared,
        own_etcds=own,
        hub=nats_server.prepare(place.nats, *nats_ports, node=(programs.GROUP, programs.NODE), now=int(time.time())),
        sockets=sockets,
        engine=wish.engine,
        load_balancer_class=wish.load_balancer_class,
    )
    return Plan(wish=wish, chosen=chosen, blueprint=blueprint, servers=servers, ports=ports)


def _listening(wish: Wish, clusters: tuple[str, ...]) -> tuple[str, ...]:
    """Processes with an HTTP port of their own, beside the API servers."""
    return (
        *(f"kube-controller-manager/{name}" for name in clusters),
        *replica_names("manager", wish.replicas),
        *(f"{name}{part}" for name in replica_names("status", wish.replicas) for part in ("", PAGE)),
        *(f"tenant-watcher/{name}" for name in wish.tenants),
        f"dataplane-programmer/{programs.NODE}",
    )
