"""Actions on Services as patches: the adapter to the tenant's API server. Decides nothing, keeps nothing.

Every patch names the Service's uid, so a namesake made later is never touched, and leaves what others wrote alone.
"""

from typing import Any

from fleetlb.contracts.v1 import Ingress
from fleetlb.domain.conditions import Condition, transition
from fleetlb.domain.errors import Transient
from fleetlb.domain.traces import marked
from fleetlb.kube.cluster import Cluster, PatchKind
from fleetlb.kube.errors import ApiError, Conflict, NotFound
from fleetlb.kube.resources import Resource
from fleetlb.kube.service_objects import Service
from fleetlb_tenant_watcher import counts
from fleetlb_tenant_watcher.clocks import SYSTEM_CLOCKS, Clocks, timestamp
from fleetlb_tenant_watcher.deciding import AddFinalizers, ClearStatus, RemoveFinalizers, WriteStatus
from fleetlb_tenant_watcher.service_views import ServiceView

SERVICES: Resource[Service] = Resource("", "v1", "services", Service, kind_name="Service")
Body = dict[str, Any]
Write = AddFinalizers | RemoveFinalizers | WriteStatus | ClearStatus


class ServicePatcher:
    """Writes to the Services of one cluster."""

    def __init__(self, cluster: Cluster, clocks: Clocks = SYSTEM_CLOCKS) -> None:
        """Writes nothing yet. `clocks`: for the conditions' times."""
        self._cluster = cluster
        self._clocks = clocks

    async def write(self, view: ServiceView, action: Write, trace: str) -> Service | None:
        """Do one action; the Service as it is then, or None when there is none any more.

        Conditions name the change that led to them: `trace`, its trace context.

        Raises Transient for whatever else the API server says: the key is tried again, on what is known by then.
        """
        body, subresource = body_of(view, action, timestamp(self._clocks), trace)
        try:
            service = await self._cluster.patch(
                SERVICES,
                view.name,
                body,
                kind=PatchKind.STRATEGIC,
                namespace=view.namespace,
                subresource=subresource,
            )
        except NotFound:
            return None
        except Conflict as problem:  # a namesake, which the watch is about to show, or a race that is over
            raise Transient(str(problem)) from problem
        except Transient:
            raise
        except ApiError as problem:
            raise Transient(str(problem), retry_after=problem.retry_after) from problem
        _count(action)
        return service


def body_of(view: ServiceView, action: Write, now: str, trace: str = "") -> tuple[Body, str | None]:
    """The strategic merge patch for an action, and the subresource it is meant for."""
    metadata: Body = {"uid": view.uid}
    match action:
        case AddFinalizers(names):
            return {"metadata": {**metadata, "finalizers": list(names)}}, None
        case RemoveFinalizers(names):
            return {"metadata": {**metadata, "$deleteFromPrimitiveList/finalizers": list(names)}}, None
        case WriteStatus():
            return {"metadata": metadata, "status": _written(view, action, now, trace)}, "status"
        case ClearStatus():
            return {"metadata": metadata, "status": _cleared(action)}, "status"


def _written(view: ServiceView, action: WriteStatus, now: str, trace: str) -> Body:
    status: Body = {}
    if action.ingress is not None:
        status["loadBalancer"] = {"ingress": [_entry(entry) for entry in action.ingress] or None}
    if action.conditions:
        status["conditions"] = [_condition(transition(view.conditions, c, now), trace) for c in action.conditions]
    return status


def _entry(entry: Ingress) -> Body:
    if entry.hostname or entry.ip_mode is None:
        return {"hostname": entry.hostname}
    return {"ip": entry.ip, "ipMode": entry.ip_mode.value}


def _condition(condition: Condition, trace: str) -> Body:
    """Every field is written out: what a merge does not name, it keeps."""
    return {
        "type": condition.type,
        "status": condition.status.value,
        "reason": str(condition.reason),
        "message": marked(condition.message, trace),
        "lastTransitionTime": condition.last_transition_time,
    }


def _cleared(action: ClearStatus) -> Body:
    status: Body = {"loadBalancer": {"ingress": None}} if action.ingress else {}
    if action.conditions:
        status["conditions"] = [{"$patch": "delete", "type": name} for name in action.conditions]
    return status


def _count(action: Write) -> None:
    match action:
        case AddFinalizers():
            counts.FINALIZER_PATCHES.labels("added").inc()
        case RemoveFinalizers():
            counts.FINALIZER_PATCHES.labels("removed").inc()
        case _:
            counts.STATUS_PATCHES.inc()
