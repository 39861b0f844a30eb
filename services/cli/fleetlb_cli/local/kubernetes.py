"""Command lines and credentials of etcd, kube-apiserver and kube-controller-manager: pure functions of where they live.

One etcd serves every API server, each under its own prefix. An API server signs its own certificate into its folder
(so it has its own CA), and the same key signs its ServiceAccount tokens. Nothing here starts anything.
"""

import base64
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
)
"""Not node-lifecycle: Nodes made by hand have no kubelet and would turn Unknown."""
SERVICE_RANGES = "10.96.0.0/16,fd00:10:96::/112"
AUDIT_MEBIBYTES = 32
"""Of an audit log; beside it one older file is kept."""


class Etcd(msgspec.Struct, frozen=True, kw_only=True):
    """One etcd and where it listens."""

    data: Path
    client_port: int
    peer_port: int
    host: str = "127.0.0.1"
    """What API servers know it by."""
    bind: str = "127.0.0.1"
    """The address it listens on for them."""

    @property
    def url(self) -> str:
        """What API servers dial."""
        return f"http://{self.host}:{self.client_port}"


class ApiServer(msgspec.Struct, frozen=True, kw_only=True):
    """One API server: its name is its prefix in etcd."""

    name: str
    folder: Path
    port: int
    token: str
    host: str = "127.0.0.1"
    """What clients know it by."""
    bind: str = "127.0.0.1"
    """The address it listens on."""

    @property
    def url(self) -> str:
        """What clients dial."""
        return f"https://{self.host}:{self.port}"

    @property
    def certificate(self) -> Path:
        """The certificate it signs for itself at the first start, with its CA."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def key(self) -> Path:
        """The certificate's key, which also signs ServiceAccount tokens."""
        return self.folder / "certs" / "apiserver.key"

    @property
    def tokens(self) -> Path:
        """The file that makes the token cluster-admin."""
        return self.folder / "tokens.csv"

    @property
    def kubeconfig(self) -> Path:
        """Cluster-admin here, worth nothing elsewhere."""
        return self.folder / "kubeconfig"

    def kubeconfig_of(self, account: str) -> Path:
        """With the rights of one ServiceAccount alone."""
        return self.folder / f"{account}.kubeconfig"

    @property
    def audit_policy(self) -> Path:
        """What is written into the audit log."""
        return self.folder / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        """What our services asked for, and whether they were let."""
        return self.folder / "audit.log"


def etcd_arguments(etcd: Etcd) -> tuple[str, ...]:
    """No fsync: the data survives a killed process, and a power cut is not what a local fleet is for."""
    peer = f"http://127.0.0.1:{etcd.peer_port}"
    return (
        f"--data-dir={etcd.data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls=http://{etcd.bind}:{etcd.client_port}",
        f"--advertise-client-urls={etcd.url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=error",
    )


def apiserver_arguments(server: ApiServer, etcd: Etcd) -> tuple[str, ...]:
    """--advertise-address is needed where there is no default route; loopback is no endpoint, so none is reconciled."""
    return (
        f"--etcd-servers={etcd.url}",
        f"--etcd-prefix=/{server.name}",
        f"--secure-port={server.port}",
        f"--bind-address={server.bind}",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={server.certificate.parent}",
        f"--service-cluster-ip-range={SERVICE_RANGES}",
        f"--service-account-issuer=https://{server.name}.fleetlb.local",
        f"--service-account-key-file={server.key}",
        f"--service-account-signing-key-file={server.key}",
        f"--token-auth-file={server.tokens}",
        "--authorization-mode=RBAC",
        # No controller here makes ServiceAccounts, nor lifts the not-ready taint of a Node made by hand.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        "--allow-privileged=true",
        "--profiling=false",
    )


def audit_arguments(server: ApiServer) -> tuple[str, ...]:
    """A log by which rights that nobody uses, and refusals that nobody notices, are found."""
    return (
        f"--audit-policy-file={server.audit_policy}",
        f"--audit-log-path={server.audit_log}",
        f"--audit-log-maxsize={AUDIT_MEBIBYTES}",
        "--audit-log-maxbackup=1",
    )


def audit_policy_text(namespaces: Iterable[str]) -> str:
    """Who asked for what, of the ServiceAccounts of these namespaces alone. A watch is told as it begins."""
    groups = [f"system:serviceaccounts:{namespace}" for namespace in namespaces]
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": groups}, {"level": "None"}],
    }
    return str(yaml.safe_dump(policy, sort_keys=False))


def controller_manager_arguments(server: ApiServer, port: int) -> tuple[str, ...]:
    """The few controllers without which namespaces never end and owners' children never go."""
    return (
        f"--kubeconfig={server.kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--authentication-skip-lookup=true",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    )


def token_file(token: str) -> str:
    """One line of --token-auth-file: token, user, uid, groups."""
    return f'{token},admin,admin,"system:masters"\n'


def kubeconfig_text(server: ApiServer, authority: bytes, user: str = "admin", token: str = "") -> str:
    """A kubeconfig that trusts this API server's own CA alone, and can be copied elsewhere on the machine.

    Without a token it has the administrator's.
    """
    cluster = {"server": server.url, "certificate-authority-data": base64.b64encode(authority).decode()}
    return str(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": server.name, "cluster": cluster}],
                "users": [{"name": user, "user": {"token": token or server.token}}],
                "contexts": [{"name": server.name, "context": {"cluster": server.name, "user": user}}],
                "current-context": server.name,
            },
            sort_keys=False,
        )
    )
