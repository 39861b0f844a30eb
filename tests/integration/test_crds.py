"""The generated CRDs against a real API server: what it stores, what it refuses, and in which words."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from fleetlb.contracts import objects
from fleetlb.contracts.crds import all_crds
from fleetlb.domain.address_pools import parse_intervals
from fleetlb.domain.virtual_servers import Forwarding
from fleetlb.kube import fleet_objects
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import Invalid
from fleetlb.kube.establishing import apply_crds
from fleetlb.kube.resources import CRDS, NAMESPACES, Object, Resource

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
KUBECTL = str(Path(sys.executable).parent / "kubectl")
OWNER = {"tenant": "acme", "clusterUID": "c-1", "serviceUID": "s-1", "namespace": "shop", "name": "web"}


def raw(typed: Resource[Any]) -> Resource[Object]:
    """The same kind without its struct: what the API server itself says."""
    return Resource(
        typed.group, typed.version, typed.plural, Object, namespaced=typed.namespaced, kind_name=typed.kind_name
    )


TENANTS, POOLS = raw(fleet_objects.TENANTS), raw(fleet_objects.ADDRESS_POOLS)
GROUPS, CLAIMS = raw(fleet_objects.BALANCER_GROUPS), raw(fleet_objects.ADDRESS_CLAIMS)
LOAD_BALANCERS, CLUSTERS = raw(fleet_objects.LOAD_BALANCERS), raw(fleet_objects.TENANT_CLUSTERS)


@pytest.fixture
async def cluster(kube_api: Path) -> AsyncIterator[Cluster]:
    """A connection to an API server that knows the CRDs."""
    connection = await Cluster.connect(kube_api)
    await apply_crds(connection, all_crds())
    yield connection
    await connection.close()


def an_object(name: str, spec: object, **metadata: object) -> Object:
    return {"metadata": {"name": name, **metadata}, "spec": spec}


async def stored(cluster: Cluster, resource: Resource[Object], item: Object) -> Object:
    """Create and delete; what was stored."""
    created = await cluster.create(resource, item)
    await cluster.delete(resource, item["metadata"]["name"], item["metadata"].get("namespace"))
    return created


async def test_applying_twice_changes_nothing(cluster: Cluster) -> None:
    before = {crd["metadata"]["name"]: crd for crd in await cluster.list(CRDS)}
    for definition in all_crds():
        again = await cluster.apply(CRDS, definition)
        assert again["metadata"]["resourceVersion"] == before[again["metadata"]["name"]]["metadata"]["resourceVersion"]


async def test_nothing_of_a_definition_is_dropped_or_found_wanting(cluster: Cluster) -> None:
    for definition in all_crds():
        answer = await cluster.get(CRDS, definition["metadata"]["name"])
        conditions = {c["type"]: c["status"] for c in answer["status"]["conditions"]}
        assert conditions["Established"] == conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"
        (wanted,), (version,) = definition["spec"]["versions"], answer["spec"]["versions"]
        assert version["schema"] == wanted["schema"]
        assert version["additionalPrinterColumns"] == wanted["additionalPrinterColumns"]
        assert version.get("subresources") == wanted.get("subresources")


async def test_defaults_are_visible_in_what_people_write(cluster: Cluster) -> None:
    tenant = await stored(cluster, TENANTS, an_object("crd-defaults", {"nodeCIDRs": ["10.1.0.0/16"]}))
    assert tenant["spec"] == {
        "nodeCIDRs": ["10.1.0.0/16"],
        "nodePortRange": "30000-32767",
        "suspended": False,
        "failurePolicy": "open",
    }
    pool = await stored(cluster, POOLS, an_object("p", {"addresses": ["192.0.2.0/24"]}))
    assert pool["spec"] == {
        "addresses": ["192.0.2.0/24"],
        "priority": 0,
        "autoAssign": True,
        "avoidBuggyIPs": False,
        "quarantineSeconds": 60,
        "group": "default",
        "announcement": "none",
    }


async def test_a_group_of_either_engine_and_of_every_forwarding_of_the_kernel(cluster: Cluster) -> None:
    envoy = await stored(cluster, GROUPS, an_object("g", {"engine": "envoy", "nodes": ["n"]}))
    assert envoy["spec"] == {
        "engine": "envoy",
        "nodes": ["n"],
        "forwarding": "masquerade",
        "scheduler": "lc",
        "drainSeconds": 60,
    }
    for forwarding in Forwarding:
        await stored(cluster, GROUPS, an_object("g", {"engine": "ipvs", "nodes": ["n"], "forwarding": forwarding}))


async def test_what_a_group_says_by_bgp_is_kept_as_it_is_written(cluster: Cluster) -> None:
    speaking = {"asn": 4200000001, "peers": [{"name": "tor-1", "address": "10.0.0.1", "asn": 65000}]}
    group = await stored(cluster, GROUPS, an_object("g", {"engine": "ipvs", "nodes": ["n"], "bgp": speaking}))
    assert group["spec"]["bgp"] == speaking


async def test_what_a_pool_says_by_bgp_is_kept_as_it_is_written(cluster: Cluster) -> None:
    attributes = {"communities": ["65000:7", "4200000000:1:2"], "localPreference": 0, "peers": ["tor-1"]}
    spec = {"addresses": ["192.0.2.0/24"], "announcement": "bgp", "bgp": attributes}
    pool = await stored(cluster, POOLS, an_object("p", spec))
    assert pool["spec"]["bgp"] == attributes


@pytest.mark.parametrize("name", ["crd", "a", "0", "a-b", "x" * 40])
async def test_names_of_tenants(cluster: Cluster, name: str) -> None:
    await stored(cluster, TENANTS, an_object(name, {"nodeCIDRs": ["10.1.0.0/16"]}))


TENANT = {"nodeCIDRs": ["10.1.0.0/16"]}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("x" * 41, {}, "metadata.name must be a DNS label of at most 40 characters"),
        ("a.b", {}, "metadata.name must be a DNS label of at most 40 characters"),
        ("t", {"nodeCIDRs": []}, "spec.nodeCIDRs in body should have at least 1 items"),
        ("t", {"nodeCIDRs": None}, "spec.nodeCIDRs: Required value"),
        ("t", {"nodeCIDRs": ["10.1.0.0/33"]}, "nodeCIDRs must be CIDRs without host bits, such as 10.1.0.0/16"),
        ("t", {"nodeCIDRs": ["10.1.0.0/16", "10.1.0.1/16"]}, "nodeCIDRs must be CIDRs without host bits"),
        ("t", {"nodeCIDRs": ["10.1.0.1"]}, "nodeCIDRs must be CIDRs"),
        ("t", {"nodeCIDRs": ["::ffff:10.0.0.0/104"]}, "nodeCIDRs must be CIDRs"),
        ("t", {"nodeCIDRs": ["nodes"]}, "nodeCIDRs must be CIDRs"),
        ("t", {"nodeCIDRs": ["10.1.0.0/16"] * 33}, "Too many"),
        ("t", {"nodeCIDRs": ["1" * 65]}, "Too long"),
        ("t", {"nodeCIDRs": "10.1.0.0/16"}, "must be of type array"),
        ("t", {"podCIDRs": ["10.244.0.1/16"]}, "podCIDRs must be CIDRs without host bits, such as 10.244.0.0/16"),
        ("t", {"podCIDRs": ["pods"]}, "podCIDRs must be CIDRs"),
        ("t", {"podCIDRs": ["10.244.0.0/16"] * 33}, "Too many"),
        ("t", {"nodePortRange": "32767-30000"}, "nodePortRange must be LOW-HIGH with 1 <= LOW <= HIGH <= 65535"),
        ("t", {"nodePortRange": "0-100"}, "nodePortRange must be LOW-HIGH"),
        ("t", {"nodePortRange": "30000-65536"}, "nodePortRange must be LOW-HIGH"),
        ("t", {"nodePortRange": "30000"}, "spec.nodePortRange in body should match"),
        ("t", {"quotas": {"ports": -1}}, "spec.quotas.ports in body should be greater than or equal to 0"),
        ("t", {"pools": ["Not A Name"]}, "spec.pools[0] in body should match"),
    ],
    ids=str,
)
async def test_a_tenant_that_cannot_be_served_is_refused_at_the_door(
    cluster: Cluster, name: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await cluster.create(TENANTS, an_object(name, TENANT | changes))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "ranges",
    [
        ["192.0.2.0/24"],
        ["192.0.2.1-192.0.2.9"],
        ["192.0.2.1 - 192.0.2.9", "2001:db8::/64", "2001:db8:1::1-2001:db8:1::ff"],
        [f"10.{n}.0.0-10.{n}.255.255" for n in range(64)],
    ],
)
async def test_pools_as_people_write_them(cluster: Cluster, ranges: list[str]) -> None:
    await stored(cluster, POOLS, an_object("p", {"addresses": ranges}))


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "192.0.2.1/24",
        "192.0.2.1-",
        "-",
        "192.0.2.1-192.0.2.2-192.0.2.3",
        "192.0.2.1-2001:db8::1",
        "pool",
        "192.0.2.0/24-192.0.3.0/24",
        "",
    ],
)
async def test_a_bad_range_is_refused_by_a_sentence(cluster: Cluster, text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await cluster.create(POOLS, an_object("p", {"addresses": ["192.0.2.0/24", text]}))
    assert "addresses must be CIDRs without host bits or FIRST-LAST ranges of one family" in str(refusal.value)


@pytest.mark.parametrize(
    "excluded",
    [
        ["192.0.2.1"],
        ["192.0.2.0/28", "192.0.2.250 - 192.0.2.255", "2001:db8::1", "2001:db8::/96"],
        ["203.0.113.0/24"],
        [f"2001:db8:{n:x}::1-2001:db8:{n:x}:ffff:ffff:ffff:ffff:ffff" for n in range(64)],
    ],
)
async def test_what_pools_exclude_as_people_write_it(cluster: Cluster, excluded: list[str]) -> None:
    await stored(cluster, POOLS, an_object("p", {"addresses": ["192.0.2.0/24", "2001:db8::/64"], "exclude": excluded}))


async def test_pools_of_the_documentation_are_stored_as_they_stand_there(cluster: Cluster) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), flags=re.DOTALL)
    items = [item for block in blocks for item in yaml.safe_load_all(block) if item["kind"] == "AddressPool"]
    assert [item["metadata"]["name"] for item in items] == ["public", "gold"]
    for item in items:
        found = await stored(cluster, POOLS, item)
        assert item["spec"].items() <= found["spec"].items()
        spec = msgspec.convert(found["spec"], objects.AddressPoolSpec)
        assert parse_intervals(spec.addresses, spec.exclude)


async def test_a_selector_is_stored_as_it_is_written(cluster: Cluster) -> None:
    selector = {"tenants": ["acme"], "namespaces": ["shop", "bank"], "serviceLabels": {"example.com/tier": "gold"}}
    spec = {"addresses": ["192.0.2.0/24"], "priority": -5, "selector": selector}
    pool = await stored(cluster, POOLS, an_object("p", spec))
    assert (pool["spec"]["priority"], pool["spec"]["selector"]) == (-5, selector)


@pytest.mark.parametrize("text", ["192.0.2.1/24", "192.0.2.1-", "192.0.2.1-2001:db8::1", "gateway", ""])
async def test_a_bad_exclusion_is_refused_by_a_sentence(cluster: Cluster, text: str) -> None:
    spec = {"addresses": ["192.0.2.0/24"], "exclude": ["192.0.2.0", text]}
    with pytest.raises(Invalid) as refusal:
        await cluster.create(POOLS, an_object("p", spec))
    assert "exclude must be CIDRs without host bits, FIRST-LAST ranges of one family, or single" in str(refusal.value)


@pytest.mark.parametrize(
    ("resource", "spec", "message"),
    [
        (POOLS, {"addresses": ["192.0.2.0/24"], "exclude": ["192.0.2.1"] * 65}, "Too many"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "priority": 10**9 + 1}, "less than or equal to 1000000000"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "selector": {"tenants": ["A B"]}}, "spec.selector.tenants[0] in body"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "selector": {"serviceLabels": {"a": 1}}}, "must be of type string"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "quarantineSeconds": 86401}, "less than or equal to 86400"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "bgp": {"localPreference": -1}}, "greater than or equal to 0"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "bgp": {"peers": ["A B"]}}, "spec.bgp.peers[0] in body should match"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "bgp": {"communities": ["1:1"] * 33}}, "Too many"),
        (POOLS, {"addresses": ["192.0.2.0/24"], "group": "UPPER"}, "spec.group in body should match"),
        (GROUPS, {"engine": "haproxy", "nodes": ["n"]}, 'spec.engine: Unsupported value: "haproxy"'),
        (GROUPS, {"engine": "envoy", "nodes": []}, "spec.nodes in body should have at least 1 items"),
        (GROUPS, {"nodes": ["n"]}, "spec.engine: Required value"),
        *(
            (
                GROUPS,
                {"engine": "envoy", "nodes": ["n"], "forwarding": forwarding},
                "forwarding other than masquerade needs engine: ipvs; set it, or use forwarding: masquerade",
            )
            for forwarding in ("direct", "ipip", "gue")
        ),
        (GROUPS, {"engine": "ipvs", "nodes": ["n"], "forwarding": "nat"}, 'forwarding: Unsupported value: "nat"'),
        (GROUPS, {"engine": "ipvs", "nodes": ["n"], "scheduler": "fastest"}, 'Unsupported value: "fastest"'),
        (GROUPS, {"engine": "ipvs", "nodes": ["n"], "drainSeconds": 86401}, "less than or equal to 86400"),
        (GROUPS, {"engine": "ipvs", "nodes": ["n"], "drainSeconds": -1}, "greater than or equal to 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_pools_and_groups_outside_their_bounds(
    cluster: Cluster, resource: Resource[Object], spec: Object, message: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await cluster.create(resource, an_object("x", spec))
    assert message in str(refusal.value)


def a_claim(name: str, address: str, **changes: object) -> Object:
    return an_object(name, {"address": address, "pool": "p", "owner": OWNER, **changes})


async def test_a_claim_has_one_owner_and_one_address_for_its_whole_life(cluster: Cluster) -> None:
    await cluster.create(CLAIMS, a_claim("192.0.2.7", "192.0.2.7"))

    async def change(spec: object) -> Object:
        return await cluster.patch(CLAIMS, "192.0.2.7", {"spec": spec}, kind=PatchKind.MERGE)

    with pytest.raises(Invalid, match="a claim stays with its owner, or passes to one of its sharers; delete it"):
        await change({"owner": {"serviceUID": "s-2"}})
    with pytest.raises(Invalid, match=r"spec\.address never changes|metadata\.name must be the canonical"):
        await change({"address": "192.0.2.8"})
    with pytest.raises(Invalid, match="Unsupported value"):
        await change({"phase": "Free"})
    kept = await change({"phase": "Releasing", "ports": ["443/TCP"], "owner": {"name": "renamed"}})
    assert kept["spec"]["owner"] == OWNER | {"name": "renamed"}
    await cluster.delete(CLAIMS, "192.0.2.7")


async def test_a_claim_passes_to_its_sharers_alone_and_never_to_another_tenant(cluster: Cluster) -> None:
    async def change(**spec: object) -> Object:
        return await cluster.patch(CLAIMS, "192.0.2.6", {"spec": spec}, kind=PatchKind.MERGE)

    await cluster.create(CLAIMS, a_claim("192.0.2.6", "192.0.2.6", ports=["80/TCP"]))
    sharer = {"owner": OWNER | {"serviceUID": "s-2"}, "ports": ["443/TCP"]}
    with pytest.raises(Invalid, match="an address without a sharingKey is not shared"):
        await change(sharers=[sharer])
    foreign = {"owner": sharer["owner"] | {"tenant": "globex"}, "ports": ["443/TCP"]}  # type: ignore[operator]
    with pytest.raises(Invalid, match="an address is shared within one tenant alone"):
        await change(sharingKey="k", sharers=[foreign])
    await change(sharingKey="k", sharers=[sharer] + 62 * [sharer])
    with pytest.raises(Invalid, match=r"spec\.sharers"):
        await change(sharers=64 * [sharer])
    with pytest.raises(Invalid, match=r"spec\.owner\.tenant never changes"):
        await change(owner=foreign["owner"], sharers=None)
    passed = await change(owner=sharer["owner"], ports=["443/TCP"], sharers=None, leaving=[{"owner": OWNER}])
    assert passed["spec"]["owner"]["serviceUID"] == "s-2"
    await cluster.delete(CLAIMS, "192.0.2.6")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("192.0.2.7", "192.0.2.8"),
        ("lock", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("lock", "FD00::1"),
        ("lock", "::ffff:192.0.2.7"),
        ("lock", ""),
    ],
)
async def test_a_claim_is_named_by_its_address(cluster: Cluster, name: str, address: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name must be the canonical spec\.address"):
        await cluster.create(CLAIMS, a_claim(name, address))


async def test_a_claim_of_an_ipv6_address(cluster: Cluster) -> None:
    await stored(cluster, CLAIMS, a_claim("fd00-0000-0000-0000-0000-0000-0000-0001", "fd00::1"))


async def test_a_claim_is_a_lock(cluster: Cluster) -> None:
    assert "subresources" not in next(c for c in all_crds() if c["spec"]["names"]["kind"] == "AddressClaim")["spec"]
    created = await cluster.create(CLAIMS, a_claim("192.0.2.9", "192.0.2.9"))
    assert created["metadata"]["generation"] == 1
    await cluster.delete(CLAIMS, "192.0.2.9", uid=created["metadata"]["uid"])


LOAD_BALANCER = {
    "tenant": "acme",
    "clusterUID": "c-1",
    "wish": "0011223344556677",
    "service": {"namespace": "shop", "name": "web", "ports": [{"port": 443, "nodePort": 30443}]},
    "addresses": ["192.0.2.7"],
}


@pytest.fixture
async def namespace(cluster: Cluster) -> str:
    """A tenant's namespace."""
    await cluster.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-crds"}})
    return "tenant-crds"


async def test_spec_and_status_are_written_apart(cluster: Cluster, namespace: str) -> None:
    item = an_object("lb-apart", LOAD_BALANCER, namespace=namespace) | {"status": {"observedGeneration": 9}}
    created = await cluster.create(LOAD_BALANCERS, item)
    assert "status" not in created
    condition = {"type": "fleetlb.dev/Serving", "status": "True", "reason": "ProbeAnswered"}
    status = {"observedGeneration": 1, "addresses": ["192.0.2.7"], "conditions": [condition]}
    body = {"status": status, "spec": {"tenant": "globex"}}
    patched = await cluster.patch(
        LOAD_BALANCERS, "lb-apart", body, kind=PatchKind.MERGE, namespace=namespace, subresource="status"
    )
    assert patched["status"] == status
    assert patched["spec"]["tenant"] == "acme"
    assert patched["metadata"]["generation"] == created["metadata"]["generation"] == 1
    edited = await cluster.patch(
        LOAD_BALANCERS, "lb-apart", {"spec": {"wish": "x"}, "status": None}, kind=PatchKind.MERGE, namespace=namespace
    )
    assert edited["status"] == status
    assert edited["metadata"]["generation"] == 2
    twice = {"status": {"conditions": [condition, condition]}}
    with pytest.raises(Invalid, match="Duplicate value"):
        await cluster.patch(
            LOAD_BALANCERS, "lb-apart", twice, kind=PatchKind.MERGE, namespace=namespace, subresource="status"
        )
    await cluster.delete(LOAD_BALANCERS, "lb-apart", namespace)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"service": LOAD_BALANCER["service"] | {"ports": []}}, "should have at least 1 items"),  # type: ignore[operator]
        ({"service": {"namespace": "shop", "name": "web"}}, "spec.service.ports: Required value"),
        ({"tenant": None}, "spec.tenant: Required value"),
        ({"ipMode": "NAT"}, "Unsupported value"),
        ({"refusal": {"reason": "NoSuchReason", "message": ""}}, "Unsupported value"),
        ({"addresses": [7]}, "must be of type string"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_load_balancer_no_part_could_read_is_refused(
    cluster: Cluster, namespace: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await cluster.create(LOAD_BALANCERS, an_object("lb-bad", LOAD_BALANCER | changes, namespace=namespace))
    assert message in str(refusal.value)


async def test_what_the_api_server_stores_is_what_the_structs_read(cluster: Cluster, namespace: str) -> None:
    await cluster.create(LOAD_BALANCERS, an_object("lb-read", LOAD_BALANCER, namespace=namespace))
    read = await cluster.get(fleet_objects.LOAD_BALANCERS, "lb-read", namespace)
    assert read.spec.service.ports[0].node_port == 30443
    assert read.status == objects.LoadBalancerStatus()
    nodes = [{"name": "node-1", "addresses": ["10.1.0.1"]}]
    item = an_object("c-1", {"tenant": "acme", "nodes": nodes}, namespace=namespace)
    await cluster.create(CLUSTERS, item)
    assert (await cluster.get(fleet_objects.TENANT_CLUSTERS, "c-1", namespace)).spec.nodes[0].eligible
    await cluster.delete(LOAD_BALANCERS, "lb-read", namespace)
    await cluster.delete(CLUSTERS, "c-1", namespace)


def table(kubeconfig: Path, *arguments: str) -> list[str]:
    """The header of `kubectl get`."""
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'crd-cache'}", "get"]
    answer = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=25, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


async def test_kubectl_shows_what_matters(cluster: Cluster, namespace: str, kube_api: Path) -> None:
    await cluster.create(TENANTS, an_object("crd-columns", TENANT))
    await cluster.create(LOAD_BALANCERS, an_object("lb-shown", LOAD_BALANCER, namespace=namespace))
    status = {
        "conditions": [
            {"type": "fleetlb.dev/Provisioned", "status": "True", "reason": "Complete"},
            {"type": "fleetlb.dev/Serving", "status": "False", "reason": "NoReadyBackend"},
        ],
        "announcedBy": "layer2: node-1",
    }
    await cluster.patch(
        LOAD_BALANCERS, "lb-shown", {"status": status}, kind=PatchKind.MERGE, namespace=namespace, subresource="status"
    )
    header, row = table(kube_api, "flb", "lb-shown", "-n", namespace, "-o", "wide")
    columns = "NAME TENANT SERVICE NS SERVICE ADDRESSES PORTS ANNOUNCED PROVISIONED SERVING REASON AGE"
    assert " ".join(header.split()) == columns
    wanted = r'lb-shown acme shop web \["192\.0\.2\.7"\] \[\{.*"port":443.*\}\] layer2: node-1 True False NoReady'
    assert re.fullmatch(wanted + r"Backend \d+s", " ".join(row.split()))
    header, row = table(kube_api, "ten", "crd-columns", "-o", "wide")
    assert " ".join(header.split()) == "NAME READY LOADBALANCERS ADDRESSES NODE CIDRS POD CIDRS REMOVAL REASON AGE"
    assert '["10.1.0.0/16"]' in row
    await cluster.delete(LOAD_BALANCERS, "lb-shown", namespace)
    await cluster.delete(TENANTS, "crd-columns")


async def test_every_kind_is_in_the_category_and_has_a_short_name(cluster: Cluster, kube_api: Path) -> None:
    command = [KUBECTL, f"--kubeconfig={kube_api}", f"--cache-dir={kube_api.parent / 'crd-cache'}", "api-resources"]
    arguments = ["--categories=fleetlb", "--cached=false", "-o", "wide", "--no-headers"]
    answer = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=25, check=False)
    assert {tuple(line.split()[:2]) for line in answer.stdout.splitlines()} == {
        ("tenants", "ten"),
        ("addresspools", "apl"),
        ("balancergroups", "blg"),
        ("loadbalancers", "flb"),
        ("tenantclusters", "tcl"),
        ("addressclaims", "acl"),
    }


def test_definitions_are_plain_json() -> None:
    assert json.loads(json.dumps(all_crds())) == all_crds()
