"""One trace of a change, from the tenant's API server to the packet and back; as a collector and as people see it."""

import pytest

from fleetlb.contracts.v1 import VirtualServerRealized
from fleetlb.domain.conditions import PROVISIONED, SERVING
from fleetlb.domain.traces import mark_of, trace_id
from fleetlb.testkit.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.e2e.fleet import Fleet, TenantCluster, eventually, next_node_port, tcp

pytestmark = pytest.mark.e2e

SERVICES = {"fleetlb-tenant-watcher", "fleetlb-manager", "fleetlb-dataplane-programmer", "fleetlb-status"}
STEPS = [
    ("fleetlb-tenant-watcher", "watch Service"),
    ("fleetlb-tenant-watcher", "publish observed.{cluster}.service.{uid}"),
    ("fleetlb-manager", "process fleetlb.v1.observed.{account}.{cluster}.service.{uid}"),
    ("fleetlb-manager", "decide"),
    ("fleetlb-manager", "claim"),
    ("fleetlb-manager", "publish fleetlb.v1.desired.{group}.{virtual-server}"),
    ("fleetlb-dataplane-programmer", "process fleetlb.v1.desired.{group}.{virtual-server}"),
    ("fleetlb-dataplane-programmer", "program virtual server"),
    ("fleetlb-dataplane-programmer", "probe virtual server"),
    ("fleetlb-dataplane-programmer", "publish fleetlb.v1.realized.{group}.{node}.{virtual-server}"),
    ("fleetlb-status", "publish fleetlb.v1.reported.{account}.{cluster}.service.{uid}"),
    ("fleetlb-tenant-watcher", "process reported.{cluster}.service.{uid}"),
    ("fleetlb-tenant-watcher", "patch Service status"),
]
"""In the order of their beginnings."""


async def mark(tenant: TenantCluster, name: str, kind: str) -> str:
    """The trace id in a condition's message."""
    conditions = (await tenant.get(name))["status"]["conditions"]
    return next(mark_of(condition["message"]) for condition in conditions if condition["type"] == kind)


async def whole(collector: OtlpReceiver, trace: str, last: str) -> list[ReceivedSpan]:
    """The spans of a trace once its last step has come, which need not be the last to arrive."""

    async def is_whole() -> bool:
        spans = collector.trace(trace)
        known = {span.span_id for span in spans}
        is_connected = all(not span.parent_id or span.parent_id in known for span in spans)
        return is_connected and any(span.name == last for span in spans)

    await eventually(is_whole, f"a whole trace {trace} that ends with {last}")
    return collector.trace(trace)


async def test_MUL_15_a_new_service_is_one_trace_through_every_process(
    fleet: Fleet, acme: TenantCluster, collector: OtlpReceiver
) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    trace = await mark(acme, "web", SERVING)
    spans = await whole(collector, trace, "patch Service status")
    assert {span.service for span in spans} == SERVICES
    assert [span.name for span in spans if not span.parent_id] == ["watch Service"], "one beginning"
    found = {(span.service, span.name): span for span in sorted(spans, key=lambda s: s.began, reverse=True)}
    began = [found[step].began for step in STEPS]
    assert began == sorted(began)
    of_this_change = [span for span in collector.spans() if span.attributes.get("fleetlb.service.uid") == uid]
    others = [span for span in of_this_change if span.trace_id != trace]
    assert others == [], "and no other trace"

    item = await fleet.load_balancer("acme", uid)
    assert item is not None
    assert trace_id(item.spec.trace) == trace == await mark(acme, "web", PROVISIONED)

    async def is_in_event() -> bool:
        return trace in [
            mark_of(e["message"]) for e in await acme.events("web") if e["reason"] == "EnsuredLoadBalancer"
        ]

    await eventually(is_in_event, "an Event that names the trace")


async def test_MUL_15_each_change_is_a_trace_of_its_own(
    fleet: Fleet, acme: TenantCluster, collector: OtlpReceiver
) -> None:
    port, second = next_node_port(), next_node_port()
    await acme.serve(tcp=(port, second))
    uid = await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    created = await mark(acme, "web", PROVISIONED)
    await acme.patch("web", {"spec": {"ports": [tcp(8080, port), tcp(8081, second)]}})

    async def is_edited() -> bool:
        item = await fleet.load_balancer("acme", uid)
        return item is not None and len(item.spec.service.ports) == 2

    await eventually(is_edited, "the edit")
    item = await fleet.load_balancer("acme", uid)
    assert item is not None
    edited = trace_id(item.spec.trace)
    assert edited != created
    name = "publish fleetlb.v1.reported.{account}.{cluster}.service.{uid}"
    await whole(collector, edited, "probe virtual server")
    await acme.delete("web")
    await acme.clean()

    async def is_let_go() -> bool:
        return any(
            span.name == "patch Service finalizers" and span.trace_id not in (created, edited)
            for span in collector.spans()
            if span.attributes.get("fleetlb.service.uid") == uid
        )

    await eventually(is_let_go, "a trace of the end")
    (last,) = {
        span.trace_id
        for span in collector.spans()
        if span.name == "patch Service finalizers" and span.attributes.get("fleetlb.service.uid") == uid
    } - {created}
    spans = await whole(collector, last, "patch Service finalizers")
    assert {span.service for span in spans} == SERVICES
    assert name in {span.name for span in spans}


async def test_MUL_15_what_happens_by_itself_has_a_trace_too(acme: TenantCluster, collector: OtlpReceiver) -> None:
    port = next_node_port()
    backends = await acme.serve(tcp=(port,))
    await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    created = await mark(acme, "web", SERVING)
    await backends.close()
    await acme.reason("web", SERVING, "ProbeUnanswered")
    failed = await mark(acme, "web", SERVING)
    assert failed not in ("", created)
    spans = await whole(collector, failed, "patch Service status")
    assert {span.service for span in spans} >= {"fleetlb-status", "fleetlb-tenant-watcher"}


async def test_messages_carry_the_context_in_their_headers(fleet: Fleet, acme: TenantCluster) -> None:
    port = next_node_port()
    await acme.serve(tcp=(port,))
    uid = await acme.create("web", [tcp(8080, port)])
    await acme.serving("web")
    trace = await mark(acme, "web", SERVING)
    words = [word for word in await fleet.realized() if word[0].owner.service_uid == uid]
    assert [(type(word), trace_id(context)) for word, context in words] == [(VirtualServerRealized, trace)]
