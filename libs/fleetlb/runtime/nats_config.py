"""Writes the configuration text of a nats-server in operator mode with a full resolver.

Pure: paths and JWTs go in, text comes out. It must not start a server or touch a file.
"""

from pathlib import Path

import msgspec

MIB = 1024 * 1024
MAX_STORE_BYTES = 1024**4
"""Streams reserve their bounds, 2 GiB for each balancer group, and the server refuses those beyond its store's. Its own
defaults are three quarters of the memory and of what the disk has left, which reservations reach long before either is
full."""


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
    ports_directory: Path | None = None
    max_payload: int = MIB
    sync_always: bool = False

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
        f"operator: {config.operator_jwt}",
        f"system_account: {config.system_account}",
        "resolver {",
        "  type: full",
        f"  dir: {_quoted(config.resolver_directory)}",
        "  allow_delete: true",
        '  interval: "2m"',
        "}",
        "resolver_preload {",
        *(f"  {account}: {jwt}" for account, jwt in sorted(config.accounts.items())),
        "}",
    ]
    if config.monitor_port is not None:
        lines.append(f'http: "{config.host}:{config.monitor_port}"')
    if config.ports_directory is not None:
        lines.append(f"ports_file_dir: {_quoted(config.ports_directory)}")
    return "\n".join(lines) + "\n"


def _quoted(value: str | Path) -> str:
    return msgspec.json.encode(str(value)).decode()
