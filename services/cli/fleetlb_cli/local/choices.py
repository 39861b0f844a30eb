"""What a fleet chooses once and keeps: ranges, ports, tokens and seeds. The same folder gets the same again.

Several fleets fit one machine: each claims its ranges and ports (ports.py) for as long as it runs. This module must not
start anything or read the environment.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import msgspec

from fleetlb_cli.local.ports import is_free

FIRST_NODES, FIRST_POOL, LAST = 10, 77, 254
TENANT_NAME_LENGTH = 40
RESERVED = ipaddress.IPv4Network("127.0.0.0/16")
"""Where the fleet's own servers listen: no backend and no VIP may be there."""


class WishError(Exception):
    """What the user asked for cannot be: usage, exit code 2."""


class RangeTakenError(Exception):
    """A range that this folder's data uses belongs to another running fleet."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What `fleetlb local up` was asked for."""

    tenants: tuple[str, ...] = ("acme", "globex")
    pool_cidr: str | None = None
    node_cidrs: Mapping[str, str] = {}
    replicas: int = 1
    load_balancer_class: str | None = None
    ipv6: bool = False


class Ranges(msgspec.Struct, frozen=True, kw_only=True):
    """One range of each family; `octet` is what was claimed for them, None for one the user gave."""

    cidr: str
    cidr6: str | None = None
    octet: int | None = None


class Choices(msgspec.Struct, kw_only=True):
    """Everything chosen for one state folder. Tenants of earlier starts stay, so that they find their data again."""

    pool: Ranges
    tenants: dict[str, Ranges]
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


def check(wish: Wish) -> None:
    """Raise WishError for anything that can never work, all problems at once. Ranges are IPv4; --ipv6 adds others."""
    problems = [*_name_problems(wish), *_range_problems(wish)]
    if wish.replicas < 1:
        problems.append(f"--replicas {wish.replicas}: at least 1")
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
    given: dict[str, ipaddress.IPv4Network] = {}
    options = {f"--node-cidr {tenant}": cidr for tenant, cidr in wish.node_cidrs.items()}
    if wish.pool_cidr is not None:
        options["--pool-cidr"] = wish.pool_cidr
    for option, cidr in options.items():
        try:
            given[option] = ipaddress.IPv4Network(cidr)
        except ValueError as problem:
            yield f"{option}: {problem}"
            continue
        if given[option].overlaps(RESERVED):
            yield f"{option}: {cidr} overlaps {RESERVED}, where the fleet's own servers listen"
    for tenant in wish.node_cidrs:
        if tenant not in wish.tenants:
            yield f"--node-cidr {tenant}: not one of the tenants {', '.join(wish.tenants)}"
    nodes = [(option, network) for option, network in given.items() if option != "--pool-cidr"]
    for index, (option, network) in enumerate(nodes):
        for other, second in nodes[index + 1 :]:
            if network.overlaps(second):
                yield f"{option} overlaps {other}"


def choose(wish: Wish, before: Choices | None, claims: Claiming) -> Choices:
    """Choices for this start: what was chosen before, where it can be had, and free ranges for what is new."""
    known = before.tenants if before else {}
    tenants = dict(known)
    given = [wish.pool_cidr, *(wish.node_cidrs.get(name) for name in wish.tenants)]
    for cidr in given:  # so that no range is chosen that the user has given to something else
        if cidr is not None:
            _mark(cidr, claims)
    pool = _ranges(wish.pool_cidr, before.pool if before else None, "pool", claims)
    for name in wish.tenants:
        tenants[name] = _ranges(wish.node_cidrs.get(name), known.get(name), "nodes", claims)
    if wish.ipv6:
        pool = _with_ipv6(pool, "pool", claims)
        tenants |= {name: _with_ipv6(tenants[name], "nodes", claims) for name in wish.tenants}
    else:
        pool = msgspec.structs.replace(pool, cidr6=None)
        tenants = {name: msgspec.structs.replace(ranges, cidr6=None) for name, ranges in tenants.items()}
    return Choices(
        pool=pool,
        tenants=tenants,
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


def _ranges(given: str | None, former: Ranges | None, kind: str, claims: Claiming) -> Ranges:
    """The user's word, else what the folder's data already uses, else something free."""
    if given is not None and (former is None or former.cidr != given):
        return Ranges(cidr=given)
    if former is None:
        octet = _octet(kind, claims)
        return Ranges(cidr=f"127.{octet}.0.0/{20 if kind == 'pool' else 16}", octet=octet)
    if former.octet is not None and not claims.take(f"octet/{former.octet}") and given is None:
        option = "--pool-cidr CIDR" if kind == "pool" else "--node-cidr TENANT=CIDR"
        raise RangeTakenError(f"{former.cidr} is in use by another running fleet: stop that one, or give {option}")
    return former


def _with_ipv6(ranges: Ranges, kind: str, claims: Claiming) -> Ranges:
    """Add a unique-local range made from the same claimed number."""
    if ranges.cidr6 is not None:
        return ranges
    octet = ranges.octet if ranges.octet is not None else _octet(kind, claims)
    prefix = 112 if kind == "pool" else 64
    return Ranges(cidr=ranges.cidr, cidr6=f"fd7f:f1ee:7b:{octet:x}::/{prefix}", octet=octet)


def _octet(kind: str, claims: Claiming) -> int:
    """Claim a second octet of 127.0.0.0/8."""
    first = FIRST_POOL if kind == "pool" else FIRST_NODES
    candidates = [*range(first, LAST + 1), *range(1, first)]
    octet = claims.take_first("octet", candidates)
    if octet is None:
        raise RangeTakenError("every range of 127.0.0.0/8 is in use by other fleets")
    return octet


def _mark(cidr: str, claims: Claiming) -> None:
    """Keep others from choosing what the user gave; never a refusal, for the user knows best."""
    network = ipaddress.IPv4Network(cidr)
    if network.network_address.is_loopback:
        first, last = network.network_address.packed[1], network.broadcast_address.packed[1]
        for octet in range(first, last + 1):
            claims.take(f"octet/{octet}")
