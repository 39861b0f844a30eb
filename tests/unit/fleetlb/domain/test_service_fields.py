import msgspec
import pytest

from fleetlb.contracts.support_page import BEGIN, END, with_table
from fleetlb.domain.addresses import Protocol
from fleetlb.domain.annotations import Annotation
from fleetlb.domain.capabilities import ENGINE_CAPABILITIES, Capability, EngineName
from fleetlb.domain.conditions import Reason
from fleetlb.domain.service_fields import FIELDS, judge_capabilities
from fleetlb.domain.services import ServicePort, TenantService
from fleetlb.domain.virtual_servers import Scheduler

ODD = ServicePort(port=4443, node_port=31777)
SCTP = ServicePort(port=1, node_port=30000, protocol=Protocol.SCTP)
ENVOY, IPVS = {"tcp", "udp", "affinity"}, {"tcp", "udp", "sctp", "affinity", "source-ranges", "schedulers", "drain"}


def a_service(*ports: ServicePort, **changes: object) -> TenantService:
    """A service, with changes."""
    return msgspec.structs.replace(TenantService(namespace="n", name="s", ports=ports or (ODD,)), **changes)


@pytest.mark.parametrize(
    ("service", "capabilities", "words"),
    [
        (a_service(), {"tcp"}, None),
        (a_service(SCTP), IPVS, None),
        (
            a_service(ODD, ServicePort(port=5, node_port=30000, protocol=Protocol.UDP)),
            {"tcp"},
            ["spec.ports", "protocol UDP of port 5", "ask for a pool of another group"],
        ),
        (a_service(SCTP), ENVOY, ["spec.ports", "protocol SCTP", "use TCP or UDP, or ask for a pool of another group"]),
        (a_service(), set(), ["protocol TCP of port 4443", "ask for a pool of another group"]),
        (a_service(affinity_seconds=1), {"tcp"}, ["spec.sessionAffinity", "use None"]),
        (a_service(affinity_seconds=1), ENVOY, None),
        (a_service(source_ranges=("10.0.0.0/8",)), IPVS, None),
        (
            a_service(source_ranges=("10.0.0.0/8",)),
            ENVOY,
            ["spec.loadBalancerSourceRanges", "annotation", "remove it to serve everybody", "fleetlb.dev/pool"],
        ),
        (a_service(scheduler=Scheduler.SOURCE_HASH), IPVS, None),
        *((a_service(scheduler=Scheduler(name)), ENVOY, None) for name in ("rr", "lc", "mh")),
        *(
            (a_service(scheduler=Scheduler(name)), ENVOY, ["fleetlb.dev/scheduler", name, "use lc, mh, rr"])
            for name in ("wrr", "wlc", "sh")
        ),
        (a_service(proxy_protocol=True), {"tcp", "proxy-protocol"}, None),
        (a_service(proxy_protocol=True), {"tcp"}, ["fleetlb.dev/proxy-protocol: v2", "remove it"]),
        (a_service(drain_seconds=0), IPVS, None),
        (a_service(drain_seconds=0), {"tcp"}, ["fleetlb.dev/drain-seconds", "remove it"]),
    ],
)
def test_a_field_is_honoured_or_refused(
    service: TenantService, capabilities: set[str], words: list[str] | None
) -> None:
    refusal = judge_capabilities(service, frozenset(capabilities))
    if words is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.reason is Reason.UNSUPPORTED
        assert [word for word in words if word not in refusal.message] == []
        assert len(refusal.message) < 256


def test_a_field_that_needs_a_capability_is_asked_for_and_every_capability_is_needed() -> None:
    needed = {field.needs for field in FIELDS if field.needs}
    assert needed == set(Capability) - {Capability.CLIENT_ADDRESS, Capability.LAYER2, Capability.BGP}
    everything = a_service(
        *(ServicePort(port=1, node_port=30000, protocol=protocol) for protocol in Protocol),
        affinity_seconds=1,
        source_ranges=("10.0.0.0/8",),
        scheduler=Scheduler.SOURCE_HASH,
        proxy_protocol=True,
        drain_seconds=0,
    )
    assert [field.name for field in FIELDS if bool(field.needs) != bool(field.asks(everything))] == []


def test_every_annotation_and_every_engine_has_its_place_in_the_table() -> None:
    names = " ".join(field.name for field in FIELDS)
    assert [annotation for annotation in Annotation if f"`{annotation}" not in names] == []
    for field in FIELDS:
        for engine in EngineName:
            lacks = field.needs is not None and field.needs not in ENGINE_CAPABILITIES[engine]
            assert field.treatment(engine).startswith("refused: `Unsupported`") or not lacks
            assert field.needs is None or lacks == field.treatment(engine).startswith("refused")
            assert "|" not in field.name + field.treatment(engine)


def test_the_page_keeps_what_is_written_around_its_table() -> None:
    page = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert page.startswith(f"before\n{BEGIN}\n\n| field")
    assert page.endswith(f"|\n\n{END}\nafter\n") or page.endswith(f"|\n{END}\nafter\n")
    assert "old" not in page
    assert with_table(page) == page
    assert with_table(with_table("")) == with_table("")
