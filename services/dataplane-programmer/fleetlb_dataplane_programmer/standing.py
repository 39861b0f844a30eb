"""Which keys stand, by the tenant that owns them and by their address. Pure; every operation is O(1)."""

from collections import Counter

from fleetlb.domain.virtual_servers import VirtualServer, VirtualServerKey


class Standing:
    """The keys under which something should be served, whether it may be or not."""

    def __init__(self) -> None:
        """None."""
        self._tenant_of: dict[VirtualServerKey, str] = {}
        self._of_tenant: dict[str, set[VirtualServerKey]] = {}
        self._vips: Counter[str] = Counter()

    def put(self, key: VirtualServerKey, tenant: str) -> None:
        """A key stands for a tenant now."""
        if self._tenant_of.get(key) == tenant:
            return
        self.drop(key)
        self._tenant_of[key] = tenant
        self._of_tenant.setdefault(tenant, set()).add(key)
        self._vips[key.address] += 1

    def drop(self, key: VirtualServerKey) -> None:
        """A key stands no more."""
        tenant = self._tenant_of.pop(key, None)
        if tenant is None:
            return
        keys = self._of_tenant[tenant]
        keys.discard(key)
        if not keys:
            del self._of_tenant[tenant]
        self._vips[key.address] -= 1
        if not self._vips[key.address]:
            del self._vips[key.address]

    def of(self, tenant: str) -> list[VirtualServerKey]:
        """The keys of a tenant."""
        return sorted(self._of_tenant.get(tenant, ()))

    def objection_to(self, server: VirtualServer) -> str:
        """Connections to a VIP must not end at a VIP: "", or which real server is one."""
        for real_server in server.real_servers:
            if real_server.address in self._vips:
                return (
                    f"the node refuses the real server {real_server.address} port {real_server.port}: it is a VIP of"
                    " this balancer group; take it out of spec.nodeCIDRs and spec.podCIDRs of the Tenant"
                )
        return ""
