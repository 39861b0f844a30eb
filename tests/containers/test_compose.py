"""The fleet of compose.yaml: up, hardened, apart where it should be, and at work while its parts die or are cut off."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.composition import NODE_ON_BUS, Composition, outcome
from tests.containers.engine import docker, inspected, until

pytestmark = pytest.mark.timeout(300, func_only=True)
SERVICES = ("manager", "status", "tenant-watcher", "dataplane-programmer")
REACHES = {
    "nats": {"bus"},
    "etcd": {"etcd"},
    "management-api": {"etcd", "management", "published"},
    "tenant-api": {"etcd", "tenant", "published"},
    "manager": {"bus", "management"},
    "status": {"bus", "management"},
    "tenant-watcher": {"bus", "tenant"},
    "balancer-node": {"bus", "nodes", "edge"},
}
GREETING = """
import json, socket
with socket.create_connection(("nats", 4222), 5) as connection:
    told = json.loads(connection.makefile().readline().removeprefix("INFO "))
print(json.dumps([told.get("tls_required"), told.get("tls_verify")]))
"""


@pytest.fixture(scope="module")
def serving(fleet: Composition) -> Composition:
    """A fleet with one Service that serves."""
    said = fleet.demonstrate()
    assert "it says Serving=True" in said
    assert f"{fleet.vip} answered: acme node-1" in said
    return fleet


def test_a_service_gets_an_address_and_a_packet_comes_through_it(serving: Composition) -> None:
    assert outcome(serving.dialling(1))["failures"] == []


def test_whoever_runs_may_next_to_nothing(fleet: Composition) -> None:
    running = fleet.containers()
    assert len(running) >= 12
    for service, container in running.items():
        host = container["HostConfig"]
        is_network = service == "balancer-node"
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["CapAdd"] in (["NET_ADMIN"], ["CAP_NET_ADMIN"]) if is_network else not host["CapAdd"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert container["Config"]["User"] == ("0:0" if is_network else "10001:10001"), service
        assert not host["Privileged"], service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service
        assert not any(bind.startswith("/var/run") for bind in host["Binds"] or ()), service


def test_each_reaches_the_networks_that_it_needs(fleet: Composition) -> None:
    running = fleet.containers()
    for service, wanted in REACHES.items():
        networks = running[service]["NetworkSettings"]["Networks"]
        assert {name.removeprefix(f"{fleet.name}_") for name in networks} == wanted, service
    for service in ("envoy", "dataplane-programmer"):
        assert running[service]["HostConfig"]["NetworkMode"] == f"container:{running['balancer-node']['Id']}"
    for name in {network for wanted in REACHES.values() for network in wanted} - {"published"}:
        assert json.loads(docker("network", "inspect", f"{fleet.name}_{name}"))[0]["Internal"], name


def test_each_reads_its_own_keys_and_the_operators_seed_is_the_managers_alone(fleet: Composition) -> None:
    for service, container in fleet.containers().items():
        keys = {mount["Name"].removeprefix(f"{fleet.name}_") for mount in container["Mounts"] if "Name" in mount}
        keys = {name for name in keys if name.endswith("-keys") or name == "safe"}
        assert len(keys) <= 1, service
        assert ("manager-keys" in keys) == (service == "manager"), service
        assert "safe" not in keys, service


def test_nats_speaks_to_nobody_without_a_certificate(fleet: Composition) -> None:
    command = ("run", "--rm", "--no-deps", "--no-TTY", "--entrypoint", "/opt/fleetlb/bin/python", "fleetlb", "-c")
    assert json.loads(fleet.run("--profile", "tools", *command, GREETING)) == [True, True]


def test_an_operator_sees_that_nothing_is_wrong(serving: Composition) -> None:
    said = serving.run("--profile", "tools", "run", "--rm", "--no-deps", "--no-TTY", "fleetlb", "status")
    assert "nothing is wrong" in said


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_comes_back_and_traffic_goes_on(serving: Composition, service: str) -> None:
    client = serving.dialling(8)
    serving.kill(service)
    assert outcome(client)["failures"] == []


def test_a_killed_envoy_comes_back_and_serves_what_it_served(serving: Composition) -> None:
    serving.kill("envoy")
    until(lambda: not outcome(serving.dialling(1))["failures"], "an answer through the new Envoy")


def test_while_nats_hangs_traffic_goes_on_and_afterwards_changes_do(serving: Composition) -> None:
    client = serving.dialling(6)
    serving.run("pause", "nats")
    try:
        assert outcome(client)["failures"] == []
    finally:
        serving.run("unpause", "nats")
    until(lambda: all(map(serving.is_healthy, SERVICES)), "health without NATS' pause")
    assert "Serving=True" in serving.demonstrate()


def test_a_balancer_node_cut_off_from_the_bus_serves_on_and_follows_again(serving: Composition) -> None:
    bus, node = f"{serving.name}_bus", f"{serving.name}-balancer-node-1"
    client = serving.dialling(6)
    docker("network", "disconnect", bus, node)
    try:
        assert bus not in inspected(node)[0]["NetworkSettings"]["Networks"]
        assert outcome(client)["failures"] == []
    finally:
        docker("network", "connect", "--ip", NODE_ON_BUS, "--alias", "balancer-node", bus, node)
    until(lambda: serving.is_healthy("dataplane-programmer"), "the programmer's return to the bus", 90)
    assert "Serving=True" in serving.demonstrate()


def test_what_watches_it_is_a_composition_that_docker_understands(fleet: Composition) -> None:
    """Its images come from a registry, so it is only read here."""
    read = json.loads(fleet.run("--profile", "observability", "config", "--format", "json"))
    watching = {name for name, service in read["services"].items() if "observability" in service.get("profiles", [])}
    assert watching >= {"prometheus", "tempo", "grafana"}
    for name in watching:
        for mount in read["services"][name].get("volumes", []):
            assert mount["type"] != "bind" or Path(mount["source"]).exists(), mount


def test_a_cluster_is_reached_from_outside_by_the_line_of_the_page(fleet: Composition, tmp_path: Path) -> None:
    place = fleet.run("port", "tenant-api", "6443")
    assert place.startswith("127.0.0.1:")
    line = ("run", "--rm", "-T", "--no-deps", "keys", "kubeconfig", "tenant", f"https://{place}")
    (tmp_path / "kubeconfig").write_text(fleet.run(*line))
    kubectl = Path(sys.executable).with_name("kubectl")
    asking = [str(kubectl), "--kubeconfig", str(tmp_path / "kubeconfig"), "get", "--raw", "/readyz"]
    assert subprocess.check_output(asking, text=True, timeout=60) == "ok"
