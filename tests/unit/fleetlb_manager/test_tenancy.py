from msgspec.structs import replace

from fleetlb.domain.annotation_policy import parse_policy
from fleetlb.domain.annotations import Annotation
from fleetlb_manager.tenancy import Tenancy
from tests.unit.fleetlb_manager.manager_world import a_key, a_tenant, a_wish, a_world


async def test_a_judgement_that_changed_marks_whom_it_concerns() -> None:
    world = a_world("acme", "globex")
    for tenant in ("acme", "globex"):
        world.say(a_key("u1", tenant), a_wish())
    tenancy = Tenancy(world.memory, world.marks, allow_loopback=False)
    world.marks.clear()
    await tenancy.reconcile("all")
    assert not world.marks.services
    edited = a_tenant("acme", "10.7.0.0/16")
    world.folding.tenant_set(replace(edited, metadata=replace(edited.metadata, resource_version="99")))
    world.marks.clear()
    await tenancy.reconcile("all")
    assert list(world.marks.services) == [a_key("u1", "acme")]
    assert list(world.marks.accounts) == ["acme"]


async def test_MUL_6_the_rules_of_the_fleet_are_those_of_a_tenant_without_any() -> None:
    world = a_world()
    await Tenancy(world.memory, world.marks, allow_loopback=False, rules=parse_policy(None, ["pool"], {})).reconcile("")
    grant = world.memory.registrations["acme"].grant
    assert grant is not None
    assert grant.annotations.deny == {Annotation.POOL}


async def test_a_deleted_tenant_has_no_registration() -> None:
    world = a_world()
    world.folding.tenant_gone(world.kept.tenants["acme"])
    await Tenancy(world.memory, world.marks, allow_loopback=False).reconcile("all")
    assert world.memory.registrations == {}
