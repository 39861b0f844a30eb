"""Transcripts: what happens to one Service, and what is decided at each moment."""

from typing import Any

import msgspec
import pytest

from fleetlb.contracts.objects import IpMode
from fleetlb.contracts.v1 import Ingress, ServiceReported
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, Reason, Status
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import OWN_FINALIZER, STANDARD_FINALIZER, Selection
from fleetlb.testkit.tenant_objects import DEFAULT_PORTS, Object, a_condition, a_service, a_slice, an_endpoint
from fleetlb_tenant_watcher.deciding import (
    RELEASE_DIGEST,
    Action,
    AddFinalizers,
    Announce,
    ClearStatus,
    RemoveFinalizers,
    WriteStatus,
    decide,
    decide_message,
    differs_only_in_shown,
)
from fleetlb_tenant_watcher.kube_objects import EndpointSlice
from fleetlb_tenant_watcher.memory import Memory

VIP = Ingress(ip="192.0.2.1", ip_mode=IpMode.PROXY)
SHOWN_VIP = {"ip": "192.0.2.1", "ipMode": "Proxy"}
SETTLED = (
    a_condition(PROVISIONED, "True", "Complete", "done"),
    a_condition(SERVING, "True", "ProbeAnswered", "answered"),
)


class Story:
    """One Service through time. Actions are carried out on the object, as an API server would."""

    def __init__(self, selection: Selection | None = None, **given: Any) -> None:
        self.memory = Memory(selection or Selection())
        self.now = 100.0
        self.hub = True
        self.revision = 0
        self.object: Object = {}
        self.edit(**given)

    def edit(self, **given: Any) -> None:
        """The tenant makes the Service so; what we wrote stays."""
        metadata, status = self.object.get("metadata", {}), self.object.get("status")
        given.setdefault("finalizers", tuple(metadata.get("finalizers", ())))
        version = int(metadata.get("resourceVersion", 0)) + 1
        self.object = a_service(**given, version=version)
        if status:
            self.object["status"] = status
        self.memory.see(self._service(), self.now)

    def report(self, *conditions: Condition, wish: str | None = None, ingress: tuple[Ingress, ...] = (VIP,)) -> None:
        record = self.memory.get("uid-1")
        self.revision += 1
        message = ServiceReported(
            generation=1,
            revision=self.revision,
            wish=(record.wish if record else "") if wish is None else wish,
            ingress=ingress,
            conditions=conditions or (condition(PROVISIONED, "Complete"), condition(SERVING, "ProbeAnswered")),
        )
        self.memory.hear("uid-1", message)

    def released(self) -> None:
        self.revision += 1
        self.memory.hear("uid-1", ServiceReported(generation=1, revision=self.revision, released=True))

    def publish(self) -> str:
        """Say what is to be said; `wish`, `release` or nothing."""
        record = self.memory.get("uid-1")
        message = decide_message(record, self.memory.endpoints_of(record)) if record else None
        if record is None or message is None or differs_only_in_shown(record, self.memory.endpoints_of(record)):
            return ""
        if message.digest == record.published:
            return ""
        record.published, record.shown = message.digest, message.shown
        record.releases += message.service is None
        return "wish" if message.service else "release"

    def act(self, seconds: float = 0.0) -> list[str]:
        """Decide after some time, do it, and tell what was done."""
        self.now += seconds
        record = self.memory.get("uid-1")
        if record is None:
            return ["no record"]
        plan = decide(record, self.memory.selection, now=self.now, hub_connected=self.hub)
        done = [self._do(action) for action in plan.actions]
        if plan.wake_after is not None:
            done.append(f"wake after {plan.wake_after:g}")
        if plan.is_final:
            self.memory.drop("uid-1")
            done.append("final")
        return done

    def _do(self, action: Action) -> str:
        metadata, status = self.object["metadata"], self.object["status"]
        match action:
            case AddFinalizers(names):
                metadata["finalizers"] = [*names]
                text = "finalizers added"
            case RemoveFinalizers(names):
                metadata["finalizers"] = [n for n in metadata["finalizers"] if n not in names]
                text = f"{len(names)} finalizers removed"
            case WriteStatus(ingress, conditions):
                text = self._write(ingress, conditions)
            case ClearStatus(with_ingress, types):
                status["conditions"] = [c for c in status.get("conditions", []) if c["type"] not in types]
                if with_ingress:
                    status["loadBalancer"] = {}
                text = "status cleared" if with_ingress else "conditions cleared"
            case Announce(kind, reason, message):
                record = self.memory.get("uid-1")
                assert record is not None
                record.note_told(reason)
                return f"{kind} {reason}: {message}"
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        self.memory.refresh(self._service(), self.now)
        return text

    def _write(self, ingress: tuple[Ingress, ...] | None, conditions: tuple[Condition, ...]) -> str:
        status = self.object["status"]
        if ingress is not None:
            status["loadBalancer"] = {"ingress": [{"ip": e.ip, "ipMode": e.ip_mode} for e in ingress]}
        kept = [c for c in status.get("conditions", []) if c["type"] not in {n.type for n in conditions}]
        written = [a_condition(c.type, c.status, c.reason, c.message) for c in conditions]
        status["conditions"] = kept + written
        words = ["status"] + (["=".join(["ingress", *(e.ip for e in ingress)])] if ingress is not None else [])
        return " ".join(words + [f"{c.type.removeprefix('fleetlb.dev/')}={c.status}/{c.reason}" for c in conditions])

    def _service(self) -> Service:
        return msgspec.json.decode(msgspec.json.encode(self.object), type=Service)


def condition(kind: str, reason: str, message: str = "m") -> Condition:
    status = Status.TRUE if reason in ("Complete", "ProbeAnswered") else Status.FALSE
    return Condition(type=kind, status=status, reason=reason, message=message)


IN_PROGRESS = "status Provisioned=False/InProgress Serving=False/InProgress"
SERVED = "status ingress=192.0.2.1 Provisioned=True/Complete Serving=True/ProbeAnswered"
ENSURED = "Normal EnsuredLoadBalancer: Ensured load balancer at 192.0.2.1"
DELETED = "Normal DeletedLoadBalancer: Deleted load balancer"
ENSURING = "Normal EnsuringLoadBalancer: Ensuring load balancer"
UPDATED = "Normal UpdatedLoadBalancer: Updated load balancer"
DELETING = "Normal DeletingLoadBalancer: Deleting load balancer"


def served(**given: Any) -> Story:
    """A Service that has come all the way."""
    story = Story(**given)
    story.act()
    story.publish()
    story.report()
    story.act()
    return story


def test_the_quick_path_is_one_finalizer_and_one_status() -> None:
    story = Story()
    assert story.publish() == ""
    assert story.act() == ["finalizers added", ENSURING, "wake after 0.5"]
    assert story.publish() == "wish"
    story.report()
    assert story.act(0.02) == [SERVED, ENSURED]
    assert story.act(0.5) == []
    assert story.publish() == ""


def test_the_hub_hears_nothing_before_the_finalizer_stands() -> None:
    story = Story()
    assert story.publish() == ""
    story.act()
    assert story.publish() == "wish"


def test_without_a_report_the_service_says_so_within_a_second() -> None:
    story = Story()
    story.act()
    assert story.act(0.49) == ["wake after 0.01"]
    assert story.act(0.02) == [IN_PROGRESS]
    assert story.act(60) == []
    story.report()
    assert story.act() == [SERVED, ENSURED]


def test_without_the_hub_the_service_says_so_and_recovers() -> None:
    story = Story()
    story.hub = False
    story.act()
    assert story.act(0.5) == [
        "status Provisioned=False/HubUnreachable Serving=False/HubUnreachable",
        "Warning SyncLoadBalancerFailed: HubUnreachable: the hub cannot be reached; "
        "the Service is provisioned as soon as it can be again",
    ]
    story.hub = True
    assert story.act() == [IN_PROGRESS]
    story.report()
    assert story.act() == [SERVED, ENSURED]


def test_silence_changes_nothing_after_a_restart() -> None:
    story = Story(finalizers=(STANDARD_FINALIZER,), ingress=(SHOWN_VIP,), conditions=SETTLED)
    assert story.act() == ["wake after 0.5"]
    assert story.act(600) == []
    story.hub = False
    assert story.act(600) == []
    assert story.publish() == "wish"


def test_an_unsettled_report_is_shown_with_its_address() -> None:
    story = Story()
    story.act()
    story.report(condition(PROVISIONED, "Complete"), condition(SERVING, "InProgress"))
    assert story.act(0.1) == ["status ingress=192.0.2.1 Provisioned=True/Complete Serving=False/InProgress", ENSURED]
    story.report()
    assert story.act() == ["status Serving=True/ProbeAnswered"]


@pytest.mark.parametrize(
    "tampering",
    [
        {"ingress": ()},
        {"ingress": ({"ip": "203.0.113.9", "ipMode": "Proxy"},)},
        {"ingress": ({"hostname": "example.com"},)},
        {"ingress": (SHOWN_VIP, SHOWN_VIP)},
    ],
)
def test_an_altered_ingress_is_repaired_in_one_write(tampering: dict[str, Any]) -> None:
    story = served()
    story.object["status"] = {}
    story.object["status"] = a_service(**tampering, conditions=SETTLED)["status"]
    story.edit()
    done = story.act()
    assert len(done) == 1
    assert done[0].startswith("status ingress=192.0.2.1")


def test_cleared_conditions_are_repaired_and_others_do_not_matter() -> None:
    story = served()
    story.object["status"]["conditions"] = [a_condition("Foreign", "True", "Mine")]
    story.edit()
    assert story.act() == ["status Provisioned=True/Complete Serving=True/ProbeAnswered", ENSURED]
    story.object["status"]["conditions"] += [a_condition("Foreign2", "True", "Mine")]
    story.edit()
    assert story.act() == []


OTHER_PORTS = ({**DEFAULT_PORTS[0], "port": 8443},)


def test_a_quick_edit_is_told_by_an_event_alone_and_a_slow_one_says_in_progress() -> None:
    story = served()
    story.edit(ports=OTHER_PORTS)
    assert story.act() == ["wake after 0.5"]
    assert story.publish() == "wish"
    story.report()
    assert story.act(0.1) == [UPDATED]
    assert story.act(0.1) == []
    story.edit()
    story.publish()
    assert story.act(0.5) == [IN_PROGRESS]
    story.report()
    assert story.act(3) == ["status Provisioned=True/Complete Serving=True/ProbeAnswered", UPDATED]
    assert story.act(0.1) == []


def test_an_edit_of_what_was_never_served_ensures_it() -> None:
    story = Story()
    story.act()
    story.edit(ports=OTHER_PORTS)
    story.publish()
    story.report()
    assert story.act() == [SERVED, ENSURED]
    assert story.act() == []


def test_backends_that_may_not_be_used_are_a_failed_update() -> None:
    story = served()
    story.report(condition(PROVISIONED, "Complete"), condition(SERVING, Reason.BACKEND_NOT_ALLOWED, "not there"))
    assert story.act() == ["status Serving=False/BackendNotAllowed", "Warning UpdateLoadBalancerFailed: not there"]
    assert story.act() == []


def test_a_report_on_an_earlier_wish_moves_the_ingress_only() -> None:
    story = served()
    story.edit(ports=OTHER_PORTS)
    story.report(wish="an earlier one", ingress=(Ingress(ip="192.0.2.7", ip_mode=IpMode.PROXY),))
    assert story.act() == ["status ingress=192.0.2.7", "wake after 0.5"]
    assert story.act(0.5) == [IN_PROGRESS]


def test_an_edit_while_the_hub_is_away_keeps_what_is_said_of_serving() -> None:
    story = served()
    story.hub = False
    story.edit(ports=OTHER_PORTS)
    assert story.act(0.5)[0] == "status Provisioned=False/HubUnreachable"


def test_an_edit_undone_before_it_was_answered() -> None:
    story = served()
    story.edit(ports=OTHER_PORTS)
    story.edit()
    assert story.act(0.5) == []


ODD_PROTOCOL = ({**DEFAULT_PORTS[0], "protocol": "DCCP"},)
UNSUPPORTED = "status Provisioned=False/Unsupported Serving=False/Unsupported"
ODD_PROTOCOL_TEXT = (
    "Warning SyncLoadBalancerFailed: Unsupported: spec.ports: protocol 'DCCP' of port 443 is not supported; "
    "use TCP, UDP, SCTP"
)


def test_a_refused_first_wish_gets_conditions_and_no_finalizer() -> None:
    story = Story(ports=ODD_PROTOCOL)
    assert story.act() == [UNSUPPORTED, ODD_PROTOCOL_TEXT]
    assert story.publish() == ""
    assert story.act(60) == []


def test_another_refusal_is_told_once_more() -> None:
    story = Story(ports=ODD_PROTOCOL)
    story.act()
    story.edit(ports=({"port": 80, "protocol": "DCCP"},))
    done = story.act()
    assert (done[0], len(done)) == (UNSUPPORTED, 2)
    assert "port 80 is not supported" in done[1]


def test_a_refusal_taken_back_is_provisioned() -> None:
    story = Story(ports=ODD_PROTOCOL)
    story.act()
    story.edit()
    assert story.act() == ["finalizers added", ENSURING, "wake after 0.5"]
    assert story.publish() == "wish"
    assert story.act(0.5) == [IN_PROGRESS]


def test_a_refused_edit_keeps_the_earlier_wish_published() -> None:
    story = served()
    story.edit(loadBalancerSourceRanges=["10.0.0.0/99"])
    done = story.act()
    assert done[0] == "status Provisioned=False/InvalidWish"
    assert done[1].startswith("Warning SyncLoadBalancerFailed: InvalidWish: spec.loadBalancerSourceRanges")
    assert story.publish() == ""
    ready = msgspec.convert(a_slice(an_endpoint(ready=True)), EndpointSlice)
    assert story.memory.see_slice(ready) == ["uid-1"]
    assert story.publish() == "wish"
    story.edit()
    assert story.act() == ["status Provisioned=True/Complete", ENSURED]


def test_a_refused_edit_after_a_restart_leaves_what_serves() -> None:
    story = Story(ports=ODD_PROTOCOL, finalizers=(STANDARD_FINALIZER,), ingress=(SHOWN_VIP,), conditions=SETTLED)
    assert story.act()[0] == "status Provisioned=False/Unsupported"
    assert story.publish() == ""
    story.report(condition(PROVISIONED, "Complete"), condition(SERVING, "NoReadyBackend"), wish="earlier")
    assert story.act() == ["status Serving=False/NoReadyBackend"]


def test_a_refusal_of_the_hub_that_names_another_field_is_told_too() -> None:
    story = Story()
    story.act()
    events = []
    for field in ("spec.loadBalancerSourceRanges: no", "fleetlb.dev/scheduler: no", "fleetlb.dev/scheduler: no"):
        no = [condition(kind, Reason.UNSUPPORTED, field) for kind in (PROVISIONED, SERVING)]
        story.report(*no, ingress=())
        events += [text for text in story.act() if text.startswith("Warning")]
    assert events == [
        "Warning SyncLoadBalancerFailed: Unsupported: spec.loadBalancerSourceRanges: no",
        "Warning SyncLoadBalancerFailed: Unsupported: fleetlb.dev/scheduler: no",
    ]


def test_another_mode_of_an_address_is_shown() -> None:
    story = served()
    story.report(ingress=(Ingress(ip="192.0.2.1", ip_mode=IpMode.VIP),))
    assert story.act() == ["status ingress=192.0.2.1"]
    assert story.object["status"]["loadBalancer"] == {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}
    assert story.act() == []


def test_how_many_backends_are_healthy_is_shown_and_is_no_event() -> None:
    story = served()
    for text in ("m; 2 of 3 backends healthy", "m; 2 of 3 backends healthy"):
        story.report(condition(PROVISIONED, "Complete"), condition(SERVING, "ProbeAnswered", text))
        assert story.act() == (["status Serving=True/ProbeAnswered"] if story.revision == 2 else [])


def test_refusals_of_the_hub_are_told_once_per_reason() -> None:
    story = Story()
    story.act()
    no = [condition(kind, Reason.QUOTA_EXCEEDED, "quota loadBalancers: 3 of 3 used") for kind in (PROVISIONED, SERVING)]
    story.report(*no, ingress=())
    assert story.act() == [
        "status Provisioned=False/QuotaExceeded Serving=False/QuotaExceeded",
        "Warning SyncLoadBalancerFailed: QuotaExceeded: quota loadBalancers: 3 of 3 used",
    ]
    other = [msgspec.structs.replace(c, message="quota loadBalancers: 4 of 4 used") for c in no]
    story.report(*other, ingress=())
    assert story.act() == ["status Provisioned=False/QuotaExceeded Serving=False/QuotaExceeded"]
    story.report()
    assert story.act() == [SERVED, ENSURED]


def test_no_eligible_node_is_told() -> None:
    story = served()
    story.report(condition(PROVISIONED, "Complete"), condition(SERVING, Reason.NO_ELIGIBLE_NODE, "no eligible node"))
    assert story.act() == ["status Serving=False/NoEligibleNode", "Warning UnAvailableLoadBalancer: no eligible node"]
    assert story.act() == []


def test_deletion_waits_for_the_hub() -> None:
    story = served()
    story.edit(deleting=True)
    assert story.act() == [DELETING, "wake after 10"]
    story.released()
    assert story.act(4) == ["wake after 6"], "a word that answers no question of ours"
    assert story.publish() == "release"
    story.released()
    assert story.act() == ["1 finalizers removed", DELETED, "final"]


def test_deletion_clears_the_status_where_somebody_else_holds_the_service() -> None:
    story = served()
    story.object["metadata"]["finalizers"].append("other/one")
    story.edit(deleting=True)
    story.publish()
    story.released()
    assert story.act() == [DELETING, "status cleared", "1 finalizers removed", DELETED, "final"]
    assert story.object["metadata"]["finalizers"] == ["other/one"]


def test_a_change_of_type_clears_conditions_and_never_writes_an_ingress() -> None:
    story = served()
    story.object["status"]["loadBalancer"] = {}
    story.edit(type="ClusterIP")
    assert story.act() == [DELETING, "wake after 10"]
    assert story.publish() == "release"
    story.report()
    assert story.act() == ["wake after 10"]
    story.released()
    assert story.act() == ["conditions cleared", "1 finalizers removed", DELETED, "final"]


def test_the_hub_away_during_a_deletion_is_visible() -> None:
    story = served()
    story.hub = False
    story.edit(deleting=True)
    assert story.act() == [DELETING, "wake after 0.5"]
    done = story.act(0.5)
    assert done[0] == "status Provisioned=False/HubUnreachable"
    assert done[1].startswith("Warning DeleteLoadBalancerFailed: HubUnreachable: ")
    assert STANDARD_FINALIZER in done[1]
    assert story.act(60) == []


def test_a_balancer_node_that_does_not_let_go_is_visible() -> None:
    story = served()
    story.edit(deleting=True)
    story.publish()
    story.act()
    done = story.act(10)
    assert done[0] == "status Provisioned=False/ReleasePending"
    assert done[1].startswith("Warning DeleteLoadBalancerFailed: ReleasePending: a balancer node has not let go")
    assert STANDARD_FINALIZER in done[1]
    assert story.act(60) == []
    story.released()
    assert story.act() == ["1 finalizers removed", DELETED, "final"]


def test_a_change_of_mind_voids_a_late_release() -> None:
    story = served()
    story.object["status"]["loadBalancer"] = {}
    story.edit(type="ClusterIP")
    assert story.publish() == "release"
    story.edit()
    assert story.publish() == "wish"
    story.released()
    assert story.act() == ["wake after 0.5"], "neither released, nor the old address again"
    assert story.act(0.5) == [IN_PROGRESS]
    story.report()
    assert story.act() == [SERVED, ENSURED]
    story.edit(type="ClusterIP")
    story.released()
    assert story.act() == [DELETING, "wake after 10"]
    assert story.publish() == "release"
    story.released()
    assert story.act()[-1] == "final"


def test_a_service_found_in_the_middle_of_its_deletion() -> None:
    story = Story(deleting=True, finalizers=(STANDARD_FINALIZER,))
    assert story.act() == ["wake after 10"]
    assert story.publish() == "release"
    story.released()
    assert story.act() == ["1 finalizers removed", DELETED, "final"]


def test_a_service_that_vanished_is_still_released() -> None:
    story = served()
    assert story.memory.lose("uid-1", story.now)
    assert story.act() == []
    assert story.publish() == "release"
    story.released()
    assert story.act() == ["final"]


def test_conditions_left_on_a_service_that_is_no_load_balancer_any_more_go() -> None:
    story = Story(ports=ODD_PROTOCOL)
    story.act()
    story.edit(type="ClusterIP")
    assert story.publish() == ""
    assert story.act() == ["conditions cleared", "final"]


CLASS = Selection("example.com/lb")


def test_class_mode_uses_both_finalizers() -> None:
    story = Story(CLASS, loadBalancerClass="example.com/lb")
    assert story.act()[0] == "finalizers added"
    assert story.object["metadata"]["finalizers"] == [STANDARD_FINALIZER, OWN_FINALIZER]
    story.publish()
    story.edit(loadBalancerClass="example.com/lb", deleting=True)
    story.publish()
    story.released()
    assert story.act() == [DELETING, "2 finalizers removed", DELETED, "final"]


def test_a_finalizer_stripped_by_a_cloud_controller_comes_back() -> None:
    story = served(selection=CLASS, loadBalancerClass="example.com/lb")
    story.edit(loadBalancerClass="example.com/lb", finalizers=(OWN_FINALIZER,))
    assert story.act() == ["finalizers added"]


def test_a_class_changed_away_leaves_the_standard_finalizer_and_status_to_the_new_owner() -> None:
    story = served(selection=CLASS, loadBalancerClass="example.com/lb")
    story.object["status"]["loadBalancer"] = {"ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"}]}
    story.edit(loadBalancerClass="example.com/other")
    assert story.publish() == "release"
    story.released()
    assert story.act() == [DELETING, "conditions cleared", "1 finalizers removed", DELETED, "final"]
    assert story.object["metadata"]["finalizers"] == [STANDARD_FINALIZER]


def test_messages_carry_the_whole_state() -> None:
    story = served()
    record = story.memory.get("uid-1")
    assert record is not None
    message = decide_message(record, None)
    assert message is not None
    assert (message.service, message.wish, message.endpoints) == (record.standing, record.wish, None)
    story.edit(deleting=True)
    release = decide_message(record, None)
    assert release is not None
    assert (release.digest, release.service, release.wish) == (RELEASE_DIGEST, None, "")
