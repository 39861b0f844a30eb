"""Addresses that were chosen and are not claimed yet. Pure bookkeeping; O(1) but where it says otherwise."""

from collections.abc import Iterator

from fleetlb_manager.identities import ServiceKey


class Proposals:
    """What each Service is about to claim, and under which sharing key."""

    def __init__(self) -> None:
        """Nothing is proposed."""
        self._of: dict[ServiceKey, tuple[tuple[str, ...], str]] = {}
        self._under: dict[tuple[str, str], dict[ServiceKey, None]] = {}

    def put(self, key: ServiceKey, addresses: tuple[str, ...], sharing_key: str) -> None:
        """A Service is about to claim these and no others; none: nothing."""
        self.take(key)
        if not addresses:
            return
        self._of[key] = addresses, sharing_key
        if sharing_key:
            self._under.setdefault((key.tenant, sharing_key), {})[key] = None

    def take(self, key: ServiceKey) -> tuple[str, ...]:
        """Forget what a Service is about to claim, and tell."""
        addresses, sharing_key = self._of.pop(key, ((), ""))
        keys = self._under.get((key.tenant, sharing_key))
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del self._under[key.tenant, sharing_key]
        return addresses

    def settle(self, key: ServiceKey, address: str) -> None:
        """One of them is claimed, by this Service or by somebody else."""
        if key in self._of:
            addresses, sharing_key = self._of[key]
            self.put(key, tuple(a for a in addresses if a != address), sharing_key)

    def are_under(self, tenant: str, sharing_key: str, *, beside: ServiceKey) -> bool:
        """Whether another Service of a tenant is about to claim an address that is to be shared under a key."""
        return any(key != beside for key in self._under.get((tenant, sharing_key), ()))

    def addresses(self) -> Iterator[str]:
        """All of them. O(n)."""
        return (address for addresses, _ in self._of.values() for address in addresses)
