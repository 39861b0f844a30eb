"""Where the objects of `fleetlb.dev/v1alpha1` are kept. Must not know what is done with them."""

from fleetlb.contracts import objects
from fleetlb.kube.resources import Resource

TENANTS = Resource(objects.GROUP, objects.VERSION, "tenants", objects.Tenant, namespaced=False)
ADDRESS_POOLS = Resource(objects.GROUP, objects.VERSION, "addresspools", objects.AddressPool, namespaced=False)
BALANCER_GROUPS = Resource(objects.GROUP, objects.VERSION, "balancergroups", objects.BalancerGroup, namespaced=False)
ADDRESS_CLAIMS = Resource(objects.GROUP, objects.VERSION, "addressclaims", objects.AddressClaim, namespaced=False)
LOAD_BALANCERS = Resource(objects.GROUP, objects.VERSION, "loadbalancers", objects.LoadBalancer)
TENANT_CLUSTERS = Resource(objects.GROUP, objects.VERSION, "tenantclusters", objects.TenantCluster)
