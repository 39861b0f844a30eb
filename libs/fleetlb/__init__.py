"""fleetlb: Layer-4 LoadBalancers for a fleet of Kubernetes clusters. This is the library its services stand on."""

__version__ = "0.2.0"
