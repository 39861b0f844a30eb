"""Keys, certificates, credentials and settings of the fleet in compose.yaml: one folder for each reader, and no more in
it than that one needs.

Secrets are made once and kept, certificates are made anew each time. It must not know any server that runs.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec
import trustme

from fleetlb.runtime.nats_config import ServerConfig, ServerTls, server_config
from fleetlb.runtime.nats_permissions import node_permissions
from fleetlb_cli.hub import keeping, minting
from fleetlb_cli.hub.minting import Accounts
from fleetlb_cli.local import kubernetes
from fleetlb_cli.local.kubernetes import ApiServer, Etcd
from fleetlb_cli.local.layout import replace_file

SEEN = Path("/etc/fleetlb")
"""Where every container has its own folder."""
CONTROL_PLANE = "/usr/bin/controlplane"
ETCD = Etcd(data=Path("/var/lib/fleetlb/etcd"), client_port=2379, peer_port=2380, host="etcd", bind="0.0.0.0")  # noqa: S104
CLUSTERS = {"management": "operator", "tenant": "user"}
"""And who administers each."""
CONTROLLERS_PORT = 10257


def api_server(cluster: str, token: str, folder: Path = SEEN) -> ApiServer:
    """One of the two API servers as its clients know it; `folder`: where its files are for whoever asks."""
    return ApiServer(name=cluster, folder=folder, port=6443, token=token, host=f"{cluster}-api", bind="0.0.0.0")  # noqa: S104


def write(keys: Path, now: int, *, group: str, node: str) -> None:
    """Everything that can be written before the first server runs. `now`: in seconds since 1970."""
    hub = kept_authority(keys / "safe", "hub")
    accounts = keeping.make_keys(keys / "safe", "fleetlb", now)
    seeds = keeping.read_seeds(keys / "safe")
    _nats(keys / "nats", accounts, hub)
    rights = {"manager": None, "status": None, "operator": None, "node": node_permissions(group, node)}
    for reader, permissions in rights.items():
        put(keys / reader / "nats.creds", minting.user(reader, seeds.hub, now, permissions))
    for reader in (*rights, "watcher"):
        _certificate(keys / reader, hub, hub.issue_cert(f"{reader}.fleetlb.internal"))
    put(keys / "manager" / "system.creds", minting.user("system", seeds.system, now))
    put(keys / "manager" / "operator.seed", seeds.operator)
    put(keys / "manager" / "run.json", _environ({"FLEETLB_NATS_HUB_ACCOUNT": accounts.hub}))
    put(keys / "node" / "run.json", _environ({"FLEETLB_NATS_OPERATOR_KEY": accounts.operator_key}))
    put(keys / "etcd" / "run.json", _command("etcd", kubernetes.etcd_arguments(ETCD)))
    for cluster, administrator in CLUSTERS.items():
        put(keys / administrator / "kubeconfig", _cluster(keys, cluster))


def kubeconfig(keys: Path, cluster: str, url: str | None = None) -> str:
    """A kubeconfig for an API server; `url`: where it is reached from elsewhere."""
    server = api_server(cluster, token_of(keys, cluster))
    authority = kept_authority(keys / "safe", cluster).cert_pem.bytes()
    text = kubernetes.kubeconfig_text(server, authority)
    return text if url is None else text.replace(server.url, url)


def token_of(keys: Path, cluster: str) -> str:
    """An administrator's token, made once."""
    path = keys / "safe" / f"{cluster}.token"
    if not path.exists():
        put(path, secrets.token_urlsafe(32))
    return path.read_text()


def put(path: Path, text: str | bytes) -> None:
    """One file, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode() if isinstance(text, str) else text)


def kept_authority(safe: Path, name: str) -> trustme.CA:
    """A certificate authority that is made once."""
    cert, key = safe / f"{name}-ca.crt", safe / f"{name}-ca.key"
    if not cert.exists():
        made = trustme.CA(organization_name=f"fleetlb {name}")
        put(key, made.private_key_pem.bytes())
        put(cert, made.cert_pem.bytes())
    return trustme.CA.from_pem(cert.read_bytes(), key.read_bytes())


def _nats(folder: Path, accounts: Accounts, authority: trustme.CA) -> None:
    server = ServerConfig(
        name="nats",
        operator_jwt=accounts.operator_jwt,
        system_account=accounts.system,
        accounts=accounts.preloaded,
        directory=Path("/var/lib/fleetlb"),
        host="0.0.0.0",  # noqa: S104 - its container's own network
        port=4222,
        monitor_port=8222,
        monitor_host="127.0.0.1",
        tls=ServerTls(cert=SEEN / "tls.crt", key=SEEN / "tls.key", ca=SEEN / "ca.crt"),
    )
    put(folder / "nats.conf", server_config(server))
    _certificate(folder, authority, authority.issue_cert("nats"))


def _certificate(folder: Path, authority: trustme.CA, leaf: trustme.LeafCert) -> None:
    put(folder / "ca.crt", authority.cert_pem.bytes())
    put(folder / "tls.crt", b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    put(folder / "tls.key", leaf.private_key_pem.bytes())


def _cluster(keys: Path, cluster: str) -> str:
    """What an API server and its controllers read; returns the administrator's kubeconfig."""
    folder = keys / cluster
    server = api_server(cluster, token_of(keys, cluster))
    authority = kept_authority(keys / "safe", cluster)
    leaf = authority.issue_cert(server.host, "localhost", "127.0.0.1")
    # Where --cert-dir has both, it makes none. The key also signs ServiceAccounts' tokens, so it is kept.
    certificate, key = (folder / path.relative_to(SEEN) for path in (server.certificate, server.key))
    if not key.exists():
        put(certificate, b"".join(blob.bytes() for blob in (*leaf.cert_chain_pems, authority.cert_pem)))
        put(key, leaf.private_key_pem.bytes())
    text = kubeconfig(keys, cluster)
    put(folder / "tokens.csv", kubernetes.token_file(server.token))
    put(folder / "kubeconfig", text)
    put(folder / "api.json", _command("kube-apiserver", kubernetes.apiserver_arguments(server, ETCD)))
    controllers = kubernetes.controller_manager_arguments(server, CONTROLLERS_PORT)
    put(folder / "controllers.json", _command("kube-controller-manager", controllers))
    return text


def _environ(environ: Mapping[str, str]) -> bytes:
    return msgspec.json.encode({"environ": environ})


def _command(part: str, arguments: tuple[str, ...]) -> bytes:
    return msgspec.json.encode({"command": [CONTROL_PLANE, part, *arguments]})
