"""Builds and parses every subject. Only this module knows the grammar `fleetlb.v1.<participle>.<account or group>.…`.

Tokens hold `[A-Za-z0-9_-]`; a dot in a Kubernetes name becomes an underscore, which such names never contain.
"""

import ipaddress
import re

import msgspec

from fleetlb.domain.addresses import Family, Protocol, family_of, parse_address
from fleetlb.domain.errors import Poison
from fleetlb.domain.virtual_servers import VirtualServerKey

ROOT = "fleetlb.v1"
HELD = f"{ROOT}.held"
"""Where managers tell each other which partitions they hold."""
PLAN_SERVICES = f"{ROOT}.plan.services"
"""Where operators ask managers what would become of Services."""
PLAN_POOL = f"{ROOT}.plan.pool"
"""The same for an AddressPool."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,253}")


def token(name: str) -> str:
    """A Kubernetes name as one subject token. Raises ValueError for a name that no token can hold."""
    text = name.replace(".", "_")
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{name[:64]!r} cannot be a subject token: only letters, digits, dashes and dots")
    return text


def address_token(address: str) -> str:
    """`127.77.0.5` as `127-77-0-5`; an IPv6 address is fully expanded."""
    if family_of(address) is Family.IPV6:
        return ipaddress.IPv6Address(address).exploded.replace(":", "-")
    return address.replace(".", "-")


def key_token(key: VirtualServerKey) -> str:
    """`127.77.0.5:443/tcp` as `127-77-0-5_443_tcp`."""
    return f"{address_token(key.address)}_{key.port}_{key.protocol.lower()}"


def parse_key_token(text: str) -> VirtualServerKey:
    """The inverse of `key_token`. Raises Poison."""
    try:
        host, port, protocol = text.split("_")
        spelled = host.replace("-", ":") if host.count("-") == 7 else host.replace("-", ".")
        key = VirtualServerKey(str(parse_address(spelled)), int(port), Protocol(protocol.upper()))
    except ValueError as problem:
        raise Poison(f"{text[:80]!r} names no virtual server: {str(problem)[:128]}") from None
    if key_token(key) != text or not 1 <= key.port <= 65535:
        raise Poison(f"{text[:80]!r} names no virtual server: write it as {key_token(key)[:80]}")
    return key


def _tokens(subject: str) -> list[str]:
    """The tokens behind the root; none if the root is another one or a token holds what no token may."""
    tokens = subject.removeprefix(f"{ROOT}.").split(".") if subject.startswith(f"{ROOT}.") else []
    return tokens if all(_TOKEN.fullmatch(text) for text in tokens) else []


class ObservedSubject(msgspec.Struct, frozen=True):
    """A parsed subject of `observed`; `uid` is set for a service, otherwise `kind` is `nodes` or `inventory`."""

    account: str
    cluster: str
    kind: str
    uid: str = ""


# What a tenant's account calls its own subjects; the server puts the root and the account before them.
LOCAL_SNAPSHOT = "snapshot"
LOCAL_CREDENTIALS = "credentials"
LOCAL_RENEWAL = "renewal.credentials"


def local_observed_service(cluster: str, uid: str) -> str:
    """Where a watcher publishes one Service, in its own account's words."""
    return f"observed.{token(cluster)}.service.{token(uid)}"


def local_observed_nodes(cluster: str) -> str:
    """Where a watcher publishes its nodes."""
    return f"observed.{token(cluster)}.nodes"


def local_observed_inventory(cluster: str) -> str:
    """Where a watcher publishes its inventory."""
    return f"observed.{token(cluster)}.inventory"


def local_reported(cluster: str) -> str:
    """What a watcher listens to for its cluster's reports."""
    return f"reported.{token(cluster)}.service.*"


def local_resync(cluster: str) -> str:
    """What a watcher listens to for a request to say everything again."""
    return f"resync.{token(cluster)}"


def observed_of(account: str) -> str:
    """Filter for everything one account observed."""
    return f"{ROOT}.observed.{account}.>"


def observed_service(account: str, cluster: str, uid: str) -> str:
    """Where a watcher's message about one Service arrives in the hub account."""
    return f"{ROOT}.observed.{account}.{token(cluster)}.service.{token(uid)}"


def observed_inventory(account: str, cluster: str) -> str:
    """Where a watcher's inventory arrives in the hub account."""
    return f"{ROOT}.observed.{account}.{token(cluster)}.inventory"


def parse_observed(subject: str) -> ObservedSubject:
    """Parse a subject of `observed` in the hub account. Raises Poison."""
    match _tokens(subject):
        case ["observed", account, cluster, "service", uid]:
            return ObservedSubject(account, cluster, "service", uid)
        case ["observed", account, cluster, "nodes" | "inventory" as kind]:
            return ObservedSubject(account, cluster, kind)
    raise Poison(f"{subject[:120]!r} is no subject of observed")


def desired(group: str, key: VirtualServerKey) -> str:
    """Where the manager publishes one virtual server."""
    return f"{ROOT}.desired.{token(group)}.{key_token(key)}"


def desired_of(group: str) -> str:
    """Filter for a group's virtual servers."""
    return f"{ROOT}.desired.{token(group)}.>"


def allowed(group: str, tenant: str) -> str:
    """Where the manager publishes what one tenant may have on a group. Not below `desired`: whoever reads that would
    not know it."""
    return f"{ROOT}.allowed.{token(group)}.{token(tenant)}"


def allowed_of(group: str) -> str:
    """Filter for what every tenant may have on a group."""
    return f"{ROOT}.allowed.{token(group)}.>"


def realized(group: str, node: str, key: VirtualServerKey) -> str:
    """Where a programmer publishes what it made of one virtual server."""
    return f"{ROOT}.realized.{token(group)}.{token(node)}.{key_token(key)}"


def realized_node(group: str, node: str) -> str:
    """Where a programmer publishes what it is."""
    return f"{ROOT}.realized.{token(group)}.{token(node)}.node"


def realized_by(group: str, node: str) -> str:
    """Filter for everything one node of a group realized."""
    return f"{ROOT}.realized.{token(group)}.{token(node)}.>"


def realized_of(group: str) -> str:
    """Filter for everything a group realized."""
    return f"{ROOT}.realized.{token(group)}.>"


def present(group: str, node: str) -> str:
    """Where a programmer says that its node takes part in who announces VIPs."""
    return f"{ROOT}.announced.{token(group)}.{token(node)}.node"


def carried(group: str, node: str, address: str) -> str:
    """Where a programmer says whether its node carries, and announces, one VIP."""
    return f"{ROOT}.announced.{token(group)}.{token(node)}.vip.{address_token(address)}"


def instructed(group: str) -> str:
    """Where the manager says what the nodes of a group must know of it."""
    return f"{ROOT}.instructed.{token(group)}"


def announced_by(group: str, node: str) -> str:
    """Filter for everything that one node of a group says of what it announces."""
    return f"{ROOT}.announced.{token(group)}.{token(node)}.>"


def announced_of(group: str) -> str:
    """Filter for what every node of a group says of it."""
    return f"{ROOT}.announced.{token(group)}.>"


def node_inbox(group: str, node: str) -> str:
    """Below what a balancer node is answered: its credentials let it hear no other inbox."""
    return f"_INBOX.node.{token(group)}.{token(node)}"


def reported(account: str, cluster: str, uid: str) -> str:
    """Where the status service publishes one Service's report."""
    return f"{ROOT}.reported.{account}.{token(cluster)}.service.{token(uid)}"


def released(account: str, cluster: str, uid: str) -> str:
    """Where the manager tells the status service that nothing of a Service is left."""
    return f"{ROOT}.released.{account}.{token(cluster)}.service.{token(uid)}"


ALL_RELEASED = f"{ROOT}.released.>"
ALL_SNAPSHOTS = f"{ROOT}.{LOCAL_SNAPSHOT}.*"
ALL_CREDENTIALS = f"{ROOT}.{LOCAL_CREDENTIALS}.*"


def parse_service(subject: str) -> tuple[str, str, str]:
    """(account, cluster, uid) of a `reported` or `released` subject; in a tenant's own words the account is "".

    Raises Poison.
    """
    match _tokens(subject):
        case ["reported" | "released", account, cluster, "service", uid]:
            return account, cluster, uid
    match _tokens(f"{ROOT}.{subject}"):
        case ["reported", cluster, "service", uid]:
            return "", cluster, uid
    raise Poison(f"{subject[:120]!r} names no service")


def resync(account: str, cluster: str) -> str:
    """Where the manager asks a watcher to say everything again."""
    return f"{ROOT}.resync.{account}.{token(cluster)}"


def renewal(account: str) -> str:
    """Where the manager asks every watcher of a tenant for a request for credentials."""
    return f"{ROOT}.renewal.{account}.credentials"


def parse_request(subject: str) -> str:
    """The account that asks on `snapshot` or `credentials`. Raises Poison."""
    match _tokens(subject):
        case ["snapshot" | "credentials", account]:
            return account
    raise Poison(f"{subject[:120]!r} is no request of an account")


def parked(account: str, message: str) -> str:
    """Where a message that nobody could read is kept."""
    return f"{ROOT}.parked.{account}.{message}"


def marked(lease: str) -> str:
    """Where the holder of a Lease says how far the management cluster's store has come."""
    return f"{ROOT}.marked.{token(lease)}"


FLEET = "_fleet"
"""In place of a tenant, in events that are nobody's: no Tenant can be called so."""
ALL_EVENTS = f"{ROOT}.events.>"
ALL_TOLD = f"{ROOT}.told.>"
SERVICES_TOLD = f"{ROOT}.told.*.*"
NODES_TOLD = f"{ROOT}.told.{FLEET}.*.*"


def event(tenant: str, word: str) -> str:
    """Where integrations are told of one type of event, of a tenant or of the fleet."""
    return f"{ROOT}.events.{token(tenant)}.{word}"


def told_service(tenant: str, uid: str) -> str:
    """Where the status service notes what integrations were told of a Service."""
    return f"{ROOT}.told.{token(tenant)}.{token(uid)}"


def told_node(group: str, node: str) -> str:
    """Where the status service notes what integrations were told of a balancer node."""
    return f"{ROOT}.told.{FLEET}.{token(group)}.{token(node)}"


def parse_told(subject: str) -> tuple[str, str]:
    """(tenant, uid) of a `told` subject of a Service, (group, node) of one of a balancer node. Raises Poison."""
    match _tokens(subject):
        case ["told", tenant, uid] if tenant != FLEET:
            return tenant, uid
        case ["told", fleet, group, node] if fleet == FLEET:
            return group.replace("_", "."), node.replace("_", ".")
    raise Poison(f"{subject[:120]!r} is no subject of told")
