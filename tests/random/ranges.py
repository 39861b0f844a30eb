"""What a pool's ranges hold, read without the product."""

import ipaddress

from fleetlb.contracts.objects import AddressPool
from fleetlb.domain.addresses import Family


def spans(pool: AddressPool) -> list[tuple[int, int, int]]:
    """A pool's ranges as (version, first, last), read without the product."""
    found: list[tuple[int, int, int]] = []
    for text in pool.spec.addresses:
        low, _, high = text.partition("-")
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high or low)
        found.append((first.version, int(first), int(last)))
    return found


def lies_in(address: str, pool: AddressPool) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(v == parsed.version and first <= int(parsed) <= last for v, first, last in spans(pool))


def addresses_of(pool: AddressPool) -> list[str]:
    """Every address of a pool; those of the tests are small."""
    made = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
    return [str(made[version](value)) for version, first, last in spans(pool) for value in range(first, last + 1)]


def size(pool: AddressPool, family: Family) -> int:
    version = 4 if family is Family.IPV4 else 6
    return sum(last - first + 1 for v, first, last in spans(pool) if v == version)


def family_of(address: str) -> Family:
    return Family.IPV4 if ipaddress.ip_address(address).version == 4 else Family.IPV6
