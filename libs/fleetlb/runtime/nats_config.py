"""Writes the configuration text of a nats-server in operator mode with a full resolver.

Pure: paths and JWTs go in, text comes out. It must not start a server or touch a file.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

MIB = 1024 * 1024
MAX_STORE_BYTES = 1024**4
"""Streams reserve their bounds, 2 GiB for each balancer group, and the server refuses those beyond its store's. Its own
defaults are three quarters of the memory and of what the disk has left, which reservations reach long before either is
full."""


class ServerTls(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files of a server that admits nobody without TLS; `ca`: nor without a certificate that this vouches for."""

    cert: Path
    key: Path
    ca: Path | None = None


class ServerRoutes(msgspec.Struct, frozen=True, kw_only=True):
    """A server's place in a cluster: the port for its peers, and the ports of all of them on the same host."""

    cluster: str
    port: int
    peers: tuple[int, ...]


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server on one host. Port -1 lets the server choose; `ports_directory` then tells which it chose."""

    name: str
    operator_jwt: str
    system_account: str
    accounts: dict[str, str]
    directory: Path
    host: str = "127.0.0.1"
    port: int = -1
    monitor_port: int | None = None
    monitor_host: str | None = None
    """Where the monitoring pages are, which show much and ask for nothing; None: at `host`."""
    ports_directory: Path | None = None
    max_payload: int = MIB
    sync_always: bool = False
    tls: ServerTls | None = None
    routes: ServerRoutes | None = None

    @property
    def pid_file(self) -> Path:
        """Where the server writes its process id."""
        return self.directory / "nats.pid"

    @property
    def resolver_directory(self) -> Path:
        """Where the server keeps the accounts that were pushed to it."""
        return self.directory / "accounts"

    @property
    def store_directory(self) -> Path:
        """Where JetStream keeps its streams."""
        return self.directory / "jetstream"


def server_config(config: ServerConfig) -> str:
    """The text of the server's configuration file."""
    lines = [
        f"server_name: {_quoted(config.name)}",
        f"host: {_quoted(config.host)}",
        f"port: {config.port}",
        f"pid_file: {_quoted(config.pid_file)}",
        f"max_payload: {config.max_payload}",
        "jetstream {",
        f"  store_dir: {_quoted(config.store_directory)}",
        f"  max_memory_store: {MAX_STORE_BYTES}",
        f"  max_file_store: {MAX_STORE_BYTES}",
        *(["  sync_interval: always"] if config.sync_always else []),
        "}",
        accounts_config(config.operator_jwt, config.system_account, config.accounts).rstrip(),
        "resolver {",
        "  type: full",
        f"  dir: {_quoted(config.resolver_directory)}",
        "  allow_delete: true",
        '  interval: "2m"',
        "}",
    ]
    if config.monitor_port is not None:
        lines.append(f'http: "{config.monitor_host or config.host}:{config.monitor_port}"')
    if config.tls is not None:
        lines += _tls(config.tls)
    if config.routes is not None:
        lines += _cluster(config.host, config.routes)
    if config.ports_directory is not None:
        lines.append(f"ports_file_dir: {_quoted(config.ports_directory)}")
    return "\n".join(lines) + "\n"


def accounts_config(operator_jwt: str, system_account: str, accounts: Mapping[str, str]) -> str:
    """The part that says whom the server trusts, for a configuration that somebody else writes to include."""
    lines = [
        f"operator: {operator_jwt}",
        f"system_account: {system_account}",
        "resolver_preload {",
        *(f"  {account}: {jwt}" for account, jwt in sorted(accounts.items())),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _tls(tls: ServerTls) -> list[str]:
    verifying = [f"  ca_file: {_quoted(tls.ca)}", "  verify: true"] if tls.ca is not None else []
    return ["tls {", f"  cert_file: {_quoted(tls.cert)}", f"  key_file: {_quoted(tls.key)}", *verifying, "}"]


def _cluster(host: str, routes: ServerRoutes) -> list[str]:
    peers = [_quoted(f"nats://{host}:{port}") for port in routes.peers if port != routes.port]
    listen = _quoted(f"{host}:{routes.port}")
    return [
        "cluster {",
        f"  name: {_quoted(routes.cluster)}",
        f"  listen: {listen}",
        f"  routes: [{', '.join(peers)}]",
        "}",
    ]


def _quoted(value: str | Path) -> str:
    return msgspec.json.encode(str(value)).decode()
