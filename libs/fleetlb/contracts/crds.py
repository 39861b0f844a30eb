"""CRDs generated from the Python types of `fleetlb.contracts.objects`: one source for code, schema and documentation.

A structural schema allows no `$ref` and no `anyOf` with null, so references are written out and an optional field is
simply absent. Rules that JSON Schema cannot say are CEL (`x-kubernetes-validations`), enforced by the API server.
"""

from typing import Any

import msgspec

from fleetlb.contracts import object_meta, objects, tenants

Schema = dict[str, Any]
Rule = dict[str, str]

_WRITTEN_BY_HAND = (tenants.Tenant, objects.AddressPool, objects.BalancerGroup)

_DNS_LABEL = {
    "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40",
    "message": "metadata.name must be a DNS label of at most 40 characters",
}
_PORT_RANGE = {
    "rule": "!has(self.nodePortRange) || (int(self.nodePortRange.split('-')[0]) >= 1"
    " && int(self.nodePortRange.split('-')[1]) <= 65535"
    " && int(self.nodePortRange.split('-')[0]) <= int(self.nodePortRange.split('-')[1]))",
    "message": "nodePortRange must be LOW-HIGH with 1 <= LOW <= HIGH <= 65535",
}
_NODE_CIDRS = {
    "rule": "self.nodeCIDRs.all(c, isCIDR(c) && cidr(c) == cidr(c).masked())",
    "message": "nodeCIDRs must be CIDRs without host bits, such as 10.1.0.0/16",
}
_POD_CIDRS = {
    "rule": "!has(self.podCIDRs) || self.podCIDRs.all(c, isCIDR(c) && cidr(c) == cidr(c).masked())",
    "message": "podCIDRs must be CIDRs without host bits, such as 10.244.0.0/16",
}
_POOL_RANGES = {
    "rule": "self.addresses.all(a, isCIDR(a) ? cidr(a) == cidr(a).masked()"
    " : a.split('-').size() == 2 && a.split('-').all(p, isIP(p.trim()))"
    " && ip(a.split('-')[0].trim()).family() == ip(a.split('-')[1].trim()).family())",
    "message": "addresses must be CIDRs without host bits or FIRST-LAST ranges of one family",
}
_POOL_EXCLUDED = {
    "rule": "!has(self.exclude) || self.exclude.all(a, isIP(a) || (isCIDR(a) ? cidr(a) == cidr(a).masked()"
    " : a.split('-').size() == 2 && a.split('-').all(p, isIP(p.trim()))"
    " && ip(a.split('-')[0].trim()).family() == ip(a.split('-')[1].trim()).family()))",
    "message": "exclude must be CIDRs without host bits, FIRST-LAST ranges of one family, or single addresses",
}
_FORWARDING = {
    "rule": "!has(self.forwarding) || self.forwarding == 'masquerade' || self.engine == 'ipvs'",
    "message": "forwarding other than masquerade needs engine: ipvs; set it, or use forwarding: masquerade",
}
_CLAIM_ADDRESS = {"rule": "self.spec.address == oldSelf.spec.address", "message": "spec.address never changes"}
_CLAIM_NAME = {
    "rule": "isIP(self.spec.address) && ip.isCanonical(self.spec.address)"
    " && (self.spec.address.contains(':') || self.metadata.name == self.spec.address)",
    "message": "metadata.name must be the canonical spec.address (IPv6 fully expanded, with dashes)",
}
_CLAIM_OWNER = {
    "rule": "self.spec.owner.serviceUID == oldSelf.spec.owner.serviceUID || (has(oldSelf.spec.sharers)"
    " && oldSelf.spec.sharers.exists(s, s.owner.serviceUID == self.spec.owner.serviceUID))",
    "message": "a claim stays with its owner, or passes to one of its sharers; delete it to free the address",
}
_CLAIM_TENANT = {
    "rule": "self.spec.owner.tenant == oldSelf.spec.owner.tenant",
    "message": "spec.owner.tenant never changes",
}
_CLAIM_SHARERS = {
    "rule": "!has(self.spec.sharers) || self.spec.sharers.all(s, s.owner.tenant == self.spec.owner.tenant)",
    "message": "an address is shared within one tenant alone",
}
_CLAIM_SHARING_KEY = {
    "rule": "!has(self.spec.sharers) || size(self.spec.sharers) == 0"
    " || (has(self.spec.sharingKey) && self.spec.sharingKey != '')",
    "message": "an address without a sharingKey is not shared",
}

_POOL_RULES = [_POOL_RANGES, _POOL_EXCLUDED]
_TENANT_RULES = [_PORT_RANGE, _NODE_CIDRS, _POD_CIDRS]
_CLAIM_RULES = [_CLAIM_NAME, _CLAIM_ADDRESS, _CLAIM_OWNER, _CLAIM_TENANT, _CLAIM_SHARERS, _CLAIM_SHARING_KEY]


def all_crds() -> list[Schema]:
    """Every CustomResourceDefinition, ready for server-side apply."""
    return [
        _crd(tenants.Tenant, "tenants", "ten", False, _TENANT_COLUMNS, [_DNS_LABEL], _TENANT_RULES),
        _crd(objects.AddressPool, "addresspools", "apl", False, _POOL_COLUMNS, [_DNS_LABEL], _POOL_RULES),
        _crd(objects.BalancerGroup, "balancergroups", "blg", False, _GROUP_COLUMNS, [_DNS_LABEL], [_FORWARDING]),
        _crd(objects.LoadBalancer, "loadbalancers", "flb", True, _LB_COLUMNS, [], []),
        _crd(tenants.TenantCluster, "tenantclusters", "tcl", True, _CLUSTER_COLUMNS, [], []),
        _crd(objects.AddressClaim, "addressclaims", "acl", False, _CLAIM_COLUMNS, _CLAIM_RULES, []),
    ]


def _crd(
    kind: type[msgspec.Struct],
    plural: str,
    short: str,
    namespaced: bool,
    columns: list[Schema],
    rules: list[Rule],
    spec_rules: list[Rule],
) -> Schema:
    """One CRD. `rules` speak of the whole object, `spec_rules` of its spec."""
    properties = _properties(kind)
    if spec_rules:
        properties["spec"]["x-kubernetes-validations"] = spec_rules
    schema: Schema = {"type": "object", "required": ["spec"], "properties": properties}
    if rules:
        schema["x-kubernetes-validations"] = rules
    version: Schema = {
        "name": object_meta.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [*columns, _column("Age", ".metadata.creationTimestamp", "date")],
    }
    if "status" in properties:
        version["subresources"] = {"status": {}}
    names = {
        "kind": kind.__name__,
        "listKind": f"{kind.__name__}List",
        "plural": plural,
        "singular": kind.__name__.lower(),
        "shortNames": [short],
        "categories": ["fleetlb"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{object_meta.GROUP}"},
        "spec": {
            "group": object_meta.GROUP,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


def _properties(kind: type[msgspec.Struct]) -> Schema:
    """Schemas of spec and status; metadata is the API server's own.

    Scalar defaults stay in what people write by hand, so that `kubectl get` shows what is in force.
    """
    (top,), components = msgspec.json.schema_components([kind])
    root = _structural(top, components)
    properties = {name: schema for name, schema in root["properties"].items() if name != "metadata"}
    if kind in _WRITTEN_BY_HAND:
        defaults = components[f"{kind.__name__}Spec"]["properties"]
        for name, schema in properties["spec"]["properties"].items():
            if isinstance(defaults[name].get("default"), str | int):
                schema["default"] = defaults[name]["default"]
    return properties


def _structural(schema: Schema, components: Schema) -> Schema:
    """A schema with references written out and what a structural schema forbids taken away."""
    if "$ref" in schema:
        return _structural(components[schema["$ref"].rsplit("/", 1)[1]], components)
    if "anyOf" in schema:
        (only,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
        return _structural(only, components)
    kept = {k: v for k, v in schema.items() if k not in {"title", "default", "properties", "items"}}
    if kept.get("required") == []:
        del kept["required"]
    if "properties" in schema:
        kept["properties"] = {k: _structural(v, components) for k, v in schema["properties"].items()}
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _structural(kept["additionalProperties"], components)
    if isinstance(schema.get("items"), dict):
        kept["items"] = _structural(schema["items"], components)
    if "enum" in kept:
        kept["type"] = "string"
    return _mark_conditions(kept)


def _mark_conditions(schema: Schema) -> Schema:
    """Conditions are a map by type, so that several writers can own one each (metav1.Condition)."""
    conditions = schema.get("properties", {}).get("conditions")
    if conditions:
        conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return schema


def _column(name: str, path: str, kind: str = "string", priority: int = 0) -> Schema:
    """One column of `kubectl get`."""
    return {"name": name, "jsonPath": path, "type": kind} | ({"priority": priority} if priority else {})


def _condition(name: str, kind: str, field: str = "status", priority: int = 0) -> Schema:
    """A column that shows one condition."""
    return _column(name, f'.status.conditions[?(@.type=="{kind}")].{field}', priority=priority)


_TENANT_COLUMNS = [
    _condition("Ready", "Ready"),
    _column("LoadBalancers", ".status.usage.loadBalancers", "integer"),
    _column("Addresses", ".status.usage.addresses", "integer"),
    _column("Node CIDRs", ".spec.nodeCIDRs", priority=1),
    _column("Pod CIDRs", ".spec.podCIDRs", priority=1),
    _condition("Removal", "Removed", "reason", priority=1),
    _condition("Reason", "Ready", "reason", priority=1),
]
_POOL_COLUMNS = [
    _condition("Ready", "Ready"),
    _column("Auto assign", ".spec.autoAssign", "boolean"),
    _column("Priority", ".spec.priority", "integer", priority=1),
    _column("Used", ".status.ipv4.used", "integer"),
    _column("Free", ".status.ipv4.free", "integer"),
    _column("Quarantined", ".status.ipv4.quarantined", "integer"),
    _column("Addresses", ".spec.addresses"),
]
_GROUP_COLUMNS = [
    _column("Engine", ".spec.engine"),
    _column("Forwarding", ".spec.forwarding", priority=1),
    _column("Nodes", ".spec.nodes"),
    _column("Node states", ".status.nodes", priority=1),
]
_LB_COLUMNS = [
    _column("Tenant", ".spec.tenant"),
    _column("Service NS", ".spec.service.namespace"),
    _column("Service", ".spec.service.name"),
    _column("Addresses", ".spec.addresses"),
    _column("Ports", ".spec.service.ports", priority=1),
    _column("Announced", ".status.announcedBy", priority=1),
    _condition("Provisioned", "fleetlb.dev/Provisioned"),
    _condition("Serving", "fleetlb.dev/Serving"),
    _condition("Reason", "fleetlb.dev/Serving", "reason", priority=1),
]
_CLUSTER_COLUMNS = [
    _column("Tenant", ".spec.tenant"),
    _column("Services", ".status.services", "integer"),
    _column("Last contact", ".status.lastContact", "date"),
    _column("Watcher", ".status.watcherVersion"),
]
_CLAIM_COLUMNS = [
    _column("Tenant", ".spec.owner.tenant"),
    _column("Service NS", ".spec.owner.namespace"),
    _column("Service", ".spec.owner.name"),
    _column("Pool", ".spec.pool"),
    _column("Phase", ".spec.phase"),
    _column("Sharing key", ".spec.sharingKey", priority=1),
    _column("Group", ".spec.group", priority=1),
    _column("Moving to", ".spec.movingTo", priority=1),
    _column("Moving from", ".spec.movingFrom", priority=1),
]
