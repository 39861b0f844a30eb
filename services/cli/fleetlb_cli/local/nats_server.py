"""The fleet's NATS server in operator mode: keys are made once and kept, its files are written at each start.

The JWTs and the server's own grammar are `fleetlb.runtime`'s; this module only knows which accounts a local hub needs.
"""

from pathlib import Path

import msgspec

from fleetlb.runtime.nats_config import ServerConfig, server_config
from fleetlb.runtime.nats_permissions import INTEGRATION_PERMISSIONS, node_permissions
from fleetlb_cli.hub import minting
from fleetlb_cli.hub.minting import Accounts, Seeds
from fleetlb_cli.local.layout import NatsPlace, read_json, replace_file, write_json


class Hub(msgspec.Struct, frozen=True, kw_only=True):
    """What the rest of the fleet is told about the bus."""

    folder: Path
    port: int
    monitor_port: int
    hub_account: str
    operator_key: str

    @property
    def url(self) -> str:
        """What clients dial."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor(self) -> str:
        """The server's monitoring pages."""
        return f"http://127.0.0.1:{self.monitor_port}"

    @property
    def configuration(self) -> Path:
        """The server's configuration file."""
        return self.folder / "nats.conf"

    @property
    def hub_creds(self) -> Path:
        """A user of the hub account."""
        return self.folder / "hub.creds"

    @property
    def system_creds(self) -> Path:
        """A user of the system account."""
        return self.folder / "system.creds"

    @property
    def integration_creds(self) -> Path:
        """A user of the hub account that reads events alone."""
        return self.folder / "integration.creds"

    @property
    def node_creds(self) -> Path:
        """A user of the hub account that is the one balancer node."""
        return self.folder / "node.creds"

    @property
    def operator_seed(self) -> Path:
        """The key that signs accounts: the manager's alone."""
        return self.folder / "operator.seed"

    @property
    def place(self) -> NatsPlace:
        """What env.json says of it."""
        return NatsPlace(
            url=self.url,
            hub_creds=str(self.hub_creds),
            system_creds=str(self.system_creds),
            monitor=self.monitor,
            integration_creds=str(self.integration_creds),
        )


def prepare(folder: Path, port: int, monitor_port: int, *, node: tuple[str, str], now: int) -> Hub:
    """Write everything that the server and its clients read. `node`: the group and name of the one balancer node."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    seeds = _seeds(folder / "seeds.json")
    accounts = minting.accounts(seeds, "fleetlb-local", now)
    hub = Hub(
        folder=folder,
        port=port,
        monitor_port=monitor_port,
        hub_account=accounts.hub,
        operator_key=accounts.operator_key,
    )
    users = {
        hub.hub_creds: minting.user("hub", seeds.hub, now),
        hub.integration_creds: minting.user("integration", seeds.hub, now, INTEGRATION_PERMISSIONS),
        hub.node_creds: minting.user(node[1], seeds.hub, now, node_permissions(*node)),
        hub.system_creds: minting.user("system", seeds.system, now),
    }
    for path, creds in users.items():
        replace_file(path, creds.encode())
    replace_file(hub.configuration, _configuration(hub, accounts).encode())
    replace_file(hub.operator_seed, seeds.operator.encode())
    return hub


def _seeds(path: Path) -> Seeds:
    """The kept keys; new ones would make every tenant's credentials worthless."""
    kept = read_json(path, Seeds)
    if kept is None:
        kept = minting.new_seeds()
        write_json(path, kept)
    return kept


def _configuration(hub: Hub, accounts: Accounts) -> str:
    return server_config(
        ServerConfig(
            name="fleetlb-local",
            operator_jwt=accounts.operator_jwt,
            system_account=accounts.system,
            accounts=accounts.preloaded,
            directory=hub.folder,
            port=hub.port,
            monitor_port=hub.monitor_port,
        )
    )
