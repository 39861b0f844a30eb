"""Where the pods of a Service are and how they fare, as the endpoint controller would say it."""

from collections.abc import Mapping

from fleetlb.domain.addresses import Family
from fleetlb.kube.resources import ENDPOINT_SLICES, Object
from tests.stage.tenants import Tenant

READY = {"ready": True, "serving": True, "terminating": False}
UNREADY = {"ready": False, "serving": False, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
"""It was told to end, and still answers."""
ENDED = {"ready": False, "serving": False, "terminating": True}


async def say_pods(
    tenant: Tenant, service: str, pods: Mapping[str, Mapping[str, bool]], *, port: Object | None = None
) -> None:
    """One pod on each of these nodes, in this condition, and none elsewhere.

    `port`: the name, protocol and number where they listen, on their node's own address of IPv6, because no API server
    takes a pod on the loopback; None: of no matter.
    """
    addresses = [tenant.machines[node].addresses[Family.IPV6] if port else f"10.1.0.{node[-1]}" for node in pods]
    item = {
        "metadata": {
            "name": f"{service}-slice",
            "namespace": tenant.namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv6" if port else "IPv4",
        "ports": [port or {"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "nodeName": node, "conditions": dict(conditions)}
            for address, (node, conditions) in zip(addresses, pods.items(), strict=True)
        ],
    }
    await tenant.cluster.apply(ENDPOINT_SLICES, item)
