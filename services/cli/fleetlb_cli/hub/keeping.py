"""A hub's keys as files in one folder, which only their owner can read; what is there already is kept."""

import os
from pathlib import Path

import msgspec
import yaml

from fleetlb.domain.errors import FleetlbError
from fleetlb.kube.resources import Object
from fleetlb.runtime.nats_accounts import public_key
from fleetlb.runtime.nats_config import accounts_config
from fleetlb_cli.hub import minting
from fleetlb_cli.hub.minting import Accounts, Seeds
from fleetlb_cli.local.layout import replace_file

SEEDS, ACCOUNTS, SECRETS = "seeds.json", "accounts.conf", "secrets.yaml"
HUB_CREDS, SYSTEM_CREDS, OPERATOR_SEED = "hub.creds", "system.creds", "operator.seed"
HUB_ACCOUNT = "hub.account"
NAMESPACE = "fleetlb-system"
SECRET, ACCOUNTS_SECRET = "fleetlb-hub", "fleetlb-nats-accounts"


class KeysUnusable(FleetlbError):
    """The folder does not hold a hub's keys; the text names the file and the cure."""


def read_seeds(folder: Path) -> Seeds:
    """The keys that `make_keys` made. Raises KeysUnusable."""
    path = folder / SEEDS
    try:
        seeds = msgspec.json.decode(path.read_bytes(), type=Seeds)
        kinds = "".join(public_key(seed)[0] for seed in (seeds.operator, seeds.system, seeds.hub))
    except OSError as problem:
        text = f"{path} cannot be read ({problem.strerror}): name the folder of `fleetlb hub init`"
        raise KeysUnusable(text) from None
    except ValueError:  # also what msgspec raises; its words may quote a seed
        raise KeysUnusable(f"{path} holds no keys of a hub: take it back from your backup") from None
    if kinds != "OAA":
        raise KeysUnusable(f"{path} holds keys of other kinds: take it back from your backup")
    return seeds


def make_keys(folder: Path, operator: str, now: int) -> Accounts:
    """Write what is missing. Raises KeysUnusable, OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / SEEDS).exists():
        _keep(folder / SEEDS, msgspec.json.encode(minting.new_seeds()).decode())
    seeds = read_seeds(folder)
    accounts = minting.accounts(seeds, operator, now)
    texts = {
        OPERATOR_SEED: seeds.operator,
        HUB_CREDS: minting.user("hub", seeds.hub, now),
        SYSTEM_CREDS: minting.user("system", seeds.system, now),
        ACCOUNTS: accounts_config(accounts.operator_jwt, accounts.system, accounts.preloaded),
    }
    for name, text in texts.items():
        _keep(folder / name, text)
    _keep(folder / SECRETS, yaml.safe_dump_all(_secrets(folder, accounts.hub), sort_keys=False, explicit_start=True))
    return accounts


def _secrets(folder: Path, hub: str) -> list[Object]:
    """What the hub's pods mount, and the public key of their account beside it."""
    files = {name: (folder / name).read_text() for name in (HUB_CREDS, SYSTEM_CREDS, OPERATOR_SEED)}
    return [
        _secret(SECRET, {**files, HUB_ACCOUNT: hub}),
        _secret(ACCOUNTS_SECRET, {ACCOUNTS: (folder / ACCOUNTS).read_text()}),
    ]


def _secret(name: str, texts: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "type": "Opaque",
        "stringData": texts,
    }


def _keep(path: Path, text: str) -> None:
    """Write a file that is not there."""
    if not os.path.lexists(path):
        replace_file(path, text.encode())
