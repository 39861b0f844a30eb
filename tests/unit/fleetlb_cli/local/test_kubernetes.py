"""Command lines and credentials of the control plane's parts."""

import base64
from pathlib import Path

import yaml

from fleetlb_cli.local import kubernetes
from fleetlb_cli.local.kubernetes import ApiServer, Etcd

ETCD = Etcd(data=Path("/state/etcd"), client_port=1001, peer_port=1002)
SERVER = ApiServer(name="acme", folder=Path("/state/acme"), port=1003, token="secret")


def test_etcd_listens_on_loopback_alone() -> None:
    arguments = kubernetes.etcd_arguments(ETCD)
    assert "--listen-client-urls=http://127.0.0.1:1001" in arguments
    assert all("127.0.0.1" in text for text in arguments if "url" in text)


def test_api_servers_share_etcd_by_prefix_and_are_dual_stack() -> None:
    arguments = kubernetes.apiserver_arguments(SERVER, ETCD)
    assert "--etcd-prefix=/acme" in arguments
    assert "--etcd-servers=http://127.0.0.1:1001" in arguments
    assert "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112" in arguments
    assert "--bind-address=127.0.0.1" in arguments


def test_an_api_servers_own_key_signs_its_tokens() -> None:
    arguments = kubernetes.apiserver_arguments(SERVER, ETCD)
    assert "--cert-dir=/state/acme/certs" in arguments
    assert "--service-account-signing-key-file=/state/acme/certs/apiserver.key" in arguments


def test_no_controller_watches_over_nodes() -> None:
    arguments = kubernetes.controller_manager_arguments(SERVER, 1004)
    controllers = next(text for text in arguments if text.startswith("--controllers="))
    assert "namespace-controller" in controllers
    assert "garbage-collector-controller" in controllers
    assert "endpointslice-controller" in controllers
    assert "node" not in controllers
    assert "*" not in controllers


def test_the_token_makes_a_cluster_admin() -> None:
    assert kubernetes.token_file("secret") == 'secret,admin,admin,"system:masters"\n'


def test_the_kubeconfig_carries_address_authority_and_token() -> None:
    config = yaml.safe_load(kubernetes.kubeconfig_text(SERVER, b"PEM"))
    assert config["current-context"] == "acme"
    cluster = config["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:1003"
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"PEM"
    assert config["users"][0]["user"] == {"token": "secret"}
