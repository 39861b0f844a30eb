"""What a fleet chooses once and keeps: ranges, ports, tokens and seeds. The same folder gets the same again.

Several fleets fit one machine: each claims its ranges and ports (ports.py) for as long as it runs. This module must not
start anything or read the environment.
"""

import ipaddress
import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from fleetlb.domain.addresses import Family, IPNetwork
from fleetlb.domain.capabilities import EngineName
from fleetlb.domain.partitions import MAX_PARTITIONS
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb_cli.local.ports import is_free

FIRST_NODES, FIRST_POOL, LAST = 10, 77, 254
TENANT_NAME_LENGTH = 40
RESERVED = ipaddress.IPv4Network("127.0.0.0/16")
"""Where the fleet's own servers listen: no backend and no VIP may be there."""
_FREE = {
    (EngineName.ENVOY, "pool"): "127.{octet}.0.0/20",
    (EngineName.ENVOY, "nodes"): "127.{octet}.0.0/16",
    # The kernel balances no packet to the loopback, and 198.18.0.0/15 is nobody's: it is for benchmarks (RFC 2544).
    (EngineName.IPVS, "pool"): "198.18.{octet}.0/24",
    (EngineName.IPVS, "nodes"): "198.19.{octet}.0/24",
}


class WishError(Exception):
    """What the user asked for cannot be: usage, exit code 2."""


class RangeTakenError(Exception):
    """A range that this folder's data uses belongs to another running fleet."""


class OtherEngineError(Exception):
    """The folder's data is of a fleet with another engine."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What `fleetlb local up` was asked for."""

    tenants: tuple[str, ...] = ("acme", "globex")
    engine: EngineName = EngineName.ENVOY
    forwarding: Forwarding = Forwarding.MASQUERADE
    pool: Mapping[Family, str] = {}
    nodes: Mapping[str, Mapping[Family, str]] = {}
    """By tenant."""
    pods: Mapping[str, tuple[str, ...]] = {}
    """By tenant; empty: served by its nodes alone."""
    attached: Mapping[str, Path] = {}
    """Kubeconfigs of tenants whose clusters run already, elsewhere."""
    replicas: int = 1
    partitions: int = 1
    """Of tenants, between the managers."""
    load_balancer_class: str | None = None
    ipv6: bool = False
    """Also where no IPv6 range is given."""
    own_etcd: bool = False
    """The management cluster has an etcd of its own."""

    @property
    def has_ipv6(self) -> bool:
        """Whether there is any IPv6 range: then everybody gets one."""
        return self.ipv6 or any(Family.IPV6 in given for given in (self.pool, *self.nodes.values()))


class Ranges(msgspec.Struct, frozen=True, kw_only=True):
    """One range of each family; `octet` is what was claimed for them, None for one the user gave."""

    cidr: str
    cidr6: str | None = None
    octet: int | None = None


class Choices(msgspec.Struct, kw_only=True):
    """Everything chosen for one state folder. Tenants of earlier starts stay, so that they find their data again."""

    pool: Ranges
    tenants: dict[str, Ranges]
    engine: EngineName = EngineName.ENVOY
    ports: dict[str, int] = {}
    tokens: dict[str, str] = {}


class Claiming(Protocol):
    """What is needed of `ports.Claims`."""

    def take(self, name: str) -> bool:
        """Claim a name."""

    def take_first(self, kind: str, candidates: Iterable[int]) -> int | None:
        """Claim the first free number of a kind."""

    def take_port(self) -> int:
        """Claim a free port."""


def by_family(option: str, cidrs: Iterable[str]) -> dict[Family, str]:
    """Ranges of one option by family. Raises WishError for two of one."""
    found: dict[Family, str] = {}
    for cidr in cidrs:
        family = Family.IPV6 if ":" in cidr else Family.IPV4
        if family in found:
            raise WishError(f"{option}: {found[family]} and {cidr} are both {family}; one range of each family")
        found[family] = cidr
    return found


def check(wish: Wish) -> None:
    """Raise WishError for anything that can never work, all problems at once."""
    problems = [*_name_problems(wish), *_range_problems(wish), *_tenant_problems(wish), *_attached_problems(wish)]
    if wish.forwarding is not Forwarding.MASQUERADE and wish.engine is not EngineName.IPVS:
        problems.append(f"--forwarding {wish.forwarding} needs --engine ipvs: the other engine dials backends itself")
    if wish.replicas < 1:
        problems.append(f"--replicas {wish.replicas}: at least 1")
    if not 1 <= wish.partitions <= MAX_PARTITIONS:
        problems.append(f"--partitions {wish.partitions}: from 1 to {MAX_PARTITIONS}")
    if problems:
        raise WishError("\n".join(problems))


def _name_problems(wish: Wish) -> Iterator[str]:
    if not wish.tenants:
        yield "--tenants: at least one name"
    for name in wish.tenants:
        label = name.replace("-", "a")
        if not (label.isascii() and label.isalnum() and label.islower()) or name[0] == "-" or name[-1] == "-":
            yield f"--tenants: {name!r} is not a DNS label (lower-case letters, digits, dashes)"
        elif len(name) > TENANT_NAME_LENGTH:
            yield f"--tenants: {name!r} is longer than {TENANT_NAME_LENGTH} characters"
        elif name == "management":
            yield "--tenants: management is the name of the management cluster"
    if len(set(wish.tenants)) < len(wish.tenants):
        yield "--tenants: a name is given twice"


def _range_problems(wish: Wish) -> Iterator[str]:
    given: list[tuple[str, IPNetwork]] = []
    options = [(f"--node-cidr {tenant}", cidr) for tenant, ranges in wish.nodes.items() for cidr in ranges.values()]
    options += [("--pool-cidr", cidr) for cidr in wish.pool.values()]
    for option, cidr in options:
        try:
            network = ipaddress.ip_network(cidr)
        except ValueError as problem:
            yield f"{option}: {problem}"
            continue
        given.append((option, network))
        if network.overlaps(RESERVED):
            yield f"{option}: {cidr} overlaps {RESERVED}, where the fleet's own servers listen"
        elif wish.engine is EngineName.IPVS and network.is_loopback:
            yield f"{option}: {cidr} is on the loopback, where the kernel balances no packet"
    for (option, network), (other, second) in itertools.combinations(given, 2):
        if network.overlaps(second):
            yield f"{option} overlaps {other}"


def _tenant_problems(wish: Wish) -> Iterator[str]:
    """What is said about tenants, other than their nodes' ranges."""
    for option, its in (("--node-cidr", wish.nodes), ("--pod-cidr", wish.pods), ("--attach", wish.attached)):
        for tenant in its:
            if tenant not in wish.tenants:
                yield f"{option} {tenant}: not one of the tenants {', '.join(wish.tenants)}"
    for tenant, cidrs in wish.pods.items():
        for cidr in cidrs:
            try:
                ipaddress.ip_network(cidr)
            except ValueError as problem:
                yield f"--pod-cidr {tenant}: {problem}"


def _attached_problems(wish: Wish) -> Iterator[str]:
    """Ranges that this machine chooses for itself would lead nowhere."""
    if wish.attached and Family.IPV4 not in wish.pool:
        yield "--attach needs --pool-cidr CIDR: addresses that the cluster's network brings to this machine"
    for tenant, kubeconfig in wish.attached.items():
        if Family.IPV4 not in wish.nodes.get(tenant, {}):
            yield f"--attach {tenant} needs --node-cidr {tenant}=CIDR: where its nodes are"
        if not kubeconfig.is_file():
            yield f"--attach {tenant}: there is no kubeconfig {kubeconfig}"


def choose(wish: Wish, before: Choices | None, claims: Claiming) -> Choices:
    """Choices for this start: what was chosen before, where it can be had, and free ranges for what is new.

    Raises RangeTakenError, OtherEngineError.
    """
    if before is not None and before.engine is not wish.engine:
        raise OtherEngineError(
            f"the folder holds a fleet with --engine {before.engine}: give that, or another folder by --state"
        )
    known = before.tenants if before else {}
    tenants = dict(known)
    for given in (wish.pool, *(wish.nodes.get(name, {}) for name in wish.tenants)):
        _mark(given, claims)  # so that no range is chosen that the user has given to something else
    pool = _ranges(wish, wish.pool, before.pool if before else None, "pool", claims)
    for name in wish.tenants:
        tenants[name] = _ranges(wish, wish.nodes.get(name, {}), known.get(name), "nodes", claims)
    return Choices(
        pool=pool,
        tenants=tenants,
        engine=wish.engine,
        ports=dict(before.ports) if before else {},
        tokens=dict(before.tokens) if before else {},
    )


def port(choices: Choices, name: str, claims: Claiming) -> int:
    """The port of one server: its former one if it can be had."""
    former = choices.ports.get(name)
    if former is not None and is_free(former) and claims.take(f"port/{former}"):
        return former
    choices.ports[name] = claims.take_port()
    return choices.ports[name]


def token(choices: Choices, name: str) -> str:
    """The token of one API server's admin."""
    return choices.tokens.setdefault(name, secrets.token_urlsafe(32))


def _ranges(wish: Wish, given: Mapping[Family, str], former: Ranges | None, kind: str, claims: Claiming) -> Ranges:
    """One range of each family that the fleet has."""
    ranges = _ipv4(wish.engine, given.get(Family.IPV4), former, kind, claims)
    if not wish.has_ipv6:
        return msgspec.structs.replace(ranges, cidr6=None)
    return _with_ipv6(ranges, given.get(Family.IPV6), kind, claims)


def _ipv4(engine: EngineName, given: str | None, former: Ranges | None, kind: str, claims: Claiming) -> Ranges:
    """The user's word, else what the folder's data already uses, else something free."""
    if given is not None and (former is None or former.cidr != given):
        return Ranges(cidr=given)
    if former is None:
        octet = _octet(kind, claims)
        return Ranges(cidr=_FREE[engine, kind].format(octet=octet), octet=octet)
    if former.octet is not None and not claims.take(f"octet/{former.octet}") and given is None:
        option = "--pool-cidr CIDR" if kind == "pool" else "--node-cidr TENANT=CIDR"
        raise RangeTakenError(f"{former.cidr} is in use by another running fleet: stop that one, or give {option}")
    return former


def _with_ipv6(ranges: Ranges, given: str | None, kind: str, claims: Claiming) -> Ranges:
    """Add the user's range, else the former one, else a unique-local one made from the same claimed number."""
    if given is not None:
        return msgspec.structs.replace(ranges, cidr6=given)
    if ranges.cidr6 is not None:
        return ranges
    octet = ranges.octet if ranges.octet is not None else _octet(kind, claims)
    prefix = 112 if kind == "pool" else 64
    return Ranges(cidr=ranges.cidr, cidr6=f"fd7f:f1ee:7b:{octet:x}::/{prefix}", octet=octet)


def _octet(kind: str, claims: Claiming) -> int:
    """Claim the number that makes a range nobody else's."""
    first = FIRST_POOL if kind == "pool" else FIRST_NODES
    candidates = [*range(first, LAST + 1), *range(1, first)]
    octet = claims.take_first("octet", candidates)
    if octet is None:
        raise RangeTakenError("every range is in use by other fleets")
    return octet


def _mark(given: Mapping[Family, str], claims: Claiming) -> None:
    """Keep others from choosing what the user gave; never a refusal, for the user knows best."""
    network = ipaddress.IPv4Network(given.get(Family.IPV4, "0.0.0.0/32"))
    if network.network_address.is_loopback:
        first, last = network.network_address.packed[1], network.broadcast_address.packed[1]
        for octet in range(first, last + 1):
            claims.take(f"octet/{octet}")
