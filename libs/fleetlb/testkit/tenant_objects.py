"""Objects of a tenant cluster as its API server gives them out: JSON, with what a test does not care about filled in.

Must not know any service of ours.
"""

from typing import Any

Object = dict[str, Any]

DEFAULT_PORTS = ({"name": "https", "protocol": "TCP", "port": 443, "targetPort": 8443, "nodePort": 31777},)


def a_service(name: str = "web", namespace: str = "shop", **given: Any) -> Object:
    """A Service of type LoadBalancer.

    `uid`, `version`, `deleting`, `finalizers`, `labels`, `annotations`: metadata; `ingress`, `conditions`: status;
    anything else adds or replaces a field of the spec, or removes it if None.
    """
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": given.pop("uid", "uid-1"),
        "resourceVersion": str(given.pop("version", 1)),
        "creationTimestamp": "2026-11-25T12:00:00Z",
        "labels": {"app": name} | given.pop("labels", {}),
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {}}}],
        "deletionTimestamp": "2026-11-25T12:30:00Z" if given.pop("deleting", False) else None,
        "finalizers": list(given.pop("finalizers", ())),
        "annotations": given.pop("annotations", {}),
    }
    ingress, conditions = list(given.pop("ingress", ())), list(given.pop("conditions", ()))
    spec: Object = {
        "type": "LoadBalancer",
        "ports": list(given.pop("ports", DEFAULT_PORTS)),
        "selector": {"app": name},
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "sessionAffinity": "None",
        "externalTrafficPolicy": "Cluster",
        "internalTrafficPolicy": "Cluster",
        "allocateLoadBalancerNodePorts": True,
        **given,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": {key: value for key, value in spec.items() if value is not None},
        "status": {
            "loadBalancer": {"ingress": ingress} if ingress else {},
            **({"conditions": conditions} if conditions else {}),
        },
    }


def a_condition(kind: str, status: str, reason: str, message: str = "", since: str = "2026-11-25T12:00:00Z") -> Object:
    """A condition."""
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


def a_slice(
    *endpoints: Object | None,
    service: str = "web",
    namespace: str = "shop",
    name: str = "web-1",
    version: int = 1,
    family: str = "IPv4",
    ports: tuple[Object, ...] = ({"name": "https", "port": 8443, "protocol": "TCP"},),
) -> Object:
    """An EndpointSlice; no endpoints are null, as the API server writes them."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family,
        "endpoints": list(endpoints) or None,
        "ports": list(ports) or None,
    }


def an_endpoint(node: str | None = "node-a", address: str = "10.244.1.7", **conditions: bool | None) -> Object:
    """One endpoint; conditions that are None are left out, as an old API server does."""
    found: Object = {
        "addresses": [address],
        "conditions": {key: value for key, value in conditions.items() if value is not None},
    }
    return found if node is None else {**found, "nodeName": node}


def a_node(
    name: str = "node-a",
    *,
    version: int = 1,
    deleting: bool = False,
    labels: dict[str, str] | None = None,
    taints: tuple[str, ...] = (),
    addresses: tuple[tuple[str, str], ...] = (("InternalIP", "10.1.0.11"), ("Hostname", "node-a")),
    **status: object,
) -> Object:
    """A Node."""
    metadata: Object = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    if labels:
        metadata["labels"] = labels
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-25T12:30:00Z"
    spec: Object = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]} if taints else {}
    listed = [{"type": kind, "address": address} for kind, address in addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": spec,
        "status": {"addresses": listed, **status},
    }
