"""The fleet's NATS server in operator mode: keys are made once and kept, its files are written at each start.

The JWTs and the server's own grammar are `fleetlb.runtime`'s; this module only knows which accounts a local hub needs.
"""

from pathlib import Path

import msgspec

from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_config import ServerConfig, server_config
from fleetlb_cli.local.layout import NatsPlace, read_json, replace_file, write_json


class Seeds(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's key and those of the two accounts that exist before any tenant."""

    operator: str
    system: str
    hub: str


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


def prepare(folder: Path, port: int, monitor_port: int, now: int) -> Hub:
    """Write everything that the server and its clients read."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    seeds = _seeds(folder / "seeds.json")
    hub = Hub(
        folder=folder,
        port=port,
        monitor_port=monitor_port,
        hub_account=nats_accounts.public_key(seeds.hub),
        operator_key=nats_accounts.public_key(seeds.operator),
    )
    replace_file(hub.configuration, _configuration(hub, seeds, now).encode())
    replace_file(hub.hub_creds, _creds("hub", seeds.hub, now).encode())
    replace_file(
        hub.integration_creds,
        _creds("integration", seeds.hub, now, nats_accounts.INTEGRATION_PERMISSIONS).encode(),
    )
    replace_file(hub.system_creds, _creds("system", seeds.system, now).encode())
    replace_file(hub.operator_seed, seeds.operator.encode())
    return hub


def _seeds(path: Path) -> Seeds:
    """The kept keys; new ones would make every tenant's credentials worthless."""
    kept = read_json(path, Seeds)
    if kept is None:
        operator, system, hub = map(nats_accounts.new_seed, (KeyKind.OPERATOR, KeyKind.ACCOUNT, KeyKind.ACCOUNT))
        kept = Seeds(operator=operator, system=system, hub=hub)
        write_json(path, kept)
    return kept


def _configuration(hub: Hub, seeds: Seeds, now: int) -> str:
    """Operator, system and hub account; tenants' accounts are pushed by the manager while the server runs."""
    system = nats_accounts.public_key(seeds.system)
    minted = {
        system: nats_accounts.account_jwt(nats_accounts.system_account_claims(), system, seeds.operator, issued_at=now),
        hub.hub_account: nats_accounts.account_jwt(
            nats_accounts.hub_account_claims(), hub.hub_account, seeds.operator, issued_at=now
        ),
    }
    operator = nats_accounts.operator_jwt("fleetlb-local", seeds.operator, system_account=system, issued_at=now)
    return server_config(
        ServerConfig(
            name="fleetlb-local",
            operator_jwt=operator,
            system_account=system,
            accounts=minted,
            directory=hub.folder,
            port=hub.port,
            monitor_port=hub.monitor_port,
        )
    )


def _creds(name: str, account_seed: str, now: int, permissions: nats_accounts.Permissions | None = None) -> str:
    """A user that never expires: it lives and dies with the state folder."""
    seed = nats_accounts.new_seed(KeyKind.USER)
    user = nats_accounts.public_key(seed)
    jwt = nats_accounts.user_jwt(name, user, account_seed, issued_at=now, permissions=permissions)
    return nats_accounts.creds_file(jwt, seed)
