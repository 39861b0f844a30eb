"""Folding: whatever order events, reports and our own writes arrive in, the newest state stands."""

import gc
import tracemalloc
from typing import Any

import msgspec
import pytest

from fleetlb.contracts import codec
from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.v1 import Ingress, ServiceReported
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Status
from fleetlb.domain.services import Pod, PodGroup, PodPort, ServiceEndpoints
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import STANDARD_FINALIZER, Selection
from fleetlb.testkit.tenant_objects import a_condition, a_service, a_slice, an_endpoint
from fleetlb_tenant_watcher.kube_objects import EndpointSlice
from fleetlb_tenant_watcher.memory import Memory
from fleetlb_tenant_watcher.records import Record, Stage


def service(**given: Any) -> Service:
    return msgspec.convert(a_service(**given), Service)


def known(memory: Memory, uid: str = "uid-1") -> Record:
    record = memory.get(uid)
    assert record is not None
    return record


def report(generation: int = 1, revision: int = 1, **given: Any) -> ServiceReported:
    return ServiceReported(generation=generation, revision=revision, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"type": "ClusterIP"},
        {"loadBalancerClass": "somebody.else/lb"},
        {"loadBalancerClass": "somebody.else/lb", "finalizers": (STANDARD_FINALIZER,)},
        {"loadBalancerClass": "somebody.else/lb", "conditions": (a_condition(PROVISIONED, "True", "Theirs"),)},
        {"type": "ClusterIP", "finalizers": ("other/one",)},
        {"type": "ClusterIP", "conditions": (a_condition("Other", "True", "X"),)},
        {"deleting": True},
    ],
)
def test_services_of_no_interest_leave_no_record(memory: Memory, given: dict[str, Any]) -> None:
    assert not memory.see(service(**given), 0)
    assert len(memory) == 0


@pytest.mark.parametrize(
    ("given", "stage"),
    [
        ({}, Stage.WANTED),
        ({"finalizers": (STANDARD_FINALIZER,), "type": "ClusterIP"}, Stage.RELEASING),
        ({"finalizers": (STANDARD_FINALIZER,), "deleting": True}, Stage.RELEASING),
        ({"type": "ClusterIP", "conditions": (a_condition(PROVISIONED, "False", "X"),)}, Stage.RELEASING),
    ],
)
def test_services_of_interest_at_first_sight(memory: Memory, given: dict[str, Any], stage: Stage) -> None:
    assert memory.see(service(**given), 0)
    assert known(memory).stage is stage


def test_older_and_equal_versions_are_dropped(memory: Memory) -> None:
    memory.see(service(version=9), 0)
    assert not memory.see(service(version=8, type="ClusterIP"), 0)
    assert not memory.refresh(service(version=9, deleting=True), 0)
    assert known(memory).stage is Stage.WANTED
    assert not memory.see(service(version=10), 0), "a new version of the same view is no news"
    assert known(memory).version == 10


def test_versions_that_are_no_numbers_are_taken_as_new(memory: Memory) -> None:
    memory.see(service(version=9), 0)
    odd = a_service(deleting=True, finalizers=(STANDARD_FINALIZER,))
    odd["metadata"]["resourceVersion"] = "odd"
    assert memory.see(msgspec.convert(odd, Service), 0)


def test_only_the_watch_brings_services_into_being(memory: Memory) -> None:
    assert not memory.refresh(service(), 0)
    assert len(memory) == 0


def test_a_namesake_has_its_own_record(memory: Memory) -> None:
    memory.see(service(uid="old", finalizers=(STANDARD_FINALIZER,), deleting=True), 0)
    memory.see_slice(msgspec.convert(a_slice(an_endpoint(ready=True)), EndpointSlice))
    assert memory.lose("old", 1)
    memory.see(service(uid="new", version=5), 2)
    assert (known(memory, "old").stage, known(memory, "new").stage) == (Stage.RELEASING, Stage.WANTED)
    assert memory.lose_slice("shop", "web-1") == ["new"]
    memory.hear("old", report(released=True))
    memory.drop("old")
    assert memory.see_slice(msgspec.convert(a_slice(), EndpointSlice)) == ["new"]


def test_a_service_that_the_hub_never_heard_of_is_forgotten(memory: Memory) -> None:
    memory.see(service(), 0)
    assert not memory.lose("uid-1", 1)
    assert not memory.lose("uid-1", 1)
    assert len(memory) == 0


def test_a_finished_service_waits_for_the_watch_to_catch_up(memory: Memory) -> None:
    memory.see(service(version=1, finalizers=(STANDARD_FINALIZER,), type="ClusterIP"), 0)
    memory.refresh(service(version=5, type="ClusterIP"), 0)
    memory.finish("uid-1")
    assert not memory.see(service(version=3, finalizers=(STANDARD_FINALIZER,), type="ClusterIP"), 0)
    assert len(memory) == 1
    assert not memory.see(service(version=5, type="ClusterIP"), 0)
    assert len(memory) == 0


def test_a_finished_service_may_be_wanted_again(memory: Memory) -> None:
    memory.see(service(version=1, finalizers=(STANDARD_FINALIZER,), type="ClusterIP"), 0)
    memory.finish("uid-1")
    assert memory.see(service(version=7), 3)
    record = known(memory)
    assert (record.stage, record.is_finished, record.published, record.since) == (Stage.WANTED, False, "", 3)


@pytest.mark.parametrize(
    ("marks", "results"),
    [
        ([(1, 1), (1, 2)], ["folded", "folded"]),
        ([(1, 2), (1, 1)], ["folded", "stale"]),
        ([(2, 1), (1, 99)], ["folded", "stale"]),
        ([(1, 99), (2, 1)], ["folded", "folded"]),
        ([(1, 1), (1, 1)], ["folded", "folded"]),
    ],
)
def test_the_newest_report_stands(memory: Memory, marks: list[tuple[int, int]], results: list[str]) -> None:
    memory.see(service(), 0)
    assert [memory.hear("uid-1", report(g, r, wish=f"{g}.{r}")) for g, r in marks] == results
    kept = known(memory).report
    assert kept is not None
    assert kept.wish == "{}.{}".format(*max(marks))


def test_reports_on_nobody_are_unknown(memory: Memory) -> None:
    assert memory.hear("uid-9", report()) == "unknown"


def test_conditions_of_a_report_are_fitted_to_a_service(memory: Memory) -> None:
    memory.see(service(), 0)
    ours = Condition(type=PROVISIONED, status=Status.TRUE, reason="Complete", observed_generation=7)
    memory.hear("uid-1", report(conditions=(ours, msgspec.structs.replace(ours, type="Foreign"))))
    kept = known(memory).report
    assert kept is not None
    assert kept.conditions == (msgspec.structs.replace(ours, observed_generation=0),)


def test_released_counts_only_as_the_answer_to_a_release(memory: Memory) -> None:
    memory.see(service(finalizers=(STANDARD_FINALIZER,)), 0)
    memory.hear("uid-1", report(1, 1, released=True))
    assert not known(memory).is_released
    memory.see(service(version=2, finalizers=(STANDARD_FINALIZER,), deleting=True), 0)
    memory.hear("uid-1", report(1, 2, released=True))
    assert not known(memory).is_released
    known(memory).releases = 1
    memory.hear("uid-1", report(1, 1, released=True))
    assert not known(memory).is_released, "older than what was heard"
    memory.hear("uid-1", report(1, 3, released=True))
    assert known(memory).is_released


def test_nodes_of_endpoints_matter_under_policy_local_only(memory: Memory) -> None:
    memory.see(service(), 0)
    assert memory.endpoints_of(known(memory)) is None
    memory.see_slice(msgspec.convert(a_slice(an_endpoint("n1", ready=True)), EndpointSlice))
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True)
    memory.see(service(version=2, externalTrafficPolicy="Local"), 0)
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True, nodes=("n1",))


def test_pods_matter_under_either_policy_with_the_ports_of_the_wish_in_force() -> None:
    memory = Memory(Selection(), with_pods=True)
    memory.see(service(), 0)
    told = (PodGroup(ports=(PodPort(name="https", port=8443),), pods=(Pod("10.244.1.7", "n1"),)),)
    memory.see_slice(msgspec.convert(a_slice(an_endpoint("n1", ready=True)), EndpointSlice))
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True, pods=told)
    memory.see(service(version=2, externalTrafficPolicy="Local"), 0)
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True, nodes=("n1",), pods=told)
    memory.see(service(version=3, ports=({"name": "http", "port": 80},)), 0)
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True, pods=())


def test_whether_pods_end_matters_under_policy_local_only(memory: Memory) -> None:
    memory.see(service(), 0)
    ending = an_endpoint("n1", ready=False, serving=True, terminating=True)
    memory.see_slice(msgspec.convert(a_slice(ending), EndpointSlice))
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True)
    memory.see(service(version=2, externalTrafficPolicy="Local"), 0)
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True, ending=True, nodes=("n1",))


def test_slices_may_come_before_their_service(memory: Memory) -> None:
    assert memory.see_slice(msgspec.convert(a_slice(an_endpoint(ready=True)), EndpointSlice)) == []
    memory.see(service(), 0)
    assert memory.endpoints_of(known(memory)) == ServiceEndpoints(ready=True)


def test_a_record_stays_small(memory: Memory) -> None:
    number = 2000
    conditions = (
        a_condition(PROVISIONED, "True", "Complete", "192.0.2.1 programmed on every balancer node"),
        a_condition(SERVING, "True", "ProbeAnswered", "every balancer node reached a backend"),
    )
    ingress = ({"ip": "192.0.2.1", "ipMode": "Proxy"},)
    told = report(
        ingress=(Ingress(ip="192.0.2.1", ip_mode=IpMode.PROXY),),
        conditions=tuple(msgspec.convert(c, Condition) for c in conditions),
    )
    common: dict[str, Any] = {"finalizers": (STANDARD_FINALIZER,), "ingress": ingress, "conditions": conditions}
    services = [
        msgspec.json.encode(a_service(f"web-{n}", uid=f"0f8fad5b-d9cb-469f-a165-7086{n:08d}", version=n + 1, **common))
        for n in range(number)
    ]
    reported = codec.encode(told)
    gc.collect()
    tracemalloc.start()
    try:
        for text in services:
            one = msgspec.json.decode(text, type=Service)
            memory.see(one, 0)
            memory.hear(one.metadata.uid, codec.decode(ServiceReported, reported))
        del one
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / number < 1400
