"""Writes the manifest that a tenant's cluster joins with."""

import time
from pathlib import Path

import msgspec

from fleetlb.contracts.tenants import WATCHER_CREDENTIALS_KEY
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.fleet_objects import TENANTS
from fleetlb_cli.local.layout import replace_file
from fleetlb_cli.papers import NO_PAPERS, Papers
from fleetlb_cli.tenants.failures import Failed
from fleetlb_cli.tenants.looking import read_secret
from fleetlb_cli.tenants.manifests import Joining, installing, manifest, secrets, to_yaml
from fleetlb_cli.tenants.offering import good_until, offer_of, trouble_with
from fleetlb_cli.tenants.times import spelled

STDOUT = "-"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever lets a cluster join says of it."""

    nats_url: str
    image: str
    load_balancer_class: str | None = None
    secret_only: bool = False
    papers: Papers = NO_PAPERS


async def join(cluster: Cluster, name: str, output: str, choice: Choice) -> str:
    """The manifest itself for STDOUT, else what to do with the file. Raises Failed or ApiError."""
    tenant = await cluster.get(TENANTS, name)
    secret = await read_secret(cluster, tenant)
    offer = offer_of(secret)
    trouble = trouble_with(tenant, offer, time.time())
    if trouble or offer is None or secret is None:
        raise Failed(trouble)
    joining = Joining(
        nats_url=choice.nats_url,
        image=choice.image,
        credentials=secret["data"][WATCHER_CREDENTIALS_KEY],
        load_balancer_class=choice.load_balancer_class,
        pod_backends=bool(tenant.spec.pod_cidrs),
        papers=choice.papers,
    )
    text = to_yaml(secrets(joining) if choice.secret_only else manifest(joining))
    if output == STDOUT:
        return text.removesuffix("\n")
    _write(Path(output), text)
    return told(output, good_until(tenant, offer), secret_only=choice.secret_only)


def told(output: str, until: int | None, *, secret_only: bool = False) -> str:
    """How the watcher is installed, until when that is possible, and what the file is."""
    ends = "for ever, unless they are revoked" if until is None else f"until {spelled(until)}, unless revoked before"
    return "\n".join(
        [
            *(installing(output)[:1] if secret_only else installing(output)),
            f"The credentials in {output} can be used to join {ends}.",
            "The file is a secret: whoever has it can speak for this tenant. Delete it when the watcher is ready.",
        ]
    )


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as problem:
        raise Failed(f"cannot write {path}: {problem.strerror}; name another file with -o") from problem
