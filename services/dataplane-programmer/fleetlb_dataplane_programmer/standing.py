"""Which keys stand, by the tenant that owns them and by their address. Pure; O(1), or O(keys of one address)."""

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


class Standing:
    """The keys under which something should be served, whether it may be or not."""

    def __init__(self) -> None:
        """None."""
        self._tenant_of: dict[VirtualServerKey, str] = {}
        self._of_tenant: dict[str, set[VirtualServerKey]] = {}
        self._of_address: dict[str, tuple[VirtualServerKey, ...]] = {}
        """They are few of each, and addresses are many: tuples."""

    def put(self, key: VirtualServerKey, tenant: str) -> None:
        """A key stands for a tenant now."""
        if self._tenant_of.get(key) == tenant:
            return
        self.drop(key)
        self._tenant_of[key] = tenant
        self._of_tenant.setdefault(tenant, set()).add(key)
        self._of_address[key.address] = (*self._of_address.get(key.address, ()), key)

    def drop(self, key: VirtualServerKey) -> None:
        """A key stands no more."""
        tenant = self._tenant_of.pop(key, None)
        if tenant is None:
            return
        keys = self._of_tenant[tenant]
        keys.discard(key)
        if not keys:
            del self._of_tenant[tenant]
        others = tuple(other for other in self._of_address[key.address] if other != key)
        if others:
            self._of_address[key.address] = others
        else:
            del self._of_address[key.address]

    def of(self, tenant: str) -> list[VirtualServerKey]:
        """The keys of a tenant."""
        return sorted(self._of_tenant.get(tenant, ()))

    def on(self, address: str) -> tuple[VirtualServerKey, ...]:
        """The keys of an address."""
        return self._of_address.get(address, ())

    def objection_to(self, server: VirtualServer) -> str:
        """Connections to a VIP must not end at a VIP: "", or which real server is one."""
        for real_server in server.real_servers:
            if real_server.address in self._of_address:
                return (
                    f"the node refuses the real server {real_server.address} port {real_server.port}: it is a VIP of"
                    " this balancer group; take it out of spec.nodeCIDRs and spec.podCIDRs of the Tenant"
                )
        return ""
