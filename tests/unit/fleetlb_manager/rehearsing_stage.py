"""Plans asked of a manager's small world, and a picture of all that its memory holds, to see that nothing changed."""

import enum
from collections.abc import Mapping, Sequence, Set
from typing import Any

from fleetlb.contracts import codec, subjects
from fleetlb.contracts.objects import AddressPoolSpec
from fleetlb.contracts.plans import (
    PoolPlanAnswered,
    PoolPlanRequested,
    ServicePlan,
    ServicesPlanAnswered,
    ServicesPlanRequested,
)
from fleetlb.domain.services import TenantService
from fleetlb_manager.advising import Advising
from fleetlb_manager.rehearsing import at_once
from tests.unit.fleetlb_manager.manager_world import Always, World


class Everybody:
    """Acts for all, or for none."""

    def __init__(self, acting: bool = True) -> None:
        self.fleet = Always()
        self.fleet.acting = acting

    def of(self, tenant: str) -> Always:
        return self.fleet


def advising(world: World, *, acting: bool = True) -> Advising:
    return Advising(world.bench, world.chooser, Everybody(acting))


def answer(world: World, *services: TenantService, tenant: str = "acme") -> ServicesPlanAnswered:
    asked = ServicesPlanRequested(tenant=tenant, cluster="cluster-1", services=services)
    said = at_once(advising(world).services(subjects.PLAN_SERVICES, codec.encode(asked)))
    assert said is not None
    return codec.decode(ServicesPlanAnswered, said)


def plan(world: World, service: TenantService, tenant: str = "acme") -> ServicePlan:
    (found,) = answer(world, service, tenant=tenant).plans
    return found


def plan_pool(world: World, *ranges: str, name: str = "default", **spec: Any) -> PoolPlanAnswered:
    asked = PoolPlanRequested(name=name, spec=AddressPoolSpec(addresses=ranges, **spec))
    said = at_once(advising(world).pool(subjects.PLAN_POOL, codec.encode(asked)))
    assert said is not None
    return codec.decode(PoolPlanAnswered, said)


def picture(value: Any, seen: dict[int, int] | None = None) -> Any:
    """Everything that can be reached, as plain comparable values; what comes again is named by its place."""
    seen = {} if seen is None else seen
    if isinstance(value, str | bytes | int | float | enum.Enum | type(None)):
        return value
    if id(value) in seen:
        return f"again {seen[id(value)]}"
    seen[id(value)] = len(seen)
    if isinstance(value, Mapping):
        return [type(value).__name__, *((picture(key, seen), picture(part, seen)) for key, part in value.items())]
    if isinstance(value, Sequence | Set):
        return [type(value).__name__, *(picture(part, seen) for part in value)]
    names = getattr(type(value), "__struct_fields__", None) or getattr(value, "__dict__", None)
    if names is None or callable(value):
        return repr(type(value))
    return [type(value).__name__, *((name, picture(getattr(value, name), seen)) for name in names)]
