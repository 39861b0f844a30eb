"""All of one load balancer, gathered when somebody opens it, by the same steps as `fleetlb why`."""

import asyncio
import shlex
from typing import NamedTuple

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.domain.conditions import Condition
from fleetlb.domain.errors import Transient
from fleetlb.explaining.explanations import explain
from fleetlb.explaining.gathering import Place, situation_of
from fleetlb.explaining.passages import last_change, passages
from fleetlb.explaining.situation import Situation
from fleetlb.kube.cluster import Cluster
from fleetlb.kube.holding import holders
from fleetlb.runtime.bus import Bus
from fleetlb_status.judging import Judging
from fleetlb_status.memory import key_of
from fleetlb_status.ui.pictures import BackendDetail, ServerDetail, ServiceDetail, ServicePicture
from fleetlb_status.ui.views import View

AT_ONCE = 4
"""Load balancers that are gathered at a time for operators, and as many for tenants, who keep no operator waiting."""
PATIENCE_SECONDS = 10.0
MAX_BACKENDS = 200


class Hub(NamedTuple):
    """Where things are looked up."""

    cluster: Cluster
    bus: Bus
    namespace: str
    """Of the processes' Leases."""


class Detailer:
    """Reads, for one load balancer, its own messages and its tenant's claims."""

    def __init__(self, hub: Hub, judging: Judging) -> None:
        """Looks at nothing yet."""
        self._hub = hub
        self._judging = judging
        self._operators, self._tenants = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

    async def detail(self, picture: ServicePicture, view: View) -> ServiceDetail | None:
        """All of it, as a view has it; None: it went meanwhile. Raises ApiError and Transient."""
        memory = self._judging.memory
        balancer = memory.load_balancers.get((f"tenant-{picture.tenant}", picture.uid))
        tenant = memory.tenants.get(picture.tenant)
        if balancer is None or tenant is None:
            return None
        place = Place(tenant, picture.cluster, picture.uid, picture.namespace, picture.name, balancer)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._tenants if view.tenant else self._operators:
                situation = await self._gather(place)
        except TimeoutError:
            raise Transient(f"the hub was not looked at within {PATIENCE_SECONDS:g} s; try again") from None
        return detail_of(picture, view.situation(situation), self._conditions(balancer), command_of(picture, view))

    async def _gather(self, place: Place) -> Situation:
        cluster, bus, namespace = self._hub
        return await situation_of(cluster, bus, place, await holders(cluster, namespace))

    def _conditions(self, balancer: LoadBalancer) -> tuple[Condition, ...]:
        """As judged now; what the object says may be a moment older."""
        judged = self._judging.judge(key_of(balancer))
        return (judged.verdict.provisioned, judged.verdict.serving) if judged else balancer.status.conditions


def detail_of(
    picture: ServicePicture, seen: Situation, conditions: tuple[Condition, ...], command: str
) -> ServiceDetail:
    """All of one load balancer, from what was gathered. Pure."""
    backends = [
        BackendDetail(key=str(key), address=real.address, port=real.port, weight=real.weight, node=real.node)
        for key, wish in sorted(seen.desired.items())
        for real in (wish.server.real_servers if wish.server else ())
    ]
    said = last_change(seen)
    return ServiceDetail(
        service=picture,
        conditions=conditions,
        servers=_servers(seen),
        backends=tuple(backends[:MAX_BACKENDS]),
        more_backends=max(0, len(backends) - MAX_BACKENDS),
        why=explain(seen),
        stations=tuple(passages(said.word.hops)) if said else (),
        command=command,
    )


def _servers(seen: Situation) -> tuple[ServerDetail, ...]:
    return tuple(
        ServerDetail(
            key=str(key),
            node=node,
            state=said.word.state.value if said else "waiting",
            probe=said.word.probe.value if said else "",
            real_servers=said.word.real_servers if said else 0,
            healthy=said.word.healthy if said else None,
            message=said.word.message[:1024] if said else "",
        )
        for node, key, said in seen.words()
    )


def command_of(picture: ServicePicture, view: View) -> str:
    """What tells the same on a command line; a tenant has no more than its own cluster."""
    if view.tenant:
        return f"kubectl --namespace {shlex.quote(picture.namespace)} describe service {shlex.quote(picture.name)}"
    return f"fleetlb why svc {shlex.quote(f'{picture.tenant}/{picture.namespace}/{picture.name}')}"
