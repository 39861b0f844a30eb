"""An API server that refuses chosen writes for a while: a fault that no process has to be killed for.

It is Kubernetes' own ValidatingAdmissionPolicy, so that the refusal is a real answer to a real request.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleetlb.kube.cluster import Cluster
from fleetlb.kube.errors import Forbidden, Invalid, NotFound
from fleetlb.kube.resources import SERVICES, Object, Resource
from tests.e2e.fleet import eventually

_GROUP = "admissionregistration.k8s.io"
_POLICIES = Resource(_GROUP, "v1", "validatingadmissionpolicies", Object, False, kind_name="ValidatingAdmissionPolicy")
_BINDINGS = Resource(
    _GROUP, "v1", "validatingadmissionpolicybindings", Object, False, kind_name="ValidatingAdmissionPolicyBinding"
)
_CANARY = "canary"
_SECONDS = 60.0


@asynccontextmanager
async def refusing(cluster: Cluster, namespace: str, condition: str) -> AsyncIterator[None]:
    """Within, updates of Services of a namespace, or of their status, are refused where a CEL condition is true.

    It speaks of `object`, `oldObject` and `request`, such as `object.metadata.name == 'web'`.
    """
    name = f"test-{namespace}"
    policy = {"metadata": {"name": name}, "spec": _policy(namespace, condition)}
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    await cluster.create(_POLICIES, policy)
    try:
        await cluster.create(_BINDINGS, binding)
        await eventually(lambda: _is_in_force(cluster, namespace), "a policy in force", _SECONDS)
        yield
    finally:
        for resource in (_BINDINGS, _POLICIES):
            with contextlib.suppress(NotFound):
                await cluster.delete(resource, name)


def _policy(namespace: str, condition: str) -> Object:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["services", "services/status"],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    is_refused = f"object.metadata.name == '{_CANARY}' || (oldObject != null && ({condition}))"
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]},
        "validations": [{"expression": f"!({is_refused})", "message": "refused by a test"}],
    }


async def _is_in_force(cluster: Cluster, namespace: str) -> bool:
    """An API server takes a moment to learn of a policy, and does not say when it has."""
    canary = {
        "metadata": {"name": _CANARY, "namespace": namespace},
        "spec": {"type": "ExternalName", "externalName": "example.com"},
    }
    try:
        await cluster.create(SERVICES, canary)
    except (Forbidden, Invalid):
        return True
    await cluster.delete(SERVICES, _CANARY, namespace)
    return False
