"""A tenant, its cluster, its load balancers and the credentials that it is offered."""

import base64

from fleetlb.contracts.object_meta import ObjectMeta
from fleetlb.contracts.objects import LoadBalancer, LoadBalancerSpec, LoadBalancerStatus
from fleetlb.contracts.tenants import (
    CredentialRules,
    Quotas,
    Revocation,
    Tenant,
    TenantCluster,
    TenantClusterSpec,
    TenantClusterStatus,
    TenantSpec,
    TenantStatus,
    TenantUsage,
)
from fleetlb.domain.addresses import Family
from fleetlb.domain.conditions import READY, SERVING, Condition, Refusal, Status
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.kube.resources import Object
from fleetlb.runtime import nats_accounts
from fleetlb.runtime.nats_accounts import KeyKind
from fleetlb.runtime.nats_permissions import WATCHER_PERMISSIONS

NOW = 1_800_000_000
DAY = 86400
ACCOUNT_SEED = nats_accounts.new_seed(KeyKind.ACCOUNT)
ACCOUNT = nats_accounts.public_key(ACCOUNT_SEED)
USER_SEED = nats_accounts.new_seed(KeyKind.USER)


def condition(kind: str = READY, status: Status = Status.TRUE, reason: str = "Complete", **rest: object) -> Condition:
    """One of generation 1 unless said otherwise."""
    return Condition(type=kind, status=status, reason=reason, **({"observed_generation": 1} | rest))  # type: ignore[arg-type]


def tenant(
    name: str = "acme",
    *conditions: Condition,
    revoked: Revocation | None = None,
    suspended: bool = False,
    deleted: bool = False,
    generation: int = 1,
) -> Tenant:
    """With quotas for all but ports."""
    return Tenant(
        metadata=ObjectMeta(
            name=name,
            uid=f"uid-{name}",
            generation=generation,
            deletion_timestamp="2027-01-15T08:00:00Z" if deleted else None,
        ),
        spec=TenantSpec(
            node_cidrs=("10.1.0.0/16", "2001:db8::/64"),
            pools=("gold",),
            quotas=Quotas(load_balancers=10, addresses=0),
            suspended=suspended,
            credentials=CredentialRules(revoked=revoked),
        ),
        status=TenantStatus(
            account=ACCOUNT, usage=TenantUsage(load_balancers=3, addresses=4, ports=5), conditions=conditions
        ),
    )


def cluster(
    uid: str, owner: str = "acme", contact: str = "2027-01-15T08:00:00Z", version: str = "0.1.0"
) -> TenantCluster:
    """A cluster of a tenant."""
    return TenantCluster(
        metadata=ObjectMeta(name=uid, namespace=f"tenant-{owner}"),
        spec=TenantClusterSpec(tenant=owner),
        status=TenantClusterStatus(last_contact=contact, watcher_version=version, services=7),
    )


def balancer(name: str, serving: Status | None, reason: str = "", refusal: Refusal | None = None) -> LoadBalancer:
    """One Service of a tenant."""
    conditions = () if serving is None else (condition(SERVING, serving, reason),)
    service = TenantService(
        namespace="shop", name=name, ports=(ServicePort(port=80, node_port=30080),), ip_families=(Family.IPV4,)
    )
    return LoadBalancer(
        metadata=ObjectMeta(name=f"uid-{name}", namespace="tenant-acme"),
        spec=LoadBalancerSpec(
            tenant="acme",
            cluster_uid="c1",
            wish="w",
            service=service,
            addresses=() if refusal else ("192.0.2.1",),
            refusal=refusal,
        ),
        status=LoadBalancerStatus(conditions=conditions),
    )


def secret(issued_at: int = NOW - DAY, expires_at: int | None = NOW + 29 * DAY) -> Object:
    """What the manager puts into the tenant's namespace."""
    jwt = nats_accounts.user_jwt(
        "watcher-acme",
        nats_accounts.public_key(USER_SEED),
        ACCOUNT_SEED,
        issued_at=issued_at,
        expires_at=expires_at,
        permissions=WATCHER_PERMISSIONS,
    )
    creds = nats_accounts.creds_file(jwt, USER_SEED)
    return {"data": {"nats.creds": base64.b64encode(creds.encode()).decode()}}
