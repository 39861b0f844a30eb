"""Which events lie between two verdicts about a Service."""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts import events
from fleetlb.contracts.codec import encode
from fleetlb.contracts.events import AddressEvent, ServiceEvent, word_of
from fleetlb.contracts.objects import LoadBalancer
from fleetlb.contracts.told import ServiceTold, Standing
from fleetlb.contracts.v1 import Probe, VirtualServerRealized
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb.testkit.load_balancers import ADDRESS, CLUSTER, SERVICE, a_group, a_load_balancer, a_tenant, a_word
from fleetlb_status.judging import Judging
from fleetlb_status.memory import Memory, key_of
from fleetlb_status.standing import events_of, gone, standing_of

KEY = ("tenant-acme", SERVICE)
T1, T2 = "2026-11-29T10:00:00Z", "2026-11-29T11:00:00Z"
REFUSAL = Refusal(Reason.QUOTA_EXCEEDED, "tenant acme has 20 of 20 load balancers")
OTHER = "192.0.2.2"


def standing(
    balancer: LoadBalancer, *words: VirtualServerRealized, before: Standing | None = None, at: str = T1
) -> Standing:
    memory = Memory(lambda _: None)
    memory.set_tenant(a_tenant())
    memory.set_group(a_group())
    memory.complete_group("default")
    memory.set_load_balancer(balancer)
    for word in words:
        memory.fold_realized(word)
    judged = Judging(memory).judge(key_of(balancer))
    assert judged is not None
    return standing_of(judged, before, at)


def told(before: Standing | None, now: Standing) -> tuple[ServiceEvent, ...]:
    return events_of(KEY, ServiceTold(generation=1, revision=9, at=T1, before=before, now=now))


def words(before: Standing | None, now: Standing) -> list[str]:
    return [word_of(type(event)) for event in told(before, now)]


def with_health(healthy: int, wished: int) -> Standing:
    probe = Probe.ANSWERED if healthy else Probe.UNANSWERED
    return standing(a_load_balancer(), a_word(real_servers=wished, healthy=healthy, probe=probe))


SERVING = standing(a_load_balancer(), a_word())
IDLE = standing(a_load_balancer(), a_word(real_servers=0, reason=Reason.NO_READY_BACKEND))
UNDER_WAY = standing(a_load_balancer())
REFUSED = standing(a_load_balancer(addresses=(), group="", refusal=REFUSAL))
MOVED = standing(a_load_balancer(addresses=(OTHER,)), a_word(f"{OTHER}:443/tcp"), before=SERVING, at=T2)
WIDER = standing(a_load_balancer(ports=(443, 80)), a_word(), a_word(f"{ADDRESS}:80/tcp"), before=SERVING)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param(None, SERVING, ["address-allocated", "serving"], id="new and at work"),
        pytest.param(None, UNDER_WAY, ["address-allocated"], id="new and under way"),
        pytest.param(None, IDLE, ["not-serving", "address-allocated"], id="new without a backend"),
        pytest.param(None, REFUSED, ["refused"], id="refused"),
        pytest.param(REFUSED, SERVING, ["address-allocated", "granted", "serving"], id="granted after all"),
        pytest.param(UNDER_WAY, SERVING, ["serving"], id="ready"),
        pytest.param(SERVING, SERVING, [], id="nothing new"),
        pytest.param(SERVING, IDLE, ["not-serving"], id="its pods went"),
        pytest.param(IDLE, SERVING, ["serving"], id="its pods came"),
        pytest.param(SERVING, UNDER_WAY, ["not-serving"], id="in progress for too long"),
        pytest.param(SERVING, MOVED, ["address-released", "address-allocated"], id="another address"),
        pytest.param(SERVING, WIDER, ["ports-changed"], id="another port"),
        pytest.param(SERVING, gone(SERVING), ["not-serving", "address-released"], id="deleted"),
        pytest.param(IDLE, gone(IDLE), ["address-released"], id="deleted without ever having served"),
        pytest.param(REFUSED, gone(REFUSED), [], id="deleted without ever having had anything"),
        pytest.param(gone(SERVING), SERVING, ["address-allocated", "serving"], id="its object is back"),
        pytest.param(with_health(2, 2), with_health(1, 2), ["backend-unhealthy"], id="a backend fails"),
        pytest.param(with_health(1, 3), with_health(0, 3), ["not-serving", "backend-unhealthy"], id="the last fails"),
        pytest.param(with_health(1, 3), with_health(2, 3), ["backend-healthy"], id="a backend is back"),
        pytest.param(with_health(2, 2), with_health(3, 3), [], id="a healthy backend more"),
        pytest.param(None, with_health(2, 2), ["address-allocated", "serving"], id="new and healthy"),
    ],
)
def test_what_is_told(before: Standing | None, now: Standing, expected: list[str]) -> None:
    assert words(before, now) == expected


def test_an_event_says_how_the_service_is_after_it() -> None:
    allocated, serving = told(None, SERVING)
    assert isinstance(allocated, AddressEvent)
    assert (allocated.address, allocated.since) == (ADDRESS, T1)
    assert msgspec.json.decode(encode(serving)) == {
        "type": "dev.fleetlb.v1.serving",
        "revision": 9,
        "tenant": "acme",
        "clusterUID": CLUSTER,
        "namespace": "shop",
        "name": "web",
        "uid": SERVICE,
        "addresses": [ADDRESS],
        "hostname": "",
        "ports": [{"port": 443, "protocol": "TCP", "name": ""}],
        "pool": "",
        "group": "default",
        "serving": True,
        "reason": "ProbeAnswered",
        "message": "every balancer node reached a backend",
        "backends": 1,
        "healthy": None,
    }


def test_a_release_says_since_when_the_address_was_held() -> None:
    released, allocated = told(SERVING, MOVED)
    assert isinstance(released, AddressEvent)
    assert isinstance(allocated, AddressEvent)
    assert (released.address, released.since) == (ADDRESS, T1)
    assert (allocated.address, allocated.since) == (OTHER, T2)
    assert released.addresses == allocated.addresses == (OTHER,)


def test_a_refusal_says_why_and_what_is_served_on_says_that_it_is() -> None:
    (refused,) = told(None, REFUSED)
    assert (refused.reason, refused.message) == (REFUSAL.reason, REFUSAL.message)
    beside = standing(a_load_balancer(refusal=REFUSAL), a_word(), before=SERVING)
    (refused,) = told(SERVING, beside)
    assert isinstance(refused, events.Refused)
    assert (refused.serving, refused.addresses) == (True, (ADDRESS,))


def test_what_is_only_under_way_is_no_reason() -> None:
    edited = standing(a_load_balancer(generation=2), a_word(), before=IDLE)
    assert edited.reason == IDLE.reason
    assert words(IDLE, edited) == []
    assert words(IDLE, standing(a_load_balancer(), a_word(probe=Probe.UNANSWERED), before=IDLE)) == ["not-serving"]


def test_health_that_is_not_known_yet_is_as_it_was() -> None:
    edited = standing(a_load_balancer(generation=2), a_word(real_servers=2, healthy=0), before=with_health(1, 2))
    assert (edited.healthy, edited.backends) == (1, 2)


def test_two_ask_and_hear_the_same() -> None:
    both: Any = standing(a_load_balancer(addresses=(ADDRESS, OTHER, "2001:db8::1")), before=None)
    assert told(None, both) == told(None, both)
    assert [e.address for e in told(both, gone(both)) if isinstance(e, AddressEvent)] == [ADDRESS, OTHER, "2001:db8::1"]
