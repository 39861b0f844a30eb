"""Where the objects of `fleetlb.dev/v1alpha1` are kept. Must not know what is done with them."""

from fleetlb.contracts.object_meta import GROUP, VERSION
from fleetlb.contracts.objects import AddressClaim, AddressPool, BalancerGroup, LoadBalancer
from fleetlb.contracts.tenants import Tenant, TenantCluster
from fleetlb.kube.resources import Resource

TENANTS = Resource(GROUP, VERSION, "tenants", Tenant, namespaced=False)
ADDRESS_POOLS = Resource(GROUP, VERSION, "addresspools", AddressPool, namespaced=False)
BALANCER_GROUPS = Resource(GROUP, VERSION, "balancergroups", BalancerGroup, namespaced=False)
ADDRESS_CLAIMS = Resource(GROUP, VERSION, "addressclaims", AddressClaim, namespaced=False)
LOAD_BALANCERS = Resource(GROUP, VERSION, "loadbalancers", LoadBalancer)
TENANT_CLUSTERS = Resource(GROUP, VERSION, "tenantclusters", TenantCluster)
