"""Places of Services that another manager acts for."""

from msgspec.structs import replace

from fleetlb.contracts.objects import LoadBalancer
from fleetlb.domain.addresses import Family
from fleetlb.domain.conditions import Reason, Refusal
from fleetlb_manager.standing_by import PATIENCE_SECONDS, StandingBy
from fleetlb_manager.waiting_lines import pool_resource
from tests.unit.fleetlb_manager.manager_world import World, a_key, a_load_balancer, a_pool, a_world

POOL = pool_resource("default", Family.IPV4)
THEIRS = a_key("theirs", "globex")


def waiting(*resources: str, version: int = 1) -> LoadBalancer:
    item = a_load_balancer(THEIRS, version=version)
    refusal = Refusal(Reason.POOL_EXHAUSTED, "no free IPv4 address") if resources else None
    spec = replace(item.spec, addresses=(), refusal=refusal, waits_for=resources)
    meta = replace(item.metadata, creation_timestamp="2027-01-01T00:00:01Z")
    return replace(item, metadata=meta, spec=spec)


def stood_by() -> tuple[World, StandingBy]:
    world = a_world()
    world.folding.load_balancer_set(waiting(POOL))
    by = StandingBy(world.bench, world.chooser)
    assert by.look(THEIRS) is None
    world.marks.clear()
    return world, by


def test_they_stand_in_line_by_their_age() -> None:
    world, _ = stood_by()
    lines = world.memory.lines
    lines.wait(a_key("younger"), (POOL,), "2027-01-01T00:00:02Z")
    lines.wait(a_key("older"), (POOL,), "2027-01-01T00:00:00Z")
    assert [lines.call(POOL) for _ in range(3)] == [a_key("older"), THEIRS, a_key("younger")]


def test_what_they_are_called_for_is_kept_for_a_while() -> None:
    world, by = stood_by()
    lines = world.memory.lines
    lines.wait(a_key("ours"), (POOL,), "2027-01-01T00:00:02Z")
    assert lines.call(POOL) == THEIRS
    assert by.look(THEIRS) == PATIENCE_SECONDS
    assert lines.kept_from(a_key("ours"), POOL) == 1
    world.clock.now += PATIENCE_SECONDS
    assert by.look(THEIRS) is None
    assert lines.kept_from(a_key("ours"), POOL) == 0
    assert list(world.marks.services) == [a_key("ours")], "it is the next"


def test_who_has_what_it_waited_for_leaves_the_line() -> None:
    world, by = stood_by()
    world.memory.lines.call(POOL)
    by.look(THEIRS)
    world.folding.load_balancer_set(waiting(version=2))
    assert by.look(THEIRS) is None
    assert world.memory.lines.waiting(POOL) == 0


def test_who_is_refused_anew_stands_in_its_old_place() -> None:
    world, by = stood_by()
    lines = world.memory.lines
    lines.wait(a_key("ours"), (POOL,), "2027-01-01T00:00:02Z")
    assert lines.call(POOL) == THEIRS
    other = pool_resource("other", Family.IPV4)
    world.folding.load_balancer_set(waiting(POOL, other, version=2))
    by.look(THEIRS)
    assert lines.call(other) == THEIRS
    assert lines.call(POOL) == THEIRS


def test_a_service_whose_object_is_gone_waits_no_more() -> None:
    world, by = stood_by()
    world.folding.load_balancer_gone(waiting(POOL))
    by.look(THEIRS)
    assert world.memory.lines.waiting(POOL) == 0


def test_a_new_pool_is_kept_for_them_for_a_while_too_and_costs_them_no_place_elsewhere() -> None:
    """Whether they may have an address of it, only their own manager knows."""
    world, by = stood_by()
    lines, extra = world.memory.lines, pool_resource("extra", Family.IPV4)
    world.folding.pool_set(a_pool("198.51.100.7/32", name="extra"))
    lines.wait(a_key("ours"), (extra,), "2027-01-01T00:00:02Z")
    assert by.look(THEIRS) == PATIENCE_SECONDS
    assert lines.kept_from(a_key("ours"), extra) == 1
    world.marks.clear()
    world.clock.now += PATIENCE_SECONDS
    assert by.look(THEIRS) is None
    assert list(world.marks.services) == [a_key("ours")], "it is the next"
    assert lines.resources(THEIRS) == (POOL,)
    assert lines.call(POOL) == THEIRS
