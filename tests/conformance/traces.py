"""What a controller leaves on a Service: finalizers, or nothing at all."""

from fleetlb.kube.resources import Object
from tests.e2e.fleet import Fleet
from tests.stage.tenants import Tenant

STANDARD = "service.kubernetes.io/load-balancer-cleanup"


async def finalizers(tenant: Tenant, name: str) -> list[str]:
    """Of a Service, as they stand there."""
    return list((await tenant.get(name))["metadata"].get("finalizers", []))


async def untouched(tenant: Tenant, fleet: Fleet, created: Object) -> None:
    """Fails if anything was ever done about a Service: write, Event, or object in the hub."""
    name, uid = created["metadata"]["name"], created["metadata"]["uid"]
    now = await tenant.get(name)
    assert now["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"], f"{name} was written to"
    assert not now["metadata"].get("finalizers")
    assert await tenant.events(name) == []
    assert await fleet.load_balancer(tenant.name, uid) is None
