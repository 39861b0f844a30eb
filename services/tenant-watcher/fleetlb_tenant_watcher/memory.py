"""Everything that the watcher knows, folded from watches, reports and its own writes. No I/O, no decisions.

Every method costs O(1), or O(slices of one Service), except those that say that they go over all records. Methods that
fold something new return whether, or for which Services, there may be something to do.
"""

import sys
from collections.abc import Iterable, Iterator

import msgspec

from fleetlb.contracts.v1 import ServiceReported
from fleetlb.domain.conditions import PROVISIONED, SERVING, Condition, says_the_same
from fleetlb.domain.services import ServiceEndpoints, TenantService, TrafficPolicy, digest_of
from fleetlb.kube.service_objects import Service
from fleetlb.kube.service_wishes import Claim, Selection, claim_of
from fleetlb_tenant_watcher.endpoint_slices import EndpointSlices, ServiceName
from fleetlb_tenant_watcher.kube_objects import EndpointSlice
from fleetlb_tenant_watcher.nodes import ADDRESS_TYPES, AddressType, Nodes
from fleetlb_tenant_watcher.observing import observe
from fleetlb_tenant_watcher.records import DELETING, UPDATED, Arrival, Record, Report, Stage, stage_of
from fleetlb_tenant_watcher.service_views import ServiceView


class Memory:
    """Records by UID; endpoints by Service name; nodes."""

    def __init__(
        self,
        selection: Selection,
        *,
        with_pods: bool = False,
        address_types: Iterable[AddressType] = ADDRESS_TYPES,
    ) -> None:
        """Knows nothing yet. `with_pods`: the hub is told of pods too; `address_types`: and of these of its nodes."""
        self.selection = selection
        self.nodes = Nodes(address_types)
        self.waiting: dict[str, float] = {}
        """Services that the hub owes an answer, and since when."""
        self.arrivals: dict[str, Arrival] = {}
        """When the change was seen that the hub has not been told of yet, in microseconds since 1970."""
        self._records: dict[str, Record] = {}
        self._uids: dict[str, dict[str, str]] = {}
        self._slices = EndpointSlices(with_pods=with_pods)

    def __len__(self) -> int:
        """How many Services are on record."""
        return len(self._records)

    def __iter__(self) -> Iterator[str]:
        """Their UIDs."""
        return iter(self._records)

    def get(self, uid: str) -> Record | None:
        """The record of a Service."""
        return self._records.get(uid)

    def wish_of(self, uid: str) -> str:
        """Digest of what stands as the wish of a Service; "" for none."""
        record = self._records.get(uid)
        return record.wish if record is not None else ""

    def endpoints_of(self, record: Record) -> ServiceEndpoints | None:
        """Where a Service's pods are ready, no more of it than its wish asks for.

        Under traffic policy Cluster it does not matter on which nodes, so that pods may move without a message, unless
        the hub is told of them.
        """
        wish = record.standing
        endpoints = self._slices.of((record.view.namespace, record.view.name), wish.ports if wish else ())
        if endpoints and wish and wish.external_traffic_policy is TrafficPolicy.CLUSTER:
            return msgspec.structs.replace(endpoints, nodes=(), ending=False)
        return endpoints

    def see(self, service: Service, now: float) -> bool:
        """Fold a Service as a watch shows it."""
        record = self._records.get(service.metadata.uid)
        if record is not None and record.is_finished and _number(service.metadata.resource_version) >= record.version:
            self.drop(service.metadata.uid)
            record = None
        if record is None and not self._concerns(service):
            return False
        return self._fold(service, record, now)

    def refresh(self, service: Service, now: float) -> bool:
        """Fold a Service as a write of ours left it; the watch alone brings Services into being."""
        record = self._records.get(service.metadata.uid)
        return record is not None and self._fold(service, record, now)

    def lose(self, uid: str, now: float) -> bool:
        """A Service vanished. If the hub has not let go of it, that is still to be waited for (FIN-11)."""
        record = self._records.get(uid)
        if record is None:
            return False
        self._forget_name(record.view)
        if not record.is_engaged or record.is_released:
            self.drop(uid)
            return False
        if record.stage is Stage.WANTED:
            _begin_release(record, now)
        record.is_gone = True
        return True

    def finish(self, uid: str) -> None:
        """Nothing is left to do about a Service; the record stays until the watch has caught up with our last write.

        Without it, an older event still on its way would look like a Service never heard of that wants to be released.
        """
        record = self._records.get(uid)
        if record is not None:
            record.is_finished = True

    def drop(self, uid: str) -> None:
        """Forget a Service."""
        record = self._records.pop(uid, None)
        if record is not None:
            self._forget_name(record.view)
        self.waiting.pop(uid, None)
        self.arrivals.pop(uid, None)

    def see_slice(self, item: EndpointSlice) -> list[str]:
        """Fold an EndpointSlice; the UIDs it matters to."""
        return self._known(self._slices.put(item))

    def lose_slice(self, namespace: str, name: str) -> list[str]:
        """An EndpointSlice vanished; the UIDs it matters to."""
        return self._known(self._slices.drop(namespace, name))

    def hear(self, uid: str, message: ServiceReported, trace: str = "") -> str:
        """Fold a report: "folded", "unknown" (no such Service here) or "stale" (something newer was heard)."""
        record = self._records.get(uid)
        if record is None:
            return "unknown"
        if (message.generation, message.revision) < (record.heard_generation, record.heard_revision):
            return "stale"
        record.heard_generation, record.heard_revision = message.generation, message.revision
        if message.released:
            # Only an answer to a release of this run counts: one from before a change of mind frees nothing.
            record.is_released = record.is_released or (record.stage is Stage.RELEASING and record.releases > 0)
            record.trace = trace or record.trace
        elif record.stage is Stage.WANTED:
            record.report = _shared(_report(message), record.view)
            if message.wish == record.wish:
                record.trace = trace or record.trace
            record.is_edited = record.is_edited and message.wish != record.wish
        return "folded"

    def unsay(self) -> None:
        """Everything must be sent again. O(all records)."""
        for record in self._records.values():
            record.is_unsaid = True

    def crowded(self) -> int:
        """How many Services have more pods than the hub is told of. O(all records)."""
        return sum(record.is_crowded for record in self._records.values())

    def _concerns(self, service: Service) -> bool:
        """Whether a Service without a record may be of interest; decided without parsing all of it."""
        if service.metadata.finalizers or service.status.conditions:
            return True
        return claim_of(service.spec, self.selection) is Claim.OURS

    def _fold(self, service: Service, record: Record | None, now: float) -> bool:
        version = _number(service.metadata.resource_version)
        if record is not None and 0 < version <= record.version:
            return False
        view = observe(service, self.selection)
        stage = stage_of(view, self.selection, record)
        if stage is None:
            self.drop(view.uid)
            return False
        is_new = record is None
        if record is None:
            record = self._begin(view, version, stage, now)
        else:
            record.version = version
            if record.view == view and record.stage is stage:
                return False
            if record.view.wish != view.wish:
                record.trace = ""
            record.view = view
        if record.stage is not stage:
            _change_stage(record, stage, now)
        if stage is Stage.WANTED:
            self._fold_wish(record, now, is_new=is_new)
        if record.report is not None:
            record.report = _shared(record.report, view)
        return True

    def _begin(self, view: ServiceView, version: int, stage: Stage, now: float) -> Record:
        inherited = view.is_marked(self.selection)
        record = Record(view=view, version=version, stage=stage, since=now, is_inherited=inherited)
        record.is_released = stage is Stage.RELEASING and not inherited
        self._records[view.uid] = record
        self._uids.setdefault(view.namespace, {})[view.name] = view.uid
        return record

    def _fold_wish(self, record: Record, now: float, *, is_new: bool) -> None:
        view = record.view
        record.is_guarded = record.is_guarded or view.finalizers == self.selection.finalizers
        if not isinstance(view.wish, TenantService):
            return
        digest = digest_of(view.wish)
        if digest != record.wish:
            record.is_edited = not is_new
            is_answered = record.report is not None and record.report.wish == digest
            record.due = UPDATED if view.ingress and not is_new and not is_answered else ""
            record.since = now
        record.standing, record.wish = view.wish, digest

    def _known(self, names: list[ServiceName]) -> list[str]:
        found = [self._uids.get(namespace, {}).get(name) for namespace, name in names]
        return [uid for uid in found if uid is not None]

    def _forget_name(self, view: ServiceView) -> None:
        names = self._uids.get(view.namespace, {})
        if names.get(view.name) == view.uid:
            del names[view.name]
            if not names:
                del self._uids[view.namespace]


def _change_stage(record: Record, stage: Stage, now: float) -> None:
    if stage is Stage.RELEASING:
        _begin_release(record, now)
        return
    record.stage, record.since = stage, now
    record.is_released, record.releases = False, 0
    record.is_guarded, record.is_edited, record.due = False, True, ""


def _begin_release(record: Record, now: float) -> None:
    """From here on the last report is about something that is to vanish."""
    record.is_released = not record.is_engaged
    record.stage, record.since = Stage.RELEASING, now
    record.releases, record.report, record.is_edited = 0, None, False
    record.due = DELETING if record.is_engaged else ""


def _report(message: ServiceReported) -> Report:
    """A Service has no generation, so conditions on it carry none; strings that repeat are kept once."""
    return Report(
        wish=message.wish,
        ingress=message.ingress,
        conditions=tuple(
            Condition(type=sys.intern(c.type), status=c.status, reason=sys.intern(str(c.reason)), message=c.message)
            for c in message.conditions
            if c.type in (PROVISIONED, SERVING)
        ),
    )


def _shared(report: Report, view: ServiceView) -> Report:
    """The report, without a second copy of what the Service shows already."""
    conditions = tuple(_shown_twin(view, condition) for condition in report.conditions)
    return Report(
        wish=report.wish,
        ingress=view.ingress if report.ingress == view.ingress else report.ingress,  # type: ignore[arg-type]
        conditions=view.conditions if conditions == view.conditions else conditions,
    )


def _shown_twin(view: ServiceView, condition: Condition) -> Condition:
    shown = view.shown(condition.type)
    return shown if shown is not None and says_the_same(shown, condition) else condition


def _number(version: str) -> int:
    """Versions of one object grow; 0 for one that is no number, which then cannot be compared and is taken as new."""
    return int(version) if version.isdecimal() else 0
