import pytest

from fleetlb.domain.annotation_policy import (
    AnnotationPolicy,
    before,
    judge_annotations,
    parse_policy,
    with_defaults,
)
from fleetlb.domain.annotations import Annotation
from fleetlb.domain.conditions import Reason
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import Scheduler

PORTS = (ServicePort(port=80, node_port=30080),)
PLAIN = TenantService(namespace="n", name="s", ports=PORTS)
FULL = TenantService(
    namespace="n",
    name="s",
    ports=PORTS,
    addresses=("192.0.2.1",),
    pool="gold",
    sharing_key="web",
    scheduler=Scheduler.MAGLEV,
    proxy_protocol=True,
    drain_seconds=0,
    hostname="web.example.org",
)
OFFERED = sorted(Annotation)


def test_without_a_policy_everything_is_allowed_and_nothing_is_added() -> None:
    assert judge_annotations(AnnotationPolicy(), FULL) is None
    assert with_defaults(AnnotationPolicy(), PLAIN) is PLAIN


@pytest.mark.parametrize("annotation", OFFERED)
def test_each_annotation_can_be_denied_or_left_out_of_what_is_allowed(annotation: Annotation) -> None:
    others = [other for other in OFFERED if other != annotation]
    for policy in (
        parse_policy(None, [annotation], {}),
        parse_policy(others, [], {}),
        parse_policy(OFFERED, [annotation.short], {}),
    ):
        refusal = judge_annotations(policy, FULL)
        assert refusal is not None
        assert refusal.reason is Reason.ANNOTATION_NOT_ALLOWED
        assert refusal.message.startswith(f"annotation {annotation}: this tenant may not use it; remove it")
        assert judge_annotations(policy, PLAIN) is None


def test_a_default_holds_where_a_service_says_nothing_and_need_not_be_allowed() -> None:
    policy = parse_policy([], [], {"pool": "silver", "fleetlb.dev/scheduler": "rr", "drain-seconds": "7"})
    served = with_defaults(policy, PLAIN)
    assert (served.pool, served.scheduler, served.drain_seconds) == ("silver", Scheduler.ROUND_ROBIN, 7)
    assert judge_annotations(policy, served) is None
    kept = with_defaults(policy, FULL)
    assert kept == FULL
    assert judge_annotations(policy, kept) is not None


@pytest.mark.parametrize(
    ("allow", "deny", "default", "words"),
    [
        (["speed"], [], {}, ["spec.annotations.allow", "'speed'", "scheduler"]),
        (None, ["fleetlb.dev/x"], {}, ["spec.annotations.deny", "'fleetlb.dev/x'"]),
        (None, [], {"metallb.io/x": "y"}, ["spec.annotations.default", "'metallb.io/x'"]),
        (None, [], {"scheduler": "fastest"}, ["spec.annotations.default", "fleetlb.dev/scheduler", "'fastest'"]),
        (None, [], {"addresses": "192.0.2.1"}, ["spec.annotations.default", "addresses", "one Service only"]),
        (None, [], {"hostname": "a.example.org"}, ["spec.annotations.default", "hostname"]),
    ],
)
def test_a_policy_that_cannot_be_read_names_its_field(
    allow: list[str] | None, deny: list[str], default: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"spec\.annotations\.") as caught:
        parse_policy(allow, deny, default)
    assert [word for word in words if word not in str(caught.value)] == []


FLEET = parse_policy(["scheduler", "pool"], ["pool", "hostname"], {"pool": "silver", "scheduler": "rr"})


def test_MUL_6_the_rules_of_the_fleet_hold_where_a_tenant_has_none() -> None:
    assert before(AnnotationPolicy(), FLEET) == FLEET
    assert before(FLEET, AnnotationPolicy()) == FLEET


def test_MUL_6_what_a_tenant_is_allowed_by_name_the_fleet_does_not_deny_it() -> None:
    own = parse_policy(["pool", "addresses"], ["addresses"], {})
    assert before(own, FLEET).allow == frozenset({Annotation.POOL, Annotation.ADDRESSES})
    assert before(own, FLEET).deny == {Annotation.HOSTNAME, Annotation.ADDRESSES}
    assert before(parse_policy(None, ["addresses"], {}), FLEET).allow == FLEET.allow


def test_MUL_6_defaults_of_a_tenant_replace_those_of_the_fleet_one_by_one() -> None:
    both = before(parse_policy(None, [], {"pool": "gold", "drain-seconds": "7"}), FLEET)
    served = with_defaults(both, PLAIN)
    assert (served.pool, served.scheduler, served.drain_seconds) == ("gold", Scheduler.ROUND_ROBIN, 7)
