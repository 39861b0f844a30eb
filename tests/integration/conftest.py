"""Real API servers for integration tests: one etcd, started once per test run, and API servers beside it on demand."""

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fleetlb.testkit.nats_server import NatsServer
from fleetlb_cli.local import controlplane, kubernetes, probes
from fleetlb_cli.local.controlplane import ControlPlane
from fleetlb_cli.local.kubernetes import ApiServer, Etcd
from fleetlb_cli.local.ports import free_port
from fleetlb_cli.local.processes import Child, Program, last_lines
from tests.integration.manager_stage import Stage, a_stage_on

START_SECONDS = 60


class KubeApis:
    """One etcd and the API servers that were asked for; every child is asserted to live while it is waited for."""

    def __init__(self, folder: Path, control_plane: ControlPlane, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._control_plane = control_plane
        self._stack = stack
        self._environ = {"PATH": os.defpath, "HOME": str(folder)}
        self.etcd = Etcd(data=folder / "etcd", client_port=free_port(), peer_port=free_port())
        ready = probes.Probe(url=f"{self.etcd.url}/health")
        self._start("etcd", "etcd", kubernetes.etcd_arguments(self.etcd), ready)

    def start(self, name: str) -> ApiServer:
        """An API server of its own prefix, CA and token; its kubeconfig is written when it is ready."""
        folder = self._folder / name
        server = ApiServer(name=name, folder=folder, port=free_port(), token=secrets.token_urlsafe())
        folder.mkdir()
        server.tokens.write_text(kubernetes.token_file(server.token))
        arguments = kubernetes.apiserver_arguments(server, self.etcd)
        ready = probes.Probe(url=f"{server.url}/readyz", token=server.token)
        self._start(f"kube-apiserver-{name}", "kube-apiserver", arguments, ready)
        server.kubeconfig.write_text(kubernetes.kubeconfig_text(server, server.certificate.read_bytes()))
        return server

    def start_controllers(self, server: ApiServer) -> None:
        """The controllers of the local fleet, beside one API server."""
        port = free_port()
        arguments = kubernetes.controller_manager_arguments(server, port)
        ready = probes.Probe(url=f"https://127.0.0.1:{port}/healthz")
        self._start(f"kube-controller-manager-{server.name}", "kube-controller-manager", arguments, ready)

    def _start(self, name: str, part: str, arguments: tuple[str, ...], ready: probes.Probe) -> None:
        command = (*self._control_plane.command(part), *arguments)
        log = self._folder / f"{name}.log"
        child = Child(Program(name=name, command=command, log=log, environ=self._environ, ready=ready))
        self._stack.callback(child.stop_now)
        deadline = time.monotonic() + START_SECONDS
        while (problem := probes.trouble(ready)) is not None:
            assert child.exit_code is None, f"{name} ended:\n{last_lines(log)}"
            assert time.monotonic() < deadline, f"{name} is not ready: {problem}\n{last_lines(log)}"
            time.sleep(0.05)
        assert child.exit_code is None, f"somebody else answered for {name}:\n{last_lines(log)}"


@pytest.fixture(scope="session")
def kube_apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApis]:
    """One etcd; `start(name)` adds an API server."""
    control_plane = controlplane.ensure(os.environ, print)
    with contextlib.ExitStack() as stack:
        yield KubeApis(tmp_path_factory.mktemp("kube"), control_plane, stack)


@pytest.fixture(scope="session")
def kube_api(kube_apis: KubeApis) -> Path:
    """Kubeconfig of a cluster-admin on one real API server without controllers, shared by the whole test run."""
    return kube_apis.start("shared").kubeconfig


@pytest.fixture(scope="session")
def kube_api_with_controllers(kube_apis: KubeApis) -> Path:
    """The same with the namespace, garbage-collector and endpoint-slice controllers running."""
    server = kube_apis.start("controlled")
    kube_apis.start_controllers(server)
    return server.kubeconfig


@pytest.fixture
def another_kube_api(kube_apis: KubeApis) -> Callable[[str], ApiServer]:
    """Start one more API server on the same etcd; it lives until the end of the test run."""
    return kube_apis.start


@pytest.fixture(scope="session")
def manager_api(kube_apis: KubeApis) -> Path:
    """Kubeconfig of the API server that one manager after the other has for itself."""
    return kube_apis.start("manager").kubeconfig


@pytest.fixture
async def stage(manager_api: Path) -> AsyncIterator[Stage]:
    """A stage for one manager, with nothing on it."""
    async with a_stage_on(manager_api) as made:
        yield made


@pytest.fixture(scope="session")
def process_api(kube_apis: KubeApis) -> Path:
    """Kubeconfig of the API server that managers have for themselves that are processes of their own."""
    return kube_apis.start("manager-process").kubeconfig


@pytest.fixture
async def process_stage(process_api: Path) -> AsyncIterator[Stage]:
    """A stage for them, with nothing on it."""
    async with a_stage_on(process_api) as made:
        yield made


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server in operator mode that is not started; it ends with the test."""
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder)
    server.reserve_port()
    yield server
    server.kill()
