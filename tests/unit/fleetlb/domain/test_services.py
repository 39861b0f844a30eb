import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetlb.domain.addresses import Family, Protocol
from fleetlb.domain.services import (
    MAX_PODS,
    MAX_PORTS,
    MAX_SOURCE_RANGES,
    Pod,
    PodGroup,
    PodPort,
    ServiceEndpoints,
    ServicePort,
    TenantNode,
    TenantService,
    TrafficPolicy,
    canonical_ranges,
    digest_of,
)
from fleetlb.domain.virtual_servers import Scheduler

BODY = b'{"namespace":"shop","name":"web","ports":[{"port":443,"nodePort":30443}]}'


def read(**changes: object) -> TenantService:
    """A service as it comes over the wire, with changes."""
    return msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(BODY) | changes), type=TenantService)


def test_a_service_is_written_without_its_defaults() -> None:
    service = TenantService(namespace="shop", name="web", ports=(ServicePort(port=443, node_port=30443),))
    assert msgspec.json.encode(service) == BODY
    assert read() == service
    assert (service.ip_families, service.external_traffic_policy) == ((Family.IPV4,), TrafficPolicy.CLUSTER)
    assert service.ports[0].protocol is Protocol.TCP
    assert (service.source_ranges, service.scheduler) == ((), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": ""},
        {"namespace": "n" * 64},
        {"name": ""},
        {"name": "n" * 64},
        {"name": None},
        {"ports": []},
        {"ports": [{"port": 1, "nodePort": 1}] * (MAX_PORTS + 1)},
        {"ports": [{"port": 0, "nodePort": 30000}]},
        {"ports": [{"port": 65536, "nodePort": 30000}]},
        {"ports": [{"port": 80, "nodePort": -1}]},
        {"ports": [{"port": 80, "nodePort": 65536}]},
        {"ports": [{"port": 80, "nodePort": None}]},
        {"ports": [{"port": 80, "nodePort": 30000, "protocol": "tcp"}]},
        {"ports": [{"port": 80, "nodePort": 30000, "name": "n" * 64}]},
        {"ports": [{"port": True, "nodePort": 30000}]},
        {"ports": [{"port": "80", "nodePort": 30000}]},
        {"ports": [{"port": 80.5, "nodePort": 30000}]},
        {"ipFamilies": []},
        {"ipFamilies": ["IPv4", "IPv6", "IPv4"]},
        {"ipFamilies": ["IPv5"]},
        {"externalTrafficPolicy": "local"},
        {"healthCheckNodePort": -1},
        {"healthCheckNodePort": 65536},
        {"affinitySeconds": -1},
        {"affinitySeconds": 86401},
        {"addresses": ["a", "b", "c"]},
        {"pool": "n" * 64},
        {"sourceRanges": ["10.0.0.0/8"] * (MAX_SOURCE_RANGES + 1)},
        {"sourceRanges": ["x" * 44]},
        {"sourceRanges": None},
        {"scheduler": "fastest"},
        {"scheduler": ""},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_service_outside_its_bounds_is_not_read(changes: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"ports": [{"port": 65535, "nodePort": 1}] * MAX_PORTS},
        {"ports": [{"port": 65535, "nodePort": 65535}, {"port": 1, "nodePort": 0}, {"port": 2}]},
        {"ipFamilies": ["IPv6", "IPv4"]},
        {"affinitySeconds": 86400},
        {"addresses": ["10.0.0.1", "fd00::1"]},
        {"name": "n" * 63, "namespace": "n" * 63, "pool": "n" * 63},
        {"sourceRanges": ["1234:1234:1234:1234:1234:1234:1234:1234/128"] * MAX_SOURCE_RANGES},
        *({"scheduler": name} for name in Scheduler),
        {"scheduler": None},
        {"someFieldOfTomorrow": {"deep": [1]}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_service_at_its_bounds_is_read(changes: dict[str, object]) -> None:
    assert isinstance(read(**changes), TenantService)


def test_equal_values_have_equal_digests() -> None:
    assert digest_of(read()) == digest_of(read(affinitySeconds=0))
    assert digest_of((read(), None)) == digest_of((read(), None))
    digests = [
        digest_of(value)
        for value in (
            read(),
            read(affinitySeconds=1),
            read(name="other"),
            read(sourceRanges=["10.0.0.0/8"]),
            read(scheduler="lc"),
            read(ports=[{"port": 443, "nodePort": 30444}]),
            (read(), None),
            (read(), ServiceEndpoints()),
            (read(), ServiceEndpoints(ready=True)),
            (read(), ServiceEndpoints(ready=True, pods=())),
            (read(), ServiceEndpoints(ready=True, crowded=True)),
            (read(), ServiceEndpoints(ready=True, ending=True)),
            read(healthCheckNodePort=32000),
            (read(), ServiceEndpoints(ready=True, pods=(GROUP,))),
            None,
        )
    ]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 16 for digest in digests)


def test_a_digest_is_the_same_in_every_build() -> None:
    assert digest_of(read()) == DIGEST_OF_BODY


DIGEST_OF_BODY = "d083e0547adcbb38"


@pytest.mark.parametrize(
    "body",
    [
        b'{"ports":[{"port":0}],"pods":[]}',
        b'{"ports":[{"name":"http"}],"pods":[]}',
        b'{"ports":[{"port":80,"protocol":"tcp"}],"pods":[]}',
        b'{"ports":[{"port":80}]}',
        b'{"ports":[],"pods":[{"node":"n"}]}',
        b'{"ports":[],"pods":[{"address":"' + b"1" * 46 + b'"}]}',
        b'{"ports":[],"pods":[' + b",".join([b'{"address":"10.0.0.1"}'] * (MAX_PODS + 1)) + b"]}",
        b'{"pods":[],"ports":[' + b",".join([b'{"port":80}'] * (MAX_PORTS + 1)) + b"]}",
    ],
    ids=lambda body: body[:60].decode(),
)
def test_pods_outside_their_bounds_are_not_read(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=PodGroup)


def test_pods_are_written_without_defaults_and_a_thousand_fit_a_message() -> None:
    body = b'{"ports":[{"port":8443},{"name":"https","port":443}],"pods":[{"address":"10.244.0.7","node":"node-a"}]}'
    assert msgspec.json.encode(GROUP) == body
    assert msgspec.json.decode(body, type=PodGroup) == GROUP
    pods = tuple(Pod(f"1234:1234:1234:1234:1234:1234:1234:{n:04}", "n" * 63) for n in range(MAX_PODS))
    assert len(msgspec.json.encode(PodGroup(ports=GROUP.ports * 125, pods=pods))) < 192 * 1024


GROUP = PodGroup(ports=(PodPort(port=8443), PodPort(name="https", port=443)), pods=(Pod("10.244.0.7", "node-a"),))


def test_ranges_have_one_spelling_and_one_order() -> None:
    texts = ["2001:DB8::1/32", "10.0.0.1/8", "9.9.9.9", "10.0.0.0/9", "10.255.0.0/8", "::/0"]
    expected = ("9.9.9.9/32", "10.0.0.0/8", "10.0.0.0/9", "::/0", "2001:db8::/32")
    assert canonical_ranges(texts) == canonical_ranges(reversed(texts)) == expected
    assert canonical_ranges(expected) == expected
    assert canonical_ranges(()) == ()


@pytest.mark.parametrize("text", ["everybody", "", "10.0.0.0/99", "10.0.0.0/255.0.0.0", "::ffff:10.0.0.0/104"])
def test_a_range_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a CIDR") as problem:
        canonical_ranges(["192.0.2.0/24", text])
    assert repr(text) in str(problem.value)


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), max_size=8), st.ip_addresses(v=4))
def test_ranges_let_in_whom_they_let_in_before(
    pairs: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]], client: ipaddress.IPv4Address
) -> None:
    texts = [f"{a}/{length % (a.max_prefixlen + 1)}" for a, length in pairs if not getattr(a, "ipv4_mapped", None)]
    canonical = canonical_ranges(texts)
    before = any(client in ipaddress.ip_network(text, strict=False) for text in texts)
    assert any(client in ipaddress.ip_network(text) for text in canonical) is before
    assert len(set(canonical)) == len(canonical)
    assert all(len(text) <= 43 for text in canonical)


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":""}',
        b'{"name":"' + b"n" * 254 + b'"}',
        b'{"name":"n","addresses":["","","","","","","","",""]}',
        b"{}",
    ],
)
def test_a_node_outside_its_bounds_is_not_read(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=TenantNode)


def test_nodes_sort_by_name() -> None:
    assert sorted([TenantNode(name="b"), TenantNode(name="a", eligible=False)])[0].name == "a"
