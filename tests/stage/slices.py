"""Where the pods of a Service are and how they fare, as the endpoint controller would say it."""

from collections.abc import Mapping

from fleetlb.kube.resources import ENDPOINT_SLICES
from tests.stage.tenants import Tenant

READY = {"ready": True, "serving": True, "terminating": False}
UNREADY = {"ready": False, "serving": False, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
"""It was told to end, and still answers."""
ENDED = {"ready": False, "serving": False, "terminating": True}


async def say_pods(tenant: Tenant, service: str, pods: Mapping[str, Mapping[str, bool]]) -> None:
    """One pod on each of these nodes, in this condition, and none elsewhere."""
    item = {
        "metadata": {
            "name": f"{service}-slice",
            "namespace": tenant.namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.1.0.{number}"], "nodeName": node, "conditions": dict(conditions)}
            for number, (node, conditions) in enumerate(pods.items(), 1)
        ],
    }
    await tenant.cluster.apply(ENDPOINT_SLICES, item)
