"""Command lines and environments of every process."""

from pathlib import Path

import msgspec
import pytest

from fleetlb.domain.capabilities import EngineName
from fleetlb_cli.local import controlplane, programs
from fleetlb_cli.local.kubernetes import ApiServer, Etcd
from fleetlb_cli.local.layout import Layout, Sockets
from fleetlb_cli.local.nats_server import Hub
from fleetlb_cli.local.programs import Blueprint

SERVER = ApiServer(name="acme", folder=Path("/s/clusters/acme"), port=1003, token="secret")
USER = {"PATH": "/bin", "HOME": "/home/me", "KUBECONFIG": "/k", "FLEETLB_NODE": "x", "HTTP_PROXY": "p", "OTEL_A": "1"}


def blueprint(load_balancer_class: str | None = None, engine: EngineName = EngineName.ENVOY) -> Blueprint:
    return Blueprint(
        layout=Layout(Path("/s")),
        control_plane=controlplane.single_binary(Path("/cp")),
        environ=USER,
        etcd=Etcd(data=Path("/s/etcd"), client_port=1, peer_port=2),
        hub=Hub(folder=Path("/s/nats"), port=3, monitor_port=4, hub_account="AHUB", operator_key="OKEY"),
        sockets=Sockets(Path("/run/x")),
        engine=engine,
        load_balancer_class=load_balancer_class,
    )


def own(environ: object) -> dict[str, str]:
    assert isinstance(environ, dict)
    return {name: text for name, text in environ.items() if name.startswith("FLEETLB_")}


def test_children_inherit_only_what_cannot_mislead_them() -> None:
    assert programs.base_environ(USER) == {"PATH": "/bin", "HOME": "/home/me", "OTEL_A": "1"}


def test_the_manager() -> None:
    program = programs.manager(blueprint(), "manager-2", 5, Path("/k/m"), 3)
    assert program.command[0].endswith("/fleetlb-manager")
    assert program.http == "http://127.0.0.1:5"
    assert program.ready is not None
    assert program.ready.url == "http://127.0.0.1:5/readyz"
    assert own(program.environ) == {
        "FLEETLB_HTTP_ADDRESS": "127.0.0.1:5",
        "FLEETLB_LOG_FORMAT": "json",
        "FLEETLB_IDENTITY": "manager-2",
        "FLEETLB_KUBECONFIG": "/k/m",
        "FLEETLB_NATS_URL": "nats://127.0.0.1:3",
        "FLEETLB_NATS_CREDS": "/s/nats/hub.creds",
        "FLEETLB_NATS_SYSTEM_CREDS": "/s/nats/system.creds",
        "FLEETLB_NATS_OPERATOR_SEED": "/s/nats/operator.seed",
        "FLEETLB_NATS_HUB_ACCOUNT": "AHUB",
        "FLEETLB_PARTITIONS": "3",
        "FLEETLB_ALLOW_LOOPBACK_BACKENDS": "true",
    }


@pytest.mark.parametrize(("given", "expected"), [(None, None), ("example.com/lb", "example.com/lb")])
def test_the_watcher_has_its_tenants_credentials_and_class(given: str | None, expected: str | None) -> None:
    program = programs.watcher(blueprint(given), "acme", 5, Path("/k/acme"))
    environ = own(program.environ)
    assert program.name == "tenant-watcher/acme"
    assert environ["FLEETLB_KUBECONFIG"] == "/k/acme"
    assert environ["FLEETLB_IDENTITY"] == "tenant-watcher-acme"
    assert environ["FLEETLB_NATS_CREDS"] == "/s/tenants/acme/nats.creds"
    assert environ.get("FLEETLB_LOAD_BALANCER_CLASS") == expected


def test_the_watcher_tells_of_pods_where_they_serve() -> None:
    def told(pods: bool) -> str | None:
        program = programs.watcher(blueprint(), "acme", 5, Path("/k/acme"), pods=pods)
        return own(program.environ).get("FLEETLB_POD_BACKENDS")

    assert (told(False), told(True)) == (None, "true")


def test_the_programmer_has_no_kubernetes_credentials() -> None:
    environ = own(programs.programmer(blueprint(), 5).environ)
    assert "FLEETLB_KUBECONFIG" not in environ
    assert environ["FLEETLB_ADS_SOCKET"] == "/run/x/ads"
    assert environ["FLEETLB_ENVOY_ADMIN"] == "/run/x/envoy"
    assert environ["FLEETLB_NATS_OPERATOR_KEY"] == "OKEY"
    assert environ["FLEETLB_STATE_DIR"] == "/s/nodes/node-1/state"
    assert environ["FLEETLB_ENGINE"] == "envoy"
    assert environ["FLEETLB_ALLOW_LOOPBACK_BACKENDS"] == "true"


def test_the_kernel_needs_no_envoy_and_no_loopback() -> None:
    ipvs = blueprint(engine=EngineName.IPVS)
    environ = own(programs.programmer(ipvs, 5).environ)
    assert environ["FLEETLB_ENGINE"] == "ipvs"
    forbidden = {"FLEETLB_ADS_SOCKET", "FLEETLB_ENVOY_ADMIN", "FLEETLB_ALLOW_LOOPBACK_BACKENDS"}
    assert not forbidden & environ.keys()
    assert not forbidden & own(programs.manager(ipvs, "manager", 5, Path("/k/m")).environ).keys()


def test_status() -> None:
    program = programs.status(blueprint(), "status", 5, 6, Path("/k/s"))
    assert program.ui == "http://127.0.0.1:6/ui/"
    environ = own(program.environ)
    assert environ["FLEETLB_NATS_CREDS"] == "/s/nats/hub.creds"
    assert environ["FLEETLB_KUBECONFIG"] == "/k/s"


def test_envoy_is_the_binary_itself_asked_over_its_socket() -> None:
    program = programs.envoy(blueprint(), Path("/s/envoy.json"))
    with open(program.command[0], "rb") as binary:
        assert binary.read(4) == b"\x7fELF"
    assert program.ready is not None
    assert program.ready.socket == Path("/run/x/envoy")


def test_the_control_plane_parts_are_named_by_cluster() -> None:
    assert [program.command[:2] for program in programs.etcds(blueprint())] == [("/cp", "etcd")]
    assert programs.apiserver(blueprint(), SERVER).name == "kube-apiserver/acme"
    assert programs.controller_manager(blueprint(), SERVER, 9).name == "kube-controller-manager/acme"
    assert programs.nats(blueprint()).command[1:] == ("--config", "/s/nats/nats.conf")


def test_an_api_server_may_have_an_etcd_of_its_own() -> None:
    own = Etcd(data=Path("/s/etcd-management"), client_port=5, peer_port=6)
    made = msgspec.structs.replace(blueprint(), own_etcds={"management": own})
    assert [program.name for program in programs.etcds(made)] == ["etcd", "etcd/management"]
    for name, port in (("management", 5), ("acme", 1)):
        server = ApiServer(name=name, folder=Path(f"/s/{name}"), port=7, token="t")
        assert f"--etcd-servers=http://127.0.0.1:{port}" in programs.apiserver(made, server).command
